"""Pictures: samples of any kind, curves of losses, sets in the plane, densities, vector fields, films.

    plots.samples(x)  # by shape: images, signals as curves, points, columns of a table

Every function draws on a matplotlib Axes (its own, or the one given as `ax`) and returns it; `table` and `trained`
return a Figure, `film` a player. None of them runs a network or touches a random number generator. End the line with a
semicolon in a notebook, or the returned Axes is printed below the picture.

They draw in the style of `STYLE`, and leave matplotlib's settings as they are. `plots.style()` sets it for your own
figures.
"""

import functools
import io
import math
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from PIL import Image

from .data import Data
from .film import Reel

# One colour and one dash for each role, in every figure of the book. The lightness of the first three differs by 16 or
# more (L* = 25, 45, 62), so that they stay apart in grey; their hues stay apart under the three colour blindnesses.
COLOURS = {
    "real": "#092b56",
    "critic": "#005c44",
    "generator": "#b65e00",
    "fake": "#b65e00",
    "extra": "#b8309f",
    "theory": "#111111",
    "neutral": "#747474",
}
DASHES = {
    "real": "-",
    "critic": (0, (7, 1.5)),
    "generator": (0, (3.5, 1.2)),
    "fake": (0, (3.5, 1.2)),
    "extra": (0, (6, 1.5, 1, 1.5)),
    "theory": (0, (1, 1.3)),
    "neutral": "-",
}
# The two together, for ax.plot(x, y, **LINES["real"]).
LINES = {role: {"color": COLOURS[role], "linestyle": DASHES[role]} for role in COLOURS}

WIDTH = 7.0  # inches: the text column of a page
TALLEST = 12.0  # inches of a grid
POINTS = 2000  # more points than this would hide one another: then an evenly spaced selection is drawn


STYLE: dict = {  # matplotlib's settings for a page of the book
    "figure.figsize": (WIDTH, 3.2),
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "axes.prop_cycle": cycler(color=[COLOURS[r] for r in ("real", "generator", "critic", "extra", "neutral")]),
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "svg.hashsalt": "gan_tutorial",
}


def style():
    """Make `STYLE` matplotlib's defaults in this process, also for figures that this package does not draw."""
    plt.rcParams.update(STYLE)


def _styled(draw):
    """A decorator: the function draws in `STYLE`, whatever the reader's own settings are."""

    @functools.wraps(draw)
    def within(*args, **kwargs):
        with plt.rc_context(STYLE):
            made = draw(*args, **kwargs)
            interactive = plt.isinteractive()
        # The first figure of a process loads the backend, and Jupyter's switches to interactive mode, which rc_context
        # has just undone. Without that mode no later cell shows its figure.
        matplotlib.interactive(interactive)
        return made

    return within


def _subplots(*grid, figsize=STYLE["figure.figsize"], figure=None) -> Any:
    """The Axes of a new figure, or of the one that is given."""
    axes = (figure or plt.figure(figsize=figsize)).subplots(*grid)
    for ax in np.asarray(axes).ravel():  # most ticks are made when the figure is drawn, by the settings of that moment
        ax.tick_params(labelsize=STYLE["xtick.labelsize"])
    return axes


