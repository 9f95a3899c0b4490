"""Data sets that live on the device as whole tensors: handwritten and synthetic digits, points with known modes.

Where the digits come from is the reader's choice, by environment variables:

GAN_TUTORIAL_DIGITS    "mnist" or "synthetic"; where it is not set, MNIST if it can be had, else synthetic digits
GAN_TUTORIAL_DATA      a directory with MNIST's four files in its folder mnist/, plain or as .gz; it must be complete
GAN_TUTORIAL_DOWNLOAD  "0" forbids the network, "1" (and unset) allows it
GAN_TUTORIAL_CACHE     where downloads and drawings are kept; where it is not set, the user's cache
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from . import files
from .claims import record
from .runtime import derive_seed
from .synthetic import draw

SPLITS = {"train": ("train", 60_000, "training"), "test": ("t10k", 10_000, "test")}


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """A data set in memory, on one device.

    values   (n, channels, height, width) uint8 images with 0 as background, or (n, …) float32
    label    (n,) int64, or None: a digit, or the index of the mode that a point comes from
    factors  what each sample was made with, (n,) each: {"slant": …}
    modes    (k, d) float32, the centres of the modes where they are known
    sigma    standard deviation around a mode: a number, or one for each mode, (k,)

    `len(d)` samples of shape `d.shape`. `d[:1000]`, or `d[d.label == 3]`, is the data set of these samples alone.
    The package has no validation split of its own: hold samples out, `d[:50_000]` and `d[50_000:]`.
    ValueError if there are no samples, or if shapes or types are not as above.
    """

    name: str
    values: Tensor
    label: Tensor | None = None
    factors: dict[str, Tensor] = field(default_factory=dict)
    modes: Tensor | None = None
    sigma: float | Tensor | None = None

    def __post_init__(self):
        if not isinstance(self.values, Tensor):
            raise ValueError(f"The values of {self.name!r} are no tensor: use torch.as_tensor on them first.")
        values, n = self.values, len(self.values)
        if n == 0:
            raise ValueError(f"The data set {self.name!r} is empty; give it at least one sample.")
        if values.dtype not in (torch.uint8, torch.float32):
            raise ValueError(f"The values of {self.name!r} are {values.dtype}; use uint8 for images, else float32.")
        if values.dtype == torch.uint8 and values.ndim != 4:
            raise ValueError(
                f"Images of {self.name!r} have shape {tuple(values.shape)}; "
                "use (n, channels, height, width), with one channel for grey."
            )
        if values.ndim < 2:
            raise ValueError(
                f"The values of {self.name!r} have shape {tuple(values.shape)}; use (n, d), with d = 1 for numbers."
            )
        if self.label is not None and (self.label.shape != (n,) or self.label.dtype != torch.int64):
            raise ValueError(
                f"The labels of {self.name!r} are {self.label.dtype} of shape {tuple(self.label.shape)}; "
                f"use int64 of shape ({n},), one for each sample."
            )
        for factor, value in self.factors.items():
            if value.shape != (n,):
                raise ValueError(
                    f"The factor {factor!r} of {self.name!r} has shape {tuple(value.shape)}; "
                    f"use ({n},), one for each sample."
                )
        if self.modes is not None and self.modes.shape[1:] != self.shape:
            raise ValueError(
                f"The modes of {self.name!r} have shape {tuple(self.modes.shape)}; use (k, d), with the "
                f"samples' shape {self.shape}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (1, 28, 28) for digits, (2,) for points in the plane."""
        return tuple(self.values.shape[1:])

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Data({self.name!r}: {len(self):,} of shape {self.shape}, {self.values.dtype}, {self.values.device})"

    def __getitem__(self, index: slice | Tensor) -> "Data":
        if not isinstance(index, slice | Tensor):
            raise ValueError("Index a data set with a slice or a tensor, such as d[:1000]; d.take gives the samples.")
        return replace(
            self,
            values=self.values[index],
            label=None if self.label is None else self.label[index],
            factors={name: value[index] for name, value in self.factors.items()},
        )

    def take(self, index: Tensor | slice) -> Tensor:
        """The samples at `index`, (batch, …) float32; a grey level g of 0…255 becomes g / 127.5 - 1, in [-1, 1]."""
        values = self.values[index]
        return values.float() / 127.5 - 1 if values.dtype == torch.uint8 else values

    def to(self, device: torch.device | str) -> "Data":
        """The same data on another device."""

        def move(value):
            return value.to(device) if isinstance(value, Tensor) else value

        return replace(
            self,
            values=move(self.values),
            label=move(self.label),
            modes=move(self.modes),
            sigma=move(self.sigma),
            factors={name: move(value) for name, value in self.factors.items()},
        )


