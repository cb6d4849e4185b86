import copy
from itertools import pairwise

import pytest
import torch
from tiny_task import SMALL, gradient, network, plans, run, shards, streams
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithm import batches
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.split_fed import SplitFed
from learning.split import Compression

EXACT = {"rtol": 0, "atol": 0}


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 3])
def test_one_device_is_plain_sgd_on_the_whole_model(rng, cut, steps):
    """The cut moves the work, not the mathematics."""
    net, (data,) = network(), shards(rng, 23)
    found = run(SplitFed(net, lr=0.2, batch=6, steps=steps), [data], plans(cut), streams(), 5)[-1].model
    whole, draw = copy.deepcopy(net), streams().batches
    descent = torch.optim.SGD(whole.parameters(), lr=0.2)
    for _ in range(5):
        for pick in batches(23, 6, steps, draw):
            descent.zero_grad()
            cross_entropy(whole(data.x[pick]), data.y[pick]).backward()
            descent.step()
    assert_close(found, dict(whole.named_parameters()), rtol=1e-6, atol=1e-12)
    assert not torch.allclose(found["0.0.weight"], net[0][0].weight)


@pytest.mark.parametrize("cuts", [(1, 1, 1), (2, 2, 2), (3, 3, 3), (1, 3, 2)])
@pytest.mark.parametrize("steps", [1, 3])
def test_averaged_every_round_it_is_federated_averaging(rng, cuts, steps):
    """The server keeps a copy of its side for each device, so the two differ in where the work is done alone."""
    net, data = network(), shards(rng, 9, 30, 4)
    split = SplitFed(net, batch=8, steps=steps)
    whole = FedAvg(net, batch=8, steps=steps)
    found, expected = run(split, data, plans(*cuts), streams(), 3)[-1], run(whole, data, plans(3, 3, 3), streams(), 3)[-1]
    assert_close(split.model(found), whole.model(expected), rtol=1e-10, atol=1e-12)


def test_the_server_side_is_averaged_every_round_and_client_sides_every_interval(rng):
    """Against the rules written out for full batches and one cut."""
    net, data, lr, interval = network(), shards(rng, 6, 12), 0.1, 3
    algorithm = SplitFed(net, lr=lr, batch=100, interval=interval)
    states = run(algorithm, data, plans(2, 2), streams(), 2 * interval)
    ours = [params.values(net) for _ in data]
    for number, state in enumerate(states[1:], 1):
        ours = [params.combine(lambda w, g: w - lr * g, w, gradient(net, w, d)) for w, d in zip(ours, data, strict=True)]
        mean = params.weighted_sum(ours, [1 / 3, 2 / 3])
        shared = mean if number % interval == 0 else params.back(mean, 2)
        ours = [{**w, **shared} for w in ours]
        assert_close({name: state.model[name] for name in shared}, shared, rtol=1e-10, atol=1e-12)


def test_client_sides_differ_between_averagings_and_agree_after(rng):
    first, second, third, fourth = run(SplitFed(network(), batch=4, interval=2), shards(rng, 8, 8), plans(1, 1), streams(), 4)[1:]
    for between in (first, third):
        assert not torch.allclose(between.local[0]["0.0.weight"], between.local[1]["0.0.weight"])
    for after in (second, fourth):
        assert after.local == ()
        assert after.base is after.model
    assert_close(params.front(first.model, 1), params.front(first.base, 1), **EXACT)         # devices hold it, unaveraged
    assert not torch.allclose(first.model["1.1.weight"], first.base["1.1.weight"])


def test_the_server_averages_only_the_copies_that_it_holds(rng):
    """Cuts 1 and 2: block 2 is on the server for the first device alone, until all are averaged."""
    net, data = network(), shards(rng, 6, 12)
    algorithm = SplitFed(net, lr=0.1, batch=100, interval=2)
    state = run(algorithm, data, plans(1, 2), streams(), 1)[-1]
    steps = [params.combine(lambda w, g: w - 0.1 * g, params.values(net), gradient(net, params.values(net), d)) for d in data]
    assert_close(params.front(params.back(state.model, 1), 2), params.front(params.back(steps[0], 1), 2))
    assert_close(params.back(state.model, 2), params.back(params.weighted_sum(steps, [1 / 3, 2 / 3]), 2))
    assert_close(state.local, tuple(params.front(w, cut) for w, cut in zip(steps, (1, 2), strict=True)))