def as_bytes(images):
    """Images (n, 1 to 4, h, w) in [-1, 1] as bytes of the same shape: -1 becomes 0 and 1 becomes 255.

    Channels are grey; grey and alpha; red, green and blue; or these and alpha. Raises ValueError on another shape or
    type, on values that are not finite and on values outside [-1, 1].
    """
    images = _array(images)
    if images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4) or 0 in images.shape:
        last = images.ndim == 4 and images.shape[-1] in (1, 2, 3, 4)
        hint = " Channels seem to be last: x.permute(0, 3, 1, 2)." if last else ""
        raise ValueError(f"Expected images of shape (n, 1 to 4 channels, h, w), got {images.shape}.{hint}")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"Images are floats in [-1, 1], but these are {images.dtype}: take them by data.take(index).")
    low, high = images.min(), images.max()
    if not (low >= -1.001 and high <= 1.001):  # written so that NaN fails as well
        raise ValueError(
            f"Images are in [-1, 1], but these reach from {low:.3g} to {high:.3g}: "
            "rescale them, or end the generator with tanh."
        )
    return np.rint((images.astype(np.float64).clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def opaque(images):
    """Bytes (n, 1 to 4, h, w) -> (n, 1 or 3, h, w): what has alpha is laid on white, a c + (1 - a) 255."""
    if images.shape[1] in (1, 3):
        return images
    colour, alpha = images[:, :-1].astype(np.float64), images[:, -1:] / 255
    return np.rint(alpha * colour + (1 - alpha) * 255).astype(np.uint8)


def tile(images, columns=None, gap=(1, 1)):
    """Lay images out in rows, as one picture of bytes.

    images   (n, 1 to 4, h, w): floats in [-1, 1], or bytes as `as_bytes` makes them; alpha is laid on white
    columns  images in a row; by default one row of up to ten images, else as square as possible
    gap      white pixels between rows and between columns
    returns  uint8 (H, W) or (H, W, 3), H = rows * (h + gap[0]) - gap[0], W = columns * (w + gap[1]) - gap[1]

    Image i is in row i // columns, column i % columns. Empty places are white. Raises ValueError as `as_bytes` does,
    and for less than one column.
    """
    images = _array(images)
    images = opaque(images if images.ndim == 4 and images.dtype == np.uint8 else as_bytes(images))
    columns = (len(images) if len(images) <= 10 else math.ceil(math.sqrt(len(images)))) if columns is None else columns
    if columns < 1:
        raise ValueError(f"Expected at least one column, got {columns}.")
    n, channels, h, w = images.shape
    rows, (down, across) = math.ceil(n / columns), gap
    sheet = np.full((rows * (h + down) - down, columns * (w + across) - across, channels), 255, np.uint8)
    for i, image in enumerate(images.transpose(0, 2, 3, 1)):
        top, left = i // columns * (h + down), i % columns * (w + across)
        sheet[top : top + h, left : left + w] = image
    return sheet[..., 0] if channels == 1 else sheet


@_styled
def grid(images, columns=None, title=None, labels=None, rows=None, ax=None):
    """Draw images (n, 1 to 4, h, w) in [-1, 1], or those of a data set, side by side and without axes.

    columns  images in a row, as in `tile`
    labels   one text for each image, written above it
    rows     one text for each row, written at its left
    Raises ValueError as `tile` does, and when labels or rows do not match in number.
    """
    images = as_bytes(_samples(images))
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"There are {len(images)} images, but {len(labels)} labels: give one label for each image.")
    h, w = images.shape[-2:]
    gap = (max(1, round(0.4 * h)) if labels is not None else 1, 1)
    sheet = tile(images, columns, gap)
    columns, count = (sheet.shape[1] + 1) // (w + 1), (sheet.shape[0] + gap[0]) // (h + gap[0])
    if rows is not None and len(rows) != count:
        raise ValueError(f"There are {count} rows of images, but {len(rows)} texts: give one text for each row.")
    if ax is None:
        width = min(WIDTH, (0.62 if w <= 32 else 1.1) * columns + 0.4)
        height = width * sheet.shape[0] / sheet.shape[1]
        width = width * min(1, TALLEST / height)
        ax = _subplots(figsize=(width, min(height, TALLEST) + (0.3 if title else 0)))
    smooth = "nearest" if sheet.shape[1] < 500 else "auto"
    if sheet.ndim == 2:  # the page's background shows between the images
        sheet = np.ma.masked_array(sheet, tile(np.zeros((len(images), 1, h, w), np.uint8), columns, gap) > 0)
    ax.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation=smooth)
    ax.set_axis_off()
    for i, text in enumerate(() if labels is None else labels):
        ax.text(
            i % columns * (w + 1) + w / 2,
            i // columns * (h + gap[0]) - 0.05 * h,
            str(text),
            ha="center",
            va="bottom",
            fontsize=8,
        )
    for i, text in enumerate(() if rows is None else rows):
        ax.text(-0.12 * w, i * (h + gap[0]) + h / 2, str(text), ha="right", va="center", fontsize=9)
    if title:
        ax.set_title(title, pad=14 if labels is not None else 6)
    return ax


