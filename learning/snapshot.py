r"""Everything that is measured at one checkpoint of a pilot run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from learning import masking, params
from learning.algorithm import Shard
from learning.crossing import Compression
from learning.distortion import DRAWS, Distortion
from learning.drift import drift
from learning.masking import Pruning
from learning.params import Params
from learning.probe import Probe, add, product

FEW = 8             # samples of a draw, whose gradient's scatter tells that of single ones


@dataclass(frozen=True)
class Wanted:
    """What shall be measured at each checkpoint.

    Attributes
    ----------
    cuts, ratios, compressions : (C,), (J,), (V,) sequence
    rounds : int
        The longest interval between two averagings [rounds].
    batch, lr : int, float
        Mini-batch and learning rate of the training.
    pruning : Pruning
    shared : int
        Blocks that may be pruned and are sent.
    parts : int
        Disjoint parts of the samples, whose products squares are, where they are more than one.
    """

    cuts: Sequence[int]
    ratios: Sequence[float]
    compressions: Sequence[Compression]
    rounds: int
    batch: int
    lr: float
    pruning: Pruning
    shared: int
    parts: int = 1


@dataclass(frozen=True)
class Snapshot:
    """Measurements at one checkpoint; |.|^2 are squared norms.

    Attributes
    ----------
    loss : float
    bias : (C, J)
        |grad F - sum omega_k h_k|^2.
    distortion : (C, V, 2)
        Squared bias, and Omega times the curvature along it.
    drift : (C, I, 3)
        Of each round since the checkpoint, as ``drift.drift``.
    square, squares : float
        |grad F|^2, and sum omega_k |grad F_k|^2.
    sampled : float
        |grad F|^2 as the samples have it, their noise and all.
    smoothness : float
    sampling, gradient, weight : (L,)
        Variance of a mini-batch gradient, the mean over devices by their squared shares; its mean square, and |w|^2.
    pruned : (L, J)
        |w - m * w|^2 of each block.
    """

    loss: float
    bias: NDArray
    distortion: NDArray
    drift: NDArray
    square: float
    squares: float
    sampled: float
    smoothness: float
    sampling: NDArray
    gradient: NDArray
    weight: NDArray
    pruned: NDArray


def snapshot(probe: Probe, wanted: Wanted, batches: torch.Generator, rng: Callable[[int], torch.Generator]) -> Snapshot:
    """Measure at one model. ``batches`` draws mini-batches, ``rng`` what is random at a cut: a fresh generator for each use."""
    whole: Params = {}
    loss, squares = 0.0, 0.0
    own, noise = [], []                                                                            # of each device (K, L)
    for shard, size, share in zip(probe.shards, probe.sizes, probe.share, strict=True):
        its_loss, grads = probe.gradient(probe.weights, shard)
        add(whole, grads, share)
        loss, squares = loss + share * its_loss, squares + share * params.squared_norm(grads)
        own.append(probe.by_block(grads))
        noise.append(_sampling(probe, shard, grads, min(wanted.batch, size), size, batches))
    some, slopes, known = probe.parts(wanted.parts), [whole], Params()
    if wanted.pruning.kind == "gradient":                                                          # statistics have none
        known = {name: whole[name] if name in whole else torch.zeros_like(w) for name, w in probe.weights.items()}
    if wanted.parts > 1:
        slopes, squares = _slopes(probe, some)
    square = product(slopes)

    def mask(cut: int, ratio: float) -> Params:
        """As the algorithm draws it (by difference: as at first, by magnitude)."""
        return wanted.pruning.mask_by(params.front(probe.weights, min(cut, wanted.shared)), ratio, known, rng(cut))

    trained = {name: probe.weights[name] for name in whole}
    beta = probe.smoothness(whole, wanted.lr)
    distortion = Distortion(probe, wanted.batch, wanted.lr, beta, wanted.shared, rng)
    return Snapshot(
        loss=loss, bias=np.array([[_missed(some, mask(cut, ratio), slopes) for ratio in wanted.ratios] for cut in wanted.cuts]),
        distortion=distortion.measure(wanted.cuts, wanted.compressions),
        drift=np.array([_drift(probe, min(cut, wanted.shared), wanted, square) for cut in wanted.cuts]),
        square=square, squares=squares, sampled=params.squared_norm(whole), smoothness=beta,
        sampling=np.average(noise, axis=0, weights=probe.share**2), gradient=np.mean(own, axis=0) + np.mean(noise, axis=0),
        weight=probe.by_block(trained),
        pruned=np.array([_left_out(probe, mask(len(probe.net), ratio), trained) for ratio in wanted.ratios]).T)


def _slopes(probe: Probe, some: Sequence[Probe]) -> tuple[list[Params], float]:
    """grad F of each part of the samples, and sum omega_k |grad F_k|^2 by their products."""
    slopes, squares = [Params() for _ in some], 0.0
    for k, share in enumerate(probe.share):
        each = [part.gradient(part.weights, part.shards[k])[1] for part in some]
        squares += share * product(each)
        for slope, grads in zip(slopes, each, strict=True):
            add(slope, grads, share)
    return slopes, squares


def _missed(some: Sequence[Probe], mask: Params, slopes: Sequence[Params]) -> float:
    """Squared distance of the gradient from what devices send that all prune alike."""
    found = (masking.prune(part.mean(masking.prune(part.weights, mask)), mask) for part in some)
    return product([params.combine(torch.sub, slope, own) for slope, own in zip(slopes, found, strict=True)])


def _drift(probe: Probe, cut: int, wanted: Wanted, square: float) -> NDArray:
    return drift(probe, cut, wanted.rounds, wanted.lr, wanted.parts) if wanted.rounds > 1 else np.array([[0.0, 0.0, square]])


def _left_out(probe: Probe, mask: Params, trained: Params) -> NDArray:
    """|w - m * w|^2 of each block (L,)."""
    kept = masking.prune(trained, mask)
    return probe.by_block({name: w - kept[name] for name, w in trained.items() if kept[name] is not w})


def _sampling(probe: Probe, shard: Shard, grads: Params, batch: int, size: int, rng: torch.Generator) -> NDArray:
    """Variance of a mini-batch gradient of one device with ``size`` samples, block by block (L,).

    The mean of n that are drawn out of N without replacement has 1 / n - 1 / N of the variance of one: N is ``size`` in training,
    and here how many samples the probe has, of which a few are drawn at a time.
    """
    if batch == size or len(shard) == 1:
        return np.zeros(len(probe.net))
    picks = torch.randperm(len(shard), generator=rng)[:DRAWS * FEW].split(min(FEW, len(shard) // 2))
    draws = ((len(i), probe.gradient(probe.weights, Shard(shard.x[i], shard.y[i]))[1]) for i in picks)
    single = [probe.by_block(params.combine(torch.sub, g, grads)) / (1 / n - 1 / len(shard)) for n, g in draws]
    return np.mean(single, axis=0) * (1 / batch - 1 / size)
