"""Short trainings with few devices in each round beside one with all."""

import math
from itertools import chain

import numpy as np
import pytest
from tiny_task import SMALL, gradient, network, plain, shards, union
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning import params, turnout
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.psl import PSL
from learning.evaluate import Score
from learning.turnout import SMOOTHING, drawn, turnouts

LR, ROUNDS = 0.2, 12
HELD = np.array([True, True, False, True, True])


@pytest.fixture
def task(rng):
    """A network, two devices' data, and full batches."""
    net, data = network(), shards(rng, 12, 30)
    return net, data, LightFedSL(net, plain(LR))


def everyone(rounds, devices=2):
    return np.ones((rounds, devices), bool)


def test_so_many_of_those_with_data_are_drawn_anew_in_each_round():
    who = drawn(HELD, 2, 4000, np.random.default_rng(0))
    assert who.shape == (4000, 5)
    assert set(who.sum(axis=1)) == {2}
    assert not who[:, 2].any()
    assert who.mean(axis=0)[HELD] == pytest.approx(0.5, abs=0.03)
    assert (who[1:] & who[:-1]).sum(axis=1).mean() == pytest.approx(1.0, abs=0.05)       # 2 x 2 / 4 in common by chance
    assert np.array_equal(who, drawn(HELD, 2, 4000, np.random.default_rng(0)))


def test_with_all_devices_it_takes_the_same_rounds(task):
    net, data, algorithm = task
    found = turnouts(algorithm, net, data, [everyone(4 * ROUNDS)], rounds=ROUNDS)
    assert (found.number, found.rounds, found.ran, found.pilot) == ((2.0,), (1.0,), (ROUNDS,), ROUNDS)


def test_the_goal_is_the_loss_of_gradient_descent_over_the_last_rounds(task):
    net, data, algorithm = task
    weights, seen = params.values(net), []
    for _ in range(ROUNDS):
        slope = gradient(net, weights, union(data))
        weights = {name: w - LR * slope[name] for name, w in weights.items()}
        seen.append(float(cross_entropy(functional_call(net, weights, (union(data).x,)), union(data).y)))
    found = turnouts(algorithm, net, data, [everyone(1)], rounds=ROUNDS)
    assert found.goal == pytest.approx(np.mean(seen[-SMOOTHING:]), rel=1e-9)


def test_one_device_alone_trains_on_its_data_alone(task):
    """The second device's loss has no part in it, so the loss of all is reached later, or never."""
    net, data, algorithm = task
    only = everyone(4 * ROUNDS)
    only[:, 1] = False
    found = turnouts(algorithm, net, data, [only], rounds=ROUNDS)
    assert found.rounds[0] > 1
    assert found.number == (1.0,)


def scripted(monkeypatch, *losses):
    """Let the averaged model's losses be these, training by training."""
    left = chain.from_iterable(losses)
    monkeypatch.setattr(turnout, "evaluate", lambda *_: Score(0.0, next(left), None))
    monkeypatch.setattr(turnout, "SMOOTHING", 1)


def test_the_ratio_is_the_geometric_mean_over_the_losses_of_the_second_half(task, monkeypatch):
    """Goals 2 and 1 are reached in rounds 3 and 4, and then in 3 and 8; that the loss rises in between does not matter."""
    net, data, algorithm = task
    scripted(monkeypatch, [4, 3, 2, 1], [9, 9, 2, 3, 3, 3, 3, 1])
    found = turnouts(algorithm, net, data, [everyone(16)], rounds=4)
    assert found.rounds == (pytest.approx(math.sqrt(2)),)
    assert found.ran == (8,)


@pytest.mark.parametrize("losses", [[3.0] * 8, [math.nan] * 8, [4.0, 2.0] + [math.nan] * 6])
def test_what_is_not_reached_in_time_is_infinite(task, monkeypatch, losses):
    net, data, algorithm = task
    scripted(monkeypatch, [4, 3, 2, 1], losses)
    found = turnouts(algorithm, net, data, [everyone(8)], rounds=4)
    assert found.rounds == (math.inf,)
    assert found.ran == (8,)


def test_trainings_are_neither_compressed_nor_averaged_late(task):
    net, data, algorithm = task
    sets = [everyone(12), drawn(np.array([True, True]), 1, 12, np.random.default_rng(0))]
    assert turnouts(LightFedSL(net, plain(LR), 3, SMALL), net, data, sets, rounds=3) == turnouts(
        algorithm, net, data, sets, rounds=3)


def test_algorithms_without_pruning_have_one_too(task):
    net, data, _ = task
    found = turnouts(PSL(net, plain(LR)), net, data, [everyone(9)], rounds=3)
    assert found.rounds == (1.0,)
