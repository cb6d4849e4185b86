"""What is made on the way is made where the problem's arrays lie, without a GPU to show it: were it left to torch's default
device, which here is one that cannot be mixed with any other, every one of these calls would raise."""

from dataclasses import replace

import numpy as np
import pytest
from instances import budgeted, instance

from optim.deadline import residual, solve_kkt
from optim.fastest import least_deadline
from optim.multipliers import multipliers
from optim.shares import equal_shares, solve_shares
from optim.time_to_accuracy import time_to_accuracy, worth_of_progress

torch = pytest.importorskip("torch")


def tensor(values):
    return torch.as_tensor(np.ascontiguousarray(values)).reshape(np.shape(values))


def draw(rng, options, rows, budgets):
    problem = instance(rng, 6, options, weakest_db=-10.0, spread_db=50.0, slack=0.2)
    problem = budgeted(rng, problem, 0.2) if budgets else problem
    return replace(problem, gain=problem.gain * rng.uniform(0.7, 1.5, (*rows, 6))).to(tensor)


@pytest.mark.parametrize("options", [1, 4])
@pytest.mark.parametrize("rows", [(), (7,)])
@pytest.mark.parametrize("budgets", [False, True])
def test_nothing_is_left_to_the_default_device(rng, options, rows, budgets):
    problem = draw(rng, options, rows, budgets)
    with torch.device("meta"):
        found = solve_kkt(problem)
        again = solve_kkt(problem, price=found.price)
        decided = time_to_accuracy(problem, 0.5)
        after = time_to_accuracy(problem, 0.5, start=decided)
        shortest = least_deadline(problem)
        shared = solve_shares(problem, equal_shares(6))
        if rows:
            worth_of_progress(problem)
        else:
            multipliers(problem, found)
            residual(problem, found)
    for values in (found.bandwidth, again.price, after.deadline, shortest, shared.power):
        assert values.device.type == "cpu"


def test_nor_is_it_with_many_devices(rng):
    problem = instance(rng, 9000, 3, spread_db=30.0, slack=0.2).to(tensor)
    with torch.device("meta"):
        found = solve_kkt(problem)
    assert found.status.feasible
