"""Lightweight FedSL against its rules written out: one server that moves by the mean gradient, client sides averaged at times."""

from itertools import pairwise

import pytest
import torch
from tiny_task import SEEDS, SMALL, descended, gradient, network, normed_blocks, plain, plans, run, shards
from torch.testing import assert_close

from learning import params
from learning.algorithm import Shard, Streams
from learning.algorithms.light_fed_sl import LightFedSL
from learning.compress import quantise
from learning.crossing import PLAIN, Compression
from learning.optimiser import adam, sgd
from learning.training import Training

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-10, "atol": 1e-12}
SHARE = (1 / 3, 2 / 3)


def slopes(net, server, fronts, data):
    return [gradient(net, {**server, **front}, d) for front, d in zip(fronts, data, strict=True)]


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_the_server_moves_every_step_and_client_sides_are_averaged_every_interval(rng, interval, steps):
    """Full batches and one cut; the server by Adam, the devices with momentum."""
    net, data, training = network(), shards(rng, 6, 12), Training(100, steps, client=sgd(0.1, 0.9), server=adam(1e-2))
    states = run(LightFedSL(net, training, interval), data, plans(2, 2), 2 * interval)
    model = params.values(net)
    fronts, front_moments, moments = [params.front(model, 2)] * 2, [{}, {}], {}
    for number, state in enumerate(states[1:], 1):
        for _ in range(steps):
            found = slopes(net, model, fronts, data)
            mean = params.weighted_sum([params.back(s, 2) for s in found], SHARE)
            model, moments = training.server.step(model, mean, moments)
            moved = [training.client.step(f, params.front(s, 2), m)
                     for f, s, m in zip(fronts, found, front_moments, strict=True)]
            fronts, front_moments = map(list, zip(*moved, strict=True))
        if number % interval == 0:
            fronts = [params.weighted_sum(fronts, SHARE)] * 2
            model = {**model, **fronts[0]}
        assert_close(state.model, model, **CLOSE)


def test_client_sides_differ_between_averagings_and_agree_after(rng):
    algorithm = LightFedSL(network(), plain(batch=4), interval=2)
    first, second, third, fourth = run(algorithm, shards(rng, 8, 8), plans(1, 1), 4)[1:]
    for between in (first, third):
        assert not torch.allclose(between.held[0].values["0.0.weight"], between.held[1].values["0.0.weight"])
    for after in (second, fourth):
        assert after.held == (None, None)
        assert after.base is after.model
    assert_close(params.front(first.model, 1), params.front(first.base, 1), **EXACT)         # devices hold it, unaveraged
    assert not torch.allclose(first.model["1.1.weight"], first.base["1.1.weight"])


def test_with_different_cuts_a_block_is_the_mean_of_all_that_serve(rng):
    """Cuts 1 and 2: the second block is the server's for the first device, and the second device's own."""
    net, data = network(), shards(rng, 6, 12)
    end, start = run(LightFedSL(net, plain()), data, plans(1, 2), 1)[-1].model, params.values(net)
    alone = [descended(start, gradient(net, start, d)) for d in data]
    assert_close(end, params.weighted_sum(alone, SHARE), **CLOSE)


def test_the_server_learns_a_block_from_those_it_serves(rng):
    """In between, the second block of the server moves by the first device's gradient alone."""
    net, data = network(), shards(rng, 6, 12)
    between, start = run(LightFedSL(net, plain(), interval=2), data, plans(1, 2), 1)[-1], params.values(net)
    alone = [descended(start, gradient(net, start, d)) for d in data]
    middle, last = params.front(params.back(between.model, 1), 2), params.back(between.model, 2)
    assert_close(middle, {name: alone[0][name] for name in middle}, **CLOSE)
    assert_close(last, params.back(params.weighted_sum(alone, SHARE), 2), **CLOSE)
    assert_close([held.values for held in between.held], [params.front(alone[0], 1), params.front(alone[1], 2)], **CLOSE)


