from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose

from optim.allocation import Status
from optim.baselines import BASELINES
from optim.costs import uplink_load
from optim.deadline import residual, solve_kkt
from optim.fastest import least_deadline

SHARED_OUT = ("equal-band", "load-proportional", "inverse-rate", "random")


def easy(rng, devices=6, options=3):
    """An instance whose deadline leaves room for every rule but no pruning."""
    problem = instance(rng, devices, options, weakest_db=0.0, spread_db=20.0)
    return replace(problem, deadline=1.5 * least_deadline(problem, np.full(devices, 1 / devices)))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("number", range(5))
def test_no_baseline_beats_the_joint_optimum_and_each_keeps_every_limit(rng, name, number):
    problem = easy(rng)
    found, joint = BASELINES[name](problem, rng), solve_kkt(problem)
    assert found.objective >= joint.lower_bound * (1 - 1e-9)
    if found.status.feasible:
        assert residual(problem, found).feasibility < 1e-8
        assert found.lower_bound <= found.objective
    else:
        assert name in ("no-pruning", "random", "load-proportional", "inverse-rate", "fixed-split")


@pytest.mark.parametrize("name", SHARED_OUT)
def test_shares_add_up_to_the_band(rng, name):
    problem = easy(rng)
    problem = replace(problem, deadline=1e6)
    assert_allclose(BASELINES[name](problem, rng).bandwidth.sum(), problem.band)


def test_each_rule_shares_as_it_says(rng):
    problem = replace(easy(rng), deadline=100.0)
    band = {name: BASELINES[name](problem, rng).bandwidth for name in SHARED_OUT}
    load = uplink_load(problem.costs, np.ones((6, 3))).mean(-1)
    assert_allclose(band["equal-band"], problem.band / 6)
    assert_allclose(band["load-proportional"] / load, (problem.band / load.sum()).repeat(6))
    assert np.argmax(band["inverse-rate"]) == np.argmin(problem.gain * problem.peak_power)
    speed = problem.band / 6 * np.log2(1 + 6 * problem.gain * problem.peak_power / problem.band)
    assert_allclose(band["inverse-rate"] * speed, (band["inverse-rate"] * speed)[0].repeat(6))


def test_random_shares_come_from_the_generator(rng):
    problem = replace(easy(rng), deadline=100.0)
    one, same, other = (BASELINES["random"](problem, np.random.default_rng(seed)).bandwidth for seed in (1, 1, 2))
    assert np.all(one == same)
    assert not np.allclose(one, other)


def test_equal_devices_are_served_best_by_an_equal_band(rng):
    one = instance(rng, 1, slack=0.3)
    costs = type(one.costs)(*(np.repeat(v, 4, 0) for v in vars(one.costs).values()))
    same = replace(one, costs=costs, gain=np.repeat(one.gain, 4), peak_power=np.repeat(one.peak_power, 4), band=4 * one.band,
                   noise=np.repeat(one.noise, 4, 0),
                   pruning=one.pruning.each(lambda v: np.repeat(v, 4, 0) if np.ndim(v) else v))
    for name in ("equal-band", "load-proportional", "inverse-rate"):
        assert_allclose(BASELINES[name](same, rng).objective, solve_kkt(same).objective, rtol=1e-8)


def test_one_split_serves_all_and_is_the_best_one(rng):
    problem = easy(rng)
    found = BASELINES["fixed-split"](problem, rng)
    every = [solve_kkt(problem.of(np.full(6, option))).objective for option in range(3)]
    assert len(set(found.option.tolist())) == 1
    assert found.objective == min(every) == every[found.option[0]]


def test_without_pruning_nothing_is_pruned_or_the_deadline_is_too_short(rng):
    problem = easy(rng)
    patient, hasty = (BASELINES["no-pruning"](replace(problem, deadline=t), rng) for t in (100.0, least_deadline(problem) * 1.01))
    assert np.all(patient.ratio == 0)
    assert patient.status is Status.OPTIMAL
    assert not hasty.status.feasible
    assert hasty.objective == np.inf


def test_full_power_decides_as_the_joint_problem_does_but_for_the_power(rng):
    problem = easy(rng)
    loud, joint = BASELINES["max-power"](problem, rng), solve_kkt(problem)
    assert_allclose(loud.power, problem.peak_power)
    assert_allclose(loud.bandwidth, joint.bandwidth)
    assert loud.energy.sum() >= joint.energy.sum()


@pytest.mark.parametrize("name", sorted(BASELINES.keys() - {"random"}))
def test_a_batch_is_its_rows_one_by_one(rng, name):
    problem = easy(rng)
    gains = problem.gain * rng.exponential(size=(3, 6))
    batch = BASELINES[name](replace(problem, gain=gains), rng)
    for row in range(3):
        alone = BASELINES[name](replace(problem, gain=gains[row]), rng)
        assert batch.status[row] is alone.status
        assert_allclose(batch.objective[row], alone.objective, rtol=1e-3)          # one alone is branched on
