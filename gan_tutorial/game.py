"""Players take turns: `turns` is the only training loop of the book, and `fit` runs it for a number of steps.

A *step* gives each player one turn, and a turn has one or several *updates*: in WGAN the critic has five, the generator
one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from numbers import Real
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .data import Data
from .networks import is_whole
from .objectives import Objective
from .runtime import check_seed, derive_seed, progress

READ_EVERY = 100  # steps between two reads of the losses: each read makes the host wait for the device

Terms = Mapping[str, Tensor]  # what a loss consists of, by name: {"game": scalar, "penalty": scalar}


class Batch(NamedTuple):
    """Everything random about one update, drawn in one place, so that a loss is a function of weights and a batch.

    real       samples, (batch, *shape) float32; images in [-1, 1]
    condition  what both networks are told: labels (batch,), images (batch, …), or None in an unconditional game
    z          (batch, latent_dim), standard normal
    eps        (batch,), uniform on [0, 1)
    u          (batch, k), uniform on [0, 1), for any other random choice, such as those of an augmentation; or None
    """

    real: Tensor
    condition: Tensor | None
    z: Tensor
    eps: Tensor
    u: Tensor | None = None


class Feed:
    """Endless batches from data that already live on a device; `next(feed)` draws them there.

    data        the samples, drawn with replacement
    latent_dim  dimensions of z
    batch_size  at most len(data)
    seed        batch number n is a function of (seed, n): setting `batches_drawn` is all that resuming needs
    labelled    whether a batch's condition is the data's labels
    prepare     Batch -> Batch, applied to what was drawn: `lambda b: b._replace(condition=shrink(b.real))` conditions
                on smaller images. It draws nothing at random, so that batch n remains a function of (seed, n).
    flip        whether each real image is mirrored, left to right, with probability one half
    uniforms    how many numbers `batch.u` has for each sample

    Raises ValueError for data that are not a `Data`, a batch size, latent_dim, seed or uniforms out of range, labels
    that the data do not have, and a flip of samples that are not images.
    """

    def __init__(
        self,
        data: Data,
        latent_dim: int,
        batch_size: int,
        seed: int = 0,
        labelled: bool = False,
        prepare: Callable[[Batch], Batch] | None = None,
        flip: bool = False,
        uniforms: int = 0,
    ):
        if not isinstance(data, Data):
            raise ValueError(f"A Feed draws from Data, got a {type(data).__name__}: wrap it with gt.data.array(it).")
        if not is_whole(batch_size) or not 1 <= batch_size <= len(data):
            raise ValueError(
                f"Expected a batch size from 1 to {len(data):,}, the number of samples of {data.name}, "
                f"got {batch_size!r}."
            )
        if not is_whole(latent_dim) or latent_dim < 1:
            raise ValueError(f"Expected a whole number of dimensions of z from 1 on, got latent_dim={latent_dim!r}.")
        if not is_whole(uniforms) or uniforms < 0:
            raise ValueError(
                f"Expected a whole number of uniform numbers a sample from 0 on, got uniforms={uniforms!r}."
            )
        if labelled and data.label is None:
            raise ValueError(f"{data.name} has no labels: build the Feed with labelled=False.")
        if flip and len(data.shape) != 3:
            raise ValueError(f"Only images can be flipped, and samples of {data.name} have shape {data.shape}.")
        self.data, self.latent_dim, self.batch_size, self.seed = (
            data,
            int(latent_dim),
            int(batch_size),
            check_seed(seed),
        )
        self.labelled, self.prepare, self.flip, self.uniforms = labelled, prepare, flip, int(uniforms)
        self.batches_drawn = 0
        self._random = torch.Generator(device=data.values.device)

    def __iter__(self):
        return self

    def __next__(self) -> Batch:
        draw, n = self._stream("batch", self.batches_drawn), self.batch_size
        self.batches_drawn += 1
        label = self.data.label if self.labelled else None
        index = torch.randint(len(self.data), (n,), **draw)
        condition = None if label is None else label[index]
        z, eps = torch.randn(n, self.latent_dim, **draw), torch.rand(n, **draw)
        real = self.data.take(index)
        if self.flip:
            real = torch.where(torch.rand(n, 1, 1, 1, **draw) < 0.5, real, real.flip(3))
        u = torch.rand(n, self.uniforms, **draw) if self.uniforms else None
        batch = Batch(real, condition, z, eps, u)
        return self.prepare(batch) if self.prepare else batch

    def noise(self, n: int) -> Tensor:
        """The same z (n, latent_dim) at every call, for pictures: from a stream of its own, which training never uses.

        Raises ValueError unless n is a whole number, 0 or more.
        """
        if not is_whole(n) or n < 0:
            raise ValueError(f"Expected a whole number of rows of noise from 0 on, such as feed.noise(64), got {n!r}.")
        return torch.randn(n, self.latent_dim, **self._stream("pictures"))

    def _stream(self, *name) -> dict:
        self._random.manual_seed(derive_seed(self.seed, *name))
        return {"generator": self._random, "device": self._random.device}


class Player:
    """A network, the loss that it minimises on its turn, and how many updates a turn has.

    name          of the player in logs and messages
    net           the network; frozen outside its player's turn, so that no other loss gives its weights a gradient
    loss          batch -> named terms, {"game": scalar, "penalty": scalar}; their sum is minimised. The names are the
                  same for every batch
    optimizer     over weights of `net` alone; weights that it does not hold stay frozen on the player's own turn too
    updates       how many in a turn, each on a new batch
    constraint    on the weights, applied in place after every update: weights -> None, such as
                  `objectives.weight_clipping(0.01)`
    lr_schedule   steps done -> the factor of the learning rate, such as `lambda step: 1 / (1 + step / 1000)`
    term_weights  a term's name -> (steps done -> its factor in the sum): {"penalty": lambda step: min(1, step / 1000)}
    share_batch   whether its update uses the batch of the player before it, instead of a new one

    Schedules are functions of the number of steps alone: `updates_done` is all that resuming needs. Raises ValueError
    if the optimiser holds weights of another network or evaluates a loss several times per step (LBFGS), if a schedule
    is not a function, and for fewer updates than one, or more than one on a shared batch.
    """

    def __init__(
        self,
        name: str,
        net: nn.Module,
        loss: Callable[[Batch], Terms],
        optimizer: torch.optim.Optimizer,
        updates: int = 1,
        constraint: Callable[[Sequence[Tensor]], None] | None = None,
        lr_schedule: Callable[[int], float] | None = None,
        term_weights: Mapping[str, Callable[[int], float]] | None = None,
        share_batch: bool = False,
    ):
        own = {id(p) for p in net.parameters()}
        self.weights = [p for group in optimizer.param_groups for p in group["params"]]
        if any(id(p) not in own for p in self.weights):
            raise ValueError(
                f"The optimiser of {name} holds weights of another network; give it "
                "net.parameters() of its own network only."
            )
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError("LBFGS evaluates a loss several times a step, on the same batch: use Adam or SGD.")
        schedules = {"lr_schedule": lr_schedule, **(term_weights or {})}
        if wrong := [key for key, schedule in schedules.items() if schedule is not None and not callable(schedule)]:
            raise ValueError(f"Expected a function of the number of steps as {wrong[0]} of {name}: lambda step: 0.5.")
        if not is_whole(updates) or updates < 1:
            raise ValueError(f"Expected a whole number of updates a turn from 1 on for {name}, got {updates!r}.")
        if share_batch and updates > 1:
            raise ValueError(f"{name} has {updates} updates a turn, and one batch to share: give it one update.")
        self.name, self.net, self.optimizer, self.updates = name, net, optimizer, int(updates)
        self.share_batch = share_batch
        self.constraint, self.lr_schedule, self.term_weights = constraint, lr_schedule, dict(term_weights or {})
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))  # PyTorch's own name for what schedules multiply
        self.updates_done = 0
        self.wrappers: list[str] = []
        self._own_loss = self._loss = loss
        self._gradients, self._update = [], self.learn
        self.rest()

    def __repr__(self) -> str:
        wrapped = f", {' < '.join(self.wrappers)}" if self.wrappers else ""
        return f"Player({self.name!r}: {self.updates} a turn by {type(self.optimizer).__name__}{wrapped})"

    @property
    def loss(self) -> Callable[[Batch], Terms]:
        """The loss itself, without what was put around it by `wrap`."""
        return self._own_loss

    def wrap(
        self,
        name: str,
        loss: Callable | None = None,
        gradients: Callable[[Sequence[Tensor]], None] | None = None,
        update: Callable | None = None,
    ) -> None:
        """Put something around this player's loss or whole update, or between its gradients and its optimiser.

        loss, update  function of a batch -> function of a batch, with the same terms; the last one added is outermost
        gradients     list of gradients -> None: changes them in place after the backward pass

        `wrappers` lists the names, innermost first.
        """
        self._loss = loss(self._loss) if loss else self._loss
        self._update = update(self._update) if update else self._update
        self._gradients += [gradients] if gradients else []
        self.wrappers.append(name)

    def rest(self) -> None:
        """Freeze the network, and discard any gradients left in it."""
        self.net.requires_grad_(False)
        self.net.zero_grad(set_to_none=True)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step; returns the loss's named terms, times their `term_weights`, detached.

        The network is frozen again afterwards, whatever happens. Raises ValueError for a loss that does not return
        named scalars, or does not depend on the network's weights, and for a schedule whose factor is negative or not
        finite.
        """
        if self.lr_schedule:
            self._set_learning_rate(self.lr_schedule(self.updates_done // self.updates))
        terms = self._update(batch)
        self.updates_done += 1
        return terms

    def learn(self, batch: Batch) -> dict[str, Tensor]:
        """Descend once: the gradients of all terms, the optimiser's step, the constraint. Then rest."""
        for weight in self.weights:
            weight.requires_grad_(True)
        try:
            terms = self.weighted(self._loss(batch))
            self.total(terms).backward()
            for change in self._gradients:
                change([weight.grad for weight in self.weights if weight.grad is not None])
            self.optimizer.step()
            if self.constraint:
                with torch.no_grad():
                    self.constraint(self.weights)
        finally:
            self.rest()
        return {name: term.detach() for name, term in terms.items()}

    def _set_learning_rate(self, factor: float) -> None:
        value = factor.item() if isinstance(factor, np.ndarray) and factor.ndim == 0 else factor
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else float("nan")
        if not 0 <= number < float("inf"):
            raise ValueError(f"Expected a factor from 0 on from the lr_schedule of {self.name}, got {factor!r}.")
        factor = number  # a Python float: NumPy's float32 would round the rate
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # a recorded CUDA graph reads it
                group["lr"].fill_(factor * group["initial_lr"])
            else:
                group["lr"] = factor * group["initial_lr"]

    def weighted(self, terms: Terms) -> Terms:
        """The terms, each times its factor in `term_weights` at this step. ValueError for a factor without a term."""
        if not self.term_weights or not isinstance(terms, Mapping):  # `total` says what a loss has to return
            return terms
        if unknown := self.term_weights.keys() - terms.keys():
            raise ValueError(
                f"The loss of {self.name} has no term {sorted(unknown)[0]!r} to weight, only {list(terms)}."
            )
        step = self.updates_done // self.updates
        return {k: self.term_weights[k](step) * term if k in self.term_weights else term for k, term in terms.items()}

    def total(self, terms: Terms) -> Tensor:
        """The sum of a loss's terms. ValueError unless they are named scalars that depend on weights of the net."""
        named = isinstance(terms, Mapping) and len(terms) > 0
        if not named or any(not isinstance(term, Tensor) or term.ndim for term in terms.values()):
            raise ValueError(f"The loss of {self.name} must return named scalars, such as {{'game': loss.mean()}}.")
        total: Tensor = sum(terms.values())  # pyright: ignore[reportAssignmentType]  # the sum of no terms would be 0
        if not total.requires_grad:
            raise ValueError(f"The loss of {self.name} does not depend on the weights of its own network.")
        return total


ExtraTerms = Callable[[Batch, Tensor], Terms]


def adversaries(
    generator: nn.Module,
    critic: nn.Module,
    objective: Objective,
    optimizer: Callable[[Iterable], torch.optim.Optimizer],
    critic_terms: ExtraTerms | None = None,
    generator_terms: ExtraTerms | None = None,
    *,
    critic_optimizer: Callable[[Iterable], torch.optim.Optimizer] | None = None,
    lr_schedule: Callable[[int], float] | None = None,
    term_weights: Mapping[str, Callable[[int], float]] | None = None,
    augment: Callable[[Tensor, Tensor], Tensor] | None = None,
    prepare: Callable[[Batch], Batch] | None = None,
    share_batch: bool = False,
    names: tuple[str, str] = ("critic", "generator"),
) -> tuple[Player, Player]:
    """The two players of a GAN, critic first. Conditioning is whatever `batch.condition` holds: both networks get it.

    optimizer         parameters -> optimiser, such as `adam(2e-4)`; each player gets one of its own
    critic_terms      (batch, fake) -> further named terms of the critic's loss, such as AC-GAN's classification
    generator_terms   (batch, fake) -> further named terms of the generator's loss; here `fake` carries a graph
    critic_optimizer  the critic's, if it differs (two learning rates: Heusel et al. 2017)
    lr_schedule       of both players, as `Player` takes it
    term_weights      of the critic's terms, as `Player` takes it
    augment           (samples, u) -> samples, applied to real and fake samples alike before the critic sees them. Each
                      of the two uses its own `augment.uniforms` columns of `batch.u`, see `gan_tutorial.augment`
    prepare           Batch -> Batch: what these two see of a batch
    share_batch       whether the generator learns on the last batch of the critic's turn. Then its samples are made
                      once for both of them, which saves a forward pass: the gradients are those of two passes, since
                      the generator's weights do not change in between. Its BatchNorm counts the batch once

    Real and fake samples go through the critic in two calls, so that BatchNorm sees them separately. In the critic's
    turn the generator is frozen: its weights get no gradient (its BatchNorm statistics, if it has any, still move).
    Penalties are computed in float32 even where the losses are not.
    Raises ValueError for BatchNorm in a critic under a penalty: it couples samples, whose gradients the penalty takes
    one by one. Also for an optimiser that is not a function of parameters, and for weights that both networks hold.
    In training, raises it for fake samples of another shape or type than the real ones, for a critic that does not
    give one score per sample, and for extra terms that have the objective's names.
    """
    factories = (critic_optimizer or optimizer, optimizer)
    if not all(callable(factory) for factory in factories):
        raise ValueError("Each player needs an optimiser of its own: give a function of parameters, as adam(2e-4) is.")
    if {id(p) for p in generator.parameters()} & {id(p) for p in critic.parameters()}:
        raise ValueError(
            "Generator and critic share weights, but each learns on its own turn only: give each network "
            "an Embedding of its own."
        )
    if objective.penalty and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in critic.modules()):
        raise ValueError(
            "A gradient penalty is per sample, but BatchNorm couples the samples of a batch: "
            "build the critic without BatchNorm (LayerNorm or no normalisation will do)."
        )
    uniforms = augment.uniforms if augment else 0

    def imitate(batch: Batch) -> Tensor:
        fake = generator(batch.z, batch.condition)
        if not isinstance(fake, Tensor):
            raise ValueError(f"Expected a tensor of samples from the generator, got a {type(fake).__name__}.")
        if fake.shape != batch.real.shape or fake.dtype != batch.real.dtype:
            raise ValueError(
                f"The generator makes {fake.dtype} of shape {tuple(fake.shape)}, but real samples are "
                f"{batch.real.dtype} of shape {tuple(batch.real.shape)}."
            )
        return fake

    def score(x: Tensor, batch: Batch) -> Tensor:
        scores = critic(x, batch.condition)
        if isinstance(scores, Tensor) and scores.ndim == 1 and len(scores) != len(x):  # the objective checks the rest
            raise ValueError(f"Expected one score for each of {len(x)} samples from the critic, got {len(scores)}.")
        return scores

    def seen(x: Tensor, batch: Batch, fake: bool) -> Tensor:
        if augment is None:
            return x
        if batch.u is None or batch.u.shape[1] < 2 * uniforms:
            raise ValueError(f"This augmentation needs random numbers: build the Feed with uniforms={2 * uniforms}.")
        return augment(x, batch.u[:, uniforms : 2 * uniforms] if fake else batch.u[:, :uniforms])

    kept = _Kept(generator)

    def critic_loss(batch: Batch) -> dict[str, Tensor]:
        whole, batch = batch, prepare(batch) if prepare else batch
        if share_batch and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            with _learning(players[1].weights):
                made = kept.put(whole, imitate(batch))
        else:
            made = imitate(batch)
        kept.counted = share_batch and torch.is_grad_enabled()
        real, fake = seen(batch.real, batch, fake=False), seen(made, batch, fake=True)
        terms = {"game": objective.critic(score(real, batch), score(fake, batch))}
        for name, penalty in objective.penalties.items():
            with torch.autocast(real.device.type, enabled=False):  # in bfloat16 its gradient is off by thousandths
                terms[name] = penalty(lambda x: critic(x, batch.condition), real, fake, batch.eps)
        return _with(terms, critic_terms, batch, made)

    def generator_loss(batch: Batch) -> dict[str, Tensor]:
        whole, batch = batch, prepare(batch) if prepare else batch
        made = None if torch.compiler.is_compiling() else kept.take(whole)
        if made is None:
            with _uncounted(generator) if kept.counted else nullcontext():
                made = imitate(batch)
        kept.counted = False
        scores = [score(seen(made, batch, fake=True), batch)]
        if objective.relativistic:
            scores.insert(0, score(seen(batch.real, batch, fake=False), batch))
        return _with({"game": objective.generator(*scores)}, generator_terms, batch, made)

    optimizers = [factory(net.parameters()) for factory, net in zip(factories, (critic, generator), strict=True)]
    players = (
        Player(
            names[0],
            critic,
            critic_loss,
            optimizers[0],
            updates=objective.n_critic,
            constraint=objective.constraint,
            lr_schedule=lr_schedule,
            term_weights=term_weights,
        ),
        Player(names[1], generator, generator_loss, optimizers[1], lr_schedule=lr_schedule, share_batch=share_batch),
    )
    return players


class _Kept:
    """A generator's samples, with the graph that made them, until the next player takes them."""

    def __init__(self, generator: nn.Module):
        self.generator, self.made, self.batch, self.state = generator, None, None, None
        self.counted = False  # whether BatchNorm has seen the step's shared batch

    def put(self, batch: Batch, made: Tensor) -> Tensor:
        """Keep what was made of a batch. Returns it without its graph."""
        self.made, self.batch, self.state = made, batch, self._state()
        return made.detach()

    def take(self, batch: Batch) -> Tensor | None:
        """The samples kept for this batch, unless the weights have changed since; otherwise None.

        They are given only once, since a backward pass uses up their graph.
        """
        made, before, self.made, self.batch = self.made, self.batch, None, None
        same = before is not None and before.z is batch.z and before.condition is batch.condition
        return made if same and self.state == self._state() else None

    def _state(self) -> tuple:
        # `_version` is PyTorch's count of the in-place changes of a tensor.
        return self.generator.training, [weight._version for weight in self.generator.parameters()]


@contextmanager
def _learning(weights: Sequence[Tensor]) -> Iterator[None]:
    """Within this block, graphs are built through these weights."""
    before = [weight.requires_grad for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        yield
    finally:
        for weight, learned in zip(weights, before, strict=True):
            weight.requires_grad_(learned)


@contextmanager
def _uncounted(net: nn.Module) -> Iterator[None]:
    """Within this block no running statistic of BatchNorm moves, so that a batch that passes twice counts once."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _with(terms: dict[str, Tensor], more: ExtraTerms | None, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
    """A loss's terms and what an extra function adds to them, under names of its own."""
    added = more(batch, fake) if more else {}
    if not isinstance(added, Mapping):
        raise ValueError(f"Extra terms are named scalars, such as {{'class': loss}}, not a {type(added).__name__}.")
    if terms.keys() & added.keys():
        raise ValueError(
            f"Extra terms need other names than the objective's own, {sorted(terms)}; these are called {sorted(added)}."
        )
    return {**terms, **added}


def adam(lr: float, betas: tuple[float, float] = (0.5, 0.999)) -> Callable[[Iterable], torch.optim.Adam]:
    """parameters -> Adam with these settings. The low first beta is DCGAN's (Radford et al. 2016, section 4)."""
    first, second = map(float, betas)  # Adam refuses whole numbers, and JSON cannot hold NumPy's
    return partial(torch.optim.Adam, lr=float(lr), betas=(first, second))


class NonFiniteLoss(ArithmeticError):
    """A loss became NaN or infinite. `log` holds the history up to that step; the weights are no longer of any use."""

    def __init__(self, message: str, log: "Log"):
        super().__init__(message)
        self.log = log


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a training. `log` holds its history, and `model` what a recipe has made so far, else None.

    The networks keep what they have learned. In a notebook the cell ends, and `sys.last_value` is then this exception.
    """

    def __init__(self, message: str, log: Mapping, model=None):
        super().__init__(message)
        self.log, self.model = log, model


class Log(Mapping):
    """The history of a training: `log["critic"]["penalty"]` is a float tensor (steps,) on the CPU.

    Terms are recorded as they were added up, that is, times their `term_weights`. For a player with several updates in
    a turn, the last one is recorded. Values stay on the device until they are read, every 100 steps.
    """

    def __init__(self):
        self._names: dict[str, list[str]] = {}  # player -> its terms
        self._waiting: list[dict[str, dict[str, Tensor]]] = []
        self._read: dict[tuple[str, str], list[Tensor]] = {}

    def append(self, terms: dict[str, dict[str, Tensor]]) -> None:
        """Add one step's terms of all players; every 100 steps, `read` them. Raises ValueError if the names change."""
        names = {player: list(own) for player, own in terms.items()}
        if names != (self._names or names):
            raise ValueError(
                f"Step {self.steps}: the terms {names} are not those of the steps before, {self._names}. "
                "A loss names the same terms at every step; return a zero where one does not apply."
            )
        self._names = names
        self._waiting.append(terms)
        if len(self._waiting) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Bring what waits to the CPU. Raises NonFiniteLoss, with step, player and causes, if one is not finite."""
        if not self._waiting:
            return
        start = self.steps - len(self._waiting)
        columns = {
            (player, name): torch.stack([terms[player][name] for terms in self._waiting]).cpu()
            for player, names in self._names.items()
            for name in names
        }
        self._waiting = []  # only now: Ctrl-C while we waited for the device loses nothing
        for key, values in columns.items():
            self._read.setdefault(key, []).append(values)
        bad = [
            (int((~values.isfinite()).nonzero()[0]), *key)
            for key, values in columns.items()
            if not values.isfinite().all()
        ]
        if bad:
            step, player, name = min(bad, key=lambda entry: entry[0])  # within a step, the player who moved first
            raise NonFiniteLoss(
                f"Step {start + step}: the {player}'s term {name!r} became {columns[player, name][step].item()}. "
                "Likely causes: a learning rate too high, an objective that leaves the critic unbounded (Wasserstein "
                "without clipping or penalty), a logarithm or a division in a loss of your own, or data that are not "
                "finite. "
                "The weights are unusable: rebuild the networks before you train again.",
                self,
            )

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


def turns(players: Sequence[Player], feed: Iterator[Batch]) -> Iterator[dict[str, dict[str, Tensor]]]:
    """The game, without end: each `next` is one step, in which every player has its turn. Yields its named terms.

        for step, terms in zip(range(1000), turns(players, feed)):
            if terms["critic"]["game"] < 0.1:
                break

    feed  endless batches: a `Feed`, or any iterator of batches that does not run out

    At the first `next` the networks are put into training mode; they are left frozen after each step. Raises ValueError
    at once for players with the same name, for a first player that would share the batch of another, and for a feed
    that is not an iterator; and in a step for a feed that ends, or that yields anything but batches.
    """
    players = tuple(players)
    names = [player.name for player in players]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"Expected players of different names, got {names}.")
    if players[0].share_batch:
        raise ValueError(f"{names[0]} shares the batch of the player before it, and comes first: put it after another.")
    if not hasattr(feed, "__next__"):
        raise ValueError(
            f"Expected an endless iterator of batches such as a Feed, got a {type(feed).__name__}: put the data into "
            "gt.data.array(images), and build a Feed of that."
        )
    return _steps(players, feed)


def _steps(players: Sequence[Player], feed: Iterator[Batch]) -> Iterator[dict[str, dict[str, Tensor]]]:
    """The steps of `turns`: a generator of its own, since in a generator nothing is checked before the first `next`."""
    for player in players:
        player.rest()
        player.net.train()
    while True:
        terms, batch = {}, None
        for player in players:
            for _ in range(player.updates):
                try:
                    batch = next(feed) if batch is None or not player.share_batch else batch
                except StopIteration:
                    raise ValueError("The feed has no more batches: a feed is endless, as a Feed is.") from None
                try:
                    terms[player.name] = player.update(batch)
                except AttributeError as error:
                    if getattr(error, "obj", None) is not batch or error.name not in Batch._fields:
                        raise
                    raise ValueError(
                        f"Expected batches with real, condition, z and eps, and the feed gave a {type(batch).__name__} "
                        f"without {error.name}: take gt.Feed(gt.data.array(images), …), or make a gt.Batch of it."
                    ) from error
        yield terms


def fit(
    players: Sequence[Player], feed: Iterator[Batch], steps: int, hooks: Sequence[Callable[[int, Log], None]] = ()
) -> Log:
    """Let the players take turns, `steps` times each, in their order. Returns the history of their named terms.

    feed   endless batches, see `turns`
    hooks  called as hook(step, log) after every step, with step counted from 0

    The networks are left frozen: `net.requires_grad_(True)` frees one for a loop of your own. Progress is shown where
    somebody watches. Ctrl-C raises Interrupted: the networks keep what they have learned, and the exception holds the
    log. Raises NonFiniteLoss at most 100 steps after a loss became NaN or infinite, and ValueError unless `steps` is a
    non-negative whole number, and as `turns` does. Any other exception, such as a hook's, gets the history as `log`.
    """
    if not is_whole(steps) or steps < 0:
        raise ValueError(f"Expected a whole number of steps from 0 on, got {steps!r}.")
    log, play, hooks = Log(), turns(players, feed), tuple(hooks)
    try:
        for step in progress(steps):
            log.append(next(play))
            for hook in hooks:
                hook(step, log)
    except KeyboardInterrupt:
        log.read()
        raise Interrupted(
            f"Interrupted after {log.steps:,} of {steps:,} steps; the networks keep what they have learned.", log
        ) from None
    except Exception as error:
        error.log = log  # pyright: ignore[reportAttributeAccessIssue] (a hook's error, say: the history is kept)
        raise
    log.read()
    return log


@torch.no_grad()
def sample(generator: nn.Module, z: Tensor, condition: Tensor | None = None) -> Tensor:
    """Samples (len(z), *shape) in evaluation mode, where a sample does not depend on the rest of its batch.

    Every module's own mode is restored afterwards, and no BatchNorm statistic moves.
    """
    modes = [(module, module.training) for module in generator.modules()]
    generator.eval()
    try:
        return generator(z) if condition is None else generator(z, condition)
    finally:
        for module, mode in modes:
            module.training = mode
