"""Trainings that figures are made of: with the clock of the cell, or without any clock."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from learning.algorithm import Plan
from learning.precision import precision
from learning.threads import one_thread
from wirelessfl.config import load
from wirelessfl.known import indifferent
from wirelessfl.policy import NONE, POLICIES
from wirelessfl.simulate import simulate, tested
from wirelessfl.world import world


def simulated(settings: Sequence[str], policy: str, seed: int, *, pilot: bool = True) -> list[dict[str, Any]]:
    """Rounds of a scenario under a policy, a row each round in which models were tested.

    Without a ``pilot``, nothing is measured beforehand: for policies that have nothing to weigh, and no others.

    Columns are ``round`` (from 1), ``time_s`` and ``energy_j`` since the start, ``latency_s`` of the round, ``accuracy`` and
    ``own_accuracy`` [1], ``loss`` in training [nat], ``up_bytes`` and ``down_bytes`` of all devices since the start.
    """
    if not pilot and replace(POLICIES[policy], ratio=0.0) != NONE:
        raise ValueError(f"policy {policy!r} weighs progress against time, and needs a pilot run")
    rows, up, down = [], 0.0, 0.0
    s = load(None, settings)
    for r in simulate(s, policy, seed, None if pilot else indifferent(world(s, seed))):
        up, down = up + r.uplink_bits / 8, down + r.downlink_bits / 8
        if np.isfinite(r.accuracy):
            rows.append({"round": r.round + 1, "time_s": r.elapsed, "energy_j": r.spent, "latency_s": r.latency,
                         "accuracy": r.accuracy, "own_accuracy": r.own_accuracy, "loss": r.train_loss, "up_bytes": up,
                         "down_bytes": down})
    return rows


def trained(settings: Sequence[str], seed: int, *, cut: int, ratio: float = 0.0, rounds: int, tests: int) -> list[dict[str, Any]]:
    """A training without a clock, a row each of ``tests`` rounds, in equal steps, the last one among them.

    Parameters
    ----------
    cut : int
        Blocks on every device, where the algorithm can be cut there; else the whole network.
    ratio : float
        Pruning ratio of every device [1].

    Returns
    -------
    list of dict
        ``round`` (from 1), ``accuracy`` and ``own_accuracy`` [1], ``loss`` in training [nat], ``up_bytes`` and ``down_bytes``
        since the start, the mean over the devices, ``label_bytes``, the labels among those that went up, and ``cpu_s``,
        processor time since the start.
    """
    s = load(None, settings)
    w, begun, up, down, labels, rows = world(s, seed), time.process_time(), 0.0, 0.0, 0.0, []
    a, streams = w.algorithm, w.streams()
    plans = [Plan(cut if cut in a.cuts() and len(a.cuts()) > 1 else len(w.net), ratio)] * len(w.shards)
    state, when = a.init(len(w.shards)), set(np.linspace(0, rounds, tests + 1).round().astype(int)[1:].tolist())
    for number in range(1, rounds + 1):
        with one_thread(), precision(s.training.precision, s.training.device):
            state, done = a.step(state, w.shards, plans, streams)
        up += float(np.mean([t.uplink_bits for t in done.traffic])) / 8
        down += float(np.mean([t.downlink_bits for t in done.traffic])) / 8
        labels += float(np.mean([t.up.get("labels", 0.0) for t in done.traffic])) / 8
        if number in when:
            scores = tested(w, state)
            rows.append({"round": number, "accuracy": scores.accuracy, "own_accuracy": scores.own_accuracy,
                         "loss": float(np.nanmean(done.loss)), "up_bytes": up, "down_bytes": down, "label_bytes": labels,
                         "cpu_s": round(time.process_time() - begun, 1)})
    return rows