@_styled
def signals(signals, columns=None, title=None, limits=None, ax=None):
    """Draw signals (n, channels, length), or those of a data set, as small curves side by side, on one scale.

    columns  signals in a row; by default one column of up to four signals, else as square as possible
    limits   (low, high) of all of them; by default everything that is finite fits

    Raises ValueError for another shape, and for less than one column.
    """
    values = _array(_samples(signals))
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"Expected signals of shape (n, channels, length), got {values.shape}.")
    n, channels, length = values.shape
    columns = (1 if n <= 4 else math.ceil(math.sqrt(n))) if columns is None else columns
    if columns < 1:
        raise ValueError(f"Expected at least one column, got {columns}.")
    rows = math.ceil(n / columns)
    low, high = limits or _limits(values)
    ax = ax or _subplots(figsize=(WIDTH, min(TALLEST, 0.4 + rows * max(0.5, 2.4 / columns))))
    place = np.arange(length) / max(1, length - 1) * 0.92
    colours = [COLOURS[role] for role in ("generator", "real", "critic", "extra", "neutral")]
    for i, signal in enumerate(values.astype(np.float64)):
        left, bottom = i % columns, rows - 1 - i // columns
        ax.plot([left, left + 0.92], [bottom, bottom], color=COLOURS["neutral"], linewidth=0.4, label="_base")
        for channel, curve in enumerate(signal):
            height = bottom + (curve - low) / (high - low) * 0.9
            ax.plot(left + place, height, color=colours[channel % 5], linewidth=0.9, label=f"_channel {channel}")
    ax.set(xlim=(-0.04, columns), ylim=(-0.05, rows))
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    return ax


@_styled
def table(fake=None, real=None, names=None, title=None, limits=None, tops=None):
    """Draw samples (n, d) of a table: four columns or fewer in pairs; of more, the densities of the first twelve.

    fake, real  (n, d); the real ones are drawn behind. Either may be a data set
    names       of the columns
    limits      (low, high) for each column; by default everything that is finite fits
    tops        the highest density that each column's axis shows; by default everything fits
    returns     the Figure

    Raises ValueError for other shapes, and for another number of names.
    """
    sets = {role: _array(_samples(values)) for role, values in (("real", real), ("fake", fake)) if values is not None}
    shapes = {values.shape[1:] for values in sets.values()}
    if not sets or len(shapes) > 1 or any(values.ndim != 2 or 0 in values.shape for values in sets.values()):
        raise ValueError(f"Expected rows (n, d) with one d, got shapes {[v.shape for v in sets.values()]}.")
    d = shapes.pop()[0]
    names = [f"column {k}" for k in range(d)] if names is None else list(names)
    if len(names) != d:
        raise ValueError(f"Expected one name for each of {d} columns, got {len(names)}.")
    limits = limits or [_limits(np.concatenate([values[:, k] for values in sets.values()])) for k in range(d)]
    shown = min(d, 12)
    if d <= 4:
        side = min(WIDTH, 1.9 * d + 0.6)
        axes = np.reshape(_subplots(d, d, figsize=(side, side)), (d, d))
        diagonal = axes.diagonal()
        for row, column in ((r, c) for r in range(d) for c in range(d) if r != c):
            _pair(axes[row, column], sets, row, column, limits)
        for k in range(1, d):
            axes[k, 0].set_ylabel(names[k])
            axes[-1, k - 1].set_xlabel(names[k - 1])
    else:
        rows = math.ceil(shown / 4)
        diagonal = np.ravel(_subplots(rows, 4, figsize=(WIDTH, 0.4 + 1.6 * rows)))
    for k, ax in enumerate(diagonal[:shown]):
        column = {role: values[:, k] for role, values in sets.items()}
        density(**column, bins=30, limits=limits[k], ax=ax, top=tops[k] if tops else None)
        ax.set(xlabel=names[k] if d > 4 or k == d - 1 else "", ylabel="")
        _few_ticks(ax)
        legend = ax.get_legend_handles_labels()
        ax.get_legend().remove()
    for ax in diagonal[shown:]:
        ax.set_axis_off()
    figure = diagonal[0].figure
    if len(sets) == 2:
        figure.legend(*legend, loc="outside upper right", ncols=2)
    words = [title] if title else []
    words += [f"the first {shown} of {d} columns"] if d > shown else []
    if words:
        figure.suptitle(", ".join(words), x=0.01, ha="left", fontsize=STYLE["axes.titlesize"])
    return figure


