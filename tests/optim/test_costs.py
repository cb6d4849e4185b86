import numpy as np
import pytest
from numpy.testing import assert_allclose

from optim.costs import energy, latency, pick, round_costs
from optim.pruning_cost import PiecewiseLinear, PowerLaw


def test_latency_and_energy_of_one_device_are_counted_by_hand():
    costs = round_costs((np.array([[1e6]]), np.array([[4e6]])), (np.array([[1e5]]), np.array([[2e5]])),
                        (np.array([[3e6]]), 0.0), (np.array([[5e4]]), np.array([[1e5]])),
                        speed=[1e8], joules_per_flop=[1e-9], server_speed=1e9, downlink_rate=[1e6])
    fixed, kept = 1e6 / 1e8 + 3e6 / 1e9 + 5e4 / 1e6, 4e6 / 1e8 + 1e5 / 1e6          # compute + server + downlink
    assert_allclose(latency(costs, 0.5, 1e5), fixed + 0.5 * kept + (1e5 + 0.5 * 2e5) / 1e5)
    assert_allclose(energy(costs, 0.5, 0.1, 1e5), 1e-3 + 0.5 * 4e-3 + 0.1 * 2.0)


def test_a_silent_device_with_something_to_send_never_ends_and_one_without_ends_at_once():
    zero = (np.zeros((1, 1)), np.zeros((1, 1)))
    one = (np.ones((1, 1)), np.zeros((1, 1)))
    speeds = {"speed": [1.0], "joules_per_flop": [0.0], "server_speed": 1.0, "downlink_rate": [1.0]}
    assert latency(round_costs(zero, one, zero, zero, **speeds), 1.0, 0.0) == np.inf
    assert latency(round_costs(zero, zero, zero, zero, **speeds), 1.0, 0.0) == 0


def test_costs_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="speed and server_speed"):
        round_costs((1, 1), (1, 1), (1, 1), (1, 1), speed=[0.0], joules_per_flop=[0.0], server_speed=1.0, downlink_rate=[1.0])
    with pytest.raises(ValueError, match="kept_bits must be finite and zero or more"):
        round_costs((1, 1), (1, -1), (1, 1), (1, 1), speed=[1.0], joules_per_flop=[0.0], server_speed=1.0, downlink_rate=[1.0])


def test_pick_takes_one_column_a_row():
    table = np.arange(6.0).reshape(2, 3)
    assert pick(table, np.array([2, 0])).tolist() == [[2.0], [3.0]]
    assert pick(table, np.array([[2, 0], [1, 1]])).tolist() == [[[2.0], [3.0]], [[1.0], [4.0]]]


@pytest.mark.parametrize("cost", [
    PowerLaw(np.array([[0.5], [2.0]]), 1.0), PowerLaw(np.array([[0.5], [2.0]]), np.array([[1.5], [3.0]])),
    PiecewiseLinear(np.array([0, 0.3, 0.9]), np.array([[[0, 0.1, 0.9]], [[0, 0.2, 0.6]]]))])
def test_a_pruning_cost_starts_at_zero_and_its_slope_is_its_derivative(cost):
    ratio = np.full((2, 1), 0.4)
    assert_allclose(cost.value(np.zeros((2, 1))), 0, atol=1e-15)
    assert_allclose(np.exp(cost.log_slope(ratio)), (cost.value(ratio + 1e-6) - cost.value(ratio - 1e-6)) / 2e-6, rtol=1e-6)
    bend = (cost.log_slope(ratio + 1e-6) - cost.log_slope(ratio - 1e-6)) / 2e-6
    assert_allclose(np.broadcast_to(cost.bend(ratio), bend.shape), bend, rtol=1e-6, atol=1e-12)


def test_costs_that_are_not_convex_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        PowerLaw(np.ones((1, 1)), 0.5)
    with pytest.raises(ValueError, match="convex"):
        PiecewiseLinear(np.array([0, 0.5, 1.0]), np.array([0, 0.6, 0.8]))
