"""Client sides that go their own ways between two averagings."""

import numpy as np
import pytest
import torch
from tiny_task import gradient, network, normed_blocks, plain, shard, shards, union
from torch import nn
from torch.testing import assert_close

from learning import params
from learning.algorithm import Plan, Shard, Streams
from learning.algorithms.light_fed_sl import LightFedSL
from learning.calibrate import calibrate
from learning.drift import drift
from learning.probe import Probe, moved

LR = 0.2


def probe(net, data):
    return Probe(net, params.values(net), data, [len(d) for d in data])


def measured(net, data, **settings):
    settings = {"rounds": 1, "checkpoints": 1, "cuts": (1, 2), "batch": 100, "lr": LR, **settings}
    return calibrate(LightFedSL(net, plain(LR)), net, data, **settings)


def on_a_line(a, b, *inputs):
    """A weight a on the device, b on the server, scores 0 and b a x: the loss of a sample (x, 0) is log(1 + exp(b a x))."""
    net = nn.Sequential(nn.Linear(1, 1, bias=False), Score()).double()
    with torch.no_grad():
        net[0].weight.fill_(a)
        net[1].b.fill_(b)
    return net, [Shard(torch.tensor([[x]], dtype=torch.double), torch.tensor([0])) for x in inputs]


def test_two_devices_on_a_line_drift_as_by_hand():
    a, b, inputs = 0.7, -0.4, (1.0, -2.0)
    net, data = on_a_line(a, b, *inputs)

    def slopes(a, b, x):
        chance = 1 / (1 + np.exp(-b * a * x))
        return np.array([chance * b * x, chance * a * x])

    first = [slopes(a, b, x) for x in inputs]
    own, server = [a - LR * s[0] for s in first], b - LR * np.mean(first, axis=0)[1]
    mean = np.mean([slopes(w, server, x) for w, x in zip(own, inputs, strict=True)], axis=0)
    whole = np.mean([slopes(np.mean(own), server, x) for x in inputs], axis=0)
    by_hand = [[0, 0, np.sum(np.mean(first, axis=0) ** 2)],
               [np.sum((whole - mean) ** 2), whole @ (whole - mean), np.sum(whole**2)]]
    np.testing.assert_allclose(drift(probe(net, data), 1, 2, LR), by_hand, rtol=1e-9)
    assert by_hand[1][0] > 0


def test_devices_whose_mean_gradient_is_the_longer_for_their_going_apart_lose_nothing_to_first_order():
    net, data = on_a_line(0.2, 1.7, 2.0, -3.0)
    rows, found = drift(probe(net, data), 1, 2, LR), measured(net, data, cuts=(1,), intervals=(2,))
    assert rows[:, 1].sum() < 0 < rows[:, 0].sum()
    assert found.misalignment == ((0.0, 0.0),)
    assert found.drift[0][1] == pytest.approx(rows[:, 0].sum() / rows[:, 2].sum())


class Score(nn.Module):
    """Scores 0 and b x of two classes."""

    def __init__(self):
        super().__init__()
        self.b = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return torch.cat([torch.zeros_like(x), self.b * x], 1)


def test_the_drift_of_an_interval_is_a_ratio_of_sums_over_its_rounds(rng):
    net, data = network(), shards(rng, 12, 30)
    rows = drift(probe(net, data), 2, 5, LR)
    found = measured(net, data, intervals=(1, 3, 5))
    assert found.intervals == (1, 3, 5)
    for measure, product in ((found.drift, 0), (found.misalignment, 1)):
        assert measure[1] == pytest.approx([rows[:i, product].sum() / rows[:i, 2].sum() for i in (1, 3, 5)], rel=1e-9)
    assert min(found.misalignment[1][1:]) > 0


