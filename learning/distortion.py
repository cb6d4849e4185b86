r"""What compression does to the gradient: a bias and a noise, each variant for itself.

A device's gradient of one mini-batch, g, becomes g + e; its error e has the mean b and the variance Omega, and the error of the
average over devices, sum omega_k e_k, the mean squared norm

.. math:: \mathrm{E} \bigl\| \textstyle\sum_k \omega_k e_k \bigr\|^2 = \|\bar b\|^2 + \Omega \textstyle\sum_k \omega_k^2. \tag{1}

With independent draws of it, products of two draws have the mean \|\|b\|\|^2: that parts the two. Rounded updates are unbiased,
and what they add is known without a draw (``compress.rounding_variance``). Errors are of mini-batches of the size that training
has: the noise of what crosses falls with it.

What a noise costs is its square times the curvature along it. What crosses the cut makes a noise that goes where gradients go,
and its curvature is taken to be beta. Rounding tosses a coin for each weight, whether the loss bends there or not: with v the
variances of the averaged update's entries and H the Hessian of F, errors e of these variances and independent signs have

.. math:: \mathrm{E}\; e^\top H e = \textstyle\sum_i H_{ii} v_i, \qquad
          e^\top H e \approx \langle e, \nabla F(w + \eta e) - \nabla F(w - \eta e) \rangle / 2 \eta,          \tag{2}

the second over the very stretch that a step moves the weights; block by block, for the blocks of a client side are those that are
rounded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from learning import params
from learning.algorithm import Shard
from learning.compress import FLOAT_BITS, rounding_variance
from learning.crossing import PLAIN, Compression
from learning.params import Params
from learning.probe import Probe, add, product
from learning.split import split_gradient

DRAWS = 4

Gradient = Callable[[Shard], Params]


@dataclass(frozen=True)
class Distortion:
    """What is common to all cuts and variants at one model.

    Attributes
    ----------
    probe : Probe
    batch, lr : int, float
        Mini-batch and learning rate of the training.
    smoothness : float
        beta, the curvature along the gradient.
    sent : int
        Blocks whose updates may be sent: of a cut behind them, only they are.
    rng : callable
        A generator for a cut: it is the same for all variants, so that none depends on which others are measured.
    """

    probe: Probe
    batch: int
    lr: float
    smoothness: float
    sent: int
    rng: Callable[[int], torch.Generator]

    def measure(self, cuts: Sequence[int], variants: Sequence[Compression]) -> NDArray:
        """Squared bias of the averaged gradient, and variance Omega of one device's times the curvature along it (C, V, 2).

        What is the same at a cut is measured once, and what changes nothing not at all. A squared bias is unbiased, and may
        come out below zero.
        """
        found = np.zeros((len(cuts), len(variants), 2))
        rounded = sorted({(c.update_bits, c.scales) for c in variants if c.update_bits < FLOAT_BITS})
        crossing = [[_crossing(c, cut, len(self.probe.net)) for c in variants] for cut in cuts]
        if not rounded and all(c == PLAIN for row in crossing for c in row):
            return found
        exact = [self._averaged(number, lambda shard: self.probe.gradient(self.probe.weights, shard)[1], rounded)
                 for number in range(DRAWS)]
        bends = self._bends(rounded)
        for i, cut in enumerate(cuts):
            for kind in set(crossing[i]):
                bias, noise, coins = self._parts(cut, kind, rounded, exact)
                for v in (v for v, c in enumerate(crossing[i]) if c == kind):
                    found[i, v] = bias, self._joined(cut, variants[v], noise, coins * bends, rounded)
        return found

    def _parts(self, cut: int, kind: Compression, rounded: Sequence[tuple[int, str]],
               exact: Sequence[tuple[Params, NDArray]]) -> tuple[float, float, NDArray]:
        """Squared bias and joint variance by what crosses, and the joint variance by rounding on top of it (R, L)."""
        if kind == PLAIN:
            return 0.0, 0.0, np.mean([coins for _, coins in exact], axis=0)
        net, weights, rng = self.probe.net, self.probe.weights, self.rng(cut)
        drawn = [self._averaged(number, lambda s: split_gradient(net, weights, cut, s.x, s.y, kind, rng).grads, rounded)
                 for number in range(DRAWS)]
        errors = [params.combine(torch.sub, mean, here) for (mean, _), (here, _) in zip(drawn, exact, strict=True)]
        return *parted(errors), np.mean([coins for _, coins in drawn], axis=0)

    def _joined(self, cut: int, variant: Compression, noise: float, coins: NDArray, rounded: Sequence[tuple[int, str]]) -> float:
        """What crosses and what is rounded together, as of one device."""
        cost = self.smoothness * noise
        if variant.update_bits < FLOAT_BITS:
            cost += float(coins[rounded.index((variant.update_bits, variant.scales)), :min(cut, self.sent)].sum())
        return cost / float(self.probe.share @ self.probe.share)

    def _bends(self, rounded: Sequence[tuple[int, str]]) -> NDArray:
        """The curvature that each rounding sees in each block, (2) over the variance (R, L)."""
        found = np.zeros((len(rounded), len(self.probe.net)))
        for row, spread in zip(found, self._spreads(rounded), strict=True):
            rng = self.rng(len(self.probe.net))
            tossed = ({name: v.sqrt() * signs(v, rng) for name, v in spread.items()} for _ in range(DRAWS))
            rises = np.mean([self.probe.bent({name: self.lr * e for name, e in one.items()}) for one in tossed], axis=0)
            sizes = self.probe.by_block({name: v.sqrt() for name, v in spread.items()})
            row += np.divide(rises, self.lr**2 * sizes, out=np.zeros_like(sizes), where=sizes > 0)
        return found

    def _spreads(self, rounded: Sequence[tuple[int, str]]) -> list[Params]:
        """Variance of each entry of the averaged update by each rounding, for one mini-batch of each device."""
        spreads: list[Params] = [{} for _ in rounded]
        for shard, share in zip(self.probe.shards, self.probe.share, strict=True) if rounded else ():
            grads = self.probe.gradient(self.probe.weights, self._mini_batch(shard, 0))[1]
            for spread, (bits, scales) in zip(spreads, rounded, strict=True):
                add(spread, {name: rounding_variance(g, bits, scales) for name, g in grads.items()}, share**2)
        return spreads

    def _averaged(self, number: int, gradient: Gradient, rounded: Sequence[tuple[int, str]]) -> tuple[Params, NDArray]:
        """The averaged gradient of one mini-batch of each device, and the variance that each rounding adds to it (R, L)."""
        mean: Params = {}
        coins = np.zeros((len(rounded), len(self.probe.net)))
        for shard, share in zip(self.probe.shards, self.probe.share, strict=True):
            grads = gradient(self._mini_batch(shard, number))
            add(mean, grads, share)
            for row, (bits, scales) in zip(coins, rounded, strict=True):
                for name, g in grads.items():
                    row[params.block_of(name)] += share**2 * float(rounding_variance(g, bits, scales).double().sum())
        return mean, coins

    def _mini_batch(self, shard: Shard, number: int) -> Shard:
        """Full mini-batches in turn; all samples where there is not one."""
        full = max(len(shard) // self.batch, 1)
        start = number % full * self.batch
        return Shard(shard.x[start:start + self.batch], shard.y[start:start + self.batch])


def signs(like: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Plus or minus one, by a coin each; drawn on the CPU, so that draws are the same on every device."""
    return (2 * torch.randint(0, 2, like.shape, generator=rng) - 1).to(like)


def parted(errors: Sequence[Params]) -> tuple[float, float]:
    """Squared norm of the mean, and the variance, of what independent ``errors`` were drawn from; both without bias."""
    bias = product(errors)
    return bias, float(np.mean([params.squared_norm(e) for e in errors])) - bias


def _crossing(compression: Compression, cut: int, blocks: int) -> Compression:
    """What of it changes what crosses the cut, with its idle settings at their defaults."""
    if cut == blocks or not compression.crossing:
        return PLAIN
    quantised = min(compression.smashed_bits, compression.cut_bits) < FLOAT_BITS
    return replace(compression, update_bits=FLOAT_BITS, scales=compression.scales if quantised else PLAIN.scales,
                   dropout_kind=compression.dropout_kind if compression.dropout else PLAIN.dropout_kind)
