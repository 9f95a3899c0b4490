"""What watches training without touching it: a hook is a function of (step, log) that `fit` calls after each step."""

import csv
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import atomic
from .game import NonFiniteLoss
from .plots import as_bytes, picture, png


class Film:
    """Collect a frame before training and after every `every` steps, for `plots.film`.

    take   () -> what one frame shows: samples of any kind that `plots.samples` draws, images (n, channels, h, w) in
           [-1, 1], signals (n, channels, length), points (n, 2), rows (n, d), or a figure or Axes of your own
    every  steps between frames

    The first frame is taken when the film is made, so make it before you train:

        film = gt.hooks.Film(lambda: gt.sample(G, z), every=20)      # z is fixed: the same noise in every frame
        log = gt.fit(players, feed, steps, hooks=[film])
        gt.plots.film(film, alt="Sixty-four digits form out of noise.")

    A film used by several calls of `fit` goes on counting. `steps` holds how many steps were done at each frame,
    `frames` the frames, on the CPU: images as bytes (-1 is 0, 1 is 255), figures as bytes (h, w, 3), other samples as
    float32. Other steps cost nothing. PyTorch's global generators (the CPU's, CUDA's) are restored after each frame, so
    that a film never changes what is learned.
    Raises ValueError for `every` below 1, and when a frame has none of these shapes, or not that of the first, or
    images leave [-1, 1].
    """

    def __init__(self, take, every=50):
        if every < 1:
            raise ValueError(f"Expected at least one step between frames, got every={every}.")
        self.take, self.every, self.done = take, every, 0
        self.steps, self.frames = [], []
        self.shoot()

    def __call__(self, step, log):
        self.done += 1
        if self.done % self.every == 0:
            self.shoot()

    def __len__(self):
        return len(self.frames)

    def shoot(self):
        """Take a frame now, whatever the step: for instance one more at the end."""
        if self.steps[-1:] == [self.done]:
            return
        with _unseen():
            frame = _frame(self.take())
        if self.frames and frame.shape != self.frames[0].shape:
            raise ValueError(
                f"Frame {len(self)} of the film has shape {tuple(frame.shape)}, but the first has "
                f"{tuple(self.frames[0].shape)}: show the same fixed noise in every frame."
            )
        self.steps.append(self.done)
        self.frames.append(frame)


class Lines:
    """Print a line every `every` steps: each term's mean over those steps.

        step 100   critic game 1.213   generator game 0.871

    Raises ValueError for `every` below 1.
    """

    def __init__(self, every=100):
        if every < 1:
            raise ValueError(f"Expected at least one step between lines, got every={every}.")
        self.every = every

    def __call__(self, step, log):
        if (step + 1) % self.every == 0:
            means = [
                f"{player} {term} {values[-self.every :].mean():.3f}"
                for player, terms in log.items()
                for term, values in terms.items()
            ]
            print("   ".join([f"step {step + 1:,}", *means]))


