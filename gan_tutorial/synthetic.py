"""Digits drawn on the spot from the typefaces that matplotlib ships.

A glyph is kept as two smooth fields on a square: d(x), the distance to its outline, positive in the ink, and w(x),
half the width of the stroke nearby. In the middle of a stroke d = w, so

    { x : d(x) - w(x) + r(x) > 0 }

is the same glyph drawn with strokes of half width r: the typeface's own for r = w, a round pen's for r constant.
A picture is this field seen through a random affine map and a gentle random warp, with an edge about a pixel soft.
"""

import hashlib
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .cache import Arrays, kept

FACES = {  # name: (font file, character of its zero, slant that it has already)
    "DejaVu Sans": ("DejaVuSans", "0", 0.0),
    "DejaVu Sans Bold": ("DejaVuSans-Bold", "0", 0.0),
    "DejaVu Serif": ("DejaVuSerif", "0", 0.0),
    "DejaVu Serif Bold": ("DejaVuSerif-Bold", "0", 0.0),
    "STIX": ("STIXGeneral", "0", 0.0),
    "STIX Bold": ("STIXGeneralBol", "0", 0.0),
    "STIX Italic": ("STIXGeneralItalic", "0", 0.28),
    "STIX Bold Italic": ("STIXGeneralBolIta", "0", 0.28),
    "STIX Sans": ("STIXGeneral", "\U0001d7e2", 0.0),
    "STIX Sans Bold": ("STIXGeneral", "\U0001d7ec", 0.0),
    "STIX Mono": ("STIXGeneral", "\U0001d7f6", 0.0),
    "Computer Modern": ("cmr10", "0", 0.0),
    "Computer Modern Bold": ("cmb10", "0", 0.0),
    "Computer Modern Old Style": ("cmmi10", "0", 0.0),
    "Computer Modern Sans": ("cmss10", "0", 0.0),
    "Computer Modern Typewriter": ("cmtt10", "0", 0.0),
}
FACTORS = {  # name: (least, greatest), each uniform in between; lengths are in pixels
    "thickness": (1.6, 4.0),  # width of the stroke
    "contrast": (0.0, 1.0),  # 0: a round pen; 1: thick and thin as in the typeface
    "slant": (-0.1, 0.4),  # x moves by slant·y
    "rotation": (-0.2, 0.2),  # radians, anticlockwise
    "size": (16.0, 20.5),  # height, the stroke included
    "width": (0.8, 1.25),  # stretch of the width
    "x": (-1.0, 1.0),  # of the centre of the ink, from the middle of the picture to the right …
    "y": (-1.0, 1.0),  # … and down
    "wobble": (0.0, 1.6),  # scale of the warp
}
KNOTS = 4  # the warp moves KNOTS² points of the picture at random, and what lies between them smoothly
CELLS, REACH = 84, 0.7  # the fields: a glyph of height 1 on CELLS² cells that fill [-REACH, REACH]²

Drawing = tuple[
    Tensor, Tensor, dict[str, Tensor]
]  # images (n, channels, h, w) uint8; label (n,) int64; factors, (n,) each


def draw(n: int, seed: int = 0, split: str = "train", cache: Path | None = None, draw_now=None) -> Drawing:
    """n digits with their labels and factors: FACTORS as float32, and "typeface", the index in FACES, as int64.

    If a directory is given as `cache`, they are kept there, as long as neither this file nor matplotlib changes, see
    `gan_tutorial.cache`. `draw_now` draws what is not kept; by default it is `draw_digits`.
    """
    code = hashlib.sha256(Path(__file__).read_bytes() + matplotlib.__version__.encode()).hexdigest()[:12]
    make = partial(draw_now or draw_digits, n, seed, split)
    return keep_drawing(cache, f"synthetic-{split}-{seed}-{n}", code, make, (n, 1, 28, 28), ("typeface", *FACTORS))


def keep_drawing(cache: Path | None, name: str, key: str, make, shape: tuple[int, ...], factors) -> Drawing:
    """What `make` draws, images of this shape with labels and these factors; from the cache if it holds them."""

    def arrays() -> Arrays:
        images, label, drawn = make()
        return {"images": images, "label": label, **drawn}

    def fits(found: Arrays) -> bool:
        return (
            set(found) == {"images", "label", *factors}
            and found["images"].shape == shape
            and found["images"].dtype == torch.uint8
            and found["label"].dtype == torch.int64
            and all(value.shape == shape[:1] for name, value in found.items() if name != "images")
        )

    found = kept(cache, name, key, lambda: (arrays(), True), fits)
    return found["images"], found["label"], {name: found[name] for name in factors}


