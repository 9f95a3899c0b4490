"""Data sets that live on the device as whole tensors: your own, digits, flowers, and points with known modes.

    data = gt.data.folder("photographs", size=64)  # pictures; sub-folders are classes
    data = gt.data.array(table, label=names)       # images, signals, tables

Where the digits come from is the reader's choice, by environment variables:

GAN_TUTORIAL_DIGITS    "mnist" or "synthetic"; where it is not set, MNIST if it can be had, else synthetic digits
GAN_TUTORIAL_DATA      a directory with MNIST's four files in its folder mnist/, plain or as .gz; it must be complete
GAN_TUTORIAL_DOWNLOAD  "0" forbids the network, "1" (and unset) allows it
GAN_TUTORIAL_CACHE     where downloads and drawings are kept; where it is not set, the user's cache
"""

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from textwrap import fill

import numpy as np
import torch
from torch import Tensor

from . import files, images
from . import flowers as drawn_flowers
from .claims import record
from .networks import image_size, is_whole
from .runtime import derive_seed
from .synthetic import draw

SPLITS = {"train": ("train", 60_000, "training"), "test": ("t10k", 10_000, "test")}


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """A data set in memory, on one device.

    values       (n, channels, height, width) uint8 images with 0 as black, or (n, …) float32; images, of one to four
                 channels, lie in [-1, 1]
    label        (n,) int64, counted from 0, or None: a digit, or the index of the mode that a point comes from
    factors      what each sample was made with, (n,) each: {"slant": …}
    modes        (k, d) float32, the centres of the modes where they are known
    sigma        standard deviation around a mode: a number, or one for each mode, (k,)
    class_names  of label 0, 1, …, where they have names, all different
    skipped      (file, reason) of each file that could not be read
    scale        (offset, factor) float64, which broadcast to samples: `unscale` takes samples back to the units that
                 they were measured in, by x · factor + offset
    split        "train" or "test" for the package's own digits and flowers; "" for a part of them, which may be held
                 out, and for all other data

    `len(d)` samples of shape `d.shape`. `d[:1000]`, or `d[d.label == 3]`, is the data set of these samples alone.
    The package has no validation split of its own: hold samples out, `d[:50_000]` and `d[50_000:]`.
    `gt.data.array` and `gt.data.folder` make one from what you have. Raises ValueError for anything that is not as
    above: other types and shapes, no samples, values that are not finite or require gradients, images outside [-1, 1],
    labels out of range, and two classes with the same name.
    """

    name: str
    values: Tensor
    label: Tensor | None = None
    factors: dict[str, Tensor] = field(default_factory=dict)
    modes: Tensor | None = None
    sigma: float | Tensor | None = None
    class_names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    scale: tuple[Tensor, Tensor] | None = None
    split: str = ""

    def __post_init__(self):
        _check_values(self.name, self.values)
        _check_label(self.name, self.label, len(self.values), len(self.class_names))
        for name, count in Counter(self.class_names).items():
            if count > 1:
                raise ValueError(f"{count} classes of {self.name!r} are called {name!r}; give each a name of its own.")
        for factor, value in self.factors.items():
            if not isinstance(value, Tensor) or value.shape != (len(self.values),):
                raise ValueError(
                    f"The factor {factor!r} of {self.name!r} is {_describe(value)}; "
                    f"use a tensor of shape ({len(self.values)},), one number for each sample."
                )
        if self.modes is not None and (not isinstance(self.modes, Tensor) or self.modes.shape[1:] != self.shape):
            raise ValueError(
                f"The modes of {self.name!r} are {_describe(self.modes)}; use a tensor (k, d), with the "
                f"samples' shape {self.shape}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (1, 28, 28) for digits, (2,) for points in the plane."""
        return tuple(self.values.shape[1:])

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        classes = f" in {_count(self.class_names)}" if self.class_names else ""
        return (
            f"Data({self.name!r}: {len(self):,} of shape {self.shape}{classes}, {self.values.dtype}, "
            f"{self.values.device})"
        )

    def __getitem__(self, index: slice | Tensor) -> "Data":
        if not isinstance(index, slice) and not (isinstance(index, Tensor) and index.ndim == 1):
            raise ValueError(
                "Index a data set with a slice or a tensor (k,), such as d[:1000] or d[d.label == 3]; d.take gives the "
                "samples."
            )
        if isinstance(index, Tensor):
            self._check_index(index)
            # On a GPU an index out of range would make CUDA unusable for the rest of the process.
            if index.dtype != torch.bool and len(index) and not index.is_meta:
                low, high = (bound.item() for bound in index.aminmax())
                if not -len(self) <= low <= high < len(self):
                    raise ValueError(self._no_place(low if low < -len(self) else high))
        return replace(
            self,
            values=self.values[index],
            label=None if self.label is None else self.label[index],
            factors={name: value[index] for name, value in self.factors.items()},
            split="",
        )

    def take(self, index: Tensor | slice) -> Tensor:
        """The samples at `index`, (batch, …) float32; a grey level g of 0…255 becomes g / 127.5 - 1, in [-1, 1].

        Raises ValueError for an index that is not of whole numbers, a mask of another length, and, on a CPU, an index
        out of range: on a GPU that check would make the host wait.
        """
        if isinstance(index, Tensor):
            self._check_index(index)
        try:
            values = self.values[index]
        except (IndexError, TypeError) as error:
            raise ValueError(f"{self._no_place(index)} PyTorch says: {str(error).splitlines()[0]}") from None
        return values.float() / 127.5 - 1 if values.dtype == torch.uint8 else values

    def _check_index(self, index: Tensor) -> None:
        """ValueError for a tensor that cannot be an index, as its type and shape tell. It does not wait for a GPU."""
        if index.dtype not in (torch.int64, torch.int32, torch.bool):  # PyTorch would take uint8 as a mask
            raise ValueError(
                f"Expected indices into {self.name!r} as int64, or a mask as bool, got {index.dtype}: convert "
                "them by index.long() or mask.bool()."
            )
        if index.dtype == torch.bool and index.shape != (len(self),):
            raise ValueError(
                f"Expected a mask of shape ({len(self)},), True or False for each sample of {self.name!r}, got shape "
                f"{tuple(index.shape)}: make it of these data, such as data.label == 3."
            )

    def _no_place(self, index) -> str:
        """The message for an index that is out of range."""
        what = _describe(index) if isinstance(index, Tensor) and index.numel() > 8 else f"{index!s:.60}"
        return (
            f"{self.name!r} has {len(self):,} samples, with the indices 0 to {len(self) - 1}, or from the end -1 to "
            f"{-len(self)}: got {what}."
        )

    def unscale(self, samples: Tensor) -> Tensor:
        """Samples (batch, …) in the units that the data were given in: columns in metres, grey levels in 0…255.

        For floating-point values it undoes what `gt.data.array` did, in float64, since float32 gives seconds since 1970
        only to a minute. For uint8 it undoes what `take` does. Boolean images are kept as uint8: they come back as 0
        and 255. Raises ValueError for samples of another shape.
        """
        if samples.shape[1:] != self.shape:
            raise ValueError(
                f"Samples of {self.name!r} have shape (n, {', '.join(map(str, self.shape))}), got "
                f"{tuple(samples.shape)}."
            )
        if self.scale is not None:
            samples = in_double(samples)
            offset, factor = (part.to(samples.device, torch.float64) for part in self.scale)
            return samples * factor + offset
        return (samples + 1) * 127.5 if self.values.dtype == torch.uint8 else samples

    def to(self, device: torch.device | str) -> "Data":
        """The same data on another device. Raises ValueError if this machine has none of that name."""
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, TypeError) as error:
            reason = str(error).split("\n")[0]
            raise ValueError(f'Expected a device of this machine, such as "cpu", got {device!r}: {reason}') from None

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


