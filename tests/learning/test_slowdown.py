"""Short pruned trainings beside an unpruned one."""

import math

import numpy as np
import pytest
from tiny_task import SMALL, gradient, network, plain, shards, union
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning import params
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.psl import PSL
from learning.calibrate import calibrate
from learning.slowdown import PATIENCE, SMOOTHING, pruned_to, slowdowns

LR = 0.2


@pytest.fixture
def task(rng):
    """A network, data and a pilot of full batches."""
    net, data = network(), shards(rng, 12, 30)
    return net, data, calibrate(LightFedSL(net, plain(LR)), net, data, rounds=20, cuts=(1, 2, 3), batch=100, lr=LR)


def losses(net, data, rounds):
    """Of gradient descent on all samples, averaged over the last rounds."""
    weights, seen = params.values(net), []
    for _ in range(rounds):
        seen.append(float(cross_entropy(functional_call(net, weights, (union(data).x,)), union(data).y)))
        slope = gradient(net, weights, union(data))
        weights = {name: w - LR * slope[name] for name, w in weights.items()}
    return [np.mean(seen[max(0, i + 1 - SMOOTHING):i + 1]) for i in range(rounds)]


def test_the_goal_is_the_least_smoothed_loss_of_the_unpruned_training(task):
    net, data, measured = task
    found = slowdowns(LightFedSL(net, plain(LR)), data, measured, rounds=20, biases=(0.25,))
    assert found.goal == pytest.approx(min(losses(net, data, 20)), rel=1e-9)
    assert found.pilot == 20


def test_without_a_bias_to_speak_of_it_takes_the_same_rounds(task):
    """So little that not one weight is pruned."""
    net, data, measured = task
    found = slowdowns(LightFedSL(net, plain(LR)), data, measured, rounds=20, biases=(1e-9,), cuts=(1, 2))
    assert found.rounds == (1, 1)


def test_ratios_are_where_the_fitted_curve_has_the_bias(task):
    net, data, measured = task
    found = slowdowns(LightFedSL(net, plain(LR)), data, measured, rounds=5, biases=(0.2, 0.4))
    for cut, ratio, bias in zip(found.cut, found.ratio, found.bias, strict=True):
        row = measured.cut_number(cut)
        assert measured.scale[row] * ratio ** measured.exponent[row] == pytest.approx(bias, rel=1e-9)
        assert ratio <= measured.ratio_max[row]


def test_a_bias_that_was_not_fitted_is_not_tried(task):
    net, data, measured = task
    assert pruned_to(measured, 1, 1.0) is None
    with pytest.raises(ValueError, match=r"no measured curve has a relative bias among \[5\.0\] \[1\] where it was fitted"):
        slowdowns(LightFedSL(net, plain(LR)), data, measured, rounds=5, biases=(5.0,))


def test_what_is_not_reached_in_time_is_infinite(task, monkeypatch):
    net, data, measured = task
    monkeypatch.setattr("learning.slowdown.PATIENCE", 0.1)
    assert PATIENCE > 1
    found = slowdowns(LightFedSL(net, plain(LR)), data, measured, rounds=10, biases=(0.25,), cuts=(3,))
    assert found.rounds == (math.inf,)


def test_trainings_are_neither_compressed_nor_averaged_late(task):
    net, data, measured = task
    settings = {"rounds": 6, "biases": (0.25,), "cuts": (2,)}
    assert slowdowns(LightFedSL(net, plain(LR), 3, SMALL), data, measured, **settings) == slowdowns(
        LightFedSL(net, plain(LR)), data, measured, **settings)


def test_who_does_not_prune_has_no_exponent(task):
    net, data, measured = task
    with pytest.raises(ValueError, match="the exponent is fitted to pruned trainings, and PSL does not prune"):
        slowdowns(PSL(net, plain(LR)), data, measured, rounds=5)