def draw_digits(n: int, seed: int, split: str) -> Drawing:
    """As `draw`, without a cache. The first digits are the same for every n."""
    stream = int.from_bytes(hashlib.sha256(f"drawn {split} {seed}".encode()).digest()[:16], "big")
    uniform = torch.from_numpy(np.random.default_rng(stream).random((n, 2 + len(FACTORS) + 2 * KNOTS**2)))
    label, face = (uniform[:, 0] * 10).long(), (uniform[:, 1] * len(FACES)).long()
    factors = {"typeface": face}
    for k, (name, (low, high)) in enumerate(FACTORS.items()):
        factors[name] = (low + (high - low) * uniform[:, 2 + k]).float()
    push = (2 * uniform[:, -2 * KNOTS**2 :] - 1).float().view(n, 2, KNOTS, KNOTS)

    images = torch.empty(n, 1, 28, 28, dtype=torch.uint8)
    with one_thread():
        for glyph in range(10 * len(FACES)):
            same = (10 * face + label == glyph).nonzero()[:, 0]
            if len(same):
                images[same] = pictures(glyph, {name: value[same] for name, value in factors.items()}, push[same])
    return images, label, factors


@contextmanager
def one_thread():
    """torch on one thread: the steps here are so small that several would mostly wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def pictures(glyph: int, factors: dict[str, Tensor], push: Tensor) -> Tensor:
    """A glyph with n sets of factors, (n, 1, 28, 28) uint8; push (n, 2, KNOTS, KNOTS) in [-1, 1] makes the warp."""
    fields, (centre_x, centre_y, typical) = glyphs()[0][glyph], glyphs()[1][glyph]
    _, _, own = list(FACES.values())[glyph // 10]
    f = {name: value[:, None, None] for name, value in factors.items()}
    place = torch.arange(28) - 13.5
    smooth = F.interpolate(torch.eye(KNOTS)[:, None, None], size=(1, 28), mode="bicubic", align_corners=True)[:, 0, 0]
    warp = smooth.T @ push @ smooth * f["wobble"][:, None]
    x = place - f["x"] + warp[:, 0]  # (n, 28, 28) pixels, to the right
    y = f["y"] - place[:, None] + warp[:, 1]  # upwards
    cos, sin = f["rotation"].cos(), f["rotation"].sin()
    x, y = cos * x + sin * y, cos * y - sin * x  # undo the rotation, …
    unit = (f["size"] - f["thickness"]) / (1 - 2 * typical)  # pixels to a glyph unit
    x = (x - (f["slant"] - own) * y) / (f["width"] * unit) + centre_x  # … the slant and the stretch
    y = y / unit + centre_y
    at = torch.stack([x, y], -1).view(1, -1, 28, 2) / REACH  # all the pictures in one tall strip
    seen = F.grid_sample(fields[None], at, padding_mode="border", align_corners=False)
    d, w = seen.view(2, -1, 28, 28)
    r = f["thickness"] / 2 * (w / typical).clamp(0.35, 1.2) ** f["contrast"]
    return ((((d - w) * unit + r) / 1.2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)[:, None]


# ------------------------------------------------------------------------------------- from an outline to two fields


@lru_cache(maxsize=1)
def glyphs() -> tuple[Tensor, Tensor]:
    """For all glyphs, in units of their height: the fields d and w, (faces · 10, 2, CELLS, CELLS), and three numbers.

    The three numbers, (faces · 10, 3), are x and y of the centre of the ink, and w where the strokes are thick.
    """
    outlines = [outline(file, chr(ord(zero) + digit)) for file, zero, _ in FACES.values() for digit in range(10)]
    x, y = lattice(CELLS)
    d = torch.stack([signed_distance(segments, x, y) for segments in outlines]).view(-1, CELLS, CELLS)
    coarse = torch.cat(lattice(CELLS // 2), 1)
    w, typical, ink = [], [], (d > 0).flatten(1).float()
    for distance, middle in zip(d.flatten(1), thin(d > 0).flatten(1), strict=True):
        width = distance[middle]  # half the stroke's width along its middle
        nearest = torch.cdist(coarse, torch.cat([x, y], 1)[middle]).argmin(1)
        w.append(width[nearest])
        typical.append(width.quantile(0.75))
    w = torch.stack(w).view(-1, 1, CELLS // 2, CELLS // 2)
    bell = torch.exp(-((torch.arange(-3, 4) / 1.25) ** 2) / 2)
    blur = torch.outer(bell, bell) / bell.sum() ** 2
    w = F.conv2d(F.pad(w, (3, 3, 3, 3), mode="replicate"), blur[None, None])
    w = F.interpolate(w, size=(CELLS, CELLS), mode="bilinear", align_corners=False)
    centre = ink @ torch.cat([x, y], 1) / ink.sum(1, keepdim=True)
    return torch.stack([d, w[:, 0]], 1), torch.cat([centre, torch.stack(typical)[:, None]], 1)


def lattice(cells: int) -> tuple[Tensor, Tensor]:
    """The centres of the cells, row by row from the lowest y: x and y, (cells², 1) each."""
    axis = ((torch.arange(cells) + 0.5) / cells * 2 - 1) * REACH
    return axis.repeat(cells)[:, None], axis.repeat_interleave(cells)[:, None]


def outline(file: str, character: str) -> Tensor:
    """The outline of a glyph in straight pieces, (segments, 2, 2): start and end. Height 1, y upwards, box around 0."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{file}.ttf")
    path = TextPath((0, 0), character, size=100, prop=FontProperties(fname=font))
    pieces = []
    for curve, code in path.iter_bezier():  # pyright: ignore[reportGeneralTypeIssues]  # pairs, against its types
        if code != path.MOVETO:
            points = curve(np.linspace(0, 1, 2 if len(curve.control_points) == 2 else 4))
            pieces.append(np.stack([points[:-1], points[1:]], 1))
    segments = np.concatenate(pieces)
    low, high = segments.min((0, 1)), segments.max((0, 1))
    return torch.from_numpy((segments - (low + high) / 2) / (high - low)[1]).float()


