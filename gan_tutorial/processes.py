"""Several processes play one game: each takes its part of every batch, and gradients are averaged before each update.

    torchrun --nproc-per-node=4 -m gan_tutorial train wgan-gp --out digits.safetensors

Every process draws the same batch, a function of (seed, number), and keeps its own part. Losses are means over samples,
so that with parts of equal size the mean of the processes' gradients is the gradient of the whole batch: one, two and
four processes learn the same weights, up to rounding. What couples samples needs more: `SharedBatchNorm` takes its
statistics over the parts of all. Li et al. 2020, section 2.

Where a process dies the others end with a sentence, and the file stays as it was saved last. With --max-restarts=3
torchrun then starts all of them again, up to three times, and they go on from it.
"""

import atexit
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .game import Batch, Player

PATIENCE = timedelta(minutes=10)  # with a process that does not answer
ASK_EVERY = 10  # steps between two exchanges about going on: each makes the host wait for the device


def count() -> int:
    """How many processes play: 1, unless they have joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0 on. The first one saves, and shows its progress."""
    return dist.get_rank() if count() > 1 else 0


class Lost(ConnectionError):
    """Another process cannot be reached any more."""


def join() -> None:
    """Join the others that torchrun started; alone, do nothing. By NCCL where there are GPUs, else gloo.

    ValueError for more processes than GPUs on a machine, Lost where the others cannot be reached.
    """
    if "LOCAL_RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1 or count() > 1:
        return
    local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if gpus and local >= gpus:
        raise ValueError(f"Each process takes a GPU, and there are {gpus} here: --nproc-per-node={gpus}.")
    if gpus:
        torch.cuda.set_device(local)
    _exchange(_start, "nccl" if gpus else "gloo")


def _start(backend: str) -> None:
    """Find the others, and connect to them. RuntimeError where they do not come.

    torchrun keeps one store for all its starts. In it stand the addresses of processes that have died since, and who
    reads one of them waits in vain (pytorch/pytorch#135712). So each start has a name, which keeps its entries apart.
    """
    store, rank, world = next(dist.rendezvous("env://", timeout=PATIENCE))
    name = _name(store, rank, world)
    dist.init_process_group(backend, store=dist.PrefixStore(name, store), rank=rank, world_size=world, timeout=PATIENCE)
    if backend == "gloo":
        # Its threads, if Python ends before them, abort the process: torchrun would take a training that is done for
        # one that has failed. NCCL is left to itself, as its farewell waits for the others, who may be dead.
        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())


def _name(store: dist.Store, rank: int, world: int) -> str:
    """A name that the first process makes up, and tells every other one that asks with a word of its own.

    An answer to a word that is new cannot be old. A question can: so the first one answers all it finds, until
    everybody has called it by the new name. (How often torchrun has restarted is no name: each machine counts its own.)
    """
    word = uuid4().hex
    if rank:
        store.set(f"question/{rank}", word)
        name = store.get(f"answer/{word}").decode()
        store.set(f"{name}/{rank}", "heard")
        return name
    until, silent = time.monotonic() + PATIENCE.total_seconds(), set(range(1, world))
    while silent:
        for other in sorted(silent):
            if store.check([f"question/{other}"]):
                store.set(f"answer/{store.get(f'question/{other}').decode()}", word)
        silent = {other for other in silent if not store.check([f"{word}/{other}"])}
        if time.monotonic() > until:
            raise RuntimeError(f"no sign of process {', '.join(map(str, sorted(silent)))}")
        time.sleep(0.01)
    return word


def part(batch: Batch) -> Batch:
    """This process's part of a batch, for `Feed(prepare=…)`. ValueError where the batch does not divide."""
    share(len(batch.real))
    return Batch(*(None if x is None else x.chunk(count())[rank()] for x in batch))


def share(batch: int) -> int:
    """How many samples of a batch each process gets. ValueError where the batch does not divide."""
    if batch % count():
        raise ValueError(f"A batch of {batch} cannot be shared evenly by {count()} processes: choose a number of "
                         "processes that divides it.")
    return batch // count()


