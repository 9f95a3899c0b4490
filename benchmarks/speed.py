"""How fast the book's recipes train: images a second, and the share of what the machine's matrix products reach.

    python benchmarks/speed.py                                # every recipe, plain and by each measure of acceleration.py
    python benchmarks/speed.py --only dcgan --widths 8 16 32 64 128
    python benchmarks/speed.py --only --examples PATH/TO/pytorch/examples --pytorch-gan PATH/TO/PyTorch-GAN

Prints tables; benchmarks/README.md says what is measured, and how. Keep the machine free of other work meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from runners import (  # first: it finds the book's package, installed or not
    STUBS,
    TimeBudgetReached,
    in_subprocess,
    run_until_budget,
    seeded,
)
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import gan_tutorial as gt
from gan_tutorial.acceleration import ACCELERATIONS, Acceleration, bfloat16
from gan_tutorial.flops import OpCounter
from gan_tutorial.recipes import DCGAN, RECIPES, Recipe, Trainer
from gan_tutorial.runtime import pick_device

WARM = 6  # steps of each side before its clock starts: caches, compilers, recordings
WORTH = 1.03  # a measure is part of the best combination where it gains so much by itself
SIZES = (512, 1024, 2048)
Side = Callable[[int], None]  # so many steps of a training


@dataclass(frozen=True)
class Peer:
    """A script that trains a DCGAN, and what it calls the parts that we train beside it.

    names   of its generator, its critic, and their optimisers, in its own words
    opt     its settings: batch size, dimensions of z, side of an image
    deep    whether its generator takes z as (batch, latent_dim, 1, 1)
    """

    title: str
    script: str
    origin: str
    arguments: tuple[str, ...]
    names: tuple[str, str, str]
    opt: tuple[str, str, str]
    deep: bool


EXAMPLES = Peer(
    "PyTorch's example",
    "dcgan/main.py",
    "https://github.com/pytorch/examples",
    ("--dataset", "mnist", "--dataroot", "."),
    ("netG", "netD", "optimizerG"),
    ("batchSize", "nz", "imageSize"),
    True,
)
PYTORCH_GAN = Peer(
    "PyTorch-GAN",
    "implementations/dcgan/dcgan.py",
    "https://github.com/eriklindernoren/PyTorch-GAN",
    (),
    ("generator", "discriminator", "optimizer_G"),
    ("batch_size", "latent_dim", "img_size"),
    False,
)


# --------------------------------------------------------------------------------------------------------- the clock


def timed(run: Callable[[], object]) -> float:
    """Seconds that a call takes, a GPU's work included."""
    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interleaved(sides: Mapping[str, Side], repeats: int, seconds: float) -> dict[str, list[float]]:
    """Steps a second of each side, round by round: whatever else slows the machine down slows all of them down.

    Every turn has as many whole steps as fit into the seconds, at least one.
    """
    steps = {}
    for name, run in sides.items():
        run(WARM)
        steps[name] = max(1, round(seconds / timed(lambda run=run: run(2)) * 2))
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            rates[name].append(steps[name] / timed(lambda run=run, name=name: run(steps[name])))
    return rates


# ------------------------------------------------------------------------------------------------- peak, and a share


@torch.no_grad()
def peaks(device: torch.device) -> dict[str, float]:
    """Flops a second of the best square matrix product, 2 n³ flops each: torch.mm, and on a CPU oneDNN, by dtype.

    torch.mm goes to another library than convolutions do, and on some processors that one is the slower.
    """
    best = {}
    for dtype, word in ((torch.float32, "float32"), (torch.bfloat16, "bf16")):
        if dtype == torch.bfloat16 and bfloat16.refusal(device):
            continue
        for n in SIZES:
            a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
            ways = {f"torch.mm, {word}": lambda a=a, b=b: a @ b}
            if device.type == "cpu" and torch.backends.mkldnn.is_available() and dtype == torch.float32:
                theirs = a.to_mkldnn()
                ways[f"oneDNN, {word}"] = lambda theirs=theirs, b=b: linear(theirs, b)
            for way, run in ways.items():
                run()
                best[way] = max(best.get(way, 0.0), *(2 * n**3 / timed(run) for _ in range(7)))
    return best


def flops(training: Trainer) -> int:
    """Flops of a step, all updates of it, as PyTorch counts them: matrix products and convolutions alone."""
    with OpCounter() as costs:
        for player in training.players:
            player.net.train()
            for _ in range(player.updates):
                player.update(next(training.feed))
    return costs.flops