def test_a_short_step_of_devices_that_went_apart_descends_less_by_the_misalignment(rng):
    """F at the mean of the client sides, along the mean of the devices' own gradients."""
    net, data, cut, rounds, short = network(), shards(rng, 20, 20, 20), 2, 5, 1e-4
    where = probe(net, data)
    own, server = [params.front(where.weights, cut)] * 3, params.back(where.weights, cut)
    for number in range(rounds):
        middle = {**params.weighted_sum(own, where.share), **server}
        grads = [where.gradient({**side, **server}, shard)[1] for side, shard in zip(own, data, strict=True)]
        mean = params.weighted_sum(grads, where.share)
        if number < rounds - 1:
            own = [moved(side, each, LR) for side, each in zip(own, grads, strict=True)]
            server = moved(server, mean, LR)

    def loss(weights):
        return np.mean([where.gradient(weights, shard)[0] for shard in data])

    _, missing, square = drift(where, cut, rounds, LR)[-1]
    slopes = [(loss(moved(middle, step, -short)) - loss(moved(middle, step, short))) / (2 * short)
              for step in (mean, where.mean(middle))]
    assert 0.05 < missing / square < 0.95
    assert slopes == pytest.approx([square - missing, square], rel=1e-3)


def test_the_virtual_mean_is_that_of_devices_that_are_averaged_late(rng):
    """After an interval the algorithm's model is the mean of the devices that the drift has followed."""
    net, data, cut = network(), shards(rng, 12, 30), 2
    algorithm = LightFedSL(net, plain(LR), interval=3)
    state = algorithm.init(2)
    for _ in range(3):
        state, _ = algorithm.step(state, data, [Plan(cut)] * 2, Streams())
    slope = gradient(net, algorithm.models(state)[0], union(data))
    assert drift(probe(net, data), cut, 4, LR)[3, 2] == pytest.approx(params.squared_norm(slope), rel=1e-9)


def test_averaged_in_each_round_nothing_drifts(rng):
    found = measured(network(), shards(rng, 12, 30))
    assert found.intervals == (1,)
    assert found.drift == found.misalignment == ((0.0,), (0.0,))


@pytest.mark.parametrize("make", [None, normed_blocks])
def test_devices_with_the_same_data_do_not_drift_apart(rng, make):
    net, data = network() if make is None else network(make=make), shard(rng, 10)
    found = measured(net, [data, data, data], intervals=(1, 4))
    np.testing.assert_allclose(found.drift, 0, atol=1e-20)
    np.testing.assert_allclose(found.misalignment, 0, atol=1e-7)


def test_one_device_does_not_drift(rng):
    np.testing.assert_allclose(measured(network(), [shard(rng, 10)], intervals=(4,)).drift, 0, atol=1e-20)


def test_unlike_devices_drift_further_the_longer_they_go_and_the_more_they_hold(rng):
    every = [measured(network(seed), shards(rng, 20, 20, 20), intervals=(1, 2, 4, 8)) for seed in range(5)]
    for found in (np.mean([getattr(each, name) for each in every], axis=0) for name in ("drift", "misalignment")):
        assert np.all(np.diff(found, axis=1) > 0)
        assert np.all(found[1, 1:] > found[0, 1:])


def test_to_second_order_the_drift_grows_with_the_square_of_the_learning_rate(rng):
    """Curvature times distance, and client sides are apart by the learning rate times gradients."""
    net, data = network(), shards(rng, 20, 20)
    small, large = (drift(probe(net, data), 2, 2, lr)[1] for lr in (1e-4, 2e-4))
    assert large[0] / small[0] == pytest.approx(4, rel=0.02)


def test_an_interval_shorter_than_a_round_is_refused(rng):
    with pytest.raises(ValueError, match=r"intervals must be 1 or more \[rounds\], got \[0\]"):
        measured(network(), shards(rng, 5), intervals=(0,))


def test_a_drift_measurement_leaves_the_model_alone(rng):
    net, data = network(make=normed_blocks), shards(rng, 12, 30)
    before = params.values(net)
    drift(probe(net, data), 2, 4, LR)
    assert_close(params.values(net), before, rtol=0, atol=0)