def in_double(x: Tensor) -> Tensor:
    """x in float64, on its own device; on the CPU where that is an Apple GPU, which has no float64."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def _check_values(name: str, values) -> None:
    """Raise ValueError, with what to do, for values that a data set cannot have."""
    if not isinstance(values, Tensor):
        raise ValueError(
            f"The values of {name!r} are {_describe(values)}: gt.data.array(values) makes a data set of it."
        )
    shape = tuple(values.shape)
    if values.ndim == 0 or len(values) == 0:
        raise ValueError(f"The data set {name!r} is empty (shape {shape}); give it at least one sample.")
    if values.dtype not in (torch.uint8, torch.float32):
        raise ValueError(
            f"The values of {name!r} are {values.dtype}; use uint8 for images and float32 for all else, as "
            "gt.data.array(values) does."
        )
    if values.requires_grad:
        raise ValueError(f"The values of {name!r} would collect gradients; give values.detach().")
    if values.dtype == torch.uint8 and values.ndim != 4:
        raise ValueError(
            f"Images of {name!r} have shape {shape}; use (n, channels, height, width), with one channel for grey, or "
            'gt.data.array(values, layout="nhw").'
        )
    if values.ndim < 2:
        raise ValueError(f"The values of {name!r} have shape {shape}; use (n, d), with d = 1 for numbers.")
    if 0 in shape:
        raise ValueError(f"The samples of {name!r} are empty: their shape is {shape[1:]}.")
    if values.ndim == 4 and shape[3] <= 4 < min(shape[1:3]):
        raise ValueError(
            f"Images of {name!r} have shape {shape}, which looks like (n, height, width, channels); the order of axes "
            'is (n, channels, height, width): give values.permute(0, 3, 1, 2), or use gt.data.array(values, "nhwc").'
        )
    if values.is_floating_point() and not values.is_meta:
        low, high = (bound.item() for bound in values.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            bad = (~values.isfinite().flatten(1).all(1)).nonzero()[:, 0].tolist()
            raise ValueError(
                f"{len(bad):,} of {len(values):,} samples of {name!r} have values that are NaN or infinite, the first "
                f"one at index {bad[0]}: leave these out, or replace them."
            )
        if values.ndim == 4 and shape[1] <= 4 and not -1 <= low <= high <= 1:
            raise ValueError(
                f"Images of {name!r} have values from {low:.4g} to {high:.4g}; use floating point in [-1, 1], or uint8 "
                "in 0…255. gt.data.array(values, range=(low, high)) converts, with the values of black and of white."
            )


def _check_label(name: str, label, n: int, classes: int) -> None:
    """Raise ValueError, with what to do, for labels that n samples in this many named classes cannot have."""
    if label is None:
        return
    if isinstance(label, Tensor) and label.ndim == 1 and len(label) != n:
        raise ValueError(f"{name!r} has {n:,} samples and {len(label):,} labels; give one for each sample.")
    if not isinstance(label, Tensor) or label.ndim != 1 or label.dtype != torch.int64:
        raise ValueError(
            f"The labels of {name!r} are {_describe(label)}; use a tensor, int64 of shape ({n},), one for each sample. "
            "gt.data.array(values, label=labels) takes lists, arrays and names."
        )
    if label.is_meta:
        return
    low, high = (bound.item() for bound in label.aminmax())
    if low < 0 or (classes and high >= classes):
        most = f" to {classes - 1}, the last of its class_names" if classes else " on"
        raise ValueError(f"The labels of {name!r} run from {low} to {high}; count them from 0{most}.")


def _describe(value) -> str:
    """What a value is, for a message."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    article = "an" if type(value).__name__[0] in "aeiou" else "a"
    return f"{article} {type(value).__name__}, not a tensor"


