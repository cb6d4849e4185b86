from dataclasses import replace

import numpy as np
import pytest
from instances import instance
from numpy.testing import assert_allclose, assert_array_equal

from optim.deadline import solve_kkt
from optim.dominated import undominated
from optim.pruning_cost import PiecewiseLinear, PowerLaw


def more(problem, column, name, device=None, by=1.3):
    """The problem with ``column`` once more, dearer in one thing, for one device or all of them."""
    devices = slice(None) if device is None else device

    def repeated(values):
        values = np.broadcast_to(values, problem.shape)
        return np.concatenate([values, values[:, column:column + 1]], axis=1)

    longer = problem.change(lambda v: v, lambda v: v, repeated)
    target = longer.costs if hasattr(longer.costs, name) else longer
    values = np.array(getattr(target, name))
    values[devices, -1] *= by
    costs = replace(longer.costs, **{name: values}) if target is longer.costs else longer.costs
    return replace(longer, costs=costs) if target is longer.costs else replace(longer, **{name: values})


@pytest.mark.parametrize("kind", ["power", "polygon"])
@pytest.mark.parametrize("name", ["fixed_time", "kept_time", "fixed_bits", "kept_bits", "kept_energy", "noise"])
def test_an_option_that_costs_more_in_one_thing_and_less_in_none_is_left_out(rng, kind, name):
    problem = instance(rng, 5, 3, kind=kind, slack=0.3)
    rest = undominated(more(problem, 1, name))
    assert rest.shape == problem.shape
    assert_array_equal(rest.costs.fixed_time, problem.costs.fixed_time)
    assert_array_equal(rest.noise, problem.noise)


def test_an_option_that_is_better_for_one_device_stays(rng):
    problem = instance(rng, 5, 3, slack=0.3)
    worse = more(problem, 1, "kept_bits")
    assert undominated(replace(worse, noise=worse.noise * np.where(np.arange(5)[:, None] + np.arange(4) == 5, 0.5, 1.0))
                       ).shape[-1] == 4                                          # device 2 in its last option


def test_of_equal_options_the_first_is_left(rng):
    problem = instance(rng, 4, 2, slack=0.3)
    twice = problem.change(lambda v: v, lambda v: v, lambda v: np.concatenate(2 * [np.broadcast_to(v, problem.shape)], axis=-1))
    assert_array_equal(undominated(twice).noise, problem.noise)


def test_a_lower_pruning_cost_or_a_wider_range_is_worth_staying(rng):
    problem = instance(rng, 3, 2, slack=0.3)
    longer = more(problem, 0, "kept_time")
    scale, exponent = (np.array(v) for v in (longer.pruning.scale, longer.pruning.exponent))
    assert undominated(replace(longer, pruning=PowerLaw(scale * [1, 1, 0.9], exponent))).shape[-1] == 3
    assert undominated(replace(longer, pruning=PowerLaw(scale, exponent + np.array([0, 0, 0.5])))).shape[-1] == 3
    assert undominated(replace(longer, prune_max=np.array([0.9, 0.9, 0.95]))).shape[-1] == 3
    assert undominated(replace(longer, prune_max=np.array([0.9, 0.9, 0.85]))).shape[-1] == 2


def test_the_optimum_is_the_same_without_what_is_dominated(rng):
    for _ in range(10):
        problem = instance(rng, 12, 4, weakest_db=-10.0, spread_db=40.0, slack=0.3)
        for column, name in enumerate(("fixed_time", "kept_bits", "noise")):
            problem = more(problem, column, name, by=1 + rng.uniform(0, 0.1))
        rest = undominated(problem)
        assert rest.shape[-1] == 4
        whole, fewer = solve_kkt(problem), solve_kkt(rest)
        assert fewer.objective >= whole.lower_bound * (1 - 1e-9)
        assert whole.objective >= fewer.lower_bound * (1 - 1e-9)
        assert_allclose(fewer.objective, whole.objective, rtol=1e-3)


def test_heights_of_a_polygon_are_compared_at_every_knot(rng):
    problem = instance(rng, 3, 1, kind="polygon", slack=0.3)
    pair = problem.change(lambda v: v, lambda v: v, lambda v: np.repeat(np.broadcast_to(v, problem.shape), 2, axis=-1))
    heights = np.array(pair.pruning.heights)
    heights[:, 1, 1] *= 0.5
    dearer = pair.costs.each(lambda v: v * [1.0, 1.1])
    crossing = replace(pair, costs=dearer, pruning=PiecewiseLinear(pair.pruning.knots, heights))
    assert undominated(crossing).shape[-1] == 2
    assert undominated(replace(crossing, pruning=pair.pruning)).shape[-1] == 1
