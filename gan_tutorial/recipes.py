"""Named trainings, fully specified: what networks learn, by which objective, from which batches. Values, not scripts.

    made = gt.recipes.DCGAN.train(gt.data.digits(run), seconds=60)
    images = made.sample(100)
"""

import copy
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from . import processes
from .average import Average
from .data import Data
from .faster import Measure
from .faster import players as hastened
from .game import Batch, Feed, Log, Player, Stop, adam, adversaries, fit, sample
from .networks import (
    Cascade,
    CoarseImage,
    ConvCritic,
    ConvGenerator,
    Embedding,
    MLPCritic,
    MLPGenerator,
    Projection,
    StackedGenerator,
)
from .objectives import Objective, clipping, nonsaturating, r1, wgan, wgan_gp
from .runtime import derived_seed, stopwatch

SETTLING = 50     # batches of 100 samples that BatchNorm's statistics are measured on, after training
ENDLESS = 10**9   # steps, where seconds decide
History = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Trained:
    """What a training made.

    generator    the running average of the generator, frozen, its BatchNorm statistics measured anew
    log          its history, `log["critic"]["game"]` of shape (steps,)
    seconds      of training; steps: how many
    interrupted  whether somebody ended it before its time
    card         what its file says of it: data, machine, code, metrics; empty where it comes from no file
    """

    recipe: "Recipe"
    generator: nn.Module
    log: History
    steps: int
    seconds: float
    interrupted: bool = False
    card: Mapping = field(default_factory=dict)

    def __str__(self) -> str:
        where = f" on {self.card['data']}, {self.card['machine']}" if self.card else ""
        return f"{self.recipe.name}: {self.steps:,} steps in {self.seconds:,.0f} s{where}"

    @property
    def metrics(self) -> dict[str, Mapping[str, float]]:
        """What its card says of it: at first, at the end, and of real training images. Empty without a card."""
        names = self.card.get("metrics", {})
        early = {f"after {point['seconds']:.0f} s": {name: point[name] for name in names}
                 for point in self.card.get("curve", [])[:1]}
        late = {f"after {self.seconds:.0f} s": names} if names else {}
        real = {name: self.card[name] for name in ("training images",) if name in self.card}
        return early | late | real

    @torch.no_grad()
    def sample(self, n: int, label: Tensor | None = None, seed: int = 0) -> Tensor:
        """n images (n, 1, 28, 28) in [-1, 1], made in pieces that fit into memory.

        label  (n,) int64, where the recipe is labelled; without it all ten digits in turn. ValueError for another
               shape, or where none is expected.
        """
        if label is None and self.recipe.labelled:
            label = torch.arange(n) % 10
        if label is not None and label.shape != (n,):
            raise ValueError(f"Give one label for each of the {n} images, not labels of shape {tuple(label.shape)}.")
        device = next(self.generator.parameters()).device
        random = torch.Generator(device).manual_seed(derived_seed(seed, "samples"))
        z = torch.randn(n, self.recipe.latent, generator=random, device=device)
        pieces = [(part, None) for part in z.split(1000)] if label is None else zip(
            z.split(1000), label.to(device).split(1000), strict=True)
        return torch.cat([sample(self.generator, *piece) for piece in pieces])


@dataclass(frozen=True)
class Recipe:
    """A GAN on digits of 28 × 28 pixels, with every number that its training needs.

    generator, critic  functions that build the networks; these draw nothing at random while they train
    optimizer          parameters -> optimiser, one for each player
    labelled           whether both networks are told the digit
    half_life          of the generator's running average, in images
    steps              of the generator in about a minute on two CPU cores
    """

    name: str
    generator: Callable[[], nn.Module]
    critic: Callable[[], nn.Module]
    objective: Objective
    optimizer: Callable[[Iterable], torch.optim.Optimizer]
    steps: int
    latent: int = 64
    batch: int = 64
    labelled: bool = False
    half_life: float = 50_000

    def players(self, generator: nn.Module, critic: nn.Module) -> Sequence[Player]:
        """Who takes turns, in their order."""
        return adversaries(generator, critic, self.objective, self.optimizer)

    def train(self, data: Data, steps: int | None = None, seconds: float | None = None, seed: int = 0,
              hooks: Sequence[Callable[[int, Log], None]] = (), faster: Sequence[Measure] = ()) -> Trained:
        """Train on `data`, on its device: for `steps`, else for `seconds`, else for the recipe's own steps.

        faster  measures that leave the game alone, such as (faster.bfloat16, faster.fused)

        The same seed and steps give the same weights on one CPU. Ctrl-C ends the training and keeps what was learned.
        ValueError if both steps and seconds are given, or the recipe needs labels that the data do not have.
        """
        training = Training(self, data, seed, faster)
        training.run(self.steps if steps is None and seconds is None else steps, seconds, hooks)
        return training.trained()


