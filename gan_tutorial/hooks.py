"""What watches training without touching it: a hook is a function of (step, log) that `fit` calls after each step."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .plots import as_bytes, picture


class Film:
    """Collect a frame before training and after every `every` steps, for `plots.film`.

    take   () -> what one frame shows: images (n, 1 or 3, h, w) in [-1, 1], points (n, 2), or a figure or Axes
    every  steps between frames

    The first frame is taken when the film is made, so make it before you train:

        film = gt.hooks.Film(lambda: gt.sample(G, z), every=20)      # z is fixed: the same noise in every frame
        log = gt.fit(players, feed, steps, hooks=[film])
        gt.plots.film(film, alt="Sixty-four digits form out of noise.")

    A film used by several calls of `fit` goes on counting. `steps` holds how many steps were done at each frame,
    `frames` the frames, on the CPU: images as bytes (-1 is 0, 1 is 255), points as float32, figures as bytes (h, w, 3).
    Other steps cost nothing. PyTorch's global generators (the CPU's, CUDA's) are put back after each frame, so that a
    film never changes what is learned.
    Raises ValueError when a frame has none of these shapes or another one than the first, or images leave [-1, 1].
    """

    def __init__(self, take, every=50):
        if every < 1:
            raise ValueError(f"A film needs at least one step between frames, but every={every}.")
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
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices), torch.no_grad():
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
    """

    def __init__(self, every=100):
        if every < 1:
            raise ValueError(f"A line needs at least one step, but every={every}.")
        self.every = every

    def __call__(self, step, log):
        if (step + 1) % self.every == 0:
            means = [
                f"{player} {term} {values[-self.every :].mean():.3f}"
                for player, terms in log.items()
                for term, values in terms.items()
            ]
            print("   ".join([f"step {step + 1:,}", *means]))


def _frame(shown):
    """What `take` returned -> a tensor on the CPU that one frame is drawn from."""
    if isinstance(shown, (Figure, Axes)):
        return torch.from_numpy(picture(shown))
    if not isinstance(shown, torch.Tensor):
        raise ValueError(f"A frame is a tensor or a matplotlib figure, but take() returned {type(shown).__name__}.")
    if shown.ndim == 4:
        return torch.from_numpy(as_bytes(shown))
    if shown.ndim == 2 and shown.shape[1] == 2:
        return shown.detach().to("cpu", torch.float32, copy=True)
    raise ValueError(
        "A frame is images (n, 1 or 3, h, w) in [-1, 1] or points (n, 2), "
        f"but take() returned a tensor of shape {tuple(shown.shape)}."
    )