class SampleGrids:
    """Write a picture of samples, and the losses, into a folder while a training runs.

    folder         created if need be; it gets step-0000500.png, ..., and losses.csv: a row for each step, a column for
                   each term of each player
    take           () -> samples of any kind that `plots.samples` draws, or a figure or Axes
    every_seconds  between pictures; every: steps between them. Given both, whichever comes first
    start          steps done before, if a training is resumed: up to there, rows of losses.csv are kept; later ones are
                   replaced
    log            what these steps logged, as `Trainer.log` has it: rows that losses.csv lacks are filled in from it
    clock          () -> seconds, by which `every_seconds` is measured

        grids = gt.hooks.SampleGrids("run", lambda: gt.sample(G, z), every_seconds=30)
        gt.fit(players, feed, steps, hooks=[grids])
        grids.write()                                    # and once more, at the end

    The first picture is written at once, so that a folder that cannot be written to, or samples that cannot be drawn,
    are found before training, by OSError or ValueError. After that, no failure to write ends a training: what fails is
    left out, with a single warning. Losses that could not be written are tried again at the next picture. PyTorch's
    global random generators are restored, and counting continues over several calls of `fit`, as in `Film`.

    Raises ValueError if neither number is given or one is not positive, and for a folder with the losses of another
    training: any losses if `start` is 0, otherwise rows that are not those of `log`. Without `log`, a gap before
    `start` gets a warning, and a table with other columns is left as it is.
    """

    def __init__(
        self,
        folder: str | Path,
        take: Callable[[], object],
        every_seconds: float | None = None,
        every: int | None = None,
        start: int = 0,
        clock: Callable[[], float] = time.monotonic,
        log: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    ):
        for value in (every_seconds, every):
            if value is not None and not value > 0:
                raise ValueError(f"Expected a positive number between pictures, got {value}.")
        if every_seconds is None and every is None:
            raise ValueError("Expected every_seconds or every: how often a picture is written.")
        self.folder, self.take, self.every_seconds, self.every = Path(folder), take, every_seconds, every
        self.start = self.before = self.done = start  # before: steps when the present call of `fit` began
        self.logs: list[Mapping] = []  # of the calls of `fit`
        self.written, self.warned, self.clock = 0, False, clock
        self.content: bytes | None = None  # losses.csv up to `start`, until what follows is cut off
        self.folder.mkdir(parents=True, exist_ok=True)
        self.losses = self.folder / "losses.csv"
        self._resume([log] if log else [])
        self._picture()
        self.last = clock()

    def __call__(self, step, log):
        if not self.logs or log is not self.logs[-1]:
            self.before = self.done
            self.logs.append(log)
        self.done = self.before + step + 1
        due = self.every_seconds is not None and self.clock() - self.last >= self.every_seconds
        if due or (self.every is not None and self.done % self.every == 0):
            self.write()

    def write(self) -> None:
        """Write the picture and the losses now, whatever the step."""
        for part in (self._append_rows, self._picture):
            try:
                part()
            except NonFiniteLoss:  # found by reading the losses, a few steps before `fit` would
                raise
            except Exception as error:  # whatever it is, it must not cost what was learned
                if not self.warned:
                    warnings.warn(
                        f"Pictures or losses of step {self.done:,} could not be written to {self.folder} ({error}). "
                        "The training goes on without them.",
                        stacklevel=3,
                    )
                self.warned = True
        self.last = self.clock()

    def _picture(self) -> None:
        with _unseen():
            content = png(self.take())
        atomic.write(self.folder / f"step-{self.done:07}.png", content, flush=False)

    def _append_rows(self) -> None:
        """Append the steps since the last time."""
        header, *rows = _table(self.logs, self.start, self.written)
        if not rows:
            return
        size = self.losses.stat().st_size if self.losses.exists() else 0
        if size:
            with open(self.losses, "rb") as file:
                if file.readline() != header:
                    raise ValueError("its losses.csv has other columns")
        if size and self.content is not None:
            atomic.write(self.losses, self.content)
            size, self.content = len(self.content), None
        try:
            with open(self.losses, "ab") as file:
                file.write(b"".join(rows if size else [header, *rows]))
        except OSError:
            with open(self.losses, "r+b") as file:  # half a row would spoil the table
                file.truncate(size)
            raise
        self.written += len(rows)

    def _resume(self, logs: Sequence[Mapping]) -> None:
        """Keep the rows of losses.csv up to `start`, or refuse those of another training.

        Without a log, only the columns of the first new steps will tell: until then the file is left as it is.
        """
        another = f"{self.losses} already holds another training's losses. Name another folder, or remove it."
        there = self.losses.read_bytes().splitlines(keepends=True) if self.losses.exists() else []
        if self.losses.exists() and self.start == 0:
            raise ValueError(another)
        header, *rows = there or [b""]
        whole = [row for row in rows if row.endswith(b"\n") and row.partition(b",")[0].isdigit()]
        kept = [row for row in whole if int(row.partition(b",")[0]) <= self.start]
        made = _table(logs, 0)
        if len(made) == self.start + 1 > 1:
            if there and (header != made[0] or not {*kept} <= {*made}):
                raise ValueError(another)
            atomic.write(self.losses, b"".join(made))
        elif there:
            if len(kept) != self.start:
                warnings.warn(
                    f"{self.losses} has {len(kept):,} of the {self.start:,} steps before: the others are missing "
                    "there.",
                    stacklevel=3,
                )
            self.content = b"".join([header, *kept])


def _table(logs: Sequence[Mapping], start: int, since: int = 0) -> list[bytes]:
    """The lines of losses.csv: its header, and a row for each step of all logs together from number `since` on.

    ValueError where they have different columns.
    """
    parts = [{f"{player} {term}": x for player, terms in log.items() for term, x in terms.items()} for log in logs]
    columns = list(parts[0]) if parts else []
    if any(list(part) != columns for part in parts):
        raise ValueError("its losses.csv has other columns")
    rows = zip(*(torch.cat([part[name] for part in parts])[since:].tolist() for name in columns), strict=True)
    table = csv.writer(text := io.StringIO())
    table.writerow(["step", *columns])
    for step, row in enumerate(rows, start + since + 1):
        table.writerow([step, *(f"{value:.6g}" for value in row)])
    return text.getvalue().encode().splitlines(keepends=True)


@contextmanager
def _unseen() -> Iterator[None]:
    """What happens within leaves no trace in training: no graph is built, and global generators are restored."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        yield


def _frame(shown):
    """What `take` returned -> a tensor on the CPU that one frame is drawn from."""
    if isinstance(shown, Figure | Axes):
        return torch.from_numpy(picture(shown))
    if not isinstance(shown, torch.Tensor):
        raise ValueError(f"A frame is a tensor or a matplotlib figure, but take() returned {type(shown).__name__}.")
    if shown.ndim == 4:
        return torch.from_numpy(as_bytes(shown))
    if 0 < shown.ndim < 4 and shown.numel() and shown.is_floating_point():
        return shown.detach().to("cpu", torch.float32, copy=True)
    raise ValueError(
        "Expected images (n, channels, h, w) in [-1, 1], signals (n, channels, length), points (n, 2) or rows (n, d) "
        f"of floats, but take() returned {shown.dtype} of shape {tuple(shown.shape)}."
    )
