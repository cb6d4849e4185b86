r"""Measure what the convergence bound needs, along a short pilot run on the real model and data.

The bound sums one round's descent over the rounds t, so its relative bias is a ratio of sums along the path,

.. math:: \kappa(\rho) = \sum_t \|\nabla F - \textstyle\sum_k \omega_k h_k\|^2 \,/\, \sum_t \|\nabla F\|^2,          \tag{1}

for every cut over a grid of pruning ratios; h_k is the gradient of device k at the pruned weights, with zeros where they were
pruned, all devices pruning alike. It is fitted by scale rho^exponent up to ``most_bias``. The noise enters as the means of
beta sigma^2 (sampling) and beta Omega (compression). The literature's form takes the largest beta, sigma_j^2, G_j^2 and
W_j^2 per block j instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from learning import average, masking, params
from learning.algorithm import Algorithm, Draws, Link, Plan, Shard, Streams
from learning.calibration import Calibration, fit_power_law
from learning.compress import quantise
from learning.crossing import PLAIN, Compression
from learning.masking import BY_MAGNITUDE, Pruning
from learning.params import Params
from learning.precision import precision as computing_in
from learning.split import learn, split_gradient

RATIOS = (0.1, 0.25, 0.5, 0.7, 0.9)
DRAWS, FEW = 4, 8
DIVERGED = "the pilot run diverged: its loss went to {}; lower training.lr (now {:g})"


@dataclass(frozen=True)
class _Snapshot:
    """Measurements at one checkpoint."""

    loss: float
    bias: NDArray                # (C, J) |grad F - sum omega_k h_k|^2
    compression: NDArray         # (C, 2) squared bias, and Omega
    square: float                # |grad F|^2
    squares: float               # sum omega_k |grad F_k|^2
    smoothness: float
    sampling: NDArray            # (L,)
    gradient: NDArray            # (L,)
    weight: NDArray              # (L,)


def calibrate(algorithm: Algorithm, net: nn.Sequential, shards: Sequence[Shard], *, rounds: int, cuts: Sequence[int],
              batch: int, lr: float, most_bias: float = 0.75, checkpoints: int = 5, samples: int = 64,
              seed: int = 0, precision: str = "float32") -> Calibration:
    """Run a pilot of ``rounds`` rounds without pruning or compression, and measure at ``checkpoints`` of it.

    Parameters
    ----------
    cuts : sequence of int
        Cuts whose curves are wanted.
    batch, lr : int, float
        Mini-batch and learning rate of the training that the bound is for.
    most_bias : float
        kappa_max, above which the bound is not to be trusted [1].
    samples : int
        Each device measures its gradients on at most so many of its samples.
    precision : str
        What the pilot's steps compute in (``learning.precision``); what is measured, differences of gradients, is in float32.
    """
    seeds = np.random.SeedSequence(seed).generate_state(4).tolist()
    streams, draws, pick = Streams(*seeds[:2]), Streams(seeds[2]).draws(0, 0), torch.Generator().manual_seed(seeds[3])
    compression, pruning = getattr(algorithm, "compression", PLAIN), getattr(algorithm, "pruning", BY_MAGNITUDE)
    shared = len(net) - getattr(algorithm, "personal", 0)
    pilot = replace(algorithm, compression=PLAIN) if compression != PLAIN else algorithm     # type: ignore[type-var]
    state, plans = pilot.init(len(shards)), [Plan(pilot.cuts()[0])] * len(shards)
    picks = [torch.randperm(len(s), generator=pick)[:samples] for s in shards]
    probes = [Shard(s.x[i], s.y[i]) for s, i in zip(shards, picks, strict=True)]
    when = set(np.linspace(0, rounds - 1, checkpoints).round().astype(int).tolist())
    seen = []
    for number in range(rounds):
        if number in when:
            models = dict(enumerate(pilot.models(state)))
            middle = average.mean(models, dict.fromkeys(models, 1.0))
            if not all(bool(p.isfinite().all()) for p in middle.values()):
                raise ValueError(DIVERGED.format("something that is not a number", lr))
            probe = _Probe(net, middle, probes, [len(s) for s in shards], lr, batch, draws, pruning, shared)
            seen.append(probe.measure(cuts, compression))
        with computing_in(precision, next(net.parameters()).device):
            state, _ = pilot.step(state, shards, plans, streams)
    first, last = seen[0].loss, seen[-1].loss
    if not all(np.isfinite(s.loss + s.square) for s in seen) or last > 2 * first + 1:
        raise ValueError(DIVERGED.format(f"{last:.3g} from {first:.3g}", lr))
    return _summary(seen, cuts, most_bias, rounds)


@dataclass(frozen=True)
class _Probe:
    """One checkpoint: a model, and the samples on which its gradients are measured."""

    net: nn.Sequential
    weights: Params
    probes: Sequence[Shard]
    sizes: Sequence[int]
    lr: float
    batch: int
    draws: Draws
    pruning: Pruning
    shared: int              # blocks that may be pruned and are sent

    def measure(self, cuts: Sequence[int], compression: Compression) -> _Snapshot:
        losses, grads = zip(*(self._gradient(self.weights, p) for p in self.probes), strict=True)
        whole = params.weighted_sum(grads, self.share)
        trained = {name: self.weights[name] for name in whole}
        ahead = {**self.weights, **params.combine(lambda w, g: w - self.lr * g, trained, whole)}
        bend = params.combine(torch.sub, self._whole(ahead), whole)
        noise = np.mean([self._sampling(*each) for each in zip(self.probes, grads, self.sizes, strict=True)], axis=0)
        square = params.squared_norm(whole)
        return _Snapshot(
            loss=float(self.share @ losses),
            bias=np.array([[self._bias(cut, ratio, whole) for ratio in RATIOS] for cut in cuts]),
            compression=np.array([self._compression(cut, compression, whole) for cut in cuts]),
            square=square, squares=float(self.share @ [params.squared_norm(g) for g in grads]),
            smoothness=float(np.sqrt(params.squared_norm(bend) / max(square, 1e-300)) / self.lr),
            sampling=noise, gradient=noise + np.mean([self._by_block(g) for g in grads], axis=0),
            weight=self._by_block(trained),
        )

    @property
    def share(self) -> NDArray:
        return np.array(self.sizes) / sum(self.sizes)

    def _whole(self, weights: Params) -> Params:
        return params.weighted_sum([self._gradient(weights, p)[1] for p in self.probes], self.share)

    def _gradient(self, weights: Params, probe: Shard) -> tuple[float, Params]:
        link = Link()
        grads = learn(self.net, weights, probe.x, probe.y, link).grads
        return float(link.losses[0]), grads

    def _by_block(self, values: Params) -> NDArray:
        squares = np.zeros(len(self.net))
        for name, value in values.items():
            squares[params.block_of(name)] += params.squared_norm({name: value})
        return squares

    def _bias(self, cut: int, ratio: float, whole: Params) -> float:
        """The numerator of (1), at masks as the algorithm draws them (by difference: as at first, by magnitude)."""
        front = params.front(self.weights, min(cut, self.shared))
        mask = self.pruning.mask_by(front, ratio, whole if self.pruning.kind == "gradient" else {}, self.draws.compression)
        found = masking.prune(self._whole(masking.prune(self.weights, mask)), mask)
        return params.squared_norm(params.combine(torch.sub, whole, found))

    def _sampling(self, probe: Shard, grad: Params, size: int) -> NDArray:
        """Variance of a mini-batch gradient, block by block: that of single samples over the size of the batch.

        With batch norm a sample's gradient depends on the others of its batch: then of a few samples at a time.
        """
        few = min(FEW if any(True for _ in self.net.buffers()) else 1, len(probe))
        picks = torch.randperm(len(probe), generator=self.draws.batches)[:DRAWS * few].split(few)
        draws = (self._gradient(self.weights, Shard(probe.x[i], probe.y[i]))[1] for i in picks)
        spread = [self._by_block(params.combine(torch.sub, g, grad)) for g in draws]
        return np.mean(spread, axis=0) * few / min(self.batch, size)

    def _compression(self, cut: int, compression: Compression, whole: Params) -> tuple[float, float]:
        """Squared bias of the averaged gradient, and variance of one device's, from pairs of independent draws."""
        if compression == PLAIN:
            return 0.0, 0.0
        errors = [params.combine(torch.sub, self._compressed(cut, compression), whole) for _ in range(DRAWS)]
        each = float(np.mean([params.squared_norm(e) for e in errors]))
        joint = params.squared_norm(params.weighted_sum(errors, [1.0] * DRAWS))
        bias = max((joint - DRAWS * each) / (DRAWS * (DRAWS - 1)), 0.0)              # mean of <e_i, e_j>, i != j
        return bias, max(each - bias, 0.0) / float(self.share @ self.share)

    def _compressed(self, cut: int, compression: Compression) -> Params:
        draw = self.draws.compression
        grads = [split_gradient(self.net, self.weights, cut, p.x, p.y, compression, draw).grads for p in self.probes]
        sent = [{name: quantise(g, compression.update_bits, draw, compression.scales)
                 if params.block_of(name) < min(cut, self.shared) else g for name, g in grad.items()} for grad in grads]
        return params.weighted_sum(sent, self.share)


