"""Whole trainings: a `Recipe` says what learns and from what, a `Trainer` is one at work, a `TrainedModel` its result.

    recipe = Recipe("mine", {"generator": build_generator, "critic": build_critic}, gt.hinge, gt.adam(1e-3))
    model = recipe.train(data, seconds=60)
    images = model.sample(100)

The recipes of the book are in `gan_tutorial.recipes`. One that is not a GAN of one generator and one critic also says
who plays, on which batches, and how to sample.
"""

import copy
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import islice
from numbers import Integral
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from . import distributed
from .acceleration import Acceleration, accelerate
from .augment import DiffAugment
from .data import Data
from .ema import EMA, update_bn
from .game import Batch, Feed, Interrupted, Log, NonFiniteLoss, Player, Terms, adam, adversaries, sample, turns
from .objectives import Objective, nonsaturating
from .runtime import check_seed, derive_seed, progress_bar

BATCHNORM_SAMPLES = 5_000  # after training, BatchNorm's statistics are measured on at least this many
PIECE = 1000  # samples made at a time

History = Mapping[str, Mapping[str, Tensor]]
Networks = Mapping[str, nn.Module]
OptimizerFactory = Callable[[Iterable], torch.optim.Optimizer]


class Batches(Iterator[Batch], Protocol):
    """An endless iterator of batches, such as a `Feed`. `batches_drawn`, the number of the next one, can be set."""

    batches_drawn: int


