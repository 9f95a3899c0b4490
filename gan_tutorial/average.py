"""A running average of a network's weights, which makes better samples than the last weights do."""

import copy
from collections.abc import Iterable

import torch
from torch import nn


class Average:
    r"""A hook for `fit` that keeps the exponential moving average of a network's weights, frozen, in `.net`.

    $\bar\theta \leftarrow \beta\,\bar\theta + (1 - \beta)\,\theta$ with $\beta = 2^{-b/h}$ after every step, for batch
    size b and half-life h, both in images: what a step contributed counts half after h more images, so that one number
    fits every batch size. Early on, h is at most `ramp` times the images seen so far: a long memory would else keep
    the first, random weights. Karras et al. 2018; Yazıcı et al. 2019.

        average = gt.Average(G, half_life=10_000, batch=64)
        gt.fit(players, feed, steps, hooks=[average])
        gt.sample(average.settle(feed.noise(1000).split(100)), z)

    Buffers are copied, not averaged: BatchNorm's statistics are those of the raw weights until `settle` measures them.

    net        the network that learns; the average starts as its copy
    half_life  in images
    batch      images a step
    ramp       the share of the images seen that the half-life may reach; None for none

    Raises ValueError for a half-life or a batch that is not positive.
    """

    def __init__(self, net: nn.Module, half_life: float, batch: int, ramp: float | None = 0.1):
        if not half_life > 0 or batch < 1 or (ramp is not None and not ramp > 0):
            raise ValueError("A half-life, a batch and a ramp are positive, not "
                             f"{half_life}, {batch} and {ramp}.")
        self.source, self.half_life, self.batch, self.ramp = net, half_life, batch, ramp
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.images = 0

    def __call__(self, step=None, log=None) -> None:
        self.images += self.batch
        half_life = self.half_life if self.ramp is None else min(self.half_life, self.ramp * self.images)
        self.blend(1 - 0.5 ** (self.batch / half_life))

    @torch.no_grad()
    def blend(self, share: float) -> None:
        """Move the average towards the network's present weights by `share` of the way, and copy its buffers."""
        torch._foreach_lerp_(list(self.net.parameters()), list(self.source.parameters()), share)
        for mine, theirs in zip(self.net.buffers(), self.source.buffers(), strict=True):
            mine.copy_(theirs)

    @torch.no_grad()
    def settle(self, inputs: Iterable) -> nn.Module:
        """Re-estimate the average's BatchNorm statistics, and return it, ready to sample.

        BatchNorm's running means and variances belong to the raw weights; under averaged ones the activations have
        others. They are measured anew over `inputs`: tensors, or tuples of arguments, that the network is called with
        in training mode. All batches count alike. Without BatchNorm nothing changes. ValueError for no inputs.
        """
        norms = [m for m in self.net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        if not norms:
            return self.net
        momenta = [m.momentum for m in norms]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the plain mean over all batches
            m.train()
        try:
            for seen in inputs:
                self.net(*(seen if isinstance(seen, tuple) else (seen,)))
            if norms[0].num_batches_tracked == 0:
                raise ValueError("BatchNorm's statistics are measured on samples: settle needs at least one input.")
        finally:
            self.net.eval()
            for m, momentum in zip(norms, momenta, strict=True):
                m.momentum = momentum
        return self.net
