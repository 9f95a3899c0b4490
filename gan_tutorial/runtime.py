"""Where a training runs: seed, device, precision and scale, chosen in one place and said in one line."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral

import torch
from torch import nn
from tqdm import tqdm

SCALES = ("smoke", "cpu", "gpu")
MOST = 2**62  # the most that a progress bar counts to: its total has to fit into a float and a C integer
_muted = ContextVar("_muted", default=False)  # while a stopwatch shows the progress of several loops


def scale_from_environment() -> str | None:
    """The scale that GAN_TUTORIAL_SCALE asks for, or None where it is not set. ValueError if it is unknown."""
    name = os.environ.get("GAN_TUTORIAL_SCALE") or None
    if name is not None and name not in SCALES:
        raise ValueError(f"Expected GAN_TUTORIAL_SCALE to be one of {', '.join(SCALES)}, got {name!r}.")
    return name


def seed_from_environment() -> int | None:
    """The seed that GAN_TUTORIAL_SEED asks for, or None where it is not set. ValueError if it is not a whole number."""
    text = os.environ.get("GAN_TUTORIAL_SEED") or None
    if text is not None and not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise ValueError(f"Expected GAN_TUTORIAL_SEED to be a whole number such as 0 or 7, got {text!r}.")
    return None if text is None else check_seed(int(text))


def default_seed(seed: int | None = None) -> int:
    """The seed that was given, else that of GAN_TUTORIAL_SEED, else 0. ValueError for what is not a seed."""
    found = seed_from_environment() if seed is None else seed
    return 0 if found is None else check_seed(found)


def check_seed(seed: int) -> int:
    """The seed as Python's integer. ValueError unless it is a whole number from 0 to 2⁶⁴ - 1, as PyTorch takes it."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**64:
        raise ValueError(f"Expected a whole-number seed from 0 to 2**64 - 1, got {seed!r}.")
    return int(seed)


