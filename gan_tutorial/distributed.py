"""Several processes play one game: each takes its part of every batch, and gradients are averaged before each update.

    torchrun --nproc-per-node=4 -m gan_tutorial train wgan-gp --out digits.safetensors

Every process draws the same batch, a function of (seed, number), and keeps its own part. For a loss that is a mean over
samples, and parts of equal size, the mean of the processes' gradients is the gradient on the whole batch: one, two and
four processes learn the same weights, up to rounding. What couples samples needs more: `SyncBatchNorm` takes its
statistics over the parts of all processes; `MinibatchStd` and the recipe gmmn, which cannot, are refused; any other
loss that compares samples compares only those of its own part. Li et al. 2020, section 2.

If a process dies, the others end with an error message, and the file stays as it was last saved. With --max-restarts=3
torchrun then starts all of them again, up to three times, and they go on from that file.
"""

import atexit
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, rendezvous  # pyright: ignore[reportPrivateImportUsage]
from torch.utils._pytree import tree_map

from .game import Player
from .networks import MinibatchStd

TIMEOUT = timedelta(minutes=10)  # how long to wait for a process that does not answer
SYNC_EVERY = 10  # steps between two exchanges on whether to go on: each makes the host wait for the device


def world_size() -> int:
    """How many processes take part: 1, unless several have joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of the processes this is, counted from 0. The first one saves, and shows its progress."""
    return dist.get_rank() if world_size() > 1 else 0


class PeerLost(ConnectionError):
    """Another process cannot be reached any more."""


def init() -> None:
    """Join the other processes that torchrun started, by NCCL if there are GPUs, else by gloo; alone, do nothing.

    Raises ValueError for more processes than GPUs on a machine, and PeerLost if the others cannot be reached.
    """
    if "LOCAL_RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1 or world_size() > 1:
        return
    local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if gpus and local >= gpus:
        raise ValueError(f"Each process takes a GPU, and there are {gpus} here: --nproc-per-node={gpus}.")
    if gpus:
        torch.cuda.set_device(local)
    _exchange(_start, "nccl" if gpus else "gloo")


def _start(backend: str) -> None:
    """Find the others, and connect to them. RuntimeError if they do not come.

    torchrun keeps one store for all its starts. It still holds the addresses of processes that have died since, and a
    process that reads one of them waits in vain (pytorch/pytorch#135712). So each start has a name, which keeps its
    entries separate.
    """
    store, rank, world = next(rendezvous("env://", timeout=TIMEOUT))
    name = _name(store, rank, world, TIMEOUT)
    dist.init_process_group(backend, store=PrefixStore(name, store), rank=rank, world_size=world, timeout=TIMEOUT)
    if backend == "gloo":
        # If Python ends before gloo's threads do, they abort the process: torchrun would take a finished training for a
        # failed one. NCCL is left to itself, as its shutdown waits for the others, which may be dead.
        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())


def _name(store: Store, rank: int, world: int, timeout: timedelta = TIMEOUT) -> str:
    """A name for this start. The first process makes it up; every other one asks for it with a new random word.

    As the word is new, its answer cannot be from an earlier start. A question can be: so the first process answers all
    questions it finds, until every other one has confirmed the new name. (The number of torchrun's restarts cannot
    serve as the name, since each machine counts its own.) RuntimeError for a process that does not ask in time.
    """
    word = uuid4().hex
    if rank:
        store.set(f"question/{rank}", word)
        name = store.get(f"answer/{word}").decode()
        store.set(f"{name}/{rank}", "heard")
        return name
    until, silent = time.monotonic() + timeout.total_seconds(), set(range(1, world))
    while silent:
        for other in sorted(silent):
            if store.check([f"question/{other}"]):
                store.set(f"answer/{store.get(f'question/{other}').decode()}", word)
        silent = {other for other in silent if not store.check([f"{word}/{other}"])}
        if time.monotonic() > until:
            raise RuntimeError(f"no sign of process {', '.join(map(str, sorted(silent)))}")
        time.sleep(0.01)
    return word


def shard(batch):
    """This process's part of every tensor of a batch. Raises ValueError if the batch does not divide evenly."""

    def part(x: Tensor | None) -> Tensor | None:
        if not isinstance(x, Tensor):
            return x
        local_batch_size(len(x))
        return x.chunk(world_size())[rank()]

    return tree_map(part, batch)


def local_batch_size(batch_size: int) -> int:
    """How many samples of a batch each process gets. Raises ValueError if the batch does not divide evenly."""
    if batch_size % world_size():
        raise ValueError(
            f"A batch of {batch_size} cannot be shared evenly by {world_size()} processes: choose a number of "
            "processes that divides it."
        )
    return batch_size // world_size()


def check_equal(**facts) -> None:
    """Check that all processes have the same facts. Raises ValueError, with what each says, if they do not."""
    if world_size() == 1:
        return
    said: list = [None] * world_size()
    _exchange(dist.all_gather_object, said, facts)
    for name, value in facts.items():
        if any(other[name] != value for other in said):
            raise ValueError(
                f"The processes play different games: their {name} is "
                f"{', '.join(str(other[name]) for other in said)}. Give all of them the same."
            )