# -------------------------------------------------------------------------------------------------------- our recipes


def side(recipe: Recipe, data: gt.Data, measures: tuple[Acceleration, ...]) -> Side:
    """A training that can be told to go on for so many steps."""
    training = Trainer(recipe, data, 0, measures)
    return lambda steps: training.run(steps=training.steps + steps)


def possible(measures: tuple[Acceleration, ...], device: torch.device) -> tuple[Acceleration, ...]:
    """Those that can be taken on this device; the others are told about."""
    for measure in measures:
        if why := measure.refusal(device):
            say(f"Without {measure.name}. {why}")
    return tuple(measure for measure in measures if not measure.refusal(device))


def title(measures: tuple[Acceleration, ...]) -> str:
    return " + ".join(measure.name for measure in measures) or "none"


def best(
    rates: Mapping[str, list[float]], measures: tuple[Acceleration, ...], beside: str = "none"
) -> tuple[Acceleration, ...]:
    """The measures that are worth it by themselves."""
    return tuple(measure for measure in measures if ratio(rates, measure.name, beside) >= WORTH)


def ratio(rates: Mapping[str, list[float]], name: str, beside: str) -> float:
    """The median of what a side gains on another one in each round."""
    return median(one / other for one, other in zip(rates[name], rates[beside], strict=True))


def measured(recipe: Recipe, name: str, data: gt.Data, measures: tuple[Acceleration, ...], options) -> list[dict]:
    """Rows of one recipe: without measures, by each of them alone, and by all together that are worth it."""
    count = flops(Trainer(recipe, data))
    sides = {title(own): side(recipe, data, own) for own in [(), *((measure,) for measure in measures)]}
    rates = interleaved(sides, options.repeats, options.seconds)
    found = rows(name, rates, recipe.batch, count)
    together = best(rates, measures)
    if len(together) > 1:
        sides = {"none": sides["none"], title(together): side(recipe, data, together)}
        found += rows(name, interleaved(sides, options.repeats, options.seconds), recipe.batch, count)[1:]
    for row in found:
        say(f"{name}, {row['measures']}: {row['images']:,.0f} images/s, {row['ratio']:.2f} times as fast")
    return found


def rows(name: str, rates: Mapping[str, list[float]], batch: int, count: int, beside: str = "none") -> list[dict]:
    """One row for each side: medians of images and flops a second, and of the ratio to the side that it is beside."""
    return [
        {
            "name": name,
            "measures": own,
            "images": batch * median(values),
            "ratio": ratio(rates, own, beside),
            "flops": count,
            "flops_per_second": count * median(values),
            "rates": values,
        }
        for own, values in rates.items()
    ]


def wider(width: int) -> Recipe:
    """The recipe DCGAN with networks of this width."""
    return replace(
        DCGAN,
        generator=lambda: gt.ConvGenerator(DCGAN.latent_dim, width=width),
        critic=lambda: gt.ConvCritic(width=width, hidden=128, spectral=True),
    )


# ------------------------------------------------------------------------------------------------------------- peers


class Called(nn.Module):
    """A peer's network, called as the book calls networks, `net(x, label)`. Scores are those before its sigmoid.

    What its blocks return lies in memory in the usual order, since peers `view` it. ValueError for a label: they take
    none.
    """

    def __init__(self, net: nn.Module, deep: bool = False, scores: bool = False):
        super().__init__()
        self.net, self.deep, self.scores = net, deep, scores
        for block in net.children():
            block.register_forward_hook(lambda block, given, made: made.contiguous())
        for parent in list(net.modules()) if scores else []:
            for name, child in parent.named_children():
                if isinstance(child, nn.Sigmoid):
                    setattr(parent, name, nn.Identity())

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        if label is not None:
            raise ValueError("This network takes no label.")
        made = self.net(x[:, :, None, None] if self.deep else x)
        return made.flatten() if self.scores else made


def recipe_of(peer: Peer, names: Mapping, networks: tuple[nn.Module, nn.Module]) -> Recipe:
    """A recipe of a peer's own networks, batch size and Adam, as its script has set them up."""
    batch, latent_dim, _ = (getattr(names["opt"], word) for word in peer.opt)
    adam = names[peer.names[2]].defaults
    generator, critic = networks
    return Recipe(
        peer.title,
        lambda: Called(copy.deepcopy(generator), peer.deep),
        lambda: Called(copy.deepcopy(critic), scores=True),
        gt.nonsaturating,
        gt.adam(adam["lr"], adam["betas"]),
        steps=0,
        latent_dim=latent,
        batch=batch,
    )