class Spec(NamedTuple):
    """What networks are built for.

    shape       of a sample: (channels, height, width) of images, (d,) of points
    classes     how many; 0 if the networks are not told labels
    latent_dim  dimensions of z
    """

    shape: tuple[int, ...]
    classes: int
    latent_dim: int

    @property
    def channels(self) -> int:
        """Channels of an image. Raises ValueError if samples are not images."""
        return self._image()[0]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of an image. Raises ValueError if samples are not images."""
        return self._image()[1:]

    def _image(self) -> tuple[int, int, int]:
        if len(self.shape) != 3:
            raise ValueError(
                f"This recipe learns images (channels, height, width), and these samples have shape {self.shape}: take "
                "a recipe of fully connected networks, such as mlp."
            )
        return self.shape


# ------------------------------------------------------------------------- what a recipe does unless it says otherwise


def adversarial_players(
    recipe: "Recipe",
    networks: Networks,
    generator_terms: Callable[[Batch, Tensor], Mapping[str, Tensor]] | None = None,
) -> Sequence[Player]:
    """One critic and one generator, whose loss may have further terms, see `gan_tutorial.adversaries`."""
    return adversaries(
        networks["generator"],
        networks["critic"],
        recipe.objective,
        recipe.optimizer,
        generator_terms=generator_terms,
        critic_optimizer=recipe.critic_optimizer,
        lr_schedule=recipe.lr_schedule,
        term_weights=recipe.term_weights,
        augment=recipe.augment,
        share_batch=recipe.share_batch,
    )


def lone_player(recipe: "Recipe", name: str, net: nn.Module, loss: Callable[[Batch], Terms]) -> Sequence[Player]:
    """One player without an adversary. ValueError for fields of the recipe that such a game has no use for."""
    refuse_unused(recipe, "objective", "critic_optimizer", "share_batch", "labelled", "augment")
    learn = recipe.optimizer(net.parameters())
    return [Player(name, net, loss, learn, lr_schedule=recipe.lr_schedule, term_weights=recipe.term_weights)]


def refuse_unused(recipe: "Recipe", *names: str) -> None:
    """Raise ValueError for a field of the recipe that was set although its players would silently ignore it."""
    for name in names:
        if getattr(recipe, name) != getattr(Recipe, name):
            raise ValueError(f"The players of {recipe.name} make no use of {name}: leave it out.")


def data_batches(recipe: "Recipe", data: Data, seed: int) -> Feed:
    """Batches of the data, with labels where the recipe is labelled."""
    uniforms = 2 * recipe.augment.uniforms if recipe.augment else 0
    return Feed(data, recipe.latent_dim, recipe.batch_size, seed, recipe.labelled, flip=recipe.flip, uniforms=uniforms)


def generate(networks: Networks, z: Tensor, condition: Tensor | None) -> Tensor:
    """Samples of the network called generator, in evaluation mode."""
    return sample(networks["generator"], z, condition)


def generator_forward(networks: Networks, batch: Batch) -> None:
    """A forward pass of the network called generator, in its present mode."""
    networks["generator"](batch.z, batch.condition)


@dataclass(frozen=True)
class Recipe:
    """A training, with every number that it needs.

    name              in files, and on the command line where it is one of `RECIPES`
    networks          name -> (Spec -> network), built in this order: {"generator": …, "critic": …}
    objective         what critic and generator minimise
    optimizer         parameters -> optimiser, one for each player; critic_optimizer: the critic's, if it differs
    steps             how many by default; for the book's recipes, about a minute on two CPU cores
    latent_dim        dimensions of z
    batch_size        samples in a batch
    share_batch       whether critic and generator learn on one batch, see `adversaries`
    labelled          whether networks are told the label
    half_life         of the moving average of weights, in images
    lr_schedule       steps done -> factor of the learning rates
    term_weights      a term of the critic, or of a lone player -> (steps done -> its factor)
    augment           applied to real and fake samples before the critic sees them, see `gan_tutorial.augment`; flip:
                      whether each real image is mirrored with probability one half
    players           (recipe, networks) -> the players, in the order of their turns
    batches           (recipe, data, seed) -> the feed: endless batches, with `batches_drawn` that can be set
    averaged          the networks whose moving averages make samples
    sampler           (averaged networks, z, condition) -> samples
    forward           (averaged networks, batch): a forward pass, by which BatchNorm's statistics are measured
    condition_shape   Spec -> the shape of one condition, if samples are made from images; None in it for any length
    options           what `configure` changed, by name
    """

    name: str
    networks: Mapping[str, Callable[[Spec], nn.Module]]
    objective: Objective = nonsaturating
    optimizer: OptimizerFactory = adam(1e-3)
    critic_optimizer: OptimizerFactory | None = None
    steps: int = 3_000
    latent_dim: int = 64
    batch_size: int = 64
    share_batch: bool = False
    labelled: bool = False
    half_life: float = 50_000
    lr_schedule: Callable[[int], float] | None = None
    term_weights: Mapping[str, Callable[[int], float]] | None = None
    augment: Callable[[Tensor, Tensor], Tensor] | None = None
    flip: bool = False
    players: Callable[["Recipe", Networks], Sequence[Player]] = adversarial_players
    batches: Callable[["Recipe", Data, int], Batches] = data_batches
    averaged: tuple[str, ...] = ("generator",)
    sampler: Callable[[Networks, Tensor, Tensor | None], Tensor] = generate
    forward: Callable[[Networks, Batch], object] = generator_forward
    condition_shape: Callable[[Spec], tuple[int | None, ...]] | None = None
    options: Mapping = field(default_factory=dict)

    def __post_init__(self):
        for each in fields(self):
            object.__setattr__(self, each.name, plain(getattr(self, each.name)))
        object.__setattr__(self, "options", {name: plain(value) for name, value in self.options.items()})

    def __repr__(self) -> str:
        changed = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"Recipe({self.name!r}{changed})"

    def configure(
        self,
        *,
        batch_size: int | None = None,
        latent_dim: int | None = None,
        lr: float | None = None,
        half_life: float | None = None,
        flip: bool | None = None,
        augment: bool | None = None,
    ) -> "Recipe":
        """The recipe with other numbers. Files remember them, so that they can be loaded by the recipe's name alone.

        lr       multiplies the learning rates of all players by lr / (that of `optimizer`)
        augment  True for `DiffAugment()`, False for none

        Raises ValueError for an lr if the optimiser is not a `functools.partial` with an lr, as `adam(…)` is.
        """
        given = {"batch_size": batch_size, "latent_dim": latent_dim, "half_life": half_life, "flip": flip}
        given = {name: value for name, value in given.items() if value is not None}
        made, options = replace(self, **given), {**self.options, **given}
        if augment is not None:
            made, options["augment"] = replace(made, augment=DiffAugment() if augment else None), augment
        if lr is not None:
            factor = plain(lr) / learning_rate(self.optimizer)
            other = self.critic_optimizer
            made = replace(
                made,
                optimizer=scale_lr(self.optimizer, factor),
                critic_optimizer=None if other is None else scale_lr(other, factor),
            )
            options["lr"] = lr
        return replace(made, options=options)

    def spec(self, data: Data) -> Spec:
        """What its networks are built for on these data: as many classes as have names, or the greatest label plus one.

        Raises ValueError for data without the labels that it needs.
        """
        if not self.labelled:
            return Spec(data.shape, 0, self.latent_dim)
        if data.label is None:
            raise ValueError(f"The recipe {self.name} is told labels, and {data.name} has none.")
        classes = len(data.class_names) or int(data.label.max()) + 1  # a part of the data may lack the last class
        return Spec(data.shape, classes, self.latent_dim)

    def build(self, spec: Spec, names: Iterable[str] | None = None) -> dict[str, nn.Module]:
        """Its networks, or those of these names, with initial weights from PyTorch's global generator."""
        return {name: self.networks[name](spec) for name in names or self.networks}

    def train(
        self,
        data: Data,
        steps: int | None = None,
        seconds: float | None = None,
        seed: int = 0,
        hooks: Sequence[Callable[[int, Log], None]] = (),
        accelerations: Sequence[Acceleration] = (),
    ) -> "TrainedModel":
        """Train on `data`, on its device: for `steps` or for `seconds`, or else for the recipe's own steps.

        accelerations  such as (acceleration.bfloat16, acceleration.fused): they leave the game alone

        The same seed and steps give the same weights on one CPU with the same number of threads. Ctrl-C raises
        Interrupted, whose `model` is what was learned so far. Other exceptions, such as a hook's, have a `model` too,
        except for NonFiniteLoss, which is raised as by `fit`. Raises ValueError if both steps and seconds are given, or
        the recipe needs labels that the data do not have.
        """
        trainer = Trainer(self, data, seed, accelerations)
        try:
            trainer.run(self.steps if steps is None and seconds is None else steps, seconds, hooks)
        except Interrupted as interrupted:
            interrupted.model = trainer.model()
            raise
        except NonFiniteLoss:  # these weights are of no use
            raise
        except Exception as error:
            if trainer.steps and trainer.whole:  # such as a hook's: what was learned is not lost
                error.model = trainer.model()  # pyright: ignore[reportAttributeAccessIssue]
                error.add_note(f"What was learned in {trainer.steps:,} steps is this exception's `model`.")
            raise
        return trainer.model()


