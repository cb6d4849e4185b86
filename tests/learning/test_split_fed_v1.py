"""SplitFed-V1 against its rules written out."""

import pytest
import torch
from tiny_task import SEEDS, descended, gradient, network, plain, plans, run, shards
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithm import Shard
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.optimiser import adam, sgd
from learning.training import Training

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def copies(net, data, training, cuts, rounds):
    """The averaged models: each device and its copy on the server go on alone, with an optimiser for each side."""
    weights, moments, seen = params.values(net), [({}, {}) for _ in data], []
    for number in range(rounds):
        ends = []
        for k, (d, cut) in enumerate(zip(data, cuts, strict=True)):
            mine, (front, back) = weights, moments[k]
            for x, y in training.batches(d, SEEDS.draws(number, k)):
                slope = gradient(net, mine, Shard(x, y))
                mine, front = training.client.step(mine, params.front(slope, cut), front)
                mine, back = training.server.step(mine, params.back(slope, cut), back)
            moments[k] = front, back
            ends.append(mine)
        weights = params.weighted_sum(ends, [len(d) / sum(map(len, data)) for d in data])
        seen.append(weights)
    return seen


@pytest.mark.parametrize("cuts", [(1, 1, 1), (2, 2, 2), (3, 3, 3), (1, 3, 2)])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_each_device_and_its_copy_on_the_server_go_on_alone(rng, cuts, steps):
    net, data, training = network(), shards(rng, 9, 30, 4), Training(8, steps, client=adam(1e-2), server=sgd(0.1, momentum=0.9))
    found = [state.model for state in run(SplitFedV1(net, training), data, plans(*cuts), 3)[1:]]
    assert_close(found, copies(net, data, training, cuts, 3), **CLOSE)


def test_both_sides_have_a_rate_of_their_own(rng):
    net, (data,) = network(), shards(rng, 9)
    training = Training(100, client=sgd(0.3), server=sgd(0.01))
    end, start = run(SplitFedV1(net, training), [data], plans(2), 1)[-1].model, params.values(net)
    slope = gradient(net, start, data)
    assert_close(params.front(end, 2), descended(params.front(start, 2), slope, 0.3), **CLOSE)
    assert_close(params.back(end, 2), descended(params.back(start, 2), slope, 0.01), **CLOSE)


def test_a_cut_may_move_from_round_to_round(rng):
    """With gradient descent on both sides it is no matter where it is."""
    net, data = network(), shards(rng, 9, 12)
    algorithm = SplitFedV1(net, plain())
    state = algorithm.init(2)
    for cuts in ((1, 2), (3, 1), (2, 2)):
        state, _ = algorithm.step(state, data, plans(*cuts), SEEDS)
    assert_close(state.model, run(algorithm, data, plans(1, 1), 3)[-1].model, **CLOSE)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_loss_of_a_round_is_that_of_federated_averaging(rng, steps):
    data, net = shards(rng, 9, 30), network()
    split, whole = (algorithm(net, plain(batch=8, steps=steps)) for algorithm in (SplitFedV1, FedAvg))
    assert split.step(split.init(2), data, plans(1, 2), SEEDS)[1].loss == pytest.approx(
        whole.step(whole.init(2), data, plans(3, 3), SEEDS)[1].loss, rel=1e-12)


def test_the_loss_of_a_device_is_the_mean_over_its_batches(rng):
    net, (data,) = network(), shards(rng, 10)
    training = Training(4, 0, client=sgd(1e-12), server=sgd(1e-12))                      # all but standing still
    algorithm = SplitFedV1(net, training)
    _, report = algorithm.step(algorithm.init(1), [data], plans(1), SEEDS)
    losses = [cross_entropy(net(x), y).item() for x, y in training.batches(data, SEEDS.draws(0, 0))]
    assert report.loss == pytest.approx((sum(losses) / 3,), rel=1e-9)
    assert len(losses) == 3


def test_it_moves(rng):
    net = network()
    end = run(SplitFedV1(net, plain()), shards(rng, 9), plans(1), 1)[-1].model
    assert not any(torch.equal(end[name], w) for name, w in params.values(net).items())