def same(**facts) -> None:
    """See whether all processes say the same. ValueError, with what they say, where they do not."""
    if count() == 1:
        return
    said: list = [None] * count()
    _exchange(dist.all_gather_object, said, facts)
    for name, value in facts.items():
        if any(other[name] != value for other in said):
            raise ValueError(f"The processes play different games: their {name} is "
                             f"{', '.join(str(other[name]) for other in said)}. Give all of them the same.")


def together(players: Sequence[Player]) -> None:
    """Let players average their gradients over all processes before every update, from equal weights on.

    What an update returns is averaged too: the losses of the whole batch, so that one that is not finite ends all.
    BatchNorm becomes `SharedBatchNorm`; ValueError where it cannot. (A bias before BatchNorm has no gradient but
    rounding, which Adam scales up: there processes differ, to no effect.)
    """
    for player in players:
        share_norms(player.net)
        for value in [*player.net.parameters(), *player.net.buffers()]:
            _exchange(dist.broadcast, value.detach(), 0)
        player.optimizer.register_step_pre_hook(lambda optimizer, *_: average(
            [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]))
        player.update = _of_all(player.update)


def _of_all(update: Callable[[Batch], dict[str, Tensor]]) -> Callable[[Batch], dict[str, Tensor]]:
    """An update that returns the mean of what it returns in all processes."""
    def averaged(batch: Batch) -> dict[str, Tensor]:
        terms = {name: term.clone() for name, term in update(batch).items()}
        average(list(terms.values()))
        return terms

    return averaged


def average(values: Sequence[Tensor]) -> None:
    """The mean over processes, in place, in one exchange."""
    flat = torch.cat([value.flatten() for value in values])
    _exchange(dist.all_reduce, flat)
    for value, mean in zip(values, flat.div_(count()).split([value.numel() for value in values]), strict=True):
        value.copy_(mean.view_as(value))


def agreed(number: int, step: int = 0) -> int:
    """The largest number that any process says, the same for all. Asked at every tenth step only, and 0 in between."""
    if count() == 1:
        return number
    if step % ASK_EVERY:
        return 0
    said = torch.tensor(number, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    _exchange(dist.all_reduce, said, dist.ReduceOp.MAX)
    return int(said.item())


def _exchange(function, *arguments) -> None:
    """Call a function that waits for the others. Lost where they are gone."""
    try:
        function(*arguments)
    except RuntimeError as error:
        raise Lost(f"Process {os.environ.get('RANK', '0')} has lost another one, and ends: "
                   f"{str(error).splitlines()[0]}") from None


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


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    r"""BatchNorm in training over the parts of all processes together, and what it was in evaluation.

    Mean and variance are taken over the whole batch, in two exchanges that gradients flow back through:
    $\mu = \frac1P\sum_p \mu_p$, $\sigma^2 = \frac1P\sum_p \operatorname{mean}(x - \mu)^2$ for P parts of equal size.
    `alone` makes it ordinary again, for one process that samples while the others wait.
    """

    alone = False

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.alone or count() == 1:
            return super().forward(x)
        kind, x = x.dtype, x.to(self.running_mean.dtype)  # under autocast too: no statistics of 8 bits
        over = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = _Sum.apply(x.mean(over)) / count()
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().mean(over)) / count()
        with torch.no_grad():
            self.num_batches_tracked += 1
            n = x.numel() // x.shape[1] * count()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        normed = centred * (variance + self.eps).rsqrt().view(shape)
        return (normed * self.weight.view(shape) + self.bias.view(shape)).to(kind)


def share_norms(net: nn.Module) -> None:
    """Replace every BatchNorm within by one that is shared, with the same weights and statistics."""
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, SharedBatchNorm):
                if not child.affine or child.running_mean is None or child.momentum is None:
                    raise ValueError("Several processes share a BatchNorm with weights, running statistics and a "
                                     "momentum only: build the network with one, or with another norm.")
                shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
                for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                    setattr(shared, key, getattr(child, key))  # the optimiser holds these very weights
                setattr(parent, name, shared.train(child.training))


def alone(net: nn.Module) -> nn.Module:
    """The network, whose BatchNorms from now on see this process only: others need not take part. Returns it."""
    for module in net.modules():
        if isinstance(module, SharedBatchNorm):
            module.alone = True
    return net