def _pair(ax, sets, row, column, limits):
    """Draw two columns of a table against each other."""
    for role, size, alpha in (("real", 14, 0.12), ("fake", 3, 0.6)):
        if role in sets:
            ax.scatter(*_some(sets[role])[:, [column, row]].T, s=size, color=COLOURS[role], alpha=alpha, linewidths=0)
    ax.set(xlim=limits[column], ylim=limits[row])
    _few_ticks(ax)


def _few_ticks(ax):
    """Keep the tick labels of a small picture from overlapping, whatever its scale."""
    ax.locator_params(nbins=3)
    ax.ticklabel_format(scilimits=(-2, 4))


def samples(x, real=None, columns=None, title=None, ax=None):
    """Draw samples of any kind, or those of a data set, by their shape, as films and the command line do too.

    (n, channels, h, w) as `grid`, (n, channels, length) as `signals`, (n, 2) as `points`, (n,) and (n, 1) as `density`,
    other (n, d) as `table`, which takes no `ax`. Of a data set, the first 64 images or signals are drawn.

    real     drawn behind points, densities and tables; ignored for images, signals and data sets
    columns  images or signals in a row; ignored for all others
    returns  what these functions return

    Raises ValueError for other shapes, and as these functions do.
    """
    kind = _kind(x)
    sets: dict = {"real": x} if isinstance(x, Data) else {"real": real, "fake": x}
    if isinstance(x, Data):
        x = x[:64]
    if kind == "images":
        return grid(x, columns, title, ax=ax)
    if kind == "signals":
        return signals(x, columns, title, ax=ax)
    if kind == "plane":
        return points(**sets, title=title, ax=ax)
    if kind == "line":
        return density(**sets, title=title, ax=ax)
    if ax is not None:
        raise ValueError("A table is a figure of its own: leave ax out.")
    return table(**sets, title=title)


def _kind(x):
    """What samples of this shape are: images, signals, points in the plane or on the line, or a table."""
    shape = tuple(x.values.shape if isinstance(x, Data) else _array(x).shape)
    if 0 in shape or len(shape) not in (1, 2, 3, 4):
        raise ValueError(
            "Expected images (n, channels, h, w), signals (n, channels, length), points or rows of a table (n, d), got "
            f"shape {shape}."
        )
    if len(shape) <= 2:
        return {0: "line", 1: "line", 2: "plane"}.get(math.prod(shape[1:]) if len(shape) == 2 else 0, "table")
    return "signals" if len(shape) == 3 else "images"


def running_mean(values, window):
    """The mean of the `window` values around each one. An even window is made one smaller, so that it is symmetric.

    Near the ends it is the mean of those that exist.
    """
    values = np.asarray(_array(values), dtype=np.float64)
    window = min(window, len(values))
    ones = np.ones(max(1, window - 1 + window % 2))
    return np.convolve(values, ones, "same") / np.convolve(np.ones_like(values), ones, "same")