# ---------------------------------------------------------------------------------------------------------- digits


def digits(run=None, split: str = "train") -> Data:
    """MNIST where it can be had, else synthetic digits; prints which, and why. On the device of `run`, if one is given.

    GAN_TUTORIAL_DIGITS decides if it is set: "synthetic" draws; "mnist" takes MNIST or raises what `mnist` raises.
    Otherwise MNIST is taken from GAN_TUTORIAL_DATA if that is set (and any fault there is raised), else from the
    cache, else from a mirror if downloads are allowed; if none of these has it, digits are drawn.
    ValueError for an unknown split or an unknown setting.
    """
    _, count, words = _split(split)
    asked = os.environ.get("GAN_TUTORIAL_DIGITS") or None
    if asked not in (None, "mnist", "synthetic"):
        raise ValueError(f"GAN_TUTORIAL_DIGITS is {asked!r}; set it to 'mnist' or 'synthetic'.")
    if asked == "synthetic":
        data, reason = synthetic_digits(count, split=split), "GAN_TUTORIAL_DIGITS=synthetic"
    else:
        try:
            data, reason = _mnist(split)
        except files.Unavailable:
            if asked == "mnist":
                raise
            allowed = files.download_allowed()
            data = synthetic_digits(count, split=split)
            reason = "MNIST could not be downloaded" if allowed else "no MNIST at hand and GAN_TUTORIAL_DOWNLOAD=0"
    print(f"digits: {'MNIST' if data.name == 'mnist' else 'synthetic'}, {len(data):,} {words} images ({reason})")
    record({"digits": data.name})
    return data if run is None else data.to(run.device)


def mnist(split: str = "train") -> Data:
    """The MNIST digits (LeCun, Cortes, Burges): 60,000 for training, 10,000 for testing, (n, 1, 28, 28) uint8.

    From GAN_TUTORIAL_DATA if it is set, else from the cache, else from the first mirror that delivers them.
    FileNotFoundError or ValueError, naming the file, if GAN_TUTORIAL_DATA is incomplete or wrong;
    files.Unavailable, an OSError, if MNIST is not at hand and may not or cannot be downloaded.
    """
    return _mnist(split)[0]


def synthetic_digits(n: int = 60_000, seed: int = 0, split: str = "train") -> Data:
    """Digits drawn on the spot from the typefaces that matplotlib ships, (n, 1, 28, 28) uint8, with their factors.

    The first samples are the same for every n. The two splits are drawn from different streams of random numbers.
    Factors, with their ranges in `synthetic.FACTORS`: thickness, contrast, slant, rotation, size, width, x, y, wobble;
    and typeface, the place in `synthetic.FACES`. 60,000 take a few seconds once, and are then kept in the cache.
    ValueError if n < 1 or the split is unknown.
    """
    _split(split)
    _positive(n=n)
    return Data("synthetic", *draw(n, seed, split, cache=files.cache_directory() if n >= 10_000 else None))


def _split(name: str) -> tuple[str, int, str]:
    if name not in SPLITS:
        raise ValueError(f"The split {name!r} is unknown; use 'train' or 'test'.")
    return SPLITS[name]


def _mnist(split: str) -> tuple[Data, str]:
    """MNIST, and where it came from."""
    prefix, _, _ = _split(split)
    directory = os.environ.get("GAN_TUTORIAL_DATA") or None
    if directory is not None:
        contents, source = files.from_directory(_data_directory(directory), files.MNIST_FILES), "from GAN_TUTORIAL_DATA"
    else:
        cache = files.cache_directory() / "mnist"
        contents, source = files.from_cache(cache, files.MNIST_FILES), "from the cache"
        missing = {name: sha256 for name, sha256 in files.MNIST_FILES.items() if name not in contents}
        if missing and not files.download_allowed():
            raise files.Unavailable(f"MNIST is not at hand and GAN_TUTORIAL_DOWNLOAD=0: {files.REMEDIES}.")
        for name, sha256 in missing.items():
            contents[name], source = files.download(cache, name, sha256, files.MNIST_MIRRORS), "downloaded"
    images = files.parse_idx(contents[f"{prefix}-images-idx3-ubyte"], "images")
    label = files.parse_idx(contents[f"{prefix}-labels-idx1-ubyte"], "labels")
    return Data("mnist", images.unsqueeze(1), label.long()), source


