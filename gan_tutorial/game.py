"""Players take turns: `fit` is the only training loop of the book."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .data import Data
from .objectives import Objective
from .runtime import derived_seed, progress

READ_EVERY = 100  # steps between two reads of the losses: each read makes the host wait for the device


class Batch(NamedTuple):
    """Everything random about one update, drawn in one place, so that a loss is a function of weights and a batch.

    real   samples, (batch, *shape) float32; images in [-1, 1]
    label  (batch,), or None in an unconditional game
    z      (batch, latent), standard normal
    eps    (batch,), uniform on [0, 1)
    """

    real: Tensor
    label: Tensor | None
    z: Tensor
    eps: Tensor


class Feed:
    """Endless batches from data that already live on a device; `next(feed)` draws them there.

    data      the samples, drawn with replacement
    latent    dimensions of z
    batch     samples a batch, at most len(data)
    seed      batch number n is a function of (seed, n): setting `drawn` is all that resuming needs
    labelled  whether batches carry the data's labels (a conditional game)
    prepare   Batch -> Batch, applied to what was drawn: `lambda b: b._replace(label=shrink(b.real))` conditions on
              smaller images. It draws nothing at random, so that batch n remains a function of (seed, n).

    Raises ValueError for a batch larger than the data, or labels that are not there.
    """

    def __init__(self, data: Data, latent: int, batch: int, seed: int = 0, labelled: bool = False,
                 prepare: Callable[[Batch], Batch] | None = None):
        if not isinstance(data, Data):
            raise ValueError(f"A Feed draws from Data, not from a {type(data).__name__}: wrap it: Data('mine', it).")
        if not isinstance(batch, int) or not 1 <= batch <= len(data):
            raise ValueError(f"A batch of {batch} cannot be drawn from the {len(data):,} samples of {data.name}; "
                             f"choose a whole number from 1 to {len(data):,}.")
        if not isinstance(latent, int) or latent < 1:
            raise ValueError(f"z has a whole number of dimensions, at least one, not {latent}.")
        if labelled and data.label is None:
            raise ValueError(f"{data.name} has no labels: build the Feed with labelled=False.")
        self.data, self.latent, self.batch, self.seed, self.labelled = data, latent, batch, int(seed), labelled
        self.prepare = prepare
        self.drawn = 0
        self._random = torch.Generator(device=data.values.device)

    def __iter__(self):
        return self

    def __next__(self) -> Batch:
        draw = self._stream("batch", self.drawn)
        self.drawn += 1
        index = torch.randint(len(self.data), (self.batch,), **draw)
        label = self.data.label[index] if self.labelled else None
        batch = Batch(self.data.take(index), label,
                      torch.randn(self.batch, self.latent, **draw), torch.rand(self.batch, **draw))
        return self.prepare(batch) if self.prepare else batch

    def noise(self, n: int) -> Tensor:
        """The same z (n, latent) at every call, for pictures: from a stream of their own, which training never sees."""
        return torch.randn(n, self.latent, **self._stream("pictures"))

    def _stream(self, *name) -> dict:
        self._random.manual_seed(derived_seed(self.seed, *name))
        return {"generator": self._random, "device": self._random.device}


class Player:
    """A network, the loss that it minimises on its turn, and how many updates a turn has.

    name       of the player in logs and messages
    net        the network; frozen outside its player's turn, so that no other player's loss builds a graph through it
    loss       batch -> named terms, {"game": scalar, "penalty": scalar}: their sum is minimised; the same names always
    optimizer  over weights of `net` alone; those that it does not hold stay frozen on the player's own turn as well
    updates    a turn, each on a new batch
    constraint on the weights, applied in place after every update: weights -> None, such as `objectives.clipping(0.01)`

    Raises ValueError where the optimiser holds weights of another network.
    """

    def __init__(self, name: str, net: nn.Module, loss: Callable[[Batch], Mapping[str, Tensor]],
                 optimizer: torch.optim.Optimizer, updates: int = 1,
                 constraint: Callable[[Sequence[Tensor]], None] | None = None):
        own = {id(p) for p in net.parameters()}
        self.weights = [p for group in optimizer.param_groups for p in group["params"]]
        if any(id(p) not in own for p in self.weights):
            raise ValueError(f"The optimiser of {name} holds weights of another network; give it "
                             "net.parameters() of its own network only.")
        if updates < 1:
            raise ValueError(f"{name} needs at least one update a turn, not {updates}.")
        self.name, self.net, self.loss, self.optimizer, self.updates = name, net, loss, optimizer, updates
        self.constraint = constraint
        self.rest()

    def rest(self) -> None:
        """Freeze the network, and forget gradients that anybody left in it."""
        self.net.requires_grad_(False)
        self.net.zero_grad(set_to_none=True)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step; returns the loss's named terms, detached. The net rests again whatever happens."""
        for weight in self.weights:
            weight.requires_grad_(True)
        try:
            terms = self.loss(batch)
            self.total(terms).backward()
            self.optimizer.step()
            if self.constraint:
                with torch.no_grad():
                    self.constraint(self.weights)
        finally:
            self.rest()
        return {name: term.detach() for name, term in terms.items()}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The sum of a loss's terms. ValueError where they are no named scalars, or depend on no weight of the net."""
        named = isinstance(terms, Mapping) and len(terms) > 0
        if not named or any(not isinstance(term, Tensor) or term.ndim for term in terms.values()):
            raise ValueError(f"The loss of {self.name} must return named scalars, such as {{'game': loss.mean()}}.")
        total = sum(terms.values())
        if not total.requires_grad:
            raise ValueError(f"The loss of {self.name} does not depend on the weights of its own network.")
        return total


