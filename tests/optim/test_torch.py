"""One code for numpy and torch: the same problem as float64 tensors has the same answer, as tensors, on the same device."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from instances import budgeted, instance
from numpy.testing import assert_allclose

from channels.rates import bandwidth_for, rate, reach_for, snr_for
from optim.advice import advice
from optim.deadline import residual, solve_kkt
from optim.fastest import least_deadline
from optim.multipliers import multipliers
from optim.shares import equal_shares, solve_shares
from optim.time_to_accuracy import time_to_accuracy

torch = pytest.importorskip("torch")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
pytestmark = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NO_GPU)])
KINDS = ("linear", "power", "polygon")


def tensor(values, device):
    return torch.as_tensor(np.ascontiguousarray(values), device=device).reshape(np.shape(values))


def moved(problem, device):
    return problem.to(lambda values: tensor(values, device))


def assert_alike(found, expected, device, rtol=1e-11):
    """Field by field the numbers of ``expected``; whatever is an array there is a tensor on the ``device``."""
    for field in fields(expected):
        mine, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(other, np.ndarray) and other.dtype != object:
            assert_tensor(mine, other, device, rtol)
        elif field.name == "status":
            assert np.array_equal(np.asarray(mine), np.asarray(other))


def assert_tensor(mine, other, device, rtol=1e-11):
    assert isinstance(mine, torch.Tensor)
    assert mine.device.type == device
    assert mine.dtype == (torch.float64 if other.dtype == float else torch.int64)
    scale = np.max(np.abs(other), initial=0.0, where=np.isfinite(other))
    assert_allclose(mine.cpu().numpy(), other, rtol=rtol, atol=rtol * 1e-3 * scale)


def draw(rng, kind, options, budgets):
    problem = instance(rng, 6, options, kind=kind, weakest_db=-10.0, spread_db=50.0, slack=0.2)
    return budgeted(rng, problem, 0.2) if budgets else problem


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [1, 4])
@pytest.mark.parametrize("budgets", [False, True])
def test_one_problem_has_the_same_answer_grade_and_multipliers(rng, device, kind, options, budgets):
    problem = draw(rng, kind, options, budgets)
    there = moved(problem, device)
    found, expected = solve_kkt(there), solve_kkt(problem)
    assert_alike(found, expected, device)
    assert_alike(multipliers(there, found), multipliers(problem, expected), device, rtol=1e-9)
    grade = residual(there, found)
    assert max(grade.feasibility, grade.stationarity, grade.complementarity) < 1e-8
    assert_allclose(grade.gap, residual(problem, expected).gap, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [1, 3])
def test_a_batch_has_the_same_answers(rng, device, kind, options):
    """Fading rows, one of them without links and one too short."""
    problem = draw(rng, kind, options, False)
    gain = problem.gain * rng.exponential(size=(7, 6))
    gain[2] = 0.0
    many = replace(problem, gain=gain, deadline=problem.deadline * np.array([1.0, 2.0, 3.0, 0.01, 4.0, 8.0, 500.0]))
    there = moved(many, device)
    found, expected = solve_kkt(there), solve_kkt(many)
    assert not all(status.feasible for status in expected.status)
    assert_alike(found, expected, device)
    assert_alike(multipliers(there, found), multipliers(many, expected), device, rtol=1e-9)


@pytest.mark.parametrize("rows", [(), (4,)])
@pytest.mark.parametrize("shares", [None, equal_shares(6)])
def test_deadlines_are_the_same(rng, device, rows, shares):
    problem = draw(rng, "power", 3, False)
    problem = replace(problem, gain=problem.gain * rng.exponential(size=(*rows, 6)))
    there, parts = moved(problem, device), None if shares is None else tensor(shares, device)
    assert_tensor(least_deadline(there, parts), least_deadline(problem, shares), device)
    assert_alike(time_to_accuracy(there, shares=parts), time_to_accuracy(problem, shares=shares), device, rtol=1e-9)
    assert_alike(time_to_accuracy(there, 2.0, shares=parts), time_to_accuracy(problem, 2.0, shares=shares), device, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_fixed_shares_have_the_same_answer(rng, device, kind):
    problem = draw(rng, kind, 3, False)
    problem = replace(problem, deadline=1.2 * least_deadline(problem, equal_shares(6)))
    found = solve_shares(moved(problem, device), tensor(equal_shares(6), device))
    assert_alike(found, solve_shares(problem, equal_shares(6)), device)


@pytest.mark.parametrize("function", [rate, bandwidth_for, reach_for])
def test_rates_and_their_inverses_are_the_same(rng, device, function):
    first, second = (np.concatenate([[0.0], 10 ** rng.uniform(3, 9, 200), [0.0]]) for _ in range(2))
    second[0] = 1e6
    assert_tensor(function(tensor(first, device), tensor(second, device)), function(first, second), device, rtol=1e-12)
    one = function(tensor(first[5], device), tensor(second[5], device))
    assert_tensor(one, np.asarray(function(first[5], second[5])), device, rtol=1e-12)


def test_the_snr_of_a_crowded_link_is_the_same(rng, device):
    """To the rounding that 1 - a leaves of small ones: from -60 to 120 dB, and beyond both ends."""
    crowding = np.concatenate([[-1.0, 0.0, 1.0, 2.0], 10 ** rng.uniform(-11, 0, 200), 1 - 10 ** rng.uniform(-6, 0, 200)])
    found, expected = snr_for(tensor(crowding, device)), snr_for(crowding)
    assert found.device.type == device
    assert_allclose(found.cpu().numpy(), expected, rtol=1e-9)


def test_an_infeasible_problem_is_the_same_answer_of_zeros(rng, device):
    problem = replace(draw(rng, "power", 2, False), deadline=1e-4)
    found, expected = solve_kkt(moved(problem, device)), solve_kkt(problem)
    assert is_dataclass(found)
    assert found.status is expected.status
    assert float(found.objective) == np.inf
    assert float(found.bandwidth.sum()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_made_double(rng, kind, device):
    """Whatever comes in, answers are doubles: where nobody prunes as where somebody does."""
    problem = instance(rng, 4, 2, kind=kind)
    single = problem.to(lambda values: tensor(values, device).to(torch.float32))
    for deadline in (1.0, 1e3):
        found = solve_kkt(replace(single, deadline=deadline * single.deadline))
        assert {v.dtype for v in (found.objective, found.ratio, found.bandwidth)} == {torch.float64}


def test_the_cure_of_an_infeasible_problem_is_that_of_numpys(rng, device):
    problem = instance(rng, 3)
    problem = replace(problem, deadline=0.5 * least_deadline(problem))
    if device == "cpu":
        assert advice(moved(problem, device), solve_kkt(moved(problem, device))) == advice(problem, solve_kkt(problem))