def resized(data: gt.Data, size: int) -> gt.Data:
    """The same digits at another size, once and for all."""
    made = [
        interpolate(part.float(), (size, size), mode="bilinear", antialias=True).round().to(torch.uint8)
        for part in data.values.split(1000)
    ]
    return gt.Data(data.name, torch.cat(made), data.label)


def supports(recipe: Recipe, data: gt.Data, measure: Acceleration) -> bool:
    """Whether networks that were not written for a measure work under it; if not, why, in their own words."""
    try:
        side(recipe, data, (measure,))(1)
    except RuntimeError as error:
        say(f"{recipe.name} does not bear {measure.name}: {error}")
        return False
    return True


def beside(peer: Peer, script: Path, measures: tuple[str, ...], threads: int, repeats: int, seconds: float) -> dict:
    """Rates of a peer's script, as it is, and of its networks under the book's loop, in turn. Run it `in_subprocess`.

    The script is stopped after one of its steps whenever its turn is over, goes on where it was when ours are, and is
    ended after the last round. RuntimeError where it ends by itself.
    """
    sys.path[:0] = [str(script.parent), str(STUBS)]
    seeded(0, threads)
    device = pick_device()[0]
    names, networks, sides = {"__name__": "__main__", "__file__": str(script)}, [], {}
    rates: dict[str, list[float]] = {"theirs": []}
    steps, start, recipe = -WARM, 0.0, None

    def remember(optimizer, *_):
        if not networks and peer.names[2] in names:
            networks.extend(copy.deepcopy(names[word]) for word in peer.names[:2])

    def prepare() -> None:
        nonlocal recipe
        recipe = recipe_of(peer, names, tuple(networks))
        data = resized(gt.data.mnist(), getattr(names["opt"], peer.opt[2])).to(device)
        alone = tuple(
            one
            for one in possible(tuple(ACCELERATIONS[name] for name in measures), device)
            if supports(recipe, data, one)
        )
        sides.update({title(own): side(recipe, data, own) for own in [(), *((one,) for one in alone)]})
        tried = interleaved(sides, 3, seconds / 3)
        together = best(tried, alone)
        if len(together) > 1:
            sides[title(together)] = side(recipe, data, together)
            sides[title(together)](WARM)
        rates.update({name: [] for name in sides}, flops=flops(Trainer(recipe, data)))

    def look(optimizer, *_):
        nonlocal steps, start
        if optimizer is not names.get(peer.names[2]):
            return
        steps += 1
        if not sides and steps == 0:
            prepare()
        elif steps > 0:
            wait()
            took = time.perf_counter() - start
            if took < seconds:
                return
            rates["theirs"].append(steps / took)
            own = max(1, round(steps / took * seconds))
            for name, run in sides.items():
                rates[name].append(own / timed(lambda run=run: run(own)))
            if len(rates["theirs"]) == repeats:
                raise TimeBudgetReached
            steps = 0
        if steps == 0:
            wait()
            start = time.perf_counter()

    hooks = [register_optimizer_step_pre_hook(remember), register_optimizer_step_post_hook(look)]
    accelerated = ("--accel",) if peer is EXAMPLES and device.type == "cuda" else ()
    try:
        run_until_budget(script, names, (*peer.arguments, *accelerated))
    finally:
        for hook in hooks:
            hook.remove()
    return {"flops": rates.pop("flops"), "batch": recipe.batch, "rates": rates}


def compared(peer: Peer, clone: Path, measures: tuple[Acceleration, ...], options) -> list[dict]:
    """Rows of one peer: its script, then its networks under the book's loop."""
    script = clone / peer.script
    if not script.is_file():
        raise SystemExit(
            f"{clone} is no clone of {peer.title}: it has no {peer.script}. Make one: git clone {peer.origin}"
        )
    found = in_subprocess(
        beside,
        peer,
        script.resolve(),
        tuple(measure.name for measure in measures),
        options.threads,
        options.repeats,
        options.seconds,
    )
    made = rows(peer.title, found["rates"], found["batch"], found["flops"], "theirs")
    made[0] |= {"measures": "its script", "flops": None, "flops_per_second": None}  # counted for our updates only
    for row in made:
        say(f"{peer.title}, {row['measures']}: {row['images']:,.0f} images/s, {row['ratio']:.2f} times as fast")
    return made


