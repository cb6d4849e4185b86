"""A model, and the samples on which its gradients are measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from learning import params
from learning.algorithm import Link, Shard
from learning.models.blocks import normed
from learning.params import Params
from learning.split import backward, forward, learn

TOGETHER = 512      # samples of several devices that go through the network at once, at most


@dataclass(frozen=True)
class Probe:
    """A model, and some samples of each of K devices.

    Attributes
    ----------
    net : nn.Sequential
    weights : Params
        Of all of the model.
    shards : (K,) sequence of Shard
        The samples.
    sizes : (K,) sequence of int
        How many each device has in all.
    """

    net: nn.Sequential
    weights: Params
    shards: Sequence[Shard]
    sizes: Sequence[int]

    @property
    def share(self) -> NDArray:
        """Of the data that each device has (K,) [1]."""
        return np.array(self.sizes) / sum(self.sizes)

    def gradient(self, weights: Params, shard: Shard) -> tuple[float, Params]:
        """Mean loss of some samples [nat], and its gradient."""
        link = Link()
        grads = learn(self.net, weights, shard.x, shard.y, link).grads
        return float(link.losses[0]), grads

    def mean(self, weights: Params) -> Params:
        """Gradient of F = sum omega_k F_k: samples of several devices at once where batch norm does not tell them apart."""
        found: Params = {}
        for group in self._groups():
            add(found, self._weighted(weights, group))
        return found

    def smoothness(self, slope: Params, lr: float) -> float:
        """beta: how fast the gradient, ``slope``, changes along a step of descent."""
        change = params.combine(torch.sub, self.mean(moved(self.weights, slope, lr)), slope)
        return float(np.sqrt(params.squared_norm(change)) / (lr * np.sqrt(max(params.squared_norm(slope), 1e-300))))

    def bent(self, step: Params) -> NDArray:
        """How much the slope rises along a change ``step`` of the weights, each block's share of it (L,): e' H e for a step e.

        The Hessian H of F is the mean of that from one step behind to one ahead.
        """
        ahead, behind = (self.mean(moved(self.weights, step, side)) for side in (-1.0, 1.0))
        rises = np.zeros(len(self.net))
        for name, e in step.items():
            rises[params.block_of(name)] += float(((ahead[name] - behind[name]) * e).sum()) / 2
        return rises

    def parts(self, number: int) -> list["Probe"]:
        """Probes of disjoint samples; a device with less than one for each has all in all."""
        if number == 1:
            return [self]
        return [replace(self, shards=[Shard(s.x[i::number], s.y[i::number]) if len(s) >= number else s for s in self.shards])
                for i in range(number)]

    def by_block(self, values: Params) -> NDArray:
        """Squared norm of the values of each block (L,)."""
        squares = np.zeros(len(self.net))
        for name, value in values.items():
            squares[params.block_of(name)] += params.squared_norm({name: value})
        return squares

    def _groups(self) -> list[list[int]]:
        groups: list[list[int]] = []
        alone, filled = normed(self.net), 0
        for k, shard in enumerate(self.shards):
            filled += len(shard)
            if alone or filled > TOGETHER or not groups:
                groups, filled = [*groups, []], len(shard)
            groups[-1].append(k)
        return groups

    def _weighted(self, weights: Params, group: list[int]) -> Params:
        """Gradient of sum omega_k F_k over a group of devices."""
        shards = [self.shards[k] for k in group]
        x, y = torch.cat([s.x for s in shards]), torch.cat([s.y for s in shards])
        each = torch.tensor(np.repeat(self.share[group] / [len(s) for s in shards], [len(s) for s in shards]))
        ahead = forward(self.net, weights, x)
        losses = cross_entropy(ahead.out, y, reduction="none")
        return backward(ahead._replace(out=losses @ each.to(losses)))


def add(total: Params, values: Params, weight: float = 1.0) -> None:
    """Add ``weight`` times the values to a sum that is empty at first."""
    for name, v in values.items():
        total[name] = total[name].add_(v, alpha=float(weight)) if name in total else float(weight) * v


def product(drawn: Sequence[Params]) -> float:
    """Squared norm of the mean of what independent values were drawn from, without bias: the mean product of two different ones.

    It may come out below zero. Of a single one it is the squared norm, which is larger by the variance.
    """
    return inner(drawn, drawn)


def inner(one: Sequence[Params], other: Sequence[Params]) -> float:
    """Inner product of the means of what pairs were drawn from, the pairs independently; without bias, as :func:`product`."""
    n, together = len(one), sum(params.dot(*pair) for pair in zip(one, other, strict=True))
    if n == 1:
        return together
    totals = (Params(), Params())
    for total, row in zip(totals, (one, other), strict=True):
        for values in row:
            add(total, values)
    return (params.dot(*totals) - together) / (n * (n - 1))


def moved(weights: Params, grads: Params, lr: float) -> Params:
    """The weights after a step of gradient descent; what has no gradient stays."""
    return {name: w - lr * grads[name] if name in grads else w for name, w in weights.items()}
