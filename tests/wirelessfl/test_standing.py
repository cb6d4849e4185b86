"""Decisions that stand for several rounds are paid for on the channels of those rounds."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import wirelessfl as wfl
from channels.links import Gains
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.standing import time_of_progress

SMALL = ("cell.devices=4", "training.model=mlp", "decision.pilot_rounds=6", "decision.intervals=[1, 2, 4]")


@pytest.fixture(scope="module")
def place():
    s = wfl.load_scenario(overrides=SMALL)
    w = wfl.world(s, 0)
    return s, w, wfl.measure(w)


def at(interval, w, measured, policy="joint"):
    only = w.scenario.model_copy(update={"decision": w.scenario.decision.model_copy(update={"intervals": (interval,)})})
    there = wfl.world(only, 0).averaging(interval)
    return prepare(POLICIES[policy], there, measured), there


def faded(w, count=16):
    gain = w.air.mean_gain * np.random.default_rng(0).standard_exponential((count, len(w.shards)))
    return Gains(gain, gain)


def still(w, count=4):
    gain = np.broadcast_to(w.air.mean_gain, (count, len(w.shards)))
    return Gains(gain, gain)


@pytest.mark.parametrize("policy", ["joint", "equal-band"])
def test_decided_in_every_round_nothing_is_lost_by_standing(place, policy):
    _, w, measured = place
    there = at(1, w, measured)[1]
    decider = prepare(replace(POLICIES[policy], worth="mean"), there, measured)
    gains = there.air.forecast(there.rng("forecast"), 32, there.knowledge, 0.0)
    assert_allclose(time_of_progress(decider, there, measured, gains), decider.worth, rtol=0.02)


def test_where_channels_change_a_decision_that_stands_costs_time(place):
    """Averaged in every round, all rounds cost the same: a decision for four is worse by its age alone, and on still channels by
    nothing."""
    _, w, measured = place
    decider, there = at(1, w, measured)
    slow = wfl.world(wfl.load_scenario(overrides=(*SMALL, "decision.every=4")), 0)
    assert time_of_progress(decider, there, measured, faded(w)) < time_of_progress(decider, slow, measured, faded(w))
    assert_allclose(time_of_progress(decider, there, measured, still(w)), time_of_progress(decider, slow, measured, still(w)))


def test_the_interval_is_the_one_whose_standing_decisions_are_fastest(place):
    _, w, measured = place
    chosen = prepare(POLICIES["joint"], w, measured).interval
    gains = w.air.forecast(w.rng("forecast"), 32, w.knowledge, 0.0)
    times = {interval: time_of_progress(*at(interval, w, measured), measured, gains) for interval in (1, 2, 4)}
    assert chosen == min(times, key=lambda interval: times[interval])
