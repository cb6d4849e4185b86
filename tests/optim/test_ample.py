"""Rows in which the band is ample are answered by one look: the same answers as by a search, and no others."""

from dataclasses import replace

import numpy as np
import pytest
from instances import instance, least_energy
from numpy.testing import assert_allclose

from channels.arrays import namespace
from optim import price
from optim.ample import Ample
from optim.deadline import residual, solve_kkt
from optim.fastest import least_deadline


def fades(rng, rows=40, devices=6, options=1, energy=False):
    """Fades of one cell at a deadline by which in some of them nobody need prune, in others all."""
    problem = instance(rng, devices, options, slack=0.0)
    gain = problem.gain * rng.exponential(1.0, (rows, devices)).clip(0.05)
    problem = replace(problem, gain=gain)
    if energy:
        each = [least_energy(replace(problem, gain=g)) for g in gain]
        problem = replace(problem, energy_budget=20.0 * np.stack(each))
    gentle = replace(problem, prune_max=0.0)
    return replace(problem, deadline=np.maximum(np.median(least_deadline(gentle)), 1.01 * least_deadline(problem)))


CASES = [(1, False), (1, True), (3, False), (3, True)]


@pytest.mark.parametrize(("options", "energy"), CASES)
def test_a_batch_of_ample_and_scarce_fades_is_as_each_of_them_alone(rng, options, energy):
    problem = fades(rng, options=options, energy=energy)
    batch = solve_kkt(problem)
    ample = batch.price == 0
    assert 5 < ample.sum() < 35
    for row in range(40):
        alone = solve_kkt(problem.rows(row), branches=0)
        assert_allclose([batch.objective[row], batch.lower_bound[row]], [alone.objective, alone.lower_bound], rtol=1e-9)
        assert_allclose(batch.bandwidth[row].sum(), problem.band, rtol=1e-9)
    assert np.all(batch.ratio[ample] == 0)


@pytest.mark.parametrize(("options", "energy"), CASES)
def test_the_search_says_the_same_when_it_is_not_asked_first(rng, options, energy, monkeypatch):
    problem = fades(rng, options=options, energy=energy)
    asked = solve_kkt(problem)
    monkeypatch.setattr(Ample, "of", classmethod(lambda cls, p: nothing_fits(cls, p)))
    searched = solve_kkt(problem)
    assert np.array_equal(asked.price == 0, searched.price == 0)
    assert_allclose(asked.objective, searched.objective, rtol=1e-9)
    assert_allclose(asked.bandwidth, searched.bandwidth, rtol=1e-6)


def nothing_fits(cls, problem):
    none = np.zeros(problem.shape[:-1])
    return cls(np.zeros(problem.shape[:-2], bool), none.sum(-1), none.astype(int), none, none)


def test_ample_rows_are_not_searched(rng, monkeypatch):
    problem = fades(rng)
    scarce = int(np.sum(solve_kkt(problem).price > 0))
    searched, search = [], price._search
    monkeypatch.setattr(price, "_search", lambda p, start, rtol: searched.append(p.shape[0]) or search(p, start, rtol))
    solve_kkt(problem)
    assert searched[0] == scarce


def test_an_option_that_must_prune_a_little_may_still_be_the_best():
    """The first cannot keep the deadline unpruned, and loses less when pruned than the second does unpruned."""
    problem = instance(np.random.default_rng(1), 1, 2, slack=0.0)
    costs = problem.costs.each(lambda v: np.ones((1, 2)) * v[:, :1])
    costs = replace(costs, kept_time=np.array([[1.0, 0.1]]), fixed_time=np.zeros((1, 2)))
    problem = replace(problem, costs=costs, noise=np.array([[0.0, 0.5]]), deadline=0.95, gain=np.array([1e12]))
    found = solve_kkt(problem)
    assert found.option == 0
    assert 0.05 < found.ratio < 0.5
    assert not Ample.of(problem).fits
    forbidden = problem.only(np.array([[False, True]]))
    assert Ample.of(forbidden).fits
    assert solve_kkt(forbidden).option == 1


def test_a_range_of_ratios_that_is_empty_is_no_option(rng):
    problem = fades(rng, rows=2)
    problem = replace(problem, gain=problem.gain.max() * np.ones(problem.gain.shape))
    problem = problem.only(np.array([False, True])[:, None, None] & np.ones((2, 6, 1), bool))
    found = solve_kkt(problem)
    assert np.isfinite(found.objective).tolist() == [False, True]
    assert [s.feasible for s in found.status] == [False, True]


def test_an_answer_shares_no_memory_with_the_question(rng):
    problem = fades(rng, rows=4)
    problem = replace(problem, deadline=1e3, prune_min=np.zeros((6, 1)))
    found = solve_kkt(problem)
    assert np.all(found.price == 0)
    found.ratio[...] = 1.0
    assert np.all(problem.prune_min == 0)


def test_many_devices_that_a_sample_misjudges(rng):
    """The sample prunes, for it has the worst links of all; the others do not need their share."""
    problem = instance(rng, price.MANY + price.STRIDE, slack=0.0, spread_db=10.0)
    gain = np.full(problem.shape[-2], 1e3 * problem.gain.max())
    gain[::price.STRIDE] = problem.gain.min()
    problem = replace(problem, gain=gain)
    problem = replace(problem, deadline=1.01 * least_deadline(replace(problem, prune_max=0.0)))
    assert price._first_price(problem, None) > 0
    found = solve_kkt(problem)
    assert found.price == 0
    assert found.gap == 0
    assert residual(problem, found).feasibility < 1e-12


def test_torch_tensors_are_asked_as_well(rng):
    torch = pytest.importorskip("torch")
    problem = fades(rng, options=3)
    mine, theirs = Ample.of(problem), Ample.of(problem.to(torch.asarray))
    assert namespace(theirs.band) is namespace(torch.zeros(0))
    for one, other in zip(mine, theirs, strict=True):
        assert_allclose(np.asarray(other), one, rtol=1e-12)
