"""How fast the book's recipes train: images a second, and the share of what the machine's matrix products reach.

    python -m benchmarks.speed                                # every recipe, plain and by each acceleration
    python -m benchmarks.speed --only dcgan --widths 8 16 32 64 128
    python -m benchmarks.speed --only --examples PATH/TO/pytorch/examples --pytorch-gan PATH/TO/PyTorch-GAN

Prints tables; benchmarks/README.md says what is measured, and how. Keep the machine free of other work meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import gan_tutorial as gt
from gan_tutorial.acceleration import ACCELERATIONS, Acceleration, bfloat16
from gan_tutorial.flops import OpCounter
from gan_tutorial.game import turns
from gan_tutorial.recipes import DCGAN, RECIPES
from gan_tutorial.runtime import pick_device
from gan_tutorial.training import Recipe, Trainer

from .runners import TimeBudgetReached, called_as, in_subprocess, isolate, run_until_budget, seed_everything, write_json

WARM = 6  # steps of each side before its clock starts: caches, compilers, recordings
WORTH = 1.03  # an acceleration is part of the best combination where it gains so much by itself
SIZES = (512, 1024, 2048)
Side = Callable[[int], None]  # so many steps of a training
Clock = Callable[[], float]  # seconds
Accelerations = tuple[Acceleration, ...]
Build = Callable[[Recipe, gt.Data, Accelerations], Side]


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


def timed(run: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """Seconds that a call takes, a GPU's work included."""
    wait()
    start = clock()
    run()
    wait()
    return clock() - start


def wait() -> None:
    """Until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interleaved(
    sides: Mapping[str, Side], repeats: int, seconds: float, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Steps a second of each side, round by round: whatever else slows the machine down slows all of them down.

    Every turn has as many whole steps as fit into the seconds, at least one.
    """
    steps = {}
    for name, run in sides.items():
        run(WARM)
        steps[name] = max(1, round(seconds / timed(lambda run=run: run(2), clock) * 2))
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            rates[name].append(steps[name] / timed(lambda run=run, name=name: run(steps[name]), clock))
    return rates


# ------------------------------------------------------------------------------------------------- peak, and a share


@torch.no_grad()
def peaks(device: torch.device, sizes: Sequence[int] = SIZES) -> dict[str, float]:
    """Flops a second of the best square matrix product, 2 n³ flops each: torch.mm, and on a CPU oneDNN, by dtype.

    torch.mm goes to another library than convolutions do, and on some processors that one is the slower.
    """
    best = {}
    for dtype, word in ((torch.float32, "float32"), (torch.bfloat16, "bf16")):
        if dtype == torch.bfloat16 and bfloat16.refusal(device):
            continue
        for n in sizes:
            a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
            ways = {f"torch.mm, {word}": lambda a=a, b=b: a @ b}
            if device.type == "cpu" and torch.backends.mkldnn.is_available() and dtype == torch.float32:
                theirs = a.to_mkldnn()
                ways[f"oneDNN, {word}"] = lambda theirs=theirs, b=b: linear(theirs, b)
            for way, run in ways.items():
                run()
                best[way] = max(best.get(way, 0.0), *(2 * n**3 / timed(run) for _ in range(7)))
    return best


def flops(trainer: Trainer) -> int:
    """Flops of a step, all updates of it, as PyTorch counts them: matrix products and convolutions alone."""
    with OpCounter() as costs:
        next(turns(trainer.players, trainer.feed))
    return costs.flops


# -------------------------------------------------------------------------------------------------------- our recipes


def side(recipe: Recipe, data: gt.Data, accelerations: Accelerations) -> Side:
    """A training that can be told to go on for so many steps."""
    trainer = Trainer(recipe, data, 0, accelerations)
    return lambda steps: trainer.run(steps=trainer.steps + steps)


def possible(accelerations: Accelerations, device: torch.device) -> Accelerations:
    """Those that can be taken on this device; the others are told about."""
    for one in accelerations:
        if why := one.refusal(device):
            say(f"Without {one.name}. {why}")
    return tuple(one for one in accelerations if not one.refusal(device))


def title(accelerations: Accelerations) -> str:
    """Their names, or "none"."""
    return " + ".join(one.name for one in accelerations) or "none"


def best(rates: Mapping[str, list[float]], accelerations: Accelerations, beside: str = "none") -> Accelerations:
    """The accelerations that are worth it by themselves."""
    return tuple(one for one in accelerations if ratio(rates, one.name, beside) >= WORTH)


def ratio(rates: Mapping[str, list[float]], name: str, beside: str) -> float:
    """The median of what a side gains on another one in each round."""
    return median(one / other for one, other in zip(rates[name], rates[beside], strict=True))