@_styled
def losses(log, smooth=None, ax=None, title=None):
    """Draw every term of every player over the steps: a running mean, with the raw values faint behind it.

    log      player -> term -> values (steps,), as `fit` returns it
    smooth   width of the running mean in steps; by default a fortieth of the run; 1 draws the raw values alone

    Raises ValueError for a log without steps, and for terms that are not one number per step.
    """
    curves_ = [(player, term, _array(log[player][term])) for player in log.keys() for term in log[player].keys()]
    if not curves_ or any(values.ndim != 1 or len(values) == 0 for *_, values in curves_):
        raise ValueError("Losses need what fit returns: at least one step, and one number a step for each term.")
    ax = ax or _subplots()
    roles = _roles(dict.fromkeys(player for player, *_ in curves_))
    seen = []
    for player, term, values in curves_:
        terms, role = list(log[player].keys()), roles[player]
        mean = running_mean(values, smooth or max(1, len(values) // 40))
        look: dict = LINES[role] if term == terms[0] else {"color": COLOURS[role], "linestyle": ":"}
        ax.plot(mean, **look, label=player if len(terms) == 1 else f"{player}: {term}")
        ax.plot(values, color=COLOURS[role], linewidth=0.5, alpha=0.25, zorder=1, label="_raw")
        mean, values = mean[np.isfinite(mean)], values[np.isfinite(values)]
        seen += [mean.min(), mean.max(), *np.percentile(values, [1, 99])] if len(mean) else []
    if seen and min(seen) < max(seen):
        ax.set_ylim(min(seen) - 0.05 * np.ptp(seen), max(seen) + 0.05 * np.ptp(seen))
    ax.set(xlabel="step", ylabel="loss", xlim=(0, max(1, max(len(values) for *_, values in curves_) - 1)))
    if title:
        ax.set_title(title)
    return label(ax)


@_styled
def trained(model, images):
    """Draw a model that ships, with its history: its images, its distance to test digits, and its losses.

    model   what `pretrained` returns: its card holds the curve, and the distance of real training images
    images  of the model, (n, 1, 28, 28) in [-1, 1]

    Raises ValueError for a model whose card has no curve.
    """
    if not model.card.keys() >= {"curve", "training images"}:
        raise ValueError(
            "This model's card has no curve of distances: take one that ships, such as pretrained('dcgan')."
        )
    curve = model.card["curve"]
    figure = plt.figure(figsize=(WIDTH, 3.6))
    [[left, right]] = figure.subfigures(1, 2, squeeze=False, width_ratios=(5, 4))
    grid(images, ax=left.subplots())
    above, below = _subplots(2, 1, figure=right)
    seconds, distance = ([point[name] for point in curve] for name in ("seconds", "Fréchet distance"))
    above.loglog(seconds, distance, **LINES["generator"], marker=".")
    above.axhline(model.card["training images"]["Fréchet distance"], **LINES["theory"], label="training images")
    for axis, ticks in ((above.xaxis, (15, 60, 240, 900, 3600)), (above.yaxis, (0.1, 0.3, 1, 3, 10, 30, 100, 300))):
        low, high = axis.get_view_interval()
        axis.set_ticks([tick for tick in ticks if low <= tick <= high], minor=False)
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    above.set(xlabel="seconds of training", title="Fréchet distance")
    above.legend(loc="best")
    for role in ("critic", "generator"):
        player = [name for name in model.log if name.startswith(role)][-1]  # of a stack, the finest level's
        values = model.log[player]["game"]
        below.plot(np.linspace(0, model.steps, len(values)), values, label=player, **LINES[role])
    below.set(xlabel="step", title="losses")
    below.locator_params(axis="x", nbins=4)
    label(below)
    return figure


@_styled
def points(real=None, fake=None, modes=None, limits=None, title=None, ax=None):
    """Draw sets in the plane on equal axes: data as a dark cloud, generated points as small light dots upon it.

    real, fake  (n, 2); of more than 2,000, an evenly spaced selection is drawn. Either may be a data set.
    modes       (k, 2) centres, drawn as circles
    limits      (low, high) of both axes; by default everything that is finite fits

    Raises ValueError for other shapes, and if there is nothing to draw.
    """
    sets = {
        name: _plane(values, name)
        for name, values in (("real", real), ("fake", fake), ("modes", modes))
        if values is not None
    }
    if not sets:
        raise ValueError("There is nothing to draw: give real points, generated points or both.")
    ax = ax or _subplots(figsize=(3.4, 3.4))
    if "modes" in sets:
        ax.scatter(*sets["modes"].T, s=150, facecolors="none", edgecolors=COLOURS["neutral"], linewidths=1, zorder=1)
    if "real" in sets:
        ax.scatter(
            *_some(sets["real"]).T, s=26, color=COLOURS["real"], alpha=0.16, linewidths=0, label="data", zorder=2
        )
    if "fake" in sets:
        ax.scatter(
            *_some(sets["fake"]).T, s=6, color=COLOURS["fake"], alpha=0.75, linewidths=0, label="generator", zorder=3
        )
    everything = np.concatenate(list(sets.values()))
    low, high = limits or _limits(everything)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.locator_params(nbins=5)
    named = len(sets.keys() & {"real", "fake"}) == 2
    if title:
        ax.set_title(title, pad=22 if named else 6)  # the legend stands between the title and the axes
    if named:
        legend = ax.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2, handletextpad=0, columnspacing=0.6
        )
        plt.setp(legend.legend_handles, alpha=1)
    return ax


@_styled
def density(real=None, fake=None, bins=60, limits=None, title=None, ax=None, top=None):
    """Draw histograms of samples on the line, as densities: data filled, generated samples as an outline.

    real, fake  (n,) or (n, 1). Either may be a data set.
    limits      (low, high) of the axis, cut into `bins` bins; samples outside count towards the total
    top         the highest density that the axis shows; by default everything fits

    Raises ValueError for other shapes, and if there is nothing to draw.
    """
    sets = {role: _line(values, role) for role, values in (("real", real), ("fake", fake)) if values is not None}
    if not sets:
        raise ValueError("There is nothing to draw: give real samples, generated samples or both.")
    ax = ax or _subplots()
    low, high = limits or _limits(np.concatenate(list(sets.values())))
    edges = np.linspace(low, high, bins + 1)
    for role, values in sets.items():
        height = np.histogram(values, edges)[0] / (len(values) * (edges[1] - edges[0]))
        if role == "real":
            ax.stairs(height, edges, fill=True, color=COLOURS[role], alpha=0.3, label="data")
        else:
            ax.stairs(height, edges, linewidth=1.5, **LINES[role], label="generator")
    ax.set(xlim=(low, high), xlabel="x", ylabel="density", title=title or "")
    if top is not None:
        ax.set_ylim(0, top)
    ax.legend()
    return ax


@_styled
def curves(x, ys, roles=None, title=None, ax=None):
    """Draw named curves over the same x, each labelled at its right end.

    x      (n,)
    ys     name -> values (n,), or a function of x
    roles  name -> role in COLOURS; by default a name that is a role has that role's colour, others take what is left

    Raises ValueError for an unknown role, and for a curve that does not have one value for each x.
    """
    x = _line(x, "x")
    roles = _roles(ys, roles)
    ax = ax or _subplots()
    for name, y in ys.items():
        y = np.squeeze(_array(y(torch.as_tensor(x, dtype=torch.float32)) if callable(y) else y))
        if y.shape != x.shape:
            raise ValueError(f"The curve {name} has shape {y.shape}, but x has {x.shape}: give one value for each x.")
        ax.plot(x, y, **LINES[roles[name]], label=name)
    ax.set_xlim(x.min(), x.max())
    if title:
        ax.set_title(title)
    return label(ax)


@_styled
def label(ax):
    """Write each labelled line's name at its right end, in its colour, in place of a legend.

    Call it again after adding lines to the same Axes.
    """
    for old in [text for text in ax.texts if text.get_gid() == "line label"]:
        old.remove()
    bottom, top = ax.get_ylim()
    ends = []
    for line in ax.get_lines():
        y = np.asarray(line.get_ydata(), dtype=float)
        if not line.get_label().startswith("_") and np.isfinite(y).any():
            ends.append((float(np.clip(y[np.isfinite(y)][-1], min(bottom, top), max(bottom, top))), line))
    points = 72 / ax.figure.dpi
    place = {y: ax.transData.transform((1, y))[1] * points for y, _ in ends}  # on any scale
    ends.sort(key=lambda end: place[end[0]])
    heights = _apart([place[y] for y, _ in ends], 12)
    for (y, line), height in zip(ends, heights, strict=True):
        ax.annotate(
            line.get_label(),
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, height - place[y]),
            textcoords="offset points",
            va="center",
            color=line.get_color(),
            fontsize=9,
            gid="line label",
            annotation_clip=False,
        )
    return ax