@pytest.mark.parametrize("change", [plans(1, 1), plans(1, 2, ratio=0.5)])
def test_plans_change_only_when_client_sides_are_averaged(rng, change):
    """In between, a device holds only what it has downloaded."""
    algorithm, data, source = SplitFed(network(), interval=2), shards(rng, 5, 5), streams()
    start, between, averaged = run(algorithm, data, plans(1, 2), source, 2)
    with pytest.raises(ValueError, match=r"plans .* may change only when client sides are averaged, every 2 rounds; got"):
        algorithm.step(between, data, change, source)
    for state in (start, averaged):
        assert len(algorithm.step(state, data, change, source)[1].loss) == 2


@pytest.mark.parametrize("compression", [Compression(), SMALL])
def test_a_step_leaves_its_state_alone(rng, compression):
    data, decided = shards(rng, 5, 9), plans(1, 2, ratio=0.5)
    algorithm = SplitFed(network(), interval=3, compression=compression)
    for state in run(algorithm, data, decided, streams(), 3):
        before = copy.deepcopy(state)
        algorithm.step(state, data, decided, streams())
        assert_close((state.model, state.base, state.local), (before.model, before.base, before.local), **EXACT)
        assert (state.round, state.plans) == (before.round, before.plans)


def test_the_same_seed_gives_the_same_round(rng):
    algorithm, data = SplitFed(network(), steps=2, compression=SMALL), shards(rng, 40, 50)
    once, again = (algorithm.step(algorithm.init(), data, plans(1, 2, ratio=0.5), streams(7, 8)) for _ in range(2))
    assert_close(once[0].model, again[0].model, **EXACT)
    assert once[1] == again[1]


@pytest.mark.parametrize("steps", [1, 3])
def test_the_loss_of_a_round_is_that_of_federated_averaging(rng, steps):
    data, net = shards(rng, 9, 30), network()
    split, whole = (algorithm(net, batch=8, steps=steps) for algorithm in (SplitFed, FedAvg))
    assert split.step(split.init(), data, plans(1, 2), streams())[1].loss == pytest.approx(
        whole.step(whole.init(), data, plans(3, 3), streams())[1].loss, rel=1e-12)


def test_what_crosses_the_cut_is_compressed_from_its_own_stream(rng):
    data, plain, small = shards(rng, 40, 50), streams(), streams()
    for source, compression in ((plain, Compression()), (small, SMALL)):
        run(SplitFed(network(), batch=5, steps=3, compression=compression), data, plans(1, 2), source, 2)
    assert torch.equal(small.batches.get_state(), plain.batches.get_state())
    assert not torch.equal(small.compression.get_state(), plain.compression.get_state())


@pytest.mark.parametrize("algorithm", [SplitFed, FedAvg])
def test_another_compression_leaves_the_batches_alone(rng, algorithm):
    """Behind the last block only updates are compressed: the losses of a first round tell which batches were drawn."""
    data, sources = shards(rng, 40, 50), [streams(7, 8), streams(7, 8), streams(7, 9)]
    three = [algorithm(network(), batch=5, steps=3, compression=c) for c in (Compression(), SMALL, SMALL)]
    ends = [a.step(a.init(), data, plans(3, 3), source) for a, source in zip(three, sources, strict=True)]
    for (one, left), (other, right) in pairwise(zip(ends, sources, strict=True)):
        assert one[1].loss == other[1].loss
        assert torch.equal(left.batches.get_state(), right.batches.get_state())
        assert not torch.equal(three[0].model(one[0])["1.1.weight"], three[0].model(other[0])["1.1.weight"])
