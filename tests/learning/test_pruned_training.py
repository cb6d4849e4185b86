"""What pruning does to training, whoever trains."""

import pytest
import torch
from tiny_task import SMALL, gradient, network, plans, run, shards, streams
from torch.testing import assert_close

from learning import params
from learning.algorithm import Plan
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.split_fed import SplitFed
from learning.compress import keep_mask
from learning.split import Compression

EXACT = {"rtol": 0, "atol": 0}


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("compression", [Compression(), SMALL])
def test_pruned_weights_get_no_update(rng, cut, compression):
    algorithm, data = SplitFed(network(), steps=3, compression=compression), shards(rng, 40)
    start, end = run(algorithm, data, plans(cut, ratio=0.5), streams(), 1)
    mask = keep_mask(params.front(start.model, cut), 0.5)
    for name, kept in mask.items():
        assert_close(end.model[name][kept == 0], start.model[name][kept == 0], **EXACT)
    assert not torch.equal(end.model["0.0.weight"], start.model["0.0.weight"])


@pytest.mark.parametrize("algorithm", [SplitFed, FedAvg])
def test_a_pruned_weight_is_a_zero_in_the_average(rng, algorithm):
    net, data = network(), shards(rng, 6, 12)
    method, start = algorithm(net, lr=0.1, batch=100), params.values(net)
    end = method.model(method.step(method.init(), data, [Plan(3, 0.5), Plan(3)], streams())[0])
    only_second = params.combine(lambda w, g: w - 0.1 * 2 / 3 * g, start, gradient(net, start, data[1]))
    for name, kept in keep_mask(start, 0.5).items():
        assert_close(end[name][kept == 0], only_second[name][kept == 0], rtol=1e-10, atol=1e-12)


def test_a_device_computes_at_its_pruned_weights(rng):
    net, data = network(), shards(rng, 6)
    start, end = run(SplitFed(net, lr=0.1, batch=100), data, plans(1, ratio=0.5), streams(), 1)
    mask = keep_mask(params.front(start.model, 1), 0.5)
    pruned = {**start.model, **params.combine(torch.mul, params.front(start.model, 1), mask)}
    slope = gradient(net, pruned, data[0])
    slope |= {name: slope[name] * kept for name, kept in mask.items()}
    assert_close(end.model, params.combine(lambda w, g: w - 0.1 * g, start.model, slope), rtol=1e-10, atol=1e-12)
