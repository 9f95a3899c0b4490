r"""Flowers in colour, drawn on the spot: six classes, each a row of numbers in one table, and eight continuous factors.

A ring of k petals is the set of points, in polar coordinates around the flower's centre, within

$r \leq R(s) = L \, (i + (1 - i) (1 - s^q)^p) (1 - n \, e^{-20 s^2})$,

where s runs from 0 in the middle of a petal to 1 half-way to the next one. The exponents q and p make petals round or
pointed, i keeps them together, and n notches their tips. Rings lie on top of one another, each with a soft shadow on
the one below, over leaves, a stem, and a background. Edges are soft, one pixel wide.
"""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .synthetic import Drawing, keep_drawing, one_thread

FACTORS = {  # name: (least, greatest), each uniform in between
    "petals": (0.0, 1.0),  # how many, from the fewest to the most of the class
    "shade": (0.0, 1.0),  # of the petals' colour, from one end of the class's hues to the other
    "size": (0.55, 0.8),  # radius of the flower, where half of the picture's width is 1
    "rotation": (-math.pi, math.pi),  # radians, anticlockwise
    "tilt": (0.0, 0.45),  # 0: seen from above; at 0.45 its depth is 55 % of its width
    "x": (-0.15, 0.15),  # of the centre, from the middle of the picture to the right …
    "y": (-0.1, 0.2),  # … and up
    "light": (0.0, 1.0),  # of the background, from a shadow under leaves to a sky
}


@dataclass(frozen=True)
class Kind:
    """A class of flowers.

    petals        of a ring: (fewest, most)
    rings         (length, p, q) of each, the outermost first; every second one is turned by half a petal
    inner, notch  i and n
    hue           (one end, the other end), in turns: 0 red, 1/3 green, 2/3 blue
    tip, base     (saturation, brightness) of the petals' outer and inner ends
    centre        radius of the disc in the middle, as a share of the flower's
    disc          its (hue, saturation, brightness)
    """

    petals: tuple[int, int]
    rings: tuple[tuple[float, float, float], ...]
    inner: float
    notch: float
    hue: tuple[float, float]
    tip: tuple[float, float]
    base: tuple[float, float]
    centre: float
    disc: tuple[float, float, float]


KINDS = {
    "daisy": Kind(
        petals=(9, 15),
        rings=((1.0, 0.45, 2.2), (0.88, 0.45, 2.2)),
        inner=0.3,
        notch=0.0,
        hue=(-0.1, 0.2),
        tip=(0.06, 1.0),
        base=(0.2, 0.85),
        centre=0.27,
        disc=(0.13, 0.9, 0.95),
    ),
    "sunflower": Kind(
        petals=(11, 17),
        rings=((1.0, 0.8, 1.3), (0.85, 0.8, 1.3)),
        inner=0.4,
        notch=0.0,
        hue=(0.09, 0.155),
        tip=(0.85, 1.0),
        base=(0.95, 0.8),
        centre=0.43,
        disc=(0.07, 0.75, 0.42),
    ),
    "poppy": Kind(
        petals=(4, 6),
        rings=((1.0, 0.4, 2.6), (0.8, 0.4, 2.6)),
        inner=0.45,
        notch=0.08,
        hue=(-0.04, 0.06),
        tip=(0.85, 0.97),
        base=(1.0, 0.6),
        centre=0.17,
        disc=(0.75, 0.4, 0.16),
    ),
    "rose": Kind(
        petals=(5, 7),
        rings=((1.0, 0.4, 2.4), (0.82, 0.4, 2.4), (0.62, 0.4, 2.4), (0.42, 0.4, 2.4), (0.24, 0.4, 2.4)),
        inner=0.55,
        notch=0.0,
        hue=(0.87, 1.0),
        tip=(0.55, 1.0),
        base=(0.85, 0.6),
        centre=0.07,
        disc=(0.95, 0.8, 0.55),
    ),
    "pansy": Kind(
        petals=(5, 5),
        rings=((1.0, 0.45, 2.4),),
        inner=0.25,
        notch=0.15,
        hue=(0.66, 0.8),
        tip=(0.65, 0.85),
        base=(0.9, 0.45),
        centre=0.16,
        disc=(0.15, 0.85, 1.0),
    ),
    "lily": Kind(
        petals=(3, 3),
        rings=((1.0, 0.75, 1.25), (0.95, 0.75, 1.25)),
        inner=0.12,
        notch=0.0,
        hue=(-0.12, 0.1),
        tip=(0.35, 1.0),
        base=(0.8, 0.85),
        centre=0.09,
        disc=(0.22, 0.6, 0.75),
    ),
}