Terms = Callable[[Batch, Tensor], Mapping[str, Tensor]]


def adversaries(generator: nn.Module, critic: nn.Module, objective: Objective,
                optimizer: Callable[[Iterable], torch.optim.Optimizer],
                critic_terms: Terms | None = None, generator_terms: Terms | None = None) -> tuple[Player, Player]:
    """The two players of a GAN, critic first. Conditioning is whatever `batch.label` holds: both networks get it.

    optimizer        parameters -> optimiser, such as `adam(2e-4)`; each player gets one of its own
    critic_terms     (batch, fake) -> further named terms of the critic's loss, such as AC-GAN's classification
    generator_terms  (batch, fake) -> further named terms of the generator's loss; here `fake` carries a graph

    Real and fake samples go through the critic in two calls, so that BatchNorm sees them apart. In the critic's turn
    the generator is frozen: its weights get no gradient (its BatchNorm statistics, if it has any, still move).
    Raises ValueError for BatchNorm in a critic under a penalty, which would couple samples whose gradients the penalty
    takes one by one; for weights that both networks hold; and, in training, where fake samples have another shape or
    type than real ones.
    """
    if not callable(optimizer):
        raise ValueError("Each player needs an optimiser of its own: give a function of parameters, as adam(2e-4) is.")
    if {id(p) for p in generator.parameters()} & {id(p) for p in critic.parameters()}:
        raise ValueError("Generator and critic share weights, but each learns on its own turn only: give each network "
                         "an Embedding of its own.")
    if objective.penalty and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in critic.modules()):
        raise ValueError("A gradient penalty is per sample, but BatchNorm couples the samples of a batch: "
                         "build the critic without BatchNorm (LayerNorm or no normalisation will do).")

    def imitate(batch: Batch) -> Tensor:
        fake = generator(batch.z, batch.label)
        if fake.shape != batch.real.shape or fake.dtype != batch.real.dtype:
            raise ValueError(f"The generator makes {fake.dtype} of shape {tuple(fake.shape)}, but real samples are "
                             f"{batch.real.dtype} of shape {tuple(batch.real.shape)}.")
        return fake

    def critic_loss(batch: Batch) -> dict[str, Tensor]:
        fake = imitate(batch)
        terms = {"game": objective.critic(critic(batch.real, batch.label), critic(fake, batch.label))}
        if objective.penalty:
            terms["penalty"] = objective.penalty(lambda x: critic(x, batch.label), batch.real, fake, batch.eps)
        return _with(terms, critic_terms, batch, fake)

    def generator_loss(batch: Batch) -> dict[str, Tensor]:
        fake = imitate(batch)
        return _with({"game": objective.generator(critic(fake, batch.label))}, generator_terms, batch, fake)

    return (Player("critic", critic, critic_loss, optimizer(critic.parameters()), objective.updates,
                   objective.constraint),
            Player("generator", generator, generator_loss, optimizer(generator.parameters())))