def test_in_one_pass_all_samples_of_a_step_weigh_the_same(rng):
    """Batches of five: the second device has two steps, the first device one; halves in the first step, whatever the shares."""
    net, data, training = network(), shards(rng, 5, 10), Training(5, 0, client=sgd(), server=sgd())
    end = run(LightFedSL(net, training), data, plans(1, 1), 1)[-1].model
    one, two = (list(training.batches(d, SEEDS.draws(0, k))) for k, d in enumerate(data))
    model = params.values(net)
    fronts = [params.front(model, 1)] * 2
    for batches in ([one[0], two[0]], [two[1]]):
        here = fronts[2 - len(batches):]
        found = slopes(net, model, here, [Shard(*b) for b in batches])
        share = (0.5, 0.5) if len(batches) == 2 else (1.0,)
        model = descended(model, params.weighted_sum([params.back(s, 1) for s in found], share))
        fronts[2 - len(batches):] = [descended(f, s) for f, s in zip(here, found, strict=True)]
    assert_close(end, {**model, **params.weighted_sum(fronts, SHARE)}, **CLOSE)


@pytest.mark.parametrize("change", [plans(1, 1), plans(1, 2, ratio=0.5)])
def test_plans_change_only_when_client_sides_are_averaged(rng, change):
    """In between, a device holds only what it has downloaded."""
    algorithm, data = LightFedSL(network(), interval=2), shards(rng, 5, 5)
    start, between, averaged = run(algorithm, data, plans(1, 2), 2)
    with pytest.raises(ValueError, match=r"plans .* may change only when client sides are averaged, every 2 rounds; got"):
        algorithm.step(between, data, change, SEEDS)
    for state in (start, averaged):
        assert len(algorithm.step(state, data, change, SEEDS)[1].loss) == 2


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_update_of_a_client_side_is_rounded_at_the_averaging(rng, cut):
    """What it has moved by since it was downloaded, by the draws of that round; the server's side stays in floats."""
    net, data = network(), shards(rng, 9)
    end = run(LightFedSL(net, plain(), 2, Compression(update_bits=3)), data, plans(cut), 2)[-1].model
    start = params.values(net)
    moved = run(LightFedSL(net, plain(), 2), data, plans(cut), 2)[-1].model
    draw = SEEDS.draws(1, 0).compression
    received = {name: start[name] + quantise(moved[name] - start[name], 3, draw) for name in params.front(start, cut)}
    assert_close(end, {**moved, **received}, **CLOSE)


@pytest.mark.parametrize("settings", [{"smashed_bits": 4}, {"cut_bits": 4}, {"dropout": 0.5}, {"update_bits": 4}])
def test_each_compression_does_something(rng, settings):
    net, data = network(), shards(rng, 9, 9)
    end, other = (run(LightFedSL(net, plain(), compression=c), data, plans(1, 1), 1)[-1].model
                  for c in (PLAIN, Compression(**settings)))
    assert not torch.equal(end["0.0.weight"], other["0.0.weight"])
    server = torch.allclose(end["1.1.weight"], other["1.1.weight"], rtol=1e-12)
    assert server == (settings.keys() <= {"cut_bits", "update_bits"})            # what comes down or at the end is too late


def test_statistics_of_batch_norm_are_never_rounded(rng):
    net, data = network(make=normed_blocks), shards(rng, 5, 9)
    rounded, floats = (run(LightFedSL(net, plain(), compression=c), data, plans(1, 2), 1)[-1].model
                       for c in (Compression(update_bits=1), PLAIN))
    for name, _ in net.named_buffers():
        assert_close(rounded[name], floats[name], **EXACT)


def test_another_compression_leaves_the_batches_alone(rng):
    """Behind the last block only updates are compressed: the losses of a first round tell which batches were drawn."""
    data = shards(rng, 40, 50)
    settings = [(PLAIN, Streams(7, 8)), (SMALL, Streams(7, 8)), (SMALL, Streams(7, 9))]
    ends = []
    for compression, streams in settings:
        algorithm = LightFedSL(network(), plain(batch=5, steps=3), compression=compression)
        ends.append(algorithm.step(algorithm.init(2), data, plans(3, 3), streams))
    for one, other in pairwise(ends):
        assert one[1].loss == pytest.approx(other[1].loss, rel=1e-12)
        assert not torch.equal(one[0].model["1.1.weight"], other[0].model["1.1.weight"])


def test_an_interval_is_a_number_of_rounds():
    with pytest.raises(ValueError, match=r"interval must be 1 or more \[rounds\], got 0"):
        LightFedSL(network(), interval=0)