# --------------------------------------------------------------------------------------------------------- the tables


def table(rows: list[dict], peak: Mapping[str, float]) -> str:
    """Rows in Markdown. Shares are those of the best float32 product, of torch.mm and of any library."""
    mm, any_ = peak["torch.mm, float32"], max(v for way, v in peak.items() if way.endswith("float32"))
    lines = [
        "| training | measures | images/s | ratio | Gflop a step | Gflop/s | of torch.mm | of the best product |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        work = (
            "| | | | |"
            if r["flops"] is None
            else f"| {r['flops'] / 1e9:.3g} | {r['flops_per_second'] / 1e9:,.3g} | {r['flops_per_second'] / mm:.0%} | "
            f"{r['flops_per_second'] / any_:.0%} |"
        )
        lines.append(f"| {r['name']} | {r['measures']} | {r['images']:,.0f} | {r['ratio']:.2f} {work}")
    return "\n".join(lines)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast the book's recipes train.")
    parser.add_argument(
        "--only",
        nargs="*",
        choices=[*RECIPES],
        metavar="RECIPE",
        help="some of the recipes; without names none of them",
    )
    parser.add_argument(
        "--measures",
        nargs="*",
        choices=[*ACCELERATIONS],
        default=[*ACCELERATIONS],
        metavar="MEASURE",
        help=f"some of {', '.join(ACCELERATIONS)} (default all)",
    )
    parser.add_argument("--widths", nargs="+", type=int, default=[], help="of the recipe dcgan's networks, such as 32")
    parser.add_argument("--examples", type=Path, metavar="CLONE", help=f"of {EXAMPLES.origin}")
    parser.add_argument("--pytorch-gan", type=Path, metavar="CLONE", help=f"of {PYTORCH_GAN.origin}")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default all cores)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of which medians are taken (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn in a round (default 2)")
    parser.add_argument("--json", type=Path, help="write all rounds to this file")
    options = parser.parse_args(given)
    if not options.seconds > 0 or options.repeats < 1 or options.threads < 1 or any(w < 1 for w in options.widths):
        parser.error("widths, threads, repeats and seconds are positive")
    return options


def main(given: list[str] | None = None) -> int:
    options, found, peak, code = arguments(given), [], {}, 0
    os.environ.update(GAN_TUTORIAL_PROGRESS="0", GAN_TUTORIAL_SEED="", GAN_TUTORIAL_SCALE="")
    for name in ("GAN_TUTORIAL_DATA", "GAN_TUTORIAL_CACHE"):
        if os.environ.get(name):  # a peer works in another folder
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())
    torch.set_num_threads(options.threads)
    device = pick_device()[0]
    with contextlib.redirect_stdout(sys.stderr):
        data = gt.data.digits().to(device)
    games = [(name, recipe) for name, recipe in RECIPES.items() if options.only is None or name in options.only]
    games += [(f"dcgan of width {width}", wider(width)) for width in options.widths]
    clones = [
        (peer, clone) for peer, clone in ((EXAMPLES, options.examples), (PYTORCH_GAN, options.pytorch_gan)) if clone
    ]
    try:
        measures = possible(tuple(ACCELERATIONS[name] for name in options.measures), device)
        peak = peaks(device)
        for name, recipe in games:
            found += measured(recipe, name, data, measures, options)
        for peer, clone in clones:
            found += compared(peer, clone, measures, options)
    except KeyboardInterrupt:
        say("Interrupted. What was complete:")
        code = 130
    if peak:
        print(f"{gt.checkpoint.machine(device)}. Medians of {options.repeats} rounds of {options.seconds:g} s.\n")
        print(
            "The best matrix products: "
            f"{'; '.join(f'{way} {rate / 1e9:,.0f} Gflop/s' for way, rate in peak.items())}.\n"
        )
    print(table(found, peak) if found else "Nothing was measured.")
    if options.json:
        options.json.write_text(
            json.dumps(
                {"machine": gt.checkpoint.machine(device), "peaks": peak, "rows": found, "seconds": options.seconds},
                indent=1,
            )
            + "\n",
            encoding="utf-8",
        )
    return code


if __name__ == "__main__":
    raise SystemExit(main())