# ---------------------------------------------------------------------------------------------------- data of your own

#: The axes that `array` knows, in the order that they are brought into: n samples, c channels, h rows, w columns, l
#: points in time, d columns of a table.
LAYOUTS = {"nchw": "images", "nhw": "grey images", "ncl": "signals", "nl": "signals of one channel", "nd": "a table"}


def array(
    x,
    layout: str | None = None,
    range: tuple[float, float] | None = None,
    label=None,
    name: str = "array",
    class_names: Sequence[str] = (),
) -> Data:
    """A data set from an array: NumPy's, PyTorch's, or lists. Prints one line on how it was read.

    layout  the axes in their order, one letter each: "nchw" or "nhwc" for images (n samples, c channels, h rows, w
            columns), "nhw" for grey ones, "ncl" or "nl" for signals (l points in time), "nd" for a table (d columns),
            and any other order of these letters. Without it, two axes are a table, and images are recognised if only
            one axis can be that of the channels.
    range   (low, high), the values that become -1 and 1: black and white of images. uint8 has (0, 255). Other images
            need it, unless they reach below 0 and stay within [-1, 1]. Tables and signals without it are standardised,
            each column or channel by its own mean and standard deviation. `unscale` takes samples back.
    label   of each sample, as a list, array or tensor: names, or any whole numbers. They become 0 … k - 1 in sorted
            order, with their names in `class_names`.
    class_names  of labels that are 0 … k - 1 already

    Raises ValueError, with what to do, where an array can be read in two ways, where values are NaN, infinite or out of
    their range, and where labels do not fit.
    """
    x = _tensor(x, name)
    layout = _guess_layout(x, name) if layout is None else _check_layout(layout, x, name)
    canonical = next(known for known in LAYOUTS if sorted(known) == sorted(layout))
    x = x.permute([layout.index(letter) for letter in canonical])
    x = x.unsqueeze(1) if canonical in ("nhw", "nl") else x
    values, scale, words = (_image_values if "h" in canonical else _standard_values)(x, range, name)
    label, class_names = _labels(label, class_names, name)
    label = None if label is None else label.to(values.device)
    data = Data(name, values, label, class_names=class_names, scale=scale)
    classes = f" in {_count(class_names)} ({_listed(class_names)})" if class_names else ""
    print(f'{name}: {len(data):,} samples of shape {data.shape}{classes}, {LAYOUTS[canonical]} ("{layout}"); {words}')
    return data


