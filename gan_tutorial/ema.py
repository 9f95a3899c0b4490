"""A running average of a network's weights, which makes better samples than the last weights do."""

import copy
from collections.abc import Callable, Iterable

import torch
from torch import nn


class EMA:
    r"""A hook for `fit` that keeps the exponential moving average of a network's weights, frozen, in `.net`.

    $\bar\theta \leftarrow \beta\,\bar\theta + (1 - \beta)\,\theta$ with $\beta = 2^{-b/h}$ after every step, for batch
    size b and half-life h, both in images: what a step contributed counts half after h more images, so that one number
    fits every batch size. Early on, h is at most `rampup_ratio` times the images seen so far: otherwise a long memory
    would keep the initial, random weights. Karras et al. 2018; Yazıcı et al. 2019.

        ema = gt.EMA(G, half_life=10_000, batch_size=64)
        gt.fit(players, feed, steps, hooks=[ema])
        gt.sample(ema.update_bn(feed.noise(1000).split(100)), z)

    Buffers are copied, not averaged: BatchNorm's statistics are those of the raw weights until `update_bn` measures
    them.

    net           the network that learns; the average starts as its copy
    half_life     in images
    batch_size    images a step
    rampup_ratio  the half-life is at most this share of the images seen so far; None for no such limit

    Raises ValueError for numbers that are not positive.
    """

    def __init__(self, net: nn.Module, half_life: float, batch_size: int, rampup_ratio: float | None = 0.1):
        for name, value in (("half_life", half_life), ("batch_size", batch_size), ("rampup_ratio", rampup_ratio)):
            if value is not None and not value > 0:
                raise ValueError(f"Expected a positive {name}, got {value}.")
        self.source, self.half_life, self.batch_size, self.rampup_ratio = net, half_life, batch_size, rampup_ratio
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.images = 0

    def __call__(self, step=None, log=None) -> None:
        self.images += self.batch_size
        ramp = float("inf") if self.rampup_ratio is None else self.rampup_ratio * self.images
        self.update(1 - 0.5 ** (self.batch_size / min(self.half_life, ramp)))

    @torch.no_grad()
    def update(self, share: float) -> None:
        """Move the average towards the network's present weights by `share` of the way, and copy its buffers."""
        torch._foreach_lerp_(list(self.net.parameters()), list(self.source.parameters()), share)  # pyright: ignore[reportPrivateImportUsage]
        for mine, theirs in zip(self.net.buffers(), self.source.buffers(), strict=True):
            mine.copy_(theirs)

    def update_bn(self, inputs: Iterable) -> nn.Module:
        """Re-estimate the average's BatchNorm statistics, and return its network, ready to sample.

        inputs  a list or iterator of tensors, or of tuples of arguments, that the network is called with

        Meanwhile its BatchNorm layers alone are in training mode, see the function `update_bn`. Raises ValueError for
        no inputs, if there is a BatchNorm.
        """
        inputs = (seen if isinstance(seen, tuple) else (seen,) for seen in (() if inputs is None else inputs))
        update_bn([self.net], (lambda arguments=arguments: self.net(*arguments) for arguments in inputs))
        return self.net


@torch.no_grad()
def update_bn(networks: Iterable[nn.Module], passes: Iterable[Callable[[], object]]) -> None:
    """Re-estimate the BatchNorm statistics of networks by forward passes, and leave them in evaluation mode.

    BatchNorm's running means and variances belong to the raw weights; with averaged ones the activations have others.
    They are measured anew over `passes`, functions that each call the networks on one batch. Meanwhile BatchNorm layers
    are in training mode; all other layers keep their mode. All batches count equally. Without BatchNorm nothing is
    called, and nothing changes. Raises ValueError for a BatchNorm that no pass reaches. After any error the statistics
    are those from before.
    """
    networks = list(networks)
    named = [
        (f"{type(net).__name__}.{name}".rstrip("."), m)
        for net in networks
        for name, m in net.named_modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats
    ]
    norms = [m for _, m in named]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    before = [(buffer, buffer.clone()) for m in norms for buffer in m.buffers()]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # the plain mean over all batches
        m.train()
    try:
        for forward in passes:
            forward()
        if missed := [name for name, m in named if m.num_batches_tracked == 0]:
            raise ValueError(
                "BatchNorm's statistics are measured on samples: update_bn needs at least one input, and none reached "
                f"{', '.join(missed)}."
            )
    except BaseException:  # Ctrl-C, too
        for buffer, value in before:
            buffer.copy_(value)
        raise
    finally:
        for net in networks:
            net.eval()
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