def _summary(seen: Sequence[_Snapshot], cuts: Sequence[int], most_bias: float, rounds: int) -> Calibration:
    def plain(values: NDArray) -> tuple:
        return tuple(float(v) for v in values)

    square = sum(s.square for s in seen)
    bias = np.sum([s.bias for s in seen], axis=0) / square
    fits = [fit_power_law(np.array(RATIOS), row, most_bias) for row in bias]
    return Calibration(
        cuts=tuple(cuts), ratios=RATIOS, bias=tuple(plain(row) for row in bias),
        scale=tuple(f[0] for f in fits), exponent=tuple(f[1] for f in fits), ratio_max=tuple(f[2] for f in fits),
        compression_bias=plain(np.sum([s.compression[:, 0] for s in seen], axis=0) / square),
        compression_noise=plain(np.mean([s.smoothness * s.compression[:, 1] for s in seen], axis=0)),
        sampling_noise=float(np.mean([s.smoothness * s.sampling.sum() for s in seen])),
        dissimilarity=sum(s.squares for s in seen) / square,
        smoothness=max(s.smoothness for s in seen), start=max(seen[0].loss - min(s.loss for s in seen), 1e-6),
        sampling=plain(np.max([s.sampling for s in seen], axis=0)),
        gradient=plain(np.max([s.gradient for s in seen], axis=0)),
        weight=plain(np.max([s.weight for s in seen], axis=0)), rounds=rounds)