def _data_directory(text: str) -> Path:
    path = Path(text).expanduser() / "mnist"
    if not path.is_dir():
        relative = "" if Path(text).is_absolute() else " A notebook runs in its own folder: give an absolute path."
        raise FileNotFoundError(f"GAN_TUTORIAL_DATA is {text!r}, but {path} is no directory.{relative}")
    return path


# ------------------------------------------------------------------------------- points with known distributions


def ring(n: int = 10_000, modes: int = 8, radius: float = 1.0, sigma: float = 0.02, seed: int = 0) -> Data:
    """Gaussians at radius·(cos 2πk/modes, sin 2πk/modes), k = 0 … modes - 1, all with the same weight; (n, 2)."""
    _positive(n=n, modes=modes, radius=radius, sigma=sigma)
    angle = torch.arange(modes) * (2 * math.pi / modes)  # the end point 2π would be mode 0 again
    return _mixture("ring", n, radius * torch.stack([angle.cos(), angle.sin()], 1), sigma, seed)


def grid(n: int = 10_000, side: int = 5, spacing: float = 0.5, sigma: float = 0.0125, seed: int = 0) -> Data:
    """side² Gaussians on a square lattice around the origin, all with the same weight; (n, 2).

    Spacing and sigma are in the ratio 40 : 1 of the usual benchmark (2 and 0.05), scaled to fit into [-1, 1]².
    """
    _positive(n=n, side=side, spacing=spacing, sigma=sigma)
    place = (torch.arange(side) - (side - 1) / 2) * spacing
    return _mixture("grid", n, torch.cartesian_prod(place, place), sigma, seed)


def swiss_roll(n: int = 10_000, sigma: float = 0.02, seed: int = 0) -> Data:
    """A spiral of 1.5 turns, (t cos t, t sin t) / 4.5π with t uniform in [1.5π, 4.5π], plus N(0, sigma²); (n, 2).

    Its factor is t. It has no modes.
    """
    _positive(n=n, sigma=sigma)
    rng = torch.Generator().manual_seed(derive_seed("swiss_roll", seed))
    t = math.pi * (1.5 + 3 * torch.rand(n, generator=rng))
    roll = t[:, None] * torch.stack([t.cos(), t.sin()], 1) / (4.5 * math.pi)
    return Data("swiss_roll", roll + sigma * torch.randn(n, 2, generator=rng), factors={"t": t}, sigma=sigma)


def gaussians(
    n: int = 10_000,
    means: Sequence[float] = (0.0,),
    sigmas: Sequence[float] = (1.0,),
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Data:
    """A mixture of Gaussians on the line, Σ weights[k] N(means[k], sigmas[k]²); (n, 1). Equal weights if None."""
    weights = [1.0] * len(means) if weights is None else weights
    if not len(means) == len(sigmas) == len(weights) > 0:
        raise ValueError(
            f"A mixture needs as many means as sigmas and weights, not {len(means)}, {len(sigmas)} and {len(weights)}."
        )
    _positive(n=n, sigma=min(sigmas), weight=min(weights))
    return _mixture(
        "gaussians",
        n,
        torch.tensor(means, dtype=torch.float32)[:, None],
        torch.tensor(sigmas, dtype=torch.float32),
        seed,
        weights,
    )


def _mixture(name, n, centres, sigma, seed, weights=None) -> Data:
    """Gaussians around `centres` (k, d); the label is the index k of the mode."""
    rng = torch.Generator().manual_seed(derive_seed(name, seed))
    weights = torch.ones(len(centres)) if weights is None else torch.tensor(weights, dtype=torch.float32)
    label = torch.multinomial(weights, n, replacement=True, generator=rng)
    noise = torch.randn(n, centres.shape[1], generator=rng)
    spread = sigma[label, None] if isinstance(sigma, Tensor) else sigma
    return Data(name, centres[label] + spread * noise, label, modes=centres, sigma=sigma)


def _positive(**settings):
    for name, value in settings.items():
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be positive.")