@_styled
def field(f, limits=(-2, 2), title=None, ax=None):
    """Draw the stream lines of a vector field in the plane: where the two players' updates lead.

    f       (n, 2) points -> (n, 2) velocities
    limits  (low, high) of both axes

    Raises ValueError for velocities of another shape.
    """
    side = np.linspace(*limits, num=25)
    where = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    velocity = _plane(f(torch.as_tensor(where, dtype=torch.float32)), "f's velocities")
    if velocity.shape != where.shape:
        raise ValueError(f"f must return one velocity for each of {len(where)} points, but returned {velocity.shape}.")
    ax = ax or _subplots(figsize=(3.4, 3.4))
    u, v = velocity.astype(np.float64).reshape(25, 25, 2).transpose(2, 0, 1)
    ax.streamplot(side, side, u, v, density=0.9, color=COLOURS["neutral"], linewidth=0.7, arrowsize=0.8, zorder=1)
    ax.set(xlim=limits, ylim=limits, aspect="equal", title=title or "")
    return ax


@_styled
def path(positions, role="generator", name=None, ax=None):
    """Draw the path (n, 2) of a point in the plane: a dot where it starts, a ring where it ends."""
    positions = _plane(positions, "positions")
    ax = ax or _subplots(figsize=(3.4, 3.4))
    ax.plot(*positions.T, color=COLOURS[role], label=name or "_path")
    ax.plot(*positions[0], "o", color=COLOURS[role], markersize=6, label="_start")
    ax.plot(*positions[-1], "o", color=COLOURS[role], markersize=6, markerfacecolor="white", label="_end")
    return ax