def _tensor(x, name: str) -> Tensor:
    """The array as a tensor without gradients. ValueError if it does not hold real numbers."""
    if isinstance(x, Data):
        raise ValueError(f"{x.name!r} is a data set already.")
    if isinstance(x, list | tuple) and x and all(isinstance(part, Tensor) for part in x):
        shapes = {tuple(part.shape) for part in x}
        if len(shapes) > 1:
            raise ValueError(f"The samples of {name!r} have several shapes, such as {_listed(sorted(shapes)[:2])}.")
        x = torch.stack(list(x))
    if isinstance(x, Tensor):
        if x.layout != torch.strided or x.is_quantized:
            kind, remedy = ("quantised", "dequantize") if x.is_quantized else ("sparse", "to_dense")
            raise ValueError(f"{name!r} is a {kind} tensor: give x.{remedy}().")
        x = x.detach()
    else:
        if np.ma.is_masked(x):
            raise ValueError(f"{name!r} has masked values: fill them, or leave these samples out.")
        try:
            x = np.asarray(x)
        except ValueError:
            raise ValueError(f"The samples of {name!r} have several shapes: cut or pad them to one.") from None
        if x.dtype.kind not in "buif":
            raise ValueError(
                f"{name!r} is an array of {x.dtype}: expected numbers. Images in a folder are read by gt.data.folder."
            )
        x = torch.from_numpy(np.array(x, x.dtype.newbyteorder("="), order="C"))  # strides and bytes as PyTorch has them
    if x.dtype in (torch.uint16, torch.uint32, torch.uint64):  # PyTorch can do hardly anything with them
        big, x = x.dtype == torch.uint64, x.to(torch.int64)
        if big and bool((x < 0).any()):  # 2^63 and more wrap around to these
            raise ValueError(f"{name!r} has whole numbers from 2^63 on, beyond int64: give them as floating point.")
    if x.is_complex():
        raise ValueError(f"{name!r} is complex: give its real and imaginary parts as two channels.")
    if x.ndim == 0 or 0 in x.shape:
        raise ValueError(f"{name!r} has shape {tuple(x.shape)}: expected at least one sample.")
    return x[:, None] if x.ndim == 1 else x


def _check_layout(layout: str, x: Tensor, name: str) -> str:
    if not isinstance(layout, str) or sorted(layout) not in [sorted(known) for known in LAYOUTS]:
        known = ", ".join(f'"{known}" ({what})' for known, what in LAYOUTS.items())
        raise ValueError(f"The layout {layout!r} is unknown; use {known}, or its letters in another order.")
    if len(layout) != x.ndim:
        raise ValueError(f"The layout {layout!r} has {len(layout)} axes, and {name!r} has shape {tuple(x.shape)}.")
    return layout


def _guess_layout(x: Tensor, name: str) -> str:
    """The only layout that an array can have. ValueError, with two that it can have, if there are several."""
    shape = tuple(x.shape)
    if x.ndim == 2:
        return "nd"
    if x.ndim == 3 and x.dtype == torch.uint8 and shape[2] > 4:
        return "nhw"
    if x.ndim == 3:
        readings = ("nhw", "ncl") if shape[2] > 4 else ("nhw", "one image of layout hwc, given as x[None]")
    elif x.ndim == 4:
        first, last = shape[1] <= 4, shape[3] <= 4
        if first != last:
            return "nchw" if first else "nhwc"
        readings = ("nchw", "nhwc")
    else:
        raise ValueError(f"{name!r} has shape {shape}: expected a table, signals or images, of two to four axes.")
    raise ValueError(
        f"{name!r} of shape {shape} can be read in two ways, as {readings[0]} or as {readings[1]}: say which one by "
        f'layout="{readings[0]}", for instance.'
    )