def measured(
    recipe: Recipe,
    name: str,
    data: gt.Data,
    accelerations: Accelerations,
    options,
    build: Build = side,
    clock: Clock = time.perf_counter,
) -> list[dict]:
    """Rows of one recipe: without accelerations, by each of them alone, and by all together that are worth it."""
    count = flops(Trainer(recipe, data))
    sides = {title(own): build(recipe, data, own) for own in [(), *((one,) for one in accelerations)]}
    rates = interleaved(sides, options.repeats, options.seconds, clock)
    found = rows(name, rates, recipe.batch_size, count)
    together = best(rates, accelerations)
    if len(together) > 1:
        sides = {"none": sides["none"], title(together): build(recipe, data, together)}
        rates = interleaved(sides, options.repeats, options.seconds, clock)
        found += rows(name, rates, recipe.batch_size, count)[1:]
    for row in found:
        say(f"{name}, {row['accelerations']}: {row['images']:,.0f} images/s, {row['ratio']:.2f} times as fast")
    return found


def rows(name: str, rates: Mapping[str, list[float]], batch: int, count: int, beside: str = "none") -> list[dict]:
    """One row for each side: medians of images and flops a second, and of the ratio to the side that it is beside."""
    return [
        {
            "name": name,
            "accelerations": own,
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
        networks={
            "generator": lambda spec: gt.ConvGenerator(spec.latent_dim, spec.size, spec.channels, width=width),
            "critic": lambda spec: gt.ConvCritic(spec.size, spec.channels, width=width, hidden=128, spectral=True),
        },
    )


# ------------------------------------------------------------------------------------------------------------- peers


class Called(nn.Module):
    """A peer's network, called as the book calls networks, `net(x, condition)`. Scores are those before its sigmoid.

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

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:
            raise ValueError("This network takes no label.")
        made = self.net(x[:, :, None, None] if self.deep else x)
        return made.flatten() if self.scores else made


def recipe_of(peer: Peer, names: Mapping, networks: tuple[nn.Module, nn.Module]) -> Recipe:
    """A recipe of a peer's own networks, batch size and Adam, as its script has set them up."""
    batch_size, latent_dim, _ = (getattr(names["opt"], word) for word in peer.opt)
    adam = names[peer.names[2]].defaults
    generator, critic = networks
    return Recipe(
        peer.title,
        {
            "generator": lambda spec: Called(copy.deepcopy(generator), peer.deep),
            "critic": lambda spec: Called(copy.deepcopy(critic), scores=True),
        },
        gt.nonsaturating,
        gt.adam(adam["lr"], adam["betas"]),
        latent_dim=latent_dim,
        batch_size=batch_size,
        share_batch=True,  # as their scripts do
    )


def resized(data: gt.Data, size: int) -> gt.Data:
    """The same digits at another size, once and for all."""
    made = [
        interpolate(part.float(), (size, size), mode="bilinear", antialias=True).round().to(torch.uint8)
        for part in data.values.split(1000)
    ]
    return gt.Data(data.name, torch.cat(made), data.label)


def supports(recipe: Recipe, data: gt.Data, one: Acceleration, build: Build = side) -> Side | None:
    """A training of networks that were not written for an acceleration, if they work under it.

    Where they do not, None, and why is said in their words.
    """
    try:
        run = build(recipe, data, (one,))
        run(WARM)
    except RuntimeError as error:
        say(f"{recipe.name} does not support {one.name}: {error}")
        return None
    return run


def beside(
    peer: Peer,
    script: Path,
    accelerations: tuple[str, ...],
    threads: int,
    repeats: int,
    seconds: float,
    build: Build = side,
    clock: Clock = time.perf_counter,
    load: Callable[..., gt.Data] = gt.data.mnist,
) -> dict:
    """Rates of a peer's script, as it is, and of its networks under the book's loop, in turn. Run it `in_subprocess`.

    The script is stopped after one of its steps whenever its turn is over, goes on where it was when ours are, and is
    ended after the last round. RuntimeError where it ends by itself.
    """
    seed_everything(0, threads)
    device = pick_device()[0]
    names, networks, sides = {"__name__": "__main__", "__file__": str(script)}, [], {}
    rates: dict[str, list[float]] = {"theirs": []}
    steps, start, recipe, count = -WARM, 0.0, None, 0

    def remember(optimizer, *_):
        if not networks and peer.names[2] in names:
            networks.extend(copy.deepcopy(names[word]) for word in peer.names[:2])

    def prepare() -> None:
        nonlocal recipe, count
        recipe = recipe_of(peer, names, tuple(networks))
        data = resized(load("train"), getattr(names["opt"], peer.opt[2])).to(device)
        able = possible(tuple(ACCELERATIONS[name] for name in accelerations), device)
        found = {one: supports(recipe, data, one, build) for one in able}
        alone = tuple(one for one, run in found.items() if run)
        sides.update({"none": build(recipe, data, ())} | {one.name: found[one] for one in alone})
        together = best(interleaved(sides, 3, seconds / 3, clock), alone)
        if len(together) > 1:
            sides[title(together)] = build(recipe, data, together)
            sides[title(together)](WARM)
        rates.update({name: [] for name in sides})
        count = flops(Trainer(recipe, data))

    def look(optimizer, *_):
        nonlocal steps, start
        if optimizer is not names.get(peer.names[2]):
            return
        steps += 1
        if not sides and steps == 0:
            prepare()
        elif steps > 0:
            wait()
            took = clock() - start
            if took < seconds:
                return
            rates["theirs"].append(steps / took)
            for name, run in sides.items():  # as many steps as theirs, at first; then as many as the seconds hold
                own = max(1, round((rates[name] or rates["theirs"])[-1] * seconds))
                rates[name].append(own / timed(lambda run=run, own=own: run(own), clock))
            if len(rates["theirs"]) == repeats:
                raise TimeBudgetReached
            steps = 0
        if steps == 0:
            wait()
            start = clock()

    hooks = [register_optimizer_step_pre_hook(remember), register_optimizer_step_post_hook(look)]
    accelerator = ("--accel",) if peer is EXAMPLES and device.type == "cuda" else ()
    try:
        with called_as(script, (*peer.arguments, *accelerator)):
            run_until_budget(script, names)
    finally:
        for hook in hooks:
            hook.remove()
    return {"flops": count, "batch": recipe.batch_size, "rates": rates}


def script_of(peer: Peer, clone: Path) -> Path:
    """A peer's script in a clone. SystemExit, with a sentence, where the path is no clone of it."""
    script = clone / peer.script
    if not script.is_file():
        raise SystemExit(
            f"{clone} is not a clone of {peer.title}: it has no {peer.script}. Make one: git clone {peer.origin}"
        )
    return script.resolve()


def compared(peer: Peer, clone: Path, accelerations: Accelerations, options) -> list[dict]:
    """Rows of one peer: its script, then its networks under the book's loop."""
    names = tuple(one.name for one in accelerations)
    found = in_subprocess(
        beside, peer, script_of(peer, clone), names, options.threads, options.repeats, options.seconds
    )
    made = rows(peer.title, found["rates"], found["batch"], found["flops"], "theirs")
    made[0] |= {"accelerations": "its script", "flops": None, "flops_per_second": None}  # counted for our updates only
    for row in made:
        say(f"{peer.title}, {row['accelerations']}: {row['images']:,.0f} images/s, {row['ratio']:.2f} times as fast")
    return made


# --------------------------------------------------------------------------------------------------------- the tables


def table(rows: list[dict], peak: Mapping[str, float]) -> str:
    """Rows in Markdown. Shares are those of the best float32 product, of torch.mm and of any library."""
    mm, any_ = peak["torch.mm, float32"], max(v for way, v in peak.items() if way.endswith("float32"))
    lines = [
        "| training | accelerations | images/s | ratio | Gflop a step | Gflop/s | of torch.mm | of the best product |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        work = (
            "| | | | |"
            if r["flops"] is None
            else f"| {r['flops'] / 1e9:.3g} | {r['flops_per_second'] / 1e9:,.3g} | {r['flops_per_second'] / mm:.0%} | "
            f"{r['flops_per_second'] / any_:.0%} |"
        )
        lines.append(f"| {r['name']} | {r['accelerations']} | {r['images']:,.0f} | {r['ratio']:.2f} {work}")
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
        "--accelerations",
        nargs="*",
        choices=[*ACCELERATIONS],
        default=[*ACCELERATIONS],
        metavar="NAME",
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


def main(
    given: list[str] | None = None,
    measure: Callable[..., list[dict]] = measured,
    peak_of: Callable[[torch.device], dict[str, float]] = peaks,
    load: Callable[[], gt.Data] = gt.data.digits,
    recipes: Mapping[str, Recipe] = RECIPES,
) -> int:
    """Measure what the arguments ask for. 130 after Ctrl-C, which leaves what was complete."""
    options, found, peak, code = arguments(given), [], {}, 0
    isolate()
    torch.set_num_threads(options.threads)
    device = pick_device()[0]
    with contextlib.redirect_stdout(sys.stderr):
        data = load().to(device)
    games = [(name, recipe) for name, recipe in recipes.items() if options.only is None or name in options.only]
    games += [(f"dcgan of width {width}", wider(width)) for width in options.widths]
    clones = [
        (peer, clone) for peer, clone in ((EXAMPLES, options.examples), (PYTORCH_GAN, options.pytorch_gan)) if clone
    ]
    try:
        accelerations = possible(tuple(ACCELERATIONS[name] for name in options.accelerations), device)
        peak = peak_of(device)
        for name, recipe in games:
            found += measure(recipe, name, data, accelerations, options)
        for peer, clone in clones:
            found += compared(peer, clone, accelerations, options)
    except KeyboardInterrupt:
        say("Interrupted. What was complete:")
        code = 130
    if peak:
        print(f"{gt.checkpoint.machine(device)}. Medians of {options.repeats} rounds of {options.seconds:g} s.\n")
        ways = "; ".join(f"{way} {rate / 1e9:,.0f} Gflop/s" for way, rate in peak.items())
        print(f"The best matrix products: {ways}.\n")
    print(table(found, peak) if found else "Nothing was measured.")
    if options.json:
        facts = {"machine": gt.checkpoint.machine(device), "peaks": peak, "rows": found, "seconds": options.seconds}
        write_json(options.json, facts)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