@_styled
def film(film, alt, columns=None, real=None, modes=None, limits=None, seconds=None):
    """Play the frames that a `hooks.Film` collected: a player in a browser, a still picture elsewhere.

    film     anything with `steps` (k numbers) and `frames` (k tensors of one shape): samples of any kind, drawn as
             `samples` does on axes that stand still, images as floats or bytes; or pictures uint8 (h, w, 3)
    alt      what the film shows, in a sentence
    columns  images or signals in a row
    real, modes, limits   what is drawn behind generated points, and the ends of the axes (by default every frame fits)
    seconds  how long the whole film plays; by default eight frames a second

    Raises ValueError for a film without frames, and as `film.Reel` does.
    """
    if len(film.frames) == 0:
        raise ValueError("The film is empty: train with hooks=[film] before you show it.")
    first, frames = film.frames[0], [_array(frame) for frame in film.frames]
    if first.ndim == 4:
        pictures = [tile(frame, columns, (2, 2)) for frame in frames]
    elif first.ndim == 3 and frames[0].dtype == np.uint8:
        pictures = frames
    else:
        pictures = _drawn(frames, real, modes, limits, columns)
    return Reel(pictures, [f"step {step:,}" for step in film.steps], alt, seconds)


def _drawn(frames, real, modes, limits, columns):
    """Frames of samples that are not images, each drawn as a picture of a figure, all on the same axes."""
    kind, behind = _kind(frames[0]), [] if real is None else [_array(_samples(real))]
    if kind == "signals":
        limits = limits or _limits(np.concatenate(frames))
        return [picture(signals(frame, columns, limits=limits)) for frame in frames]
    if kind == "plane":
        limits = limits or _limits(np.concatenate(behind + frames))
        return [picture(points(real, frame, modes, limits)) for frame in frames]
    if kind == "line":
        behind, frames = ([_line(values, "frames")[:, None] for values in some] for some in (behind, frames))
        limits = limits and [limits]
    columns, bins = list(np.concatenate(behind + frames).T), 60 if kind == "line" else 30
    limits = limits or [_limits(column) for column in columns]
    tops = [1.05 * max(heights) for heights in zip(*(_heights(v, limits, bins) for v in behind + frames), strict=True)]
    if kind == "line":
        return [picture(density(real, frame, bins, limits[0], top=tops[0])) for frame in frames]
    return [picture(table(frame, real, limits=limits, tops=tops)) for frame in frames]