def _image_values(x: Tensor, span, name: str) -> tuple[Tensor, tuple[Tensor, Tensor] | None, str]:
    """Images as uint8 where they have whole grey levels 0…255, else in [-1, 1]; their scale; what was done."""
    if x.dtype == torch.bool:  # False is black
        if span is not None and _span(span, 0, 1, name) != (0, 1):
            raise ValueError(f"The images of {name!r} are boolean, with False for black: leave range={span} out.")
        x, span = x.to(torch.uint8) * 255, None
    low, high = _bounds(x, name)
    if span is None and x.dtype == torch.uint8:
        if high <= 1 and low < high:
            raise ValueError(
                f"The images of {name!r} are uint8, but have values 0 and 1 only: give range=(0, 1), or range=(0, 255) "
                "if they are really that dark."
            )
        span = (0, 255)
    if span is None:
        if not -1 <= low < 0 <= high <= 1:
            raise ValueError(
                f"The images of {name!r} have values from {low:.4g} to {high:.4g}: say which ones are black and white, "
                "by range=(0, 1), (0, 255) or (-1, 1), for instance."
            )
        span = (-1, 1)
    span = _span(span, low, high, name)
    if span == (0, 255) and (not x.is_floating_point() or bool((x == x.round()).all())):
        return x.to(torch.uint8).contiguous(), None, "grey levels 0…255"
    return *_into_range(x, span), f"values from {span[0]:g} (black) to {span[1]:g} (white)"


def _standard_values(x: Tensor, span, name: str) -> tuple[Tensor, tuple[Tensor, Tensor] | None, str]:
    """A table or signals, standardised or scaled to [-1, 1]; their scale; and what was done, in words."""
    low, high = _bounds(x, name)
    if span is not None:
        span = _span(span, low, high, name)
        return *_into_range(x, span), f"values from {span[0]:g} to {span[1]:g}, scaled to -1 … 1"
    device, x, over = x.device, in_double(x), tuple(axis for axis in (0, 2) if axis < x.ndim)
    mean, deviation = x.mean(over, keepdim=True), x.std(over, correction=0, keepdim=True)
    still = deviation <= 1e-12 * mean.abs()
    deviation = torch.where(still, 1.0, deviation)
    values = ((x - mean) / deviation).float().to(device).contiguous()
    columns = [
        f"{m:.4g} ± {d:.4g}" if not s else f"{m:.4g}, constant"
        for m, d, s in zip(mean.flatten().tolist(), deviation.flatten().tolist(), still.flatten().tolist(), strict=True)
    ]
    what = "columns" if x.ndim == 2 else "channels"
    return (
        values,
        (mean[0], deviation[0]),
        f"{what} standardised, by mean ± deviation: {_listed(columns)}",
    )


def _bounds(x: Tensor, name: str) -> tuple[float, float]:
    """The least and the greatest value. ValueError if one is NaN, infinite, or too large for float32."""
    if x.is_floating_point():
        _check_values(name, x.reshape(len(x), -1).float())
    low, high = (x.to(torch.uint8) if x.dtype == torch.bool else x).aminmax()
    return low.item(), high.item()


def _span(span, low: float, high: float, name: str) -> tuple[float, float]:
    """The range as two numbers. ValueError if it is not a range, or if values from low to high do not lie in it."""
    try:
        first, last = (float(bound) for bound in span)
    except (TypeError, ValueError):
        raise ValueError(f"Expected range=(low, high), such as (0, 255), got {span!r}.") from None
    if not first < last or not math.isfinite(last - first):
        raise ValueError(f"Expected range=(low, high) with low < high, got {span!r}.")
    if not first <= low <= high <= last:
        raise ValueError(
            f"{name!r} has values from {low:.4g} to {high:.4g}, beyond range={span}: give their true range, or clip "
            "them."
        )
    return first, last