@dataclass(frozen=True)
class Stack(Recipe):
    """A stack of GANs, coarsest level first. Each plays on real images of its size, given the real image of half of it.

    The generator is a `Cascade`, the critic an nn.ModuleList; `objective` and `optimizer` are tuples, one for a level.
    The levels meet only afterwards, when the first one's image becomes the second one's label. Denton et al. 2015.
    """

    def players(self, generator: Cascade, critic: nn.ModuleList) -> Sequence[Player]:
        """Critic and generator of each level, `critic 0` and `generator 0` the coarsest."""
        made = []
        for k, game in enumerate(zip(generator.levels, critic, self.objective, self.optimizer, strict=True)):
            for player in adversaries(*game):
                player.name = f"{player.name} {k}"
                player.loss = _at_level(k, generator, player.loss)
                made.append(player)
        return made


def _at_level(k: int, generator: Cascade, loss: Callable[[Batch], dict[str, Tensor]]) -> Callable:
    """The loss of level k, as a function of a batch of whole images and of z for all levels."""
    def at_level(batch: Batch) -> dict[str, Tensor]:
        image = batch.real
        for _ in generator.levels[k + 1:]:
            image = avg_pool2d(image, 2)
        coarse = avg_pool2d(image, 2) if k else None
        return loss(batch._replace(real=image, label=coarse, z=generator.parts(batch.z)[k]))

    return at_level


class Training:
    """A recipe at work: all that changes while it trains, so that it can stop, be saved, and go on.

        training = Training(recipes.DCGAN, data)
        training.run(steps=500)
        training.run(steps=1000)   # the same weights as 1000 steps at once, bit for bit on a CPU

    players, feed, average  as `fit` takes them; the average is the one that samples are made with
    steps, seconds          of training so far
    faster                  the measures that it takes, see `gan_tutorial.faster`

    Where several processes have joined, each takes its part of every batch; the log is that of whole batches. Raises
    ValueError for data without the labels that the recipe needs, for a batch that the processes cannot share, and for
    a measure that cannot be taken here.
    """

    def __init__(self, recipe: Recipe, data: Data, seed: int = 0, faster: Sequence[Measure] = ()):
        self.recipe, self.data, self.seed, self.faster = recipe, data, seed, tuple(faster)
        shared = processes.count() > 1
        if shared:
            processes.share(recipe.batch)
            processes.same(recipe=recipe.name, seed=seed, data=data.name, samples=len(data),
                           faster=[str(getattr(measure, "name", measure)) for measure in self.faster])
        self.feed = Feed(data, recipe.latent, recipe.batch, seed, recipe.labelled, processes.part if shared else None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, recipe.name, "weights"))
            generator, critic = (build().to(data.values.device) for build in (recipe.generator, recipe.critic))
        self.players = hastened(recipe, generator, critic, self.faster)
        if shared:
            processes.together(self.players)
        self.average = Average(generator, recipe.half_life, recipe.batch)
        self.steps, self.seconds, self.interrupted = 0, 0.0, False
        self.past: list[History] = []  # what `fit` returned so far, and at last what it is writing

    def run(self, steps: int | None = None, seconds: float | None = None,
            hooks: Sequence[Callable[[int, Log], None]] = (), save: Callable[["Training"], None] | None = None,
            every: float = 60.0) -> None:
        """Go on until so many steps, or so many seconds of training, are done in all.

        hooks  as `fit` calls them, with steps counted from this call on; one that raises `Stop` ends this call
        save   is given this training after a whole step, `every` so many seconds; what it takes is no training

        Ctrl-C ends it after the step at hand, with `interrupted` set: half a step could not be resumed. A second Ctrl-C
        ends it at once, and raises KeyboardInterrupt. Of several processes the first one calls hooks and `save`, and
        looks at the clock. Raises NonFiniteLoss as `fit` does, ValueError where not one of steps and seconds is given
        or the processes have different games, and processes.Lost where another one is gone.
        """
        if (steps is None) == (seconds is None):
            raise ValueError("Train for a number of steps or of seconds, for one of them and not for both.")
        processes.same(step=self.steps)
        first, before, away, saved, self.interrupted = processes.rank() == 0, self.seconds, 0.0, 0.0, False
        with asked_to_stop() as asked, stopwatch(steps, seconds, self.steps, self.seconds) as show:
            start = time.perf_counter()

            def clock() -> float:
                """Seconds since the start; the time of training is what is left of them without the saving."""
                passed = time.perf_counter() - start
                self.seconds = before + passed - away
                return passed

            def after(step: int, log: Log) -> None:
                nonlocal away, saved
                if step == 0:
                    self.past.append(log)
                self.steps += 1
                ended = _stopped(hooks, step, log) if first else False
                passed = clock()
                show(self.steps, self.seconds)
                over = first and (ended or (seconds is not None and self.seconds >= seconds))
                say = processes.agreed(2 if asked else 1 if over else 0, self.steps)
                if say:
                    self.interrupted = say == 2
                    raise Stop
                if save and first and passed - saved >= every:
                    _wait(self.data.values.device)
                    passed = clock()
                    save(self)
                    saved = time.perf_counter() - start
                    away += saved - passed

            todo = ENDLESS if steps is None else max(steps - self.steps, 0)
            if seconds is None or not processes.agreed(int(first and self.seconds >= seconds)):
                if fit(self.players, self.feed, todo, [self.average, after]).interrupted:
                    raise KeyboardInterrupt  # somewhere within a step: nothing that could be resumed
                _wait(self.data.values.device)
                clock()

    @property
    def log(self) -> History:
        """The history of all runs together: the terms of each player, (steps,) each."""
        names = {player: list(terms) for player, terms in self.past[0].items()} if self.past else {}
        return {player: {term: torch.cat([log[player][term] for log in self.past]) for term in terms}
                for player, terms in names.items()}

    def trained(self) -> Trained:
        """What it has made so far; the training itself is left as it is."""
        settling = Feed(self.data, self.recipe.latent, 100, derived_seed(self.seed, "settling"), self.recipe.labelled)
        settled = copy.copy(self.average)
        settled.net = processes.alone(copy.deepcopy(self.average.net))
        generator = settled.settle((batch.z, batch.label) for batch in islice(settling, SETTLING))
        return Trained(self.recipe, generator, self.log, self.steps, self.seconds, self.interrupted)


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C arrives, instead of the usual exception; a second one raises KeyboardInterrupt.

    Signals reach the main thread only: elsewhere nothing changes; nor where Ctrl-C is ignored, as under nohup.
    """
    asked: list[int] = []

    def note(number, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or usual is signal.SIG_IGN:
        yield asked
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, usual)


def _stopped(hooks: Iterable[Callable[[int, Log], None]], step: int, log: Log) -> bool:
    """Call the hooks; whether one of them asked to stop."""
    try:
        for hook in hooks:
            hook(step, log)
    except Stop:
        return True
    return False


def _wait(device: torch.device) -> None:
    """Until what was given to a GPU is done, so that the clock tells the time of training."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