def _heights(values, limits, bins):
    """For each column of (n, d), the greatest height of its density in `bins` bins; see `density`."""
    counts = [np.histogram(column, bins, ends)[0].max() for column, ends in zip(values.T, limits, strict=True)]
    return [n * bins / (len(values) * (high - low)) for n, (low, high) in zip(counts, limits, strict=True)]


def picture(figure):
    """Turn a Figure, or the one that an Axes belongs to, into bytes (h, w, 3), and close it."""
    figure = figure if isinstance(figure, Figure) else figure.figure
    plt.close(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def png(shown):
    """The bytes of a PNG of samples, as `samples` draws them, or of a figure. Pixels of images stay single pixels."""
    if isinstance(shown, Figure | Axes):
        pixels = picture(shown)
    elif _kind(shown) == "images":
        pixels = tile(_samples(shown[:64] if isinstance(shown, Data) else shown))
    else:
        pixels = picture(samples(shown))
    Image.fromarray(pixels).save(content := io.BytesIO(), "PNG")
    return content.getvalue()


def _array(values):
    """A tensor on any device, a list or an array -> a numpy array."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def _samples(values):
    """All samples of a data set; anything else unchanged."""
    return values.take(slice(None)) if isinstance(values, Data) else values


def _plane(values, name):
    values = _array(_samples(values))
    if values.ndim != 2 or values.shape[1] != 2 or len(values) == 0:
        raise ValueError(f"Points in the plane have shape (n, 2), but {name} has {values.shape}.")
    return values


def _line(values, name):
    values = _array(_samples(values))
    if values.size == 0 or values.size != len(values):
        raise ValueError(f"Numbers on the line have shape (n,) or (n, 1), but {name} has {values.shape}.")
    return values.reshape(-1)


def _some(values):
    """At most POINTS rows, evenly spaced, so that no random numbers are drawn."""
    return values[np.linspace(0, len(values) - 1, POINTS).astype(int)] if len(values) > POINTS else values


def _limits(values):
    """Ends of an axis on which all finite values fit, with a margin."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return -1.0, 1.0
    margin = 0.08 * (np.ptp(values) or 1)
    return float(values.min() - margin), float(values.max() + margin)


def _roles(names, given=None):
    """A role for each name: the given one, the name itself where it is a role, or the next that nobody has."""
    roles = {name: (given or {}).get(name, name) for name in names}
    unknown = [role for role in (given or {}).values() if role not in COLOURS]
    if unknown:
        raise ValueError(f"There is no role {unknown[0]!r}: the roles are {', '.join(COLOURS)}.")
    order = ("real", "generator", "critic", "extra", "theory", "neutral")
    free = [role for role in order if role not in roles.values()]
    for name in names:
        if roles[name] not in COLOURS:
            roles[name] = free.pop(0) if free else "neutral"
    return roles


def _apart(heights, gap):
    """Move sorted heights apart, no more than needed, until neighbours differ by about `gap` or more."""
    heights = list(heights)
    for _ in range(50):
        for i in range(1, len(heights)):
            lack = gap - (heights[i] - heights[i - 1])
            if lack > 1e-6:
                heights[i - 1], heights[i] = heights[i - 1] - lack / 2, heights[i] + lack / 2
    return heights
