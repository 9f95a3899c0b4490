"""Digits drawn on the spot from the typefaces that matplotlib ships.

A glyph is kept as two smooth fields on a square: d(x), the signed distance to its outline (positive in the ink),
and w(x), half the width of the stroke nearby. Along the middle of a stroke d = w. So the ink

    { x : d(x) - w(x) + r(x) > 0 }

is the same glyph drawn with strokes of half width r: with r = w as the typeface has it, with r constant as a pen draws.
A picture is this field seen through a random affine map and a gentle random warp, with an edge one pixel soft.
"""

import hashlib
import math
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FACES = {  # name: (font file, character of its zero, slant that the italics already have)
    "DejaVu Sans": ("DejaVuSans", "0", 0.0),
    "DejaVu Sans Bold": ("DejaVuSans-Bold", "0", 0.0),
    "DejaVu Sans Mono": ("DejaVuSansMono", "0", 0.0),
    "DejaVu Serif": ("DejaVuSerif", "0", 0.0),
    "DejaVu Serif Bold": ("DejaVuSerif-Bold", "0", 0.0),
    "STIX": ("STIXGeneral", "0", 0.0),
    "STIX Bold": ("STIXGeneralBol", "0", 0.0),
    "STIX Italic": ("STIXGeneralItalic", "0", 0.28),
    "STIX Bold Italic": ("STIXGeneralBolIta", "0", 0.28),
    "STIX Sans": ("STIXGeneral", "\U0001D7E2", 0.0),
    "STIX Sans Bold": ("STIXGeneral", "\U0001D7EC", 0.0),
    "STIX Mono": ("STIXGeneral", "\U0001D7F6", 0.0),
    "Computer Modern": ("cmr10", "0", 0.0),
    "Computer Modern Bold": ("cmb10", "0", 0.0),
    "Computer Modern Italic": ("cmti10", "0", 0.25),
    "Computer Modern Old Style": ("cmmi10", "0", 0.0),
    "Computer Modern Sans": ("cmss10", "0", 0.0),
    "Computer Modern Typewriter": ("cmtt10", "0", 0.0),
}
FACTORS = {  # name: (least, greatest), in pixels where it is a length; the typeface is one more
    "thickness": (1.6, 4.4),      # width of the stroke
    "contrast": (0.0, 1.0),       # 0: a round pen; 1: thick and thin as in the typeface
    "slant": (-0.1, 0.5),         # x moves by slant·y
    "rotation": (-0.2, 0.2),      # radians, anticlockwise
    "size": (17.0, 21.0),         # height
    "width": (0.8, 1.3),          # stretch of the width
    "x": (-1.5, 1.5),             # of the centre of the ink, from the middle of the picture to the right …
    "y": (-1.5, 1.5),             # … and down
    "wobble": (0.0, 1.0),         # greatest shift by the warp
}
KNOTS = 4            # the warp has KNOTS² random displacements
CELLS, REACH = 96, 0.8   # a glyph of height 1 in [-REACH, REACH]², CELLS² cells