def _into_range(x: Tensor, span: tuple[float, float]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The values with `span` as [-1, 1], and the scale that takes them back."""
    middle, half = (span[0] + span[1]) / 2, (span[1] - span[0]) / 2
    values = ((in_double(x) - middle) / half).float().to(x.device).clamp(-1, 1)  # by rounding it might be 1 + 1e-7
    return values.contiguous(), (torch.tensor(middle, dtype=torch.float64), torch.tensor(half, dtype=torch.float64))


def _labels(label, names: Sequence[str], name: str) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels as 0 … k - 1 and the names of the classes. ValueError for labels that cannot be read so."""
    names = tuple(map(str, names))
    if label is None:
        if names:
            raise ValueError("class_names are names of labels: give label=… too.")
        return None, ()
    if isinstance(label, Tensor):
        if label.layout != torch.strided or label.is_quantized:
            raise ValueError(f"The labels of {name!r} are a sparse or quantised tensor: give plain int64.")
        label = label.detach().cpu()
        given = (label.double() if label.is_floating_point() else label).numpy()  # NumPy has no bfloat16
    else:
        given = np.asarray(label)
    if given.ndim != 1:
        raise ValueError(
            f"The labels of {name!r} have shape {given.shape}; give one for each sample, such as codes.argmax(1) of "
            "one-hot codes."
        )
    most = 2**53 if given.dtype.kind == "f" else 2**63 - 1 if given.dtype.kind == "u" else None
    if most is not None and bool((abs(given) > most).any()):
        raise ValueError(
            f"The labels of {name!r} reach {given[abs(given) > most][0]:.4g}, beyond the whole numbers that "
            f"{given.dtype} or int64 can tell apart: give them as int64, or as names."
        )
    if given.dtype.kind == "f" and np.array_equal(given, given.round()):
        given = given.astype(np.int64)  # NaN is not equal to itself
    if given.dtype.kind == "O" and all(isinstance(one, str) for one in given):
        given = given.astype(str)
    if given.dtype.kind not in "buiU":
        raise ValueError(f"The labels of {name!r} are {given.dtype}: expected names or whole numbers.")
    if names:
        if given.dtype.kind == "U":
            raise ValueError("The labels are names already: leave class_names out.")
        return torch.from_numpy(given.astype(np.int64)), names
    classes, index = np.unique(given, return_inverse=True)
    return torch.from_numpy(index.astype(np.int64)), tuple(str(one) for one in classes)


def _count(classes: Sequence) -> str:
    return f"{len(classes)} class{'es' * (len(classes) != 1)}"


def _listed(items: Sequence, most: int = 6) -> str:
    more = f", … {len(items) - most} more" if len(items) > most else ""
    return ", ".join(str(item) for item in items[:most]) + more


def folder(
    path: str | os.PathLike,
    size: int | tuple[int, int] = 64,
    channels: int = 3,
    fit: str = "crop",
    name: str | None = None,
    background: str = "white",
    limit: int | None = None,
    cache: bool = True,
    memory: int | None = None,
) -> Data:
    """The pictures in a folder and its sub-folders, (n, channels, height, width) uint8, of any format Pillow reads.

    If all of them lie in sub-folders, these are their classes, in the order of their names. If only some do, or all lie
    in a single one, there are no labels. Prints what was read, what was done, and what was skipped, which
    `data.skipped` lists with reasons. Hidden files are left out; of an animation, the first frame is taken; the
    orientation that a camera has noted is applied.

    size        of the images: one number, or (height, width)
    channels    3 for colour, 1 for grey
    fit         "crop" scales a picture until it covers the size, and cuts its middle out; "pad" until it lies within,
                and fills the rest; "stretch" changes its proportions
    name        of the data set; by default the folder's
    background  a colour by name or as "#rrggbb": behind transparent pictures, and around padded ones
    limit       at most this many of the files, chosen at random, the same at every call
    cache       whether images are kept in the cache, until a file or a setting changes
    memory      bytes that the images may take; by default 80 % of what is free

    16-bit and floating-point pictures are scaled to 8 bits. Where a format does not say which level is white, one rule
    holds for all pictures that are read: floating point is 0…1, or 0…255 where any exceeds 1; integers of 32 bits are
    0…255, or 0…65535 where any exceeds 255. Raises NotADirectoryError if there is no such folder; MemoryError, before
    any picture is read, if they would take too much; and ValueError for settings that make no sense, and if no picture
    can be read.
    """
    form = _format(size, channels, fit, background)
    if limit is not None and (not is_whole(limit) or limit < 1):
        raise ValueError(f"Expected a whole number of pictures from 1 on, got limit={limit!r}.")
    if not isinstance(path, str | bytes | os.PathLike):
        raise ValueError(f"Expected the path of a folder, such as 'photographs', got {path!r}.")
    place = Path(os.path.expanduser(os.fsdecode(path)))  # it leaves ~name alone if there is no such user
    limit = None if limit is None else int(limit)  # NumPy's number would have another name in the cache
    found = images.read_folder(place, form, limit, files.cache_directory() if cache else None, memory)
    classes = sorted(set(found.kinds))
    labelled = len(classes) > 1 and "" not in classes
    data = Data(
        name or images.printable(place.resolve().name),
        found.images,
        torch.tensor([classes.index(kind) for kind in found.kinds]) if labelled else None,
        class_names=_distinct(classes) if labelled else (),
        skipped=tuple(found.skipped),
    )
    print(fill(_report(data, form, classes), 79, break_long_words=False, break_on_hyphens=False))
    return data


def _distinct(kinds: Sequence[str]) -> tuple[str, ...]:
    """Names of folders as printable ones. Any that would become the same are escaped, and so stay different."""
    names = [images.printable(kind) for kind in kinds]
    counts = Counter(names)
    return tuple(ascii(kind)[1:-1] if counts[name] > 1 else name for kind, name in zip(kinds, names, strict=True))


def _format(size, channels: int, fit: str, background: str) -> images.Format:
    """The settings of `folder`. ValueError for those that make no sense."""
    if not is_whole(channels) or channels not in images.MODES:
        raise ValueError(f"Expected 1 channel for grey or 3 for colour, got channels={channels!r}.")
    if fit not in images.FITS:
        raise ValueError(f"Expected one of {', '.join(map(repr, images.FITS))}, got fit={fit!r}.")
    images.check_colour(background)
    return images.Format(int(channels), *image_size(size), fit, background)


def _report(data: Data, form: images.Format, classes: Sequence[str]) -> str:
    """What was read from a folder, in one line."""
    done = {"crop": "scaled and cropped", "pad": "scaled and padded", "stretch": "stretched"}[form.fit]
    words = f"{data.name}: {len(data):,} pictures, {done} to {form.channels} × {form.height} × {form.width}"
    if data.class_names:
        words += f", in {_count(classes)} ({_listed(data.class_names)})"
    elif len(classes) > 1:
        words += ", without labels, since some lie in sub-folders and some do not"
    if data.skipped:
        words += f"; {len(data.skipped):,} skipped: " + _listed([f"{file} ({why})" for file, why in data.skipped], 3)
    return words


def flowers(n: int = 20_000, seed: int = 0, split: str = "train", size: int = 64) -> Data:
    """Flowers in colour, drawn on the spot, (n, 3, size, size) uint8, in six classes, with their factors.

    The first samples are the same for every n. The two splits are drawn from different streams of random numbers.
    Factors, with their ranges in `gan_tutorial.flowers.FACTORS`: petals, shade, size, rotation, tilt, x, y, light.
    20,000 take about ten seconds once; 1,000 or more are then kept in the cache. Raises ValueError if n or size is not
    a positive whole number, or the split is unknown.
    """
    _split(split)
    _positive(n=n, size=size)
    cache = files.cache_directory() if n >= 1_000 else None
    drawn = drawn_flowers.draw(n, seed, split, size, cache)
    return Data("flowers", *drawn, class_names=tuple(drawn_flowers.KINDS), split=split)


# ---------------------------------------------------------------------------------------------------------- digits


def digits(run=None, split: str = "train") -> Data:
    """MNIST if it is available, else synthetic digits; prints which, and why. On the device of `run`, if one is given.

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
    and typeface, the index in `synthetic.FACES`. 60,000 take a few seconds once; 10,000 or more are then kept in the
    cache. Raises ValueError if n is not a positive whole number, or the split is unknown.
    """
    _split(split)
    _positive(n=n)
    drawn = draw(n, seed, split, cache=files.cache_directory() if n >= 10_000 else None)
    return Data("synthetic", *drawn, split=split)


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
    values = files.parse_idx(contents[f"{prefix}-images-idx3-ubyte"], "images")
    label = files.parse_idx(contents[f"{prefix}-labels-idx1-ubyte"], "labels")
    return Data("mnist", values.unsqueeze(1), label.long(), split=split), source


def _data_directory(text: str) -> Path:
    directory = Path(os.path.expanduser(text))  # it leaves ~name alone if there is no such user
    path = directory / "mnist"
    if not path.is_dir():
        relative = "" if directory.is_absolute() else " A notebook runs in its own folder: give an absolute path."
        raise FileNotFoundError(f"GAN_TUTORIAL_DATA is {text!r}, but {path} is not a directory.{relative}")
    return path


def stacked(digits: Data, n: int = 60_000, seed: int = 0) -> Data:
    """Three random digits as the red, green and blue of one image, (n, 3, height, width): 1,000 known modes.

    digits  grey images with labels 0 … 9

    The label is 100·red + 10·green + blue. The channels are drawn independently, so that each of the 1,000 numbers is
    about as frequent as any other. On the device of the digits. Known as Stacked MNIST (Metz et al. 2017, section
    3.3.1). It has nothing to do with the recipe `stacked`, a Laplacian pyramid. Raises ValueError for data without such
    labels, or that are not grey images.
    """
    _positive(n=n)
    if not isinstance(digits, Data) or digits.label is None or len(digits.shape) != 3 or digits.shape[0] != 1:
        raise ValueError("Expected grey images with labels, such as gt.data.digits(run), to stack.")
    if not 0 <= digits.label.min() <= digits.label.max() <= 9:
        raise ValueError(f"Expected labels from 0 to 9, got some up to {digits.label.max()}.")
    random = torch.Generator().manual_seed(derive_seed("stacked", seed))
    index = torch.randint(len(digits), (n, 3), generator=random).to(digits.values.device)
    label = (digits.label[index] * torch.tensor([100, 10, 1], device=index.device)).sum(1)
    return Data(f"stacked {digits.name}", digits.values[index][:, :, 0], label)


# ------------------------------------------------------------------------------- points with known distributions


def ring(n: int = 10_000, modes: int = 8, radius: float = 1.0, sigma: float = 0.02, seed: int = 0) -> Data:
    """Gaussians at radius·(cos 2πk/modes, sin 2πk/modes), k = 0 … modes - 1, all with the same weight; (n, 2).

    Raises ValueError for settings that are not positive.
    """
    _positive(n=n, modes=modes, radius=radius, sigma=sigma)
    angle = torch.arange(modes) * (2 * math.pi / modes)  # the end point 2π would be mode 0 again
    return _mixture("ring", n, radius * torch.stack([angle.cos(), angle.sin()], 1), sigma, seed)


def grid(n: int = 10_000, side: int = 5, spacing: float = 0.5, sigma: float = 0.0125, seed: int = 0) -> Data:
    """side² Gaussians on a square lattice around the origin, all with the same weight; (n, 2).

    Spacing and sigma are in the ratio 40 : 1 of the usual benchmark (2 and 0.05), scaled so that the means lie in
    [-1, 1]². Raises ValueError for settings that are not positive.
    """
    _positive(n=n, side=side, spacing=spacing, sigma=sigma)
    place = (torch.arange(side) - (side - 1) / 2) * spacing
    return _mixture("grid", n, torch.cartesian_prod(place, place), sigma, seed)


def swiss_roll(n: int = 10_000, sigma: float = 0.02, seed: int = 0) -> Data:
    """A spiral of 1.5 turns, (t cos t, t sin t) / 4.5π with t uniform in [1.5π, 4.5π], plus N(0, sigma² I); (n, 2).

    Its factor is t. It has no modes. Raises ValueError for settings that are not positive.
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
    """A mixture of Gaussians on the line, Σ weights[k] N(means[k], sigmas[k]²); (n, 1).

    Weights are equal by default, and need not sum to 1. Raises ValueError for sequences of different lengths, and for
    n, sigmas or weights that are not positive.
    """
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
        whole = name in ("n", "size", "modes", "side")
        if not (is_whole(value) if whole else isinstance(value, Real) and not isinstance(value, bool)):
            raise ValueError(f"{name} is {value!r}; it must be a {'whole ' * whole}number, and positive.")
        if not float(value) > 0:
            raise ValueError(f"{name} is {value}; it must be positive.")
