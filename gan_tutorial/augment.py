r"""Differentiable augmentation: the critic sees altered images only, real and fake alike, and gradients pass through.

With few images a critic learns them by heart. If it never sees an image twice in the same form, that takes longer; and
because the generator's images go through the same random alterations, the generator learns to make images, not altered
ones (Zhao et al. 2020; Karras et al. 2020, section 2, say for which alterations that holds).

An augmentation is a function of images and of uniform random numbers u, with an attribute `uniforms`: how many numbers
each image needs. So a loss remains a function of weights and a batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiffAugment:
    r"""The augmentations of Zhao et al. 2020: `DiffAugment()(images, u)`, deterministic given u.

    colour       whether brightness, saturation and contrast change, in this order: with u uniform on [0, 1),
                 $x + u_0 - 1/2$, then $m_1 + 2 u_1 (x - m_1)$ with m₁ a pixel's mean over channels, then
                 $m_2 + (u_2 + 1/2)(x - m_2)$ with m₂ the image's mean. They may leave [-1, 1], as in the paper.
    translation  the image moves by whole pixels, at most by this share of each side; what enters is 0, mid-grey
    cutout       a rectangle becomes 0, whose sides are this share of the image's; its centre may be any pixel

    images (batch, channels, height, width) and u (batch, uniforms) give (batch, channels, height, width). At u = 1/2
    colour and translation change nothing. Raises ValueError for other shapes, for shares outside [0, 1), for an
    augmentation that changes nothing, and for images so small that a share rounds to no pixel.
    """

    colour: bool = True
    translation: float = 0.125
    cutout: float = 0.5

    def __post_init__(self):
        for name in ("translation", "cutout"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ValueError(f"Expected a share of the image's side from 0 to less than 1, got {name}={share!r}.")
        if not self.uniforms:
            raise ValueError("This augmentation changes nothing: use augment=None instead.")

    @property
    def uniforms(self) -> int:
        """How many random numbers each image needs: three for colour, two each for translation and cutout."""
        return 3 * bool(self.colour) + 2 * (self.translation > 0) + 2 * (self.cutout > 0)

    def __call__(self, images: Tensor, u: Tensor) -> Tensor:
        if images.ndim != 4:
            raise ValueError(
                f"DiffAugment alters images (batch, channels, height, width), got shape {tuple(images.shape)}: train "
                "other data without augmentation."
            )
        if u.shape != (len(images), self.uniforms):
            raise ValueError(
                f"Expected {self.uniforms} uniform numbers for each of {len(images)} images, got shape "
                f"{tuple(u.shape)}."
            )
        self._check_pixels(images.shape[2], images.shape[3])
        columns = iter(u.unbind(1))
        if self.colour:
            images = brightness(images, next(columns))
            images = saturation(images, next(columns))
            images = contrast(images, next(columns))
        if self.translation:
            images = translate(images, next(columns), next(columns), self.translation)
        if self.cutout:
            images = cut_out(images, next(columns), next(columns), self.cutout)
        return images

    def _check_pixels(self, height: int, width: int) -> None:
        """Raise ValueError if translation or cutout would change nothing, since its share rounds to no pixel."""
        moves = max(round(height * self.translation), round(width * self.translation))
        cuts = min(round(height * self.cutout), round(width * self.cutout))
        for name, share, pixels in (("translation", self.translation, moves), ("cutout", self.cutout, cuts)):
            if share and not pixels:
                raise ValueError(
                    f"{name}={share} of an image of {height} by {width} pixels is less than one pixel, and changes "
                    f"nothing: use a greater share, or {name}=0."
                )


def brightness(x: Tensor, u: Tensor) -> Tensor:
    """x + u - 1/2, with one u for each image, (batch,)."""
    return x + _each(u - 0.5, x)


def saturation(x: Tensor, u: Tensor) -> Tensor:
    """Each pixel's difference from its mean over channels, times 2u: grey at 0. Images of one channel do not change."""
    mean = x.mean(1, keepdim=True)
    return torch.lerp(mean, x, _each(2 * u, x)) if x.shape[1] > 1 else x


def contrast(x: Tensor, u: Tensor) -> Tensor:
    """The difference from the image's mean, times u + 1/2."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, _each(u + 0.5, x))


def translate(x: Tensor, u_down: Tensor, u_right: Tensor, share: float) -> Tensor:
    """Moved by a whole number of pixels from -s to s, all equally likely; s is this share of the side, rounded.

    What leaves is lost, and what enters is 0.
    """
    for axis, u in ((2, u_down), (3, u_right)):
        side = x.shape[axis]
        most = round(side * share)
        place = torch.arange(side, device=x.device) - (_integer(u, 2 * most + 1) - most)[:, None]  # its source
        inside = (place >= 0) & (place < side)
        shape = (len(x), 1, side, 1) if axis == 2 else (len(x), 1, 1, side)
        x = x.gather(axis, place.clamp(0, side - 1).view(shape).expand_as(x)) * inside.view(shape)
    return x


def cut_out(x: Tensor, u_down: Tensor, u_right: Tensor, share: float) -> Tensor:
    """A rectangle around a random pixel becomes 0; its sides are this share of the image's, rounded.

    What reaches beyond the image is cut off. DeVries & Taylor 2017.
    """
    out = []
    for side, u in ((x.shape[2], u_down), (x.shape[3], u_right)):
        length = round(side * share)
        first = _integer(u, side) - length // 2
        place = torch.arange(side, device=x.device) - first[:, None]
        out.append((place >= 0) & (place < length))
    rows, columns = out
    return x * ~(rows[:, None, :, None] & columns[:, None, None, :])


def _each(factor: Tensor, x: Tensor) -> Tensor:
    """One number for each image, in the images' precision."""
    return factor.to(x.dtype)[:, None, None, None]


def _integer(u: Tensor, n: int) -> Tensor:
    """0 … n - 1, all equally likely for u uniform on [0, 1)."""
    return (u * n).long().clamp(max=n - 1)