#: Fully connected networks: the first GAN of the book.
MLP = Recipe("mlp", lambda: MLPGenerator(64, (1, 28, 28), width=256), lambda: MLPCritic((1, 28, 28), width=256),
             nonsaturating, adam(1e-3), steps=10_000)

#: The convolutional GAN. A critic of bounded slope bears a learning rate that is high for a GAN. Without its hidden
#: layer it judges distant parts of an image apart, and the generator comes to rest at shapes between two digits.
DCGAN = Recipe("dcgan", lambda: ConvGenerator(64, width=16), lambda: ConvCritic(width=16, hidden=128, spectral=True),
               nonsaturating, adam(4e-3, (0.0, 0.99)), steps=3_500)

#: The same, told the digit: beside z in the generator, by projection in the critic.
CONDITIONAL = Recipe("conditional", lambda: ConvGenerator(64, width=16, label=Embedding(10)),
                     lambda: ConvCritic(width=16, hidden=128, spectral=True, label=Projection(10)),
                     nonsaturating, adam(4e-3, (0.0, 0.99)), steps=3_500, labelled=True)

#: From 7 pixels to 14 to 28. The coarsest level is small and fully connected; R1 keeps its critic gentle.
STACKED = Stack("stacked", lambda: Cascade(MLPGenerator(32, (1, 7, 7), width=256), StackedGenerator(16, 14, width=16),
                                           StackedGenerator(16, 28, width=16)),
                lambda: nn.ModuleList([MLPCritic((1, 7, 7), width=256), *(
                    ConvCritic(size=size, width=16, depth=size // 14, hidden=64, spectral=True, label=CoarseImage())
                    for size in (14, 28))]),
                (replace(nonsaturating, penalty=partial(r1, weight=0.1)), nonsaturating, nonsaturating),
                (adam(1e-3, (0.0, 0.99)), *[adam(4e-3, (0.0, 0.99))] * 2), steps=1_500)

#: The convolutional networks under the gradient penalty, without spectral normalisation.
WGAN_GP = Recipe("wgan-gp", lambda: ConvGenerator(64, width=16), lambda: ConvCritic(width=16, hidden=128),
                 replace(wgan_gp, updates=2), adam(4e-3, (0.0, 0.9)), steps=1_800)

#: The same networks, the critic's weights clipped.
WGAN = replace(WGAN_GP, name="wgan", objective=replace(wgan, constraint=clipping(0.03), updates=2), steps=3_000)

#: All of them, by name.
RECIPES = {recipe.name: recipe for recipe in (MLP, CONDITIONAL, STACKED, DCGAN, WGAN, WGAN_GP)}


def named(name: str) -> Recipe:
    """The recipe of this name. ValueError, with those that there are, for any other."""
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}, only {', '.join(RECIPES)}.")
    return RECIPES[name]
