import doctest
from dataclasses import replace

import numpy as np
from instances import instance
from numpy.testing import assert_allclose

from optim import deadline_cvxpy
from optim.deadline import solve_kkt
from optim.deadline_cvxpy import ConicModel, solve_cvxpy


def test_the_example_of_a_constraint_of_ones_own_runs():
    assert doctest.testmod(deadline_cvxpy) == (0, 8)


def test_a_constraint_that_does_not_bind_changes_nothing_and_one_that_does_costs(rng):
    problem = instance(rng, 4, spread_db=30.0, weakest_db=0.0, slack=0.3)
    free = solve_kkt(problem)
    loose = solve_cvxpy(problem, extra=lambda v: [v.bandwidth <= problem.band])
    assert_allclose(loose.objective, free.objective, rtol=1e-6)
    capped = solve_cvxpy(problem, extra=lambda v: [v.bandwidth[0] <= 0.9 * free.bandwidth[0]])
    assert capped.bandwidth[0] <= 0.9 * free.bandwidth[0] * (1 + 1e-6)
    assert capped.objective > free.objective * (1 + 1e-6)
    faster = solve_cvxpy(problem, extra=lambda v: [v.rate[1] >= 1.2 * np.log2(1 + problem.peak_power[1] * problem.gain[1]
                                                                             / free.bandwidth[1]) * free.bandwidth[1]])
    assert faster.objective > free.objective * (1 + 1e-6)


def test_a_model_stated_once_follows_the_fades(rng):
    problem = instance(rng, 5, spread_db=30.0, weakest_db=0.0, slack=3.0)
    model = ConicModel(problem)
    for _ in range(3):
        faded = replace(problem, gain=problem.gain * rng.uniform(0.5, 2.0, 5))
        assert_allclose(model.solve(np.zeros(5, int), faded.gain).objective, solve_kkt(faded).objective, rtol=1e-6)