def data_parallel(players: Sequence[Player]) -> None:
    """Let players average their gradients over all processes before every update, starting from equal weights.

    What an update returns is averaged too: these are the losses of the whole batch, and one that is not finite ends all
    processes. BatchNorm becomes `SyncBatchNorm`. Raises ValueError if it cannot, and for `MinibatchStd`. (A bias before
    BatchNorm has no gradient but rounding errors, which Adam scales up: it depends on the number of processes, to no
    effect.)
    """
    if any(isinstance(module, MinibatchStd) for player in players for module in player.net.modules()):
        raise ValueError(
            "MinibatchStd looks at a whole batch, of which each of several processes has a part: train with one "
            "process, or without it."
        )
    for player in players:
        convert_sync_batchnorm(player.net)
        for value in [*player.net.parameters(), *player.net.buffers()]:
            _exchange(dist.broadcast, value.detach(), 0)
        player.wrap("all-reduced gradients", gradients=all_reduce_mean)
        player.wrap("all-reduced losses", update=_of_all)


def _of_all(update: Callable) -> Callable:
    """The same update, which returns the mean over all processes of what it returned."""

    def averaged(batch) -> dict[str, Tensor]:
        terms = {name: term.clone() for name, term in update(batch).items()}
        all_reduce_mean(list(terms.values()))
        return terms

    return averaged


def all_reduce_mean(values: Sequence[Tensor]) -> None:
    """The mean over processes, in place, in one exchange."""
    flat = torch.cat([value.flatten() for value in values])
    _exchange(dist.all_reduce, flat)
    for value, mean in zip(values, flat.div_(world_size()).split([value.numel() for value in values]), strict=True):
        value.copy_(mean.view_as(value))


def all_reduce_max(number: int, step: int = 0) -> int:
    """The largest `number` of any process, the same in all. They exchange it at every tenth step only: 0 in between."""
    if world_size() == 1:
        return number
    if step % SYNC_EVERY:
        return 0
    said = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    _exchange(dist.all_reduce, said, dist.ReduceOp.MAX)
    return int(said.item())


def _exchange(function, *arguments) -> None:
    """Call a function that waits for the others. PeerLost if they are gone."""
    try:
        function(*arguments)
    except RuntimeError as error:
        raise PeerLost(
            f"Rank {os.environ.get('RANK', '0')} lost contact with a peer; stopping ({str(error).splitlines()[0]})."
        ) from None


class _Sum(torch.autograd.Function):
    """The sum over processes. Each of them gets it, so that a gradient is the sum of what all of them send back."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        _exchange(dist.all_reduce, x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    r"""BatchNorm that in training takes all processes' parts together, and is the ordinary one in evaluation.

    Mean and variance are taken over the whole batch, in two exchanges that gradients flow back through:
    $\mu = \frac1P\sum_p \mu_p$, $\sigma^2 = \frac1P\sum_p \operatorname{mean}(x - \mu)^2$ for P parts of equal size.
    `local` makes it ordinary again, for one process that samples while the others wait.
    """

    local = False
    running_mean: Tensor  # never None, like those below: `convert_sync_batchnorm` sees to that
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.local or world_size() == 1:
            return super().forward(x)
        kind, x = x.dtype, x.to(self.running_mean.dtype)  # no bfloat16 statistics, even under autocast
        over = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = _Sum.apply(x.mean(over)) / world_size()
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().mean(over)) / world_size()
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                n = x.numel() // x.shape[1] * world_size()
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        normed = centred * (variance + self.eps).rsqrt().view(shape)
        return (normed * self.weight.view(shape) + self.bias.view(shape)).to(kind)


def convert_sync_batchnorm(net: nn.Module) -> None:
    """Replace every BatchNorm inside the network with a shared one of the same weights and statistics.

    ValueError for one without weights, running statistics or a momentum.
    """
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, SyncBatchNorm):
                if not child.affine or child.running_mean is None or child.momentum is None:
                    raise ValueError(
                        "Several processes share a BatchNorm with weights, running statistics and a "
                        "momentum only: build the network with one, or with another norm."
                    )
                shared = SyncBatchNorm(child.num_features, child.eps, child.momentum)
                for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                    setattr(shared, key, getattr(child, key))  # the optimiser holds these very weights
                setattr(parent, name, shared.train(child.training))


def local_batchnorm(net: nn.Module) -> nn.Module:
    """Let the network's BatchNorms see only this process from now on: others need not take part. Returns it."""
    for module in net.modules():
        if isinstance(module, SyncBatchNorm):
            module.local = True
    return net


@contextmanager
def locally(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Within this block, the BatchNorms of these networks see only this process."""
    norms = [m for net in networks for m in net.modules() if isinstance(m, SyncBatchNorm) and not m.local]
    for module in norms:
        module.local = True
    try:
        yield
    finally:
        for module in norms:
            module.local = False
