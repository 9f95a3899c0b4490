"""Train one side, theirs or ours, in a process of its own, stop it after some seconds, and sample what it made."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

import gan_tutorial as gt
from gan_tutorial import atomic

STUBS = Path(__file__).resolve().parent / "stubs"


@dataclass(frozen=True)
class Result:
    """What a training left: its seconds, its updates of the generator, and samples (n, 1, side, side) by mode."""

    seconds: float
    steps: int
    samples: dict[str, np.ndarray]


class TimeBudgetReached(BaseException):
    """The seconds are over. No Exception, so that no script catches it by accident."""


@contextlib.contextmanager
def called_as(script: Path, arguments: tuple[str, ...] = ()) -> Iterator[None]:
    """For a while Python looks as if it had been started with this script, and finds the stand-in for torchvision."""
    argv, path = list(sys.argv), list(sys.path)
    sys.argv[:], sys.path[:0] = [str(script), *arguments], [str(script.parent), str(STUBS)]
    try:
        yield
    finally:
        sys.argv[:], sys.path[:] = argv, path


def run_until_budget(script: Path, names: dict) -> None:
    """Run a script as if it were called by itself, without its words, until a hook raises `TimeBudgetReached`.

    `names` are its global names, there while it runs. RuntimeError where the script ends by itself.
    """
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            exec(compile(script.read_bytes(), str(script), "exec"), names)
        except TimeBudgetReached:
            return
    raise RuntimeError(f"{script.name} was done before it was stopped; ask for fewer repeats or seconds.")


def theirs(
    script: Path,
    seconds: float,
    seed: int,
    threads: int,
    n: int,
    label: Tensor | None,
    clock: Callable[[], float] = time.perf_counter,
    load: Callable[[str], gt.Data] = gt.data.mnist,
) -> Result:
    """Run a script as it is, stop it after so many seconds of training, and sample n images in eval and train mode.

    Run it in a process of its own, see `in_subprocess`: it leaves its modules and its folders behind. The clock starts
    when the script reads its first sample, and is looked at after every step of an optimiser. The script's own names
    are used: `generator`, `optimizer_G`, `opt.latent_dim` and `opt.batch_size`. In train mode BatchNorm sees batches
    of the size that it was trained with.

    clock  gives seconds; load: "train" or "test" -> the digits that the script finds as torchvision's MNIST

    Raises RuntimeError where the script ends by itself, or never reads a sample of the stand-in's MNIST.
    """
    with called_as(script):
        from torchvision.datasets import MNIST

        MNIST.clock, MNIST.load = staticmethod(clock), staticmethod(load)
        seed_everything(seed, threads)
        names, steps, took = {"__name__": "__main__", "__file__": str(script)}, 0, 0.0

        def look(optimizer, *_):
            nonlocal steps, took
            if MNIST.first_read is None:
                raise RuntimeError(f"{script.name} trains without a sample of torchvision.datasets.MNIST.")
            steps += optimizer is names.get("optimizer_G")
            took = clock() - MNIST.first_read
            if took >= seconds:
                raise TimeBudgetReached

        watch = register_optimizer_step_post_hook(look)
        try:
            run_until_budget(script, names)
        finally:
            watch.remove()
    z = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, names["opt"].latent_dim), np.float32))
    samples = {
        mode: sample_batches(names["generator"].train(mode == "train"), z, label, names["opt"].batch_size)
        for mode in ("eval", "train")
    }  # in this order: train mode moves the statistics that eval mode uses
    return Result(took, steps, samples)


def ours(
    recipe: str,
    seconds: float,
    seed: int,
    threads: int,
    n: int,
    label: Tensor | None,
    load: Callable[[], gt.Data] = gt.data.mnist,
) -> Result:
    """Train a recipe of the book for so many seconds, and sample n images of its averaged generator.

    The seconds reported are those of the whole call, in which networks are built beforehand, and BatchNorm's statistics
    are measured afterwards: some tenths of a second more than asked for.
    """
    seed_everything(seed, threads)
    data = load()
    start = time.perf_counter()
    made = gt.recipes.get_recipe(recipe).train(data, seconds=seconds, seed=seed)
    return Result(time.perf_counter() - start, made.steps, {"eval": made.sample(n, label, seed).numpy()})


def isolate() -> None:
    """See that no setting of the book's reaches what is measured, and that paths hold in another folder."""
    os.environ.update(GAN_TUTORIAL_PROGRESS="0", GAN_TUTORIAL_SEED="", GAN_TUTORIAL_SCALE="")
    for name in ("GAN_TUTORIAL_DATA", "GAN_TUTORIAL_CACHE"):
        path = os.path.expanduser(os.environ.get(name, ""))
        if path and not path.startswith("~"):  # of a user who is not there: the package will say so
            os.environ[name] = os.path.realpath(path)


def seed_everything(seed: int, threads: int) -> None:
    """Threads of this process, and the seeds of torch's and NumPy's global generators."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    np.random.seed(seed)


@torch.no_grad()
def sample_batches(generator, z: Tensor, label: Tensor | None, batch: int) -> np.ndarray:
    """generator(z), or generator(z, label), in whole batches: the last one is filled up with what came first."""
    whole = torch.arange(-(-len(z) // batch) * batch) % len(z)
    parts = [generator(z[i]) if label is None else generator(z[i], label[i]) for i in whole.split(batch)]
    return torch.cat(parts)[: len(z)].numpy()


def in_subprocess(function, *arguments):
    """function(*arguments) in a new process, which inherits no warm caches, no seeds and no threads.

    It works in an empty folder, two levels deep, since the scripts make folders there and two levels up. Ctrl-C kills
    it: a training would otherwise take that for a wish to see what there is so far.
    """
    with tempfile.TemporaryDirectory() as folder:
        deep = Path(folder, "implementations", "script")
        deep.mkdir(parents=True)
        with ProcessPoolExecutor(1, get_context("spawn"), begin, (deep,)) as pool:
            return pool.submit(function, *arguments).result()


def begin(folder: Path) -> None:
    """What a new process does first."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)


def write_json(path: Path, facts) -> None:
    """Facts as JSON: a file atomically; what is not one, such as /dev/stdout, as it comes."""
    text = json.dumps(facts, indent=1) + "\n"
    stream = path.parts[:2] in ((os.sep, "dev"), (os.sep, "proc")) or (path.exists() and not path.is_file())
    if stream:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)
    else:
        atomic.write(path, text.encode())