def pick_device(asked: torch.device | str | None = None) -> tuple[torch.device, str]:
    """The device that is asked for, else the fastest at hand (CUDA, then Apple's MPS, then the CPU), and the reason.

    asked  such as "cuda", or "cuda:1" for the second GPU

    Raises ValueError for one that is unknown or not at hand.
    """
    at_hand = {}
    if torch.cuda.is_available():
        at_hand["cuda"] = torch.cuda.get_device_name()
        at_hand |= {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        at_hand["mps"] = at_hand["mps:0"] = "Apple GPU"
    at_hand["cpu"] = at_hand["cpu:0"] = "chosen" if at_hand else "no GPU found"
    asked = None if asked is None else str(asked)  # a torch.device, too
    if asked is not None and asked not in at_hand:
        raise ValueError(f"Expected a device at hand ({', '.join(map(repr, at_hand))}), got {asked!r}.")
    name = asked or next(iter(at_hand))
    return torch.device(name), at_hand[name]


def derive_seed(*words) -> int:
    """A 32-bit seed for a stream of random numbers, from any words that name the stream.

    Hashing keeps streams apart: seed 1's batches are not seed 0's, shifted by one. The CPU's generator uses no more
    than 32 bits.
    """
    words = tuple(int(word) if isinstance(word, Integral) else word for word in words)  # NumPy's have another repr
    return int.from_bytes(hashlib.blake2b(repr(words).encode(), digest_size=4).digest(), "big")


def show_progress() -> bool:
    """Whether somebody is watching, so that progress is worth showing. GAN_TUTORIAL_PROGRESS=0 or 1 overrides it."""
    if _muted.get():
        return False
    setting = os.environ.get("GAN_TUTORIAL_PROGRESS")
    if setting:
        return setting != "0"
    if "PYTEST_CURRENT_TEST" in os.environ:  # the kernels that nbval starts inherit this from pytest
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def progress(steps: int) -> tqdm:
    """`range(steps)` with a progress bar where somebody watches, and nothing printed where nobody does."""
    # On standard output, since a notebook shows standard error on a red ground.
    return tqdm(
        range(steps),
        total=min(steps, MOST),
        disable=not show_progress(),
        file=sys.stdout,
        leave=False,
        mininterval=0.5,
    )


@contextmanager
def progress_bar(
    steps: int | None, seconds: float | None, steps_done: int = 0, seconds_done: float = 0.0
) -> Iterator[Callable[[int, float], None]]:
    """A progress bar towards a number of steps or of seconds, which replaces those of the loops inside.

    Yields show(steps, seconds), to be called with the totals so far, including `steps_done` and `seconds_done`.
    """
    by_time = steps is None
    bar = tqdm(
        total=round(min(steps or seconds or 0, MOST)),
        initial=round(seconds_done) if by_time else steps_done,
        disable=not show_progress(),
        file=sys.stdout,
        leave=False,
        mininterval=0.5,
        unit="s" if by_time else " steps",
        bar_format="{l_bar}{bar}| {n_fmt} of {total_fmt} {unit}, {postfix}" if by_time else None,
    )

    def show(steps: int, seconds: float) -> None:
        if by_time:
            bar.set_postfix_str(f"{steps:,} steps", refresh=False)
        bar.update(min(int(seconds) if by_time else steps, bar.total) - bar.n)

    token = _muted.set(True)
    try:
        yield show
    finally:
        _muted.reset(token)
        bar.close()


class Run:
    """The settings of one run. Prints them in one line, with the reason for each choice.

    seed       of every random number; GAN_TUTORIAL_SEED overrides it. Seeds torch's global generator too, from which
               networks draw their first weights.
    device     such as "cpu", "cuda", "cuda:1" or "mps"; by default the fastest at hand, in the order CUDA, MPS, CPU
    precision  "float32" (the default: the same arithmetic on every device) or "tf32" (faster matrix products and
               convolutions on NVIDIA GPUs from Ampere on, with a 10-bit mantissa).

    The scale is "gpu" on a GPU, else "cpu"; GAN_TUTORIAL_SCALE overrides it. "smoke" is an author's quick look: it
    checks no claims and is never published.

    Raises ValueError for an unknown scale or precision, a bad seed, a device that is not at hand, and a precision that
    the device does not have.
    """

    def __init__(self, seed: int = 0, precision: str = "float32", device: torch.device | str | None = None):
        seed = check_seed(seed)
        if precision not in ("float32", "tf32"):
            raise ValueError(f"Expected precision 'float32' or 'tf32', got {precision!r}.")
        self.device, device_reason = pick_device(device)
        cuda = self.device.type == "cuda"
        if precision == "tf32" and not (cuda and torch.cuda.get_device_capability(self.device)[0] >= 8):
            raise ValueError(f"This device ({device_reason}) has no TF32: use precision='float32'.")

        asked_seed, asked_scale = seed_from_environment(), scale_from_environment()
        self.seed = seed if asked_seed is None else asked_seed
        self.precision = precision
        self.scale_name = asked_scale or ("cpu" if self.device.type == "cpu" else "gpu")

        torch.manual_seed(self.seed)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        print(
            f"seed {self.seed}{' (from GAN_TUTORIAL_SEED)' if asked_seed is not None else ''}",
            f"device {self.device} ({device_reason})",
            precision,
            f"scale {self.scale_name} ({'from GAN_TUTORIAL_SCALE' if asked_scale else device_reason})",
            sep=" · ",
        )

    def scale(self, *, cpu, gpu=None, smoke=None):
        """The value for this run's scale: `run.scale(cpu=600, gpu=20_000, smoke=10)`. What is not given is `cpu`'s."""
        value = {"cpu": cpu, "gpu": gpu, "smoke": smoke}[self.scale_name]
        return cpu if value is None else value

    def place(self, net: nn.Module) -> nn.Module:
        """The network, moved to this run's device."""
        return net.to(self.device)
