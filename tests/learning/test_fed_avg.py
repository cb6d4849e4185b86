import copy

import pytest
import torch
from tiny_task import SMALL, gradient, network, plans, shards, streams, union
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithm import Shard, batches
from learning.algorithms.fed_avg import FedAvg


@pytest.mark.parametrize("sizes", [(7,), (3, 9), (1, 5, 20)])
def test_one_full_batch_each_is_gradient_descent_on_all_samples(rng, sizes):
    net, data = network(), shards(rng, *sizes)
    algorithm = FedAvg(net, lr=0.3, batch=100)
    found, report = algorithm.step(algorithm.init(), data, plans(*[3] * len(sizes)), streams())
    start = params.values(net)
    expected = params.combine(lambda w, g: w - 0.3 * g, start, gradient(net, start, union(data)))
    assert_close(found, expected, rtol=1e-10, atol=1e-12)
    losses = [cross_entropy(net(d.x), d.y).item() for d in data]
    assert report.loss == pytest.approx(losses, rel=1e-12)


def test_one_device_is_plain_sgd(rng):
    net, (data,) = network(), shards(rng, 17)
    algorithm = FedAvg(net, lr=0.2, batch=5, steps=4)
    found, report = algorithm.step(algorithm.init(), [data], plans(3), streams())
    weights, losses = params.values(net), []
    for pick in batches(17, 5, 4, streams().batches):
        losses.append(cross_entropy(functional_call(net, weights, (data.x[pick],)), data.y[pick]).item())
        slope = gradient(net, weights, Shard(data.x[pick], data.y[pick]))
        weights = params.combine(lambda w, g: w - 0.2 * g, weights, slope)
    assert_close(found, weights, rtol=1e-10, atol=1e-12)
    assert report.loss == pytest.approx([sum(losses) / 4], rel=1e-12)


def test_pruned_weights_get_no_update(rng):
    algorithm, data = FedAvg(network(), steps=3, compression=SMALL), shards(rng, 20)
    start = algorithm.init()
    end, _ = algorithm.step(start, data, plans(3, ratio=0.5), streams())
    changed = {name: int((end[name] != start[name]).sum()) for name in start if start[name].dim() > 1}
    assert all(0 < changed[name] <= start[name].numel() / 2 for name in changed)


def test_a_step_leaves_its_state_alone_and_can_be_repeated(rng):
    algorithm, data = FedAvg(network(), steps=2, compression=SMALL), shards(rng, 20, 30)
    state = algorithm.init()
    before = copy.deepcopy(state)
    once, again = (algorithm.step(state, data, plans(3, 3, ratio=0.5), streams(4, 5)) for _ in range(2))
    assert_close(state, before, rtol=0, atol=0)
    assert_close(once[0], again[0], rtol=0, atol=0)
    assert once[1] == again[1]


def test_its_only_cut_is_behind_the_last_block():
    assert list(FedAvg(network()).cuts()) == [3]


def test_an_interval_is_not_for_it():
    with pytest.raises(ValueError, match="FedAvg averages every round: interval must be 1, got 2; raise steps instead"):
        FedAvg(network(), interval=2)


@pytest.mark.parametrize(("size", "batch", "drawn"), [(10, 4, 4), (3, 4, 3), (4, 4, 4)])
def test_a_batch_draws_without_replacement_and_no_more_than_there_is(size, batch, drawn):
    picks = batches(size, batch, 50, torch.Generator().manual_seed(0))
    assert len(picks) == 50
    assert all(len(set(pick.tolist())) == len(pick) == drawn for pick in picks)
    assert set(torch.cat(picks).tolist()) == set(range(size))
