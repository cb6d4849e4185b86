"""What the figures of pruning and personalisation (Liu et al., IEEE TSP 2024, arXiv 2309.01816) share: cell, task, looks.

Seen: MNIST and Fashion-MNIST, ten devices, non-IID, a CNN, a server with several antennas, devices with one. Reconstructed, as
the paper's numbers are not known: each device has two of the ten classes, or few more; LeNet, whose classifier is personal; one
step on it and two on the shared part in a round; four antennas, 1 MHz of uplink for all, computing speeds log-uniform in 0.1 to
1 GFLOP/s, so that computing and sending take times alike. Everything else is as in a default scenario.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.links import Gains
from optim.fastest import least_deadline
from optim.personalised import Personalised
from optim.problem import Deadline
from optim.shares import equal_shares
from wirelessfl.experiments.figure import Knobs
from wirelessfl.pricing import costs
from wirelessfl.style import look
from wirelessfl.world import World

OWN = {
    "training.algorithm": "personalised", "data.partition": "shards", "channel.antennas": 4, "cell.bandwidth_mhz": 1.0,
    "devices.slowest_gflops": 0.1, "decision.bias_max": 0.95}
NAMED = {"data": "data.dataset", "train": "data.train", "test": "data.test", "model": "training.model", "devices": "cell.devices",
         "local_steps": "training.local_steps", "personal_steps": "training.personal_steps", "batch": "training.batch",
         "lr": "training.lr", "pilot": "decision.pilot_rounds", "device": "training.device"}
TASK = {"data": "fashion-mnist", "train": 5000, "test": 500, "model": "lenet", "devices": 10, "local_steps": 2,
        "personal_steps": 1, "batch": 32, "lr": 0.05, "pilot": 10, "device": "cpu"}
DIGITS = TASK | {"data": "digits", "train": 200, "test": 100, "model": "cnn", "devices": 4, "pilot": 2}
PAPER = TASK | {"train": 0, "test": 0, "model": "cnn", "local_steps": 5, "personal_steps": 5, "pilot": 60}

PLAIN, BANDS, SPARSE, ADAPTIVE, ALIKE, OURS = "unpruned", "unpruned-bands", "pruned-equal", "prune-kkt", "alike", "joint"
LABEL = {PLAIN: "unpruned, equal bands", BANDS: "unpruned, best bands", SPARSE: "least ρ in equal bands",
         ADAPTIVE: "ρ*, B* (KKT)", ALIKE: "same mean ρ for all, best bands", OURS: "joint (ours)"}
LOOK = {name: look(number) for number, name in enumerate((PLAIN, ADAPTIVE, SPARSE, ALIKE, BANDS))} | {
    OURS: {"color": "black", "linestyle": "-", "marker": "X"}}
FIXED = (look(5), look(6), look(3))          # of fixed ratios, from the least on


def settings(knobs: Knobs, *more: str) -> list[str]:
    """Settings of a scenario: those of all figures, those that are knobs, and some more."""
    task = {key: knobs[name] for name, key in NAMED.items() if name in knobs}
    return [f"{key}={value}" for key, value in (OWN | task).items()] + list(more)


def problem(w: World, gains: Gains, threshold: ArrayLike, prune_max: float) -> Personalised:
    """The paper's problem in a world, at gains (..., K); ``threshold`` (...,) is in [s].

    Pruning is weighed by the sizes of the data. Biases, which our devices do not prune, count as if they did: 0.4 % of the bits.
    """
    each = len(w.shards)
    t = costs(w, gains, np.ones((each, 2)), np.ones(each, bool))
    fixed, kept, bits = (v[..., 0] for v in (t.fixed_time, t.kept_time, t.fixed_bits + t.kept_bits))
    band = 1e6 * w.scenario.cell.bandwidth_mhz
    return Personalised(fixed, kept, bits, gains.up * w.hardware.peak_power / w.noise, w.weights, band, threshold, prune_max)


def shortest(p: Personalised, ratio: ArrayLike, *, equal: bool = False) -> NDArray:
    """Time (...,) of the shortest round in which devices prune ``ratio`` (..., K) [1], in the best bands or in equal ones [s]."""
    fixed = np.asarray(ratio, float)[..., None]
    whole: Deadline = replace(p.as_deadline(), prune_max=fixed, prune_min=fixed)
    return least_deadline(whole, equal_shares(whole.shape[-2]) if equal else None)
