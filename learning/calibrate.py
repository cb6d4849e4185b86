r"""Measure what the convergence bound needs, along a short pilot run on the real model and data.

The bound sums one round's descent over the rounds t, so its relative bias is a ratio of sums along the path,

.. math:: \kappa(\rho) = \sum_t \|\nabla F - \textstyle\sum_k \omega_k h_k\|^2 \,/\, \sum_t \|\nabla F\|^2,          \tag{1}

for every cut over a grid of pruning ratios; h_k is the gradient of device k at the pruned weights, with zeros where they were
pruned, all devices pruning alike. It is fitted by scale rho^exponent up to ``most_bias``. What compression and rare averaging do
is measured in the same units, each variant for itself (``learning.distortion``, ``learning.drift``). The noise enters as the
means of beta sigma^2 (sampling) and beta Omega (compression; rounded updates with the curvature that they see). The literature's
form takes the largest beta, sigma_j^2, G_j^2 and W_j^2 per block j instead.
"""

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from learning import average
from learning.algorithm import Algorithm, Plan, Shard, Streams
from learning.calibration import Calibration, fit_power_law, plainly
from learning.crossing import PLAIN, Compression
from learning.jackknife import half_widths
from learning.masking import BY_MAGNITUDE
from learning.precision import precision as computing_in
from learning.probe import Probe
from learning.snapshot import Snapshot, Wanted, snapshot

RATIOS = (0.1, 0.25, 0.5, 0.7, 0.9)
FLOOR = 1e-3        # of all checkpoints' sum of squares: without one of them what is left may be noise, and counts as so much
DIVERGED = "the pilot run diverged: its loss went to {}; lower training.lr (now {:g})"


class GradientLost(ValueError):
    """The gradient cannot be told from the sampling noise of the samples that it is measured on."""


def calibrate(algorithm: Algorithm, net: nn.Sequential, shards: Sequence[Shard], *, rounds: int, cuts: Sequence[int],
              batch: int, lr: float, most_bias: float = 0.75, checkpoints: int = 5, samples: int = 64,
              seed: int = 0, precision: str = "float32", compressions: Sequence[Compression] = (),
              intervals: Sequence[int] = (1,), parts: int = 1, clear: float = 0.0) -> Calibration:
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
    compressions : sequence of Compression
        Variants whose bias and noise are wanted; the algorithm's own comes first, and is the only one without.
    intervals : sequence of int
        Rounds between two averagings of client sides whose drift is wanted [rounds]; 1 comes first.
    parts : int
        Parts that the samples are split into. Squares of gradients that are measured on a few samples are too large by their
        sampling noise, and of a large network that may be all that there is: products of different parts are not.
    clear : float
        With several parts, the share of the samples' squared gradient that must be more than noise [1].

    Raises
    ------
    ValueError
        Where the pilot diverged.
    GradientLost
        Where the gradient is lost in the noise of the parts.
    """
    if parts < 1:
        raise ValueError(f"parts must be 1 or more [1], got {parts}")
    if min(intervals, default=1) < 1:
        raise ValueError(f"intervals must be 1 or more [rounds], got {list(intervals)}")
    seeds = np.random.SeedSequence(seed).generate_state(4).tolist()
    streams, drawing, pick = Streams(*seeds[:2]), Streams(seeds[2]), torch.Generator().manual_seed(seeds[3])
    variants = list(dict.fromkeys([getattr(algorithm, "compression", PLAIN), *compressions]))
    waits = list(dict.fromkeys([1, *intervals]))
    wanted = Wanted(tuple(cuts), RATIOS, variants, max(waits), batch, lr, getattr(algorithm, "pruning", BY_MAGNITUDE),
                    len(net) - getattr(algorithm, "personal", 0), parts)
    picks = [torch.randperm(len(s), generator=pick)[:samples] for s in shards]
    probes = [Shard(s.x[i], s.y[i]) for s, i in zip(shards, picks, strict=True) if len(s)]
    pilot, batches = pilot_of(algorithm), drawing.draws(0, 0).batches
    state, plans = pilot.init(len(shards)), [Plan(pilot.cuts()[0])] * len(shards)
    when = set(np.linspace(0, rounds - 1, checkpoints).round().astype(int).tolist())
    seen = []
    for number in range(rounds):
        if number in when:
            middle = average.middle(pilot.models(state))
            if not all(bool(p.isfinite().all()) for p in middle.values()):
                raise ValueError(DIVERGED.format("something that is not a number", lr))
            probe = Probe(net, middle, probes, [len(s) for s in shards if len(s)])
            seen.append(snapshot(probe, wanted, batches, lambda cut, at=number: drawing.draws(at, cut).compression))   # type: ignore[misc]
        with computing_in(precision, next(net.parameters()).device):
            state, _ = pilot.step(state, shards, plans, streams)
    first, last = seen[0].loss, seen[-1].loss
    if not all(np.isfinite(s.loss + s.square) for s in seen) or last > 2 * first + 1:
        raise ValueError(DIVERGED.format(f"{last:.3g} from {first:.3g}", lr))
    if sum(s.square for s in seen) <= clear * sum(s.sampled for s in seen) and parts > 1:
        raise GradientLost(f"the gradient is lost in the noise of {samples} samples a device in {parts} parts: take more samples")
    return _summary(seen, wanted, waits, most_bias, rounds)


def pilot_of(algorithm: Algorithm) -> Algorithm:
    """The algorithm as the bound's R_0 rounds run it: without compression, client sides averaged in every round."""
    own = {field.name for field in fields(algorithm)} & {"compression", "interval"}              # type: ignore[arg-type]
    return replace(algorithm, **{name: {"compression": PLAIN, "interval": 1}[name] for name in own})   # type: ignore[type-var]