def draw(n: int, seed: int = 0, split: str = "train", size: int = 64, cache: Path | None = None) -> Drawing:
    """n flowers (n, 3, size, size) uint8 with their labels, indices into KINDS, and FACTORS, (n,) each.

    The first flowers are the same for every n. If a directory is given as `cache`, they are kept there, as long as this
    file does not change, see `gan_tutorial.cache`.
    """
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    make = partial(draw_flowers, n, seed, split, size)
    return keep_drawing(cache, f"flowers-{split}-{seed}-{size}-{n}", code, make, (n, 3, size, size), FACTORS)


def draw_flowers(n: int, seed: int, split: str, size: int) -> Drawing:
    """As `draw`, without a cache."""
    stream = int.from_bytes(hashlib.sha256(f"flowers {split} {seed}".encode()).digest()[:16], "big")
    uniform = torch.from_numpy(np.random.default_rng(stream).random((n, 1 + len(FACTORS))))
    label = (uniform[:, 0] * len(KINDS)).long()
    factors = {
        name: (low + (high - low) * uniform[:, 1 + k]).float() for k, (name, (low, high)) in enumerate(FACTORS.items())
    }
    images = torch.empty(n, 3, size, size, dtype=torch.uint8)

    def fill(kind: Kind, some: Tensor) -> None:
        images[some] = pictures(kind, {name: value[some] for name, value in factors.items()}, size)

    at_once = max(1, 2**16 // size**2)  # a part at a time stays in the processor's cache
    parts = [
        (kind, some)
        for index, kind in enumerate(KINDS.values())
        for some in (label == index).nonzero()[:, 0].split(at_once)
        if len(some)
    ]
    workers = torch.get_num_threads()
    with one_thread(), ThreadPoolExecutor(workers) as pool:  # PyTorch lets other threads run while it computes
        list(pool.map(fill, *zip(*parts, strict=True)))
    return images, label, factors


def pictures(kind: Kind, factors: dict[str, Tensor], size: int = 64) -> Tensor:
    """Flowers of a kind with n sets of factors, (n, 3, size, size) uint8."""
    f = {name: value.view(-1, 1, 1) for name, value in factors.items()}
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    pixel, across, up = 2 / size, axis, -axis[:, None]
    x, y = across - f["x"], up - f["y"]
    canvas = background(across, up, x, y, f, pixel)

    y = y / (1 - f["tilt"])
    radius, angle = torch.hypot(x, y) / f["size"], torch.atan2(y, x) - f["rotation"]
    unit = pixel / f["size"]  # a pixel, in units of the flower's radius
    fewest, most = kind.petals
    count = (fewest + f["petals"] * (most + 1 - fewest)).floor().clamp(max=most)
    hue = kind.hue[0] + (kind.hue[1] - kind.hue[0]) * f["shade"]
    gloss = 0.9 + 0.12 * torch.cos(angle + f["rotation"] - 2.2)  # light comes from the upper left
    tip, base = (hsv(hue, saturation, value) for saturation, value in (kind.tip, kind.base))

    leaves, _, s = ring(radius, angle, 3, length=1.45, p=0.7, q=1.2)
    canvas = paint(canvas, leaves / unit, hsv(0.3 + 0.05 * f["shade"], 0.6, 0.45) * (0.75 + 0.35 * s[:, None]))
    for place, (length, p, q) in enumerate(kind.rings):
        turned = angle + place * (math.pi / count)
        distance, along, s = ring(radius, turned, count, length, p, q, kind.inner, kind.notch)
        canvas = shadow(canvas, distance, 0.4)
        light = gloss * (1 - 0.3 * s * s) * (0.8 + 0.25 * along)
        colour = torch.lerp(base, tip, (along.clamp(0, 1) ** 1.5)[:, None])
        canvas = paint(canvas, distance / unit, colour * light[:, None])
    distance = kind.centre - radius
    canvas = shadow(canvas, distance, 0.5)
    seeds = 0.85 + 0.25 * torch.cos(40 * radius + 13 * angle) * torch.cos(40 * radius - 8 * angle)
    disc = hsv(torch.full((1, 1, 1), kind.disc[0]), *kind.disc[1:])
    canvas = paint(canvas, distance / unit, disc * (seeds * gloss)[:, None])
    return (canvas.clamp(0, 1) * 255).round().to(torch.uint8)


# -------------------------------------------------------------------------------------------------------- primitives


def ring(
    radius: Tensor,
    angle: Tensor,
    count: Tensor | int,
    length: float,
    p: float,
    q: float,
    inner: float = 0.0,
    notch: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """A ring of `count` petals, at points in polar coordinates: the distance to its rim, positive inside; r/R; and s.

    The distance is correct to first order, (R - r) / √(1 + (R′/r)²): at the rim, where a picture needs it, it is right.
    """
    turns = angle * (count / (2 * math.pi))
    s = 2 * (turns - turns.round()).abs()
    power = s.clamp(min=1e-3) ** q
    rest = (1 - power).clamp(min=1e-3)
    shape = rest**p
    reach = length * (inner + (1 - inner) * shape)
    slope = (length * (1 - inner) * p * q / math.pi) * count * (power / s.clamp(min=1e-3)) * (shape / rest)  # -R'
    if notch:
        reach = reach * (1 - notch * torch.exp(-20 * s * s))
    steep = (slope / radius.clamp(min=0.1)).square().clamp(max=24)  # or the cleft between two petals would reach far
    return (reach - radius) * (1 + steep).rsqrt(), radius / reach, s


def paint(canvas: Tensor, pixels: Tensor, colour: Tensor) -> Tensor:
    """`colour` over the canvas (n, 3, h, w) where the distance to a rim, in pixels, is positive."""
    return torch.lerp(canvas, colour, (pixels + 0.5).clamp(0, 1)[:, None])


def shadow(canvas: Tensor, distance: Tensor, depth: float, reach: float = 0.16) -> Tensor:
    """The canvas darkened around a form that lies on it, most at its rim."""
    return canvas * (1 - depth * (distance / reach + 1).clamp(0, 1).square())[:, None]


def hsv(hue: Tensor, saturation, value) -> Tensor:
    """Hue in turns, saturation and brightness in [0, 1], as (n, 3, …) red, green and blue."""
    parts = [(6 * hue + shift) % 6 for shift in (5, 3, 1)]
    return torch.stack([value * (1 - saturation * torch.minimum(part, 4 - part).clamp(0, 1)) for part in parts], 1)


def background(across: Tensor, up: Tensor, x: Tensor, y: Tensor, f: dict[str, Tensor], pixel: float) -> Tensor:
    """From the ground to the sky, light or in shadow, with the flower's stem."""
    light = f["light"]
    sky = hsv(0.46 + 0.11 * light, 0.6 - 0.2 * light, 0.22 + 0.73 * light)
    ground = hsv(0.3 + 0.05 * light, 0.6, 0.15 + 0.4 * light)
    canvas = torch.lerp(ground, sky, (up + 1) / 2)
    canvas = canvas.expand(-1, -1, -1, len(across))
    bend = x - 0.25 * torch.sin(f["rotation"]) * y * y
    stem = torch.minimum(0.05 - bend.abs(), -y)
    return paint(canvas, stem / pixel, hsv(torch.full_like(light, 0.29), 0.65, 0.5) * (1 - 4 * bend)[:, None])