def _with(terms: dict[str, Tensor], more: Terms | None, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
    """A loss's terms and what an extra function adds to them, under names of its own."""
    added = more(batch, fake) if more else {}
    if not isinstance(added, Mapping):
        raise ValueError(f"Extra terms are named scalars, such as {{'class': loss}}, not a {type(added).__name__}.")
    if terms.keys() & added.keys():
        raise ValueError(f"Extra terms need other names than the objective's own, {sorted(terms)}; "
                         f"these are called {sorted(added)}.")
    return {**terms, **added}


def adam(lr: float, betas: tuple[float, float] = (0.5, 0.999)) -> Callable[[Iterable], torch.optim.Adam]:
    """parameters -> Adam with these settings. The low first beta is DCGAN's (Radford et al. 2016, section 4)."""
    return partial(torch.optim.Adam, lr=lr, betas=tuple(map(float, betas)))  # Adam refuses a whole number as beta


class NonFiniteLoss(ArithmeticError):
    """A loss became NaN or infinite. `log` holds the history up to there; the weights are of no use any more."""

    def __init__(self, message: str, log: "Log"):
        super().__init__(message)
        self.log = log


class Stop(Exception):
    """A hook raises this to end the training after the present step, as if no more steps had been asked for."""


class Log(Mapping):
    """The history of a training: `log["critic"]["penalty"]` is a float tensor (steps,) on the CPU.

    A player who has several updates a turn is recorded at the last of them. Values wait on the device and are read
    every 100 steps. `interrupted` tells whether the training was cut short.
    """

    def __init__(self):
        self.interrupted = False
        self._names: dict[str, list[str]] = {}  # player -> its terms
        self._waiting: list[dict[str, dict[str, Tensor]]] = []
        self._read: dict[tuple[str, str], list[Tensor]] = {}

    def append(self, terms: dict[str, dict[str, Tensor]]) -> None:
        """Add one step's terms of all players; every 100 steps, see whether they are finite."""
        names = {player: list(own) for player, own in terms.items()}
        if names != (self._names or names):
            raise ValueError(f"Step {self.steps}: the terms {names} are not those of the steps before, {self._names}. "
                             "A loss names the same terms at every step; return a zero where one does not apply.")
        self._names = names
        self._waiting.append(terms)
        if len(self._waiting) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Bring what waits to the CPU. Raises NonFiniteLoss, with step, player and likely causes, where it must."""
        if not self._waiting:
            return
        start = self.steps - len(self._waiting)
        columns = {(player, name): torch.stack([terms[player][name] for terms in self._waiting]).cpu()
                   for player, names in self._names.items() for name in names}
        self._waiting = []  # only now: Ctrl-C while we waited for the device loses nothing
        for key, values in columns.items():
            self._read.setdefault(key, []).append(values)
        bad = [(int((~values.isfinite()).nonzero()[0]), *key) for key, values in columns.items()
               if not values.isfinite().all()]
        if bad:
            step, player, name = min(bad, key=lambda entry: entry[0])  # of one step, the player who moved first
            raise NonFiniteLoss(
                f"Step {start + step}: the {player}'s term {name!r} became {columns[player, name][step].item()}. "
                "Likely causes: a learning rate too high, an objective that leaves the critic unbounded (Wasserstein "
                "without clipping or penalty), a logarithm or a division in a loss of your own, or data that are not "
                "finite. "
                "The weights are spoilt: build the networks anew before you train again.", self)

    @property
    def steps(self) -> int:
        """Steps so far."""
        return sum(map(len, next(iter(self._read.values()), []))) + len(self._waiting)

    def __iter__(self):
        """The players' names, in the order of their turns."""
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, player: str) -> dict[str, Tensor]:
        self.read()
        return {name: torch.cat(self._read[player, name]) for name in self._names[player]}


def fit(players: Sequence[Player], feed: Iterator[Batch], steps: int,
        hooks: Sequence[Callable[[int, Log], None]] = ()) -> Log:
    """Let the players take turns, `steps` times each, in their order. Returns the history of their named terms.

    feed   endless batches: a `Feed`, or anything that `next` can be called on as often as the players have updates
    hooks  called as hook(step, log) after every step, step counting from 0; one that raises `Stop` ends the training

    The networks are put into training mode, and stay frozen afterwards: `net.requires_grad_(True)` frees one for a
    loop of your own. Progress is shown where somebody watches. Ctrl-C ends the training and returns what there is so
    far: the networks keep what they have learned, and `log.interrupted` is True. Raises NonFiniteLoss at most 100 steps
    after a loss became NaN or infinite, ValueError for players of one name or a negative number of steps.
    """
    if steps < 0 or len({player.name for player in players}) != len(players):
        raise ValueError("fit needs a number of steps from 0 on and players of different names, not "
                         f"{steps} steps and {[player.name for player in players]}.")
    for player in players:
        player.rest()
        player.net.train()
    log = Log()
    try:
        for step in progress(steps):
            terms = {}
            for player in players:
                for _ in range(player.updates):
                    terms[player.name] = player.update(next(feed))
            log.append(terms)
            for hook in hooks:
                hook(step, log)
    except Stop:
        pass
    except KeyboardInterrupt:
        log.interrupted = True
        print(f"Interrupted after {log.steps:,} of {steps:,} steps; the networks keep what they have learned.")
    log.read()
    return log


@torch.no_grad()
def sample(generator: nn.Module, z: Tensor, label: Tensor | None = None) -> Tensor:
    """Samples (len(z), *shape) in evaluation mode, where a sample does not depend on its batch mates.

    Every module's own mode is restored afterwards, and no BatchNorm statistic moves.
    """
    modes = [(module, module.training) for module in generator.modules()]
    generator.eval()
    try:
        return generator(z, label)
    finally:
        for module, mode in modes:
            module.training = mode