def _summary(seen: Sequence[Snapshot], wanted: Wanted, intervals: Sequence[int], most_bias: float, rounds: int) -> Calibration:
    least = FLOOR * sum(s.square for s in seen)

    def estimate(some: Sequence[Snapshot]) -> dict[str, Any]:
        return _estimate(some, intervals, most_bias, least)

    return Calibration(
        cuts=tuple(wanted.cuts), ratios=tuple(wanted.ratios), compressions=tuple(map(asdict, wanted.compressions)),
        intervals=tuple(intervals), start=max(seen[0].loss - min(s.loss for s in seen), 1e-6), rounds=rounds,
        **plainly(estimate(seen)), errors=plainly(half_widths(estimate, seen)))


def _estimate(seen: Sequence[Snapshot], intervals: Sequence[int], most_bias: float, least: float) -> dict[str, Any]:
    """What a calibration says of some checkpoints, as far as it has intervals; sums of squares are ``least`` at least."""
    square = max(sum(s.square for s in seen), least)
    bias = np.maximum(np.sum([s.bias for s in seen], axis=0) / square, 0.0)
    fits = np.array([fit_power_law(np.array(RATIOS), row, most_bias) for row in bias]).T
    distortion, drifted = np.sum([s.distortion for s in seen], axis=0), np.sum([s.drift for s in seen], axis=0).cumsum(axis=1)
    noise = np.mean([s.distortion[..., 1] for s in seen], axis=0)
    weight = np.sum([s.weight for s in seen], axis=0)
    apart = (drifted[..., :2] / np.maximum(drifted[..., 2:], least))[:, np.array(intervals) - 1]
    return {
        "bias": bias, "scale": fits[0], "exponent": fits[1], "ratio_max": fits[2],
        "compression_bias": np.maximum(distortion[..., 0] / square, 0.0), "compression_noise": np.maximum(noise, 0.0),
        "drift": np.maximum(apart[..., 0], 0.0), "misalignment": np.maximum(apart[..., 1], 0.0),
        "energy": np.sum([s.pruned for s in seen], axis=0) / np.where(weight > 0, weight, 1.0)[:, None],
        "sampling_noise": np.mean([s.smoothness * s.sampling.sum() for s in seen]),
        "square": square / len(seen), "dissimilarity": sum(s.squares for s in seen) / square,
        "smoothness": max(s.smoothness for s in seen),
        "sampling": np.max([s.sampling for s in seen], axis=0), "gradient": np.max([s.gradient for s in seen], axis=0),
        "weight": np.max([s.weight for s in seen], axis=0)}