def outline(file: str, character: str) -> np.ndarray:
    """The outline of a glyph as line segments, (segments, 2, 2): start and end, y upwards; height 1, box centred at 0."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{file}.ttf")
    path = TextPath((0, 0), character, size=100, prop=FontProperties(fname=font))
    pieces, start = [], None
    for curve, code in path.iter_bezier():
        if code == path.MOVETO:
            continue
        points = curve(np.linspace(0, 1, 2 if len(curve.control_points) == 2 else 9))
        pieces.append(np.stack([points[:-1], points[1:]], 1))
    segments = np.concatenate(pieces)
    low, high = segments.min((0, 1)), segments.max((0, 1))
    return (segments - (low + high) / 2) / (high - low)[1]


def signed_distance(segments: Tensor, points: Tensor) -> Tensor:
    """Distance from points (p, 2) to the outline (segments, 2, 2); positive inside, by the winding number."""
    a, b = segments[:, 0], segments[:, 1]                                   # (s, 2)
    side, to = b - a, points[:, None] - a                                   # (s, 2), (p, s, 2)
    along = ((to * side).sum(-1) / (side * side).sum(-1).clamp(min=1e-12)).clamp(0, 1)
    distance = (to - along[..., None] * side).square().sum(-1).amin(1).sqrt()
    left = side[:, 0] * to[..., 1] - side[:, 1] * to[..., 0]                # > 0: the point is left of the segment
    above_a, above_b = a[:, 1] <= points[:, 1:], b[:, 1] <= points[:, 1:]   # (p, s)
    winding = (above_a & ~above_b & (left > 0)).int().sum(1) - (~above_a & above_b & (left < 0)).int().sum(1)
    return torch.where(winding != 0, distance, -distance)


def thin(ink: Tensor) -> Tensor:
    """The skeleton of ink (n, h, w), bool, one cell wide and connected as the ink is (Zhang and Suen, 1984)."""
    ink = F.pad(ink, (1, 1, 1, 1))
    shifts = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]  # clockwise from north
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            p = [ink.roll((-dy, -dx), (1, 2)) for dy, dx in shifts]
            count = torch.stack(p).sum(0)
            turns = sum((~p[k] & p[(k + 1) % 8]).int() for k in range(8))
            n, e, s, w = p[0], p[2], p[4], p[6]
            free = ~(n & e & s) & ~(e & s & w) if first else ~(n & e & w) & ~(n & s & w)
            gone = ink & (count >= 2) & (count <= 6) & (turns == 1) & free
            changed |= bool(gone.any())
            ink = ink & ~gone
    return ink[:, 1:-1, 1:-1]


@cache
def glyphs() -> tuple[Tensor, Tensor]:
    """All glyphs: fields d and w, (faces·10, 2, CELLS, CELLS), and the typical half width of each one's strokes."""
    axis = (torch.arange(CELLS) + 0.5) / CELLS * 2 * REACH - REACH
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(-1, 2)     # row 0 is the lowest y
    fields, typical = [], []
    for file, zero, _ in FACES.values():
        for digit in range(10):
            segments = torch.from_numpy(outline(file, chr(ord(zero) + digit))).float()
            fields.append(signed_distance(segments, points))
    d = torch.stack(fields).view(-1, CELLS, CELLS)
    skeleton = thin(d > 0)
    w = torch.empty_like(d)
    for k in range(len(d)):
        middle = skeleton[k].view(-1)
        width = d[k].view(-1)[middle]
        nearest = torch.cdist(points, points[middle]).argmin(1)
        w[k] = width[nearest].view(CELLS, CELLS)
        typical.append(width.median())
    blur = torch.exp(-(torch.arange(-6, 7) / 2.5) ** 2 / 2)
    blur = blur / blur.sum()
    w = F.conv2d(F.pad(w[:, None], (6,) * 4, mode="replicate"), blur.view(1, 1, 1, -1))
    w = F.conv2d(w, blur.view(1, 1, -1, 1))[:, 0]
    return torch.stack([d, w], 1), torch.stack(typical)


def draw(n: int, seed: int = 0, split: str = "train") -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Images (n, 1, 28, 28) uint8, labels (n,) int64 and factors (n,) float32 (typeface: int64)."""
    if n < 1:
        raise ValueError(f"n is {n}; draw at least one digit.")
    stream = int.from_bytes(hashlib.sha256(f"drawn {split} {seed}".encode()).digest()[:16], "big")
    uniform = torch.from_numpy(np.random.default_rng(stream).random((n, 2 + len(FACTORS) + 2 * KNOTS**2)))
    label = (uniform[:, 0] * 10).long()
    face = (uniform[:, 1] * len(FACES)).long()
    bounds = torch.tensor(list(FACTORS.values()), dtype=torch.float64)
    values = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) * uniform[:, 2:2 + len(FACTORS)]
    factors = {"typeface": face} | {name: values[:, k].float() for k, name in enumerate(FACTORS)}
    push = (2 * uniform[:, 2 + len(FACTORS):] - 1).float().view(n, 2, KNOTS, KNOTS)
    images = torch.cat([picture(label[k:k + 2000], {name: value[k:k + 2000] for name, value in factors.items()},
                                push[k:k + 2000]) for k in range(0, n, 2000)])
    return images, label, factors


def picture(label: Tensor, factors: dict[str, Tensor], push: Tensor) -> Tensor:
    """Pictures (n, 1, 28, 28) uint8 of digits with the given factors; push (n, 2, KNOTS, KNOTS) in [-1, 1] is the warp."""
    fields, typical = glyphs()
    face, f = factors["typeface"], {name: value[:, None, None] for name, value in factors.items()}
    glyph = face * 10 + label
    place = torch.arange(28) - 13.5
    warp = F.interpolate(push, size=(28, 28), mode="bicubic", align_corners=True) * f["wobble"][:, None]
    x = place[None, None, :] - f["x"] + warp[:, 0]                  # pixels, to the right
    y = -(place[None, :, None] - f["y"] + warp[:, 1])               # pixels, upwards
    cos, sin = f["rotation"].cos(), f["rotation"].sin()
    x, y = cos * x + sin * y, cos * y - sin * x                     # undo the rotation, …
    own = torch.tensor([slant for _, _, slant in FACES.values()])[face][:, None, None]
    x = (x - (f["slant"] - own) * y) / (f["size"] * f["width"])     # … the slant and the stretch: glyph units
    y = y / f["size"]
    seen = F.grid_sample(fields[glyph], torch.stack([x, y], -1) / REACH, padding_mode="border", align_corners=False)
    d, w = seen[:, 0] * f["size"], seen[:, 1] * f["size"]           # pixels
    middle = typical[glyph][:, None, None] * f["size"]
    r = f["thickness"] / 2 * (w / middle) ** f["contrast"]
    ink = ((d - w + r) / 1.2 + 0.5).clamp(0, 1)
    return (ink * 255).round().to(torch.uint8)[:, None]