def plain(value):
    """A NumPy number as a Python one, which JSON can hold; anything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def learning_rate(factory: OptimizerFactory) -> float:
    """The lr of an optimiser factory. ValueError unless it is a partial with one."""
    if not isinstance(factory, partial) or "lr" not in factory.keywords:
        raise ValueError("Expected an optimiser such as gt.adam(2e-4) or functools.partial(SGD, lr=0.1).")
    return factory.keywords["lr"]


def scale_lr(factory: OptimizerFactory, factor: float) -> OptimizerFactory:
    """The same optimiser with its learning rate times `factor`."""
    return partial(factory, lr=factor * learning_rate(factory))  # pyright: ignore[reportCallIssue]  # it takes one


# --------------------------------------------------------------------------------------------------------- at work


@dataclass(frozen=True)
class TrainedModel:
    """What a training made.

    networks  the moving averages, frozen, their BatchNorm statistics measured anew: {"generator": …}
    spec      what they were built for
    log       its history, `log["critic"]["game"]` of shape (steps,); for a model that ships, means over equal spans
    seconds   of training; steps: how many
    card      what its file says about it: data, machine, code, metrics; empty if it comes from no file
    """

    recipe: Recipe
    networks: Networks
    spec: Spec
    log: History
    steps: int
    seconds: float
    card: Mapping = field(default_factory=dict)

    def __str__(self) -> str:
        where = f" on {self.card['data']}, {self.card['machine']}" if self.card else ""
        return f"{self.recipe.name}: {self.steps:,} steps in {self.seconds:,.0f} s{where}"

    @property
    def generator(self) -> nn.Module:
        """The network of this name. KeyError where the recipe averages others."""
        return self.networks["generator"]

    @property
    def metrics(self) -> dict[str, Mapping[str, float]]:
        """The metrics on its card: early in training, at the end, and of real training images. Empty without a card."""
        names = self.card.get("metrics", {})
        early = {
            f"after {point['seconds']:.0f} s": {name: point[name] for name in names if name in point}
            for point in self.card.get("curve", [])[:1]
        }
        late = {f"after {self.seconds:.0f} s": names} if names else {}
        real = {name: self.card[name] for name in ("training images",) if name in self.card}
        return early | late | real

    def conditions(self, n: int, condition: Tensor | int | None = None) -> Tensor | None:
        """The conditions (n, …) of n samples. Without one: all classes in turn if the recipe is labelled, else None.

        condition  a tensor (n, …), or one label for all samples

        Images are returned as float32. Raises ValueError for a condition that is not a tensor, or is of another shape
        or an unknown class, and for images that are not finite floating point in [-1, 1].
        """
        if not self.recipe.labelled:
            if isinstance(condition, Integral):
                raise ValueError(f"The recipe {self.recipe.name} is not told labels: leave the label out.")
        elif condition is None:
            condition = torch.arange(n) % self.spec.classes
        elif isinstance(condition, Integral) and not isinstance(condition, bool):
            if not 0 <= condition < self.spec.classes:
                raise ValueError(f"Expected a label from 0 to {self.spec.classes - 1}, got {condition}.")
            condition = torch.full((n,), int(condition))
        if condition is None:
            return None
        if not isinstance(condition, Tensor):
            raise ValueError(
                f"Expected a tensor of labels or of images as condition, got a {type(condition).__name__}."
            )
        if condition.shape[:1] != (n,):
            raise ValueError(
                f"Expected one condition (label or image) for each of {n} samples, got shape {tuple(condition.shape)}."
            )
        if self.recipe.labelled and not condition.is_floating_point():  # here, since on a GPU no network checks
            least, most = int(condition.min()), int(condition.max())
            if not 0 <= least <= most < self.spec.classes:
                raise ValueError(f"Expected labels from 0 to {self.spec.classes - 1}, got some from {least} to {most}.")
        return condition if self.recipe.condition_shape is None else self._images(condition)

    def _images(self, condition: Tensor) -> Tensor:
        """Images that samples are made from, in float32. ValueError, with what to do, for any that do not fit."""
        shape = self.recipe.condition_shape(self.spec)  # pyright: ignore[reportOptionalCall]  # asked before
        own = tuple(condition.shape[1:])
        fits = len(own) == len(shape) and all(side in (None, one) for side, one in zip(shape, own, strict=True))
        if not fits or not condition.is_floating_point():
            sides = ", ".join("any" if side is None else str(side) for side in shape)
            raise ValueError(
                f"Expected images of shape (n, {sides}) and floating point as condition of {self.recipe.name}, as it "
                f"was trained on, got {condition.dtype} of shape {tuple(condition.shape)}."
            )
        if not condition.isfinite().all():
            raise ValueError(
                f"The images given to {self.recipe.name} as condition have values that are NaN or infinite: "
                "replace them."
            )
        low, high = (bound.item() for bound in condition.aminmax())
        if self.spec.channels <= 4 and not -1.001 <= low <= high <= 1.001:  # more channels have any range
            raise ValueError(
                f"Expected images in [-1, 1] as condition of {self.recipe.name}, got values from {low:.4g} to "
                f"{high:.4g}: rescale them, for grey levels 0…255 by x / 127.5 - 1."
            )
        return condition.float()

    def pieces(self, n: int, condition: Tensor | int | None = None, seed: int = 0) -> Iterator[Tensor]:
        """n samples, up to a thousand at a time: for more than fit into memory. ValueError unless n is positive."""
        if n < 1:
            raise ValueError(f"Expected a positive number of samples, got {n}.")
        condition = self.conditions(n, condition)
        device = next(next(iter(self.networks.values())).parameters()).device
        random = torch.Generator(device).manual_seed(derive_seed(seed, "samples"))
        for start in range(0, n, PIECE):
            z = torch.randn(min(PIECE, n - start), self.spec.latent_dim, generator=random, device=device)
            told = None if condition is None else condition[start : start + PIECE].to(device)
            yield self.recipe.sampler(self.networks, z, told)

    @torch.no_grad()
    def sample(self, n: int, condition: Tensor | int | None = None, seed: int = 0) -> Tensor:
        """n samples (n, *shape), images in [-1, 1], made in pieces that fit into memory.

        condition  for a labelled recipe, labels (n,) int64 or one label for all; without it, all classes in turn. For a
                   recipe that makes images from images, n of these: samples have their size.

        Raises ValueError for a condition that does not fit what it was trained on, or where none is expected.
        """
        return torch.cat(list(self.pieces(n, condition, seed)))


class Trainer:
    """A recipe at work: all that changes while it trains, so that it can stop, be saved, and go on.

        trainer = Trainer(recipes.DCGAN, data)
        trainer.run(steps=500)
        trainer.run(steps=1000)

    The weights are then those of 1,000 steps in one go, bit for bit on a CPU with the same number of threads.

    players, feed   as `fit` takes them; networks: by name
    averages        the moving averages that samples are made with, by name
    steps, seconds  of training so far
    accelerations   in use, see `gan_tutorial.acceleration`
    whole           False if it was stopped within a step, and so cannot be resumed

    If several processes have joined, each takes its part of every batch; the log is that of whole batches. Layers that
    draw random numbers, such as dropout, have a stream of their own. Raises ValueError for data without the labels that
    the recipe needs, for batches or a `forward` that do not work, for processes that play different games or cannot
    share a batch evenly, and for an acceleration that is not supported here.
    """

    def __init__(self, recipe: Recipe, data: Data, seed: int = 0, accelerations: Sequence[Acceleration] = ()):
        self.recipe, self.data, self.seed, self.accelerations = recipe, data, check_seed(seed), tuple(accelerations)
        shared = distributed.world_size() > 1
        if shared:
            distributed.local_batch_size(recipe.batch_size)
            names = [getattr(one, "name", str(one)) for one in self.accelerations]
            distributed.check_equal(
                recipe=recipe.name, seed=seed, data=data.name, samples=len(data), accelerations=names
            )
        self.spec, self.device = recipe.spec(data), data.values.device
        self.feed = recipe.batches(recipe, data, self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, recipe.name, "weights"))
            self.networks = {name: net.to(self.device) for name, net in recipe.build(self.spec).items()}
        self.players = recipe.players(recipe, self.networks)
        accelerate(self.players, self.accelerations)
        if shared:
            distributed.data_parallel(self.players)
        self.averages = {
            name: EMA(self.networks[name], recipe.half_life, recipe.batch_size) for name in recipe.averaged
        }
        self.check_forward()
        self.layers = LayerRandomness(self.device, derive_seed(seed, recipe.name, "layers", distributed.rank()))
        self.steps, self.seconds, self.whole = 0, 0.0, True
        self.logs: list[History] = []  # of the calls of `run` so far

    def run(
        self,
        steps: int | None = None,
        seconds: float | None = None,
        hooks: Sequence[Callable[[int, Log], None]] = (),
        save: Callable[["Trainer"], None] | None = None,
        every: float = 60.0,
    ) -> None:
        """Train until this many steps, or this many seconds of training, are done in total.

        hooks  called as hook(step, log) after every step, with steps counted from the start of this call
        save   called with this trainer between two steps, every `every` seconds; its time does not count as training

        Ctrl-C ends it after the current step (with several processes, at the next multiple of ten), and raises
        Interrupted: half a step could not be resumed. A second Ctrl-C ends it at once, by KeyboardInterrupt. Of several
        processes, only the first calls hooks and `save`, and watches the clock.

        Raises NonFiniteLoss as `fit` does, and distributed.PeerLost if another process is gone. Raises ValueError
        unless exactly one of steps and seconds is given and is not negative, if the processes are at different steps,
        and if this training was stopped within a step.
        """
        if (steps is None) == (seconds is None):
            raise ValueError("Train for a number of steps or of seconds, for one of them and not for both.")
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 0):
            raise ValueError(f"Expected a whole number of steps from 0 on, got {steps!r}.")
        if seconds is not None and not seconds >= 0:  # written so that NaN fails as well
            raise ValueError(f"Expected a number of seconds from 0 on, got {seconds!r}.")
        hooks = tuple(hooks)
        if not self.whole:
            raise ValueError("This training was ended within a step, and cannot go on: load the last file of it.")
        distributed.check_equal(step=self.steps)
        first, log, clock = distributed.rank() == 0, Log(), Clock(self.seconds, self.device)
        self.logs.append(log)

        def done() -> bool:
            """Whether to stop. Each process counts steps itself; seconds and interrupts are told to all of them."""
            over = first and seconds is not None and self.seconds >= seconds
            said = distributed.all_reduce_max(2 if asked else 1 if over else 0, self.steps)
            if said == 2:
                raise Interrupted(f"Interrupted after {self.steps:,} steps, which are kept.", self.log)
            return said == 1 or (steps is not None and self.steps >= steps)

        with interruptible() as asked, progress_bar(steps, seconds, self.steps, self.seconds) as show:
            try:
                play = turns(self.players, self.parts())
                while not done():
                    self.step(play, log)
                    if first:
                        for hook in hooks:
                            hook(log.steps - 1, log)
                    self.seconds = clock()
                    show(self.steps, self.seconds)
                    if save and first and clock.since_pause() >= every:
                        with clock.paused():
                            save(self)
                self.seconds = clock(wait=True)
            finally:
                log.read()
                if not log.steps:
                    self.logs.remove(log)

    def check_forward(self) -> None:
        """Measure BatchNorm's statistics on one batch, as `model` will at the end. ValueError if that fails.

        Also raises it for batches without `batches_drawn`.
        """
        recipe, networks = self.recipe, self.settling()
        if not hasattr(self.feed, "batches_drawn"):
            raise ValueError(
                f"The batches of {recipe.name} are a {type(self.feed).__name__} without `batches_drawn`, which "
                "resuming needs: give a class with __next__ and this number, as Feed is."
            )
        batch = next(recipe.batches(recipe, self.data, self.seed))
        try:
            update_bn(networks.values(), [partial(recipe.forward, networks, batch)])
        except Exception as error:
            raise ValueError(
                f"The `forward` of {recipe.name}, by which BatchNorm's statistics are measured afterwards, failed on "
                f"the networks {', '.join(networks)}: {error!r}. Give the recipe a `forward` of its own."
            ) from error

    def step(self, play: Iterator, log: Log) -> None:
        """One step of the game and all that belongs to it."""
        self.whole = False
        with self.layers:
            log.append(next(play))
        for average in self.averages.values():
            average()
        self.steps += 1
        self.whole = True

    def parts(self) -> Iterator:
        """The feed's batches, of which each of several processes takes its own part."""
        return map(distributed.shard, self.feed) if distributed.world_size() > 1 else self.feed

    @property
    def log(self) -> History:
        """The history of all runs together: the terms of each player, (steps,) each."""
        logs = [log for log in self.logs if log]  # a run's own is empty before its first step
        return {
            player: {term: torch.cat([log[player][term] for log in logs]) for term in terms}
            for player, terms in (logs[0].items() if logs else ())
        }

    def model(self) -> TrainedModel:
        """What it has made so far; the training itself is left as it is."""
        recipe = self.recipe
        networks = self.settling()
        feed = recipe.batches(recipe, self.data, derive_seed(self.seed, "settling"))
        batches = islice(feed, -(-BATCHNORM_SAMPLES // recipe.batch_size))
        passes = (partial(recipe.forward, networks, batch) for batch in batches)
        update_bn(networks.values(), passes)
        return TrainedModel(recipe, networks, self.spec, self.log, self.steps, self.seconds)

    def settling(self) -> Networks:
        """Copies of the averaged networks, local to this process, whose BatchNorm statistics may move."""
        return {
            name: distributed.local_batchnorm(copy.deepcopy(average.net)) for name, average in self.averages.items()
        }

    def losses_ahead(self) -> dict[str, dict[str, float]]:
        """The losses of all players on the next batch, at the present weights. Nothing is changed by looking.

        They are a fingerprint of the game: of objective, penalties and their weights, networks and data.
        """
        buffers = [b for net in self.networks.values() for b in net.buffers()]
        before, drawn = [b.clone() for b in buffers], self.feed.batches_drawn
        modes = [(module, module.training) for net in self.networks.values() for module in net.modules()]
        with self.layers.copy(), distributed.locally(self.networks.values()), torch.no_grad():
            try:
                for module, _ in modes:
                    module.training = True
                batch = next(self.feed)
                losses = {player.name: player.weighted(player.loss(batch)) for player in self.players}
                return {name: {term: value.item() for term, value in terms.items()} for name, terms in losses.items()}
            finally:  # also if a loss fails: the training may go on
                for buffer, value in zip(buffers, before, strict=True):
                    buffer.copy_(value)
                for module, mode in modes:
                    module.training = mode
                self.feed.batches_drawn = drawn


class LayerRandomness:
    """Within its `with` block, PyTorch's global generators run from a state kept here: for dropout and the like.

    states  of the CPU's generator and, on a CUDA device, of that device's; what resuming needs
    """

    def __init__(self, device: torch.device, seed: int):
        self.device = device
        self.states = [torch.Generator(d).manual_seed(seed).get_state() for d in self._devices()]

    def _devices(self) -> list[torch.device]:
        return [torch.device("cpu"), *[self.device] * (self.device.type == "cuda")]

    def _exchange(self, states: list[Tensor]) -> list[Tensor]:
        before = [torch.get_rng_state(), *[torch.cuda.get_rng_state(d) for d in self._devices()[1:]]]
        torch.set_rng_state(states[0])
        for device, state in zip(self._devices()[1:], states[1:], strict=True):
            torch.cuda.set_rng_state(state, device)
        return before

    def __enter__(self) -> None:
        self._outside = self._exchange(self.states)

    def __exit__(self, *_) -> None:
        self.states = self._exchange(self._outside)

    def copy(self) -> "LayerRandomness":
        """One with the same state, which then moves independently of this one."""
        made = LayerRandomness(self.device, 0)
        made.states = list(self.states)
        return made


class Clock:
    """Seconds of training: those before, plus those since it was made, less the pauses."""

    def __init__(self, before: float, device: torch.device):
        self.before, self.device, self.away = before, device, 0.0
        self.start = self.resumed = time.perf_counter()

    def __call__(self, wait: bool = False) -> float:
        if wait and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # until the GPU is done
        return self.before + time.perf_counter() - self.start - self.away

    def since_pause(self) -> float:
        """Seconds since the last pause, or the start."""
        return time.perf_counter() - self.resumed

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time within this block is not counted."""
        self(wait=True)
        left = time.perf_counter()
        try:
            yield
        finally:
            self.resumed = time.perf_counter()
            self.away += self.resumed - left


_asked: list[list[int]] = []  # the list of the active `interruptible`, if there is one


@contextmanager
def interruptible(*signals: int) -> Iterator[list[int]]:
    """A list that gets the number of the first of these signals to arrive; a second one raises KeyboardInterrupt.

    signals  numbers; without them, Ctrl-C's

    Within another `interruptible` it is the same list. In a thread other than the main one, which no signal reaches, it
    stays empty. Signals that are ignored stay ignored, as SIGHUP is under nohup.
    """
    if _asked or threading.current_thread() is not threading.main_thread():
        yield _asked[0] if _asked else []
        return
    asked: list[int] = []

    def note(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    usual = {number: signal.getsignal(number) for number in signals or (signal.SIGINT,)}
    usual = {number: handler for number, handler in usual.items() if handler not in (signal.SIG_IGN, None)}
    _asked.append(asked)
    try:
        for number in usual:
            signal.signal(number, note)
        yield asked
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        _asked.clear()