def signed_distance(segments: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Distance from the points (x, y), (p, 1) each, to an outline (segments, 2, 2); positive inside, (p,).

    A point is inside if the outline winds round it: the segments that a ray from it meets do not go up as often as
    down.
    """
    if len(x) > 1000:  # a part at a time stays in the processor's cache
        parts = zip(x.split(1000), y.split(1000), strict=True)
        return torch.cat([signed_distance(segments, *part) for part in parts])
    (ax, ay), (bx, by) = segments.permute(1, 2, 0)  # (s,)
    ux, uy, vx, vy = bx - ax, by - ay, x - ax, y - ay  # along the segment, and from its start: (p, s)
    along = ((vx * ux + vy * uy) / (ux * ux + uy * uy).clamp(min=1e-12)).clamp(0, 1)
    distance = ((vx - along * ux).square() + (vy - along * uy).square()).amin(1).sqrt()
    meets = ((vy >= 0) != (y >= by)) & ((ux * vy - uy * vx > 0) != (uy < 0))  # the ray to the right
    winding = meets.float() @ uy.sign()
    return torch.where(winding != 0, distance, -distance)


def thin(ink: Tensor) -> Tensor:
    """The skeleton of ink (n, h, w), bool: one cell wide and connected as the ink is (Zhang and Suen, 1984).

    A cell goes if its eight neighbours say that it lies on a rim and is neither an end nor a bridge. Rims that face
    south or east and rims that face north or west take turns, so that a stroke of two cells does not vanish at once.
    """

    def goes(code: int, threes) -> bool:
        p = [code >> k & 1 for k in range(8)]  # the neighbours, clockwise from north
        turns = sum(p[k] < p[(k + 1) % 8] for k in range(8))
        return 2 <= sum(p) <= 6 and turns == 1 and not any(p[i] & p[j] & p[k] for i, j, k in threes)

    tables = [
        torch.tensor([goes(code, threes) for code in range(256)])
        for threes in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6)))
    ]
    padded = F.pad(ink, (1, 1, 1, 1))
    cells, row = padded.view(-1), padded.shape[2]  # cells is a view of padded
    around = torch.tensor([-row, 1 - row, 1, 1 + row, row, row - 1, -1, -1 - row])
    place, before = cells.nonzero()[:, 0], 0
    while len(place) != before:
        before = len(place)
        for table in tables:
            code = (cells[place[:, None] + around] * 2 ** torch.arange(8)).sum(1)
            cells[place[table[code]]] = False
            place = place[cells[place]]
    return padded[:, 1:-1, 1:-1]
