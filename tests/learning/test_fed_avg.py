import pytest
import torch
from tiny_task import SEEDS, SMALL, descended, gradient, network, normed_blocks, plain, plans, run, shards, union
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithms.fed_avg import FedAvg
from learning.compress import quantise
from learning.crossing import Compression
from learning.optimiser import adam
from learning.training import Training

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-10, "atol": 1e-12}


@pytest.mark.parametrize("sizes", [(7,), (3, 9), (1, 5, 20)])
def test_one_full_batch_each_is_gradient_descent_on_all_samples(rng, sizes):
    net, data = network(), shards(rng, *sizes)
    algorithm = FedAvg(net, plain(0.3))
    found, report = algorithm.step(algorithm.init(len(data)), data, plans(*[3] * len(sizes)), SEEDS)
    start = params.values(net)
    assert_close(found.model, descended(start, gradient(net, start, union(data)), 0.3), **CLOSE)
    assert report.loss == pytest.approx([cross_entropy(net(d.x), d.y).item() for d in data], rel=1e-12)


def test_the_average_is_of_the_models_that_devices_end_with(rng):
    """Each by Adam on its own batches, by share of the data; what the optimiser remembers stays with the device."""
    net, data, training = network(), shards(rng, 9, 27), Training(8, 3, client=adam(1e-2))
    states = run(FedAvg(net, training), data, plans(3, 3), 2)
    weights, moments = params.values(net), [{}, {}]
    for number in range(2):
        ends = []
        for k, d in enumerate(data):
            mine = weights
            for x, y in training.batches(d, SEEDS.draws(number, k)):
                mine, moments[k] = training.client.step(mine, gradient(net, mine, type(d)(x, y)), moments[k])
            ends.append(mine)
        weights = params.weighted_sum(ends, [1 / 4, 3 / 4])
        assert_close(states[number + 1].model, weights, **CLOSE)
        assert_close(states[number + 1].moments, tuple(moments), **CLOSE)


def test_statistics_of_batch_norm_are_averaged_like_weights(rng):
    net, data = network(make=normed_blocks), shards(rng, 4, 12)
    end = run(FedAvg(net, plain()), data, plans(3, 3), 1)[-1].model
    mean = [net[0][0](d.x).mean((0, 2, 3)) for d in data]
    assert_close(end["0.1.running_mean"], 0.1 * (mean[0] / 4 + mean[1] * 3 / 4), **CLOSE)


def test_an_update_is_rounded_name_by_name(rng):
    """By the device's own draws; one device, so that the model moves by what was received."""
    net, data = network(), shards(rng, 9)
    end = run(FedAvg(net, plain(0.2), Compression(update_bits=4)), data, plans(3), 1)[-1].model
    start, draw = params.values(net), SEEDS.draws(0, 0).compression
    moved = {name: quantise(-0.2 * g, 4, draw) for name, g in gradient(net, start, data[0]).items()}
    assert_close(end, {name: w + moved[name] for name, w in start.items()}, **CLOSE)


def test_statistics_of_batch_norm_are_never_rounded(rng):
    """A rounded variance might be negative."""
    net, data = network(make=normed_blocks), shards(rng, 5, 9)
    rounded, floats = (run(FedAvg(net, plain(), c), data, plans(3, 3), 1)[-1].model
                       for c in (Compression(update_bits=1), Compression()))
    for name, _ in net.named_buffers():
        assert_close(rounded[name], floats[name], **EXACT)
    assert not torch.allclose(rounded["0.0.weight"], floats["0.0.weight"])


def test_nothing_crosses_a_cut_that_is_not_there(rng):
    """Rounding and dropout of smashed data change no bit of it."""
    net, data = network(), shards(rng, 5, 9)
    one, other = (run(FedAvg(net, plain(), c), data, plans(3, 3), 2)[-1].model
                  for c in (Compression(), Compression(smashed_bits=1, cut_bits=1, dropout=0.9)))
    assert_close(one, other, **EXACT)
    assert not torch.allclose(run(FedAvg(net, plain(), SMALL), data, plans(3, 3), 2)[-1].model["1.1.weight"], one["1.1.weight"])


def test_its_only_cut_is_behind_the_last_block():
    assert list(FedAvg(network()).cuts()) == [3]
