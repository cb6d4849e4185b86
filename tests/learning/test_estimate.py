"""Auxiliary networks learn to give the server's gradient, and disturb nothing while they do."""

import copy

import pytest
import torch
from tiny_task import CLASSES, NETS, SEEDS, SHAPE, auxiliaries, descended, gradient, network, plain, plans, run, shard, shards
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, one_hot
from torch.testing import assert_close

from learning import params
from learning.algorithm import Shard
from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.fsl_sage import FSLSage
from learning.estimate import Samples, align, mismatch
from learning.models.blocks import smashed_shape
from learning.optimiser import adam, sgd
from learning.split import serve
from learning.training import Training

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-10, "atol": 1e-12}
PLAIN, NORMED = (make for make, _ in NETS)
PAIRS = [(kind, cut) for kind in ("linear", "half", "stage", "full") for cut in (1, 2)]


def received(rng, net, cut, size):
    """Smashed data of random size and labels, as the server keeps them."""
    values = torch.from_numpy(rng.standard_normal((size, *smashed_shape(net, cut, SHAPE))))
    return Samples(values, torch.from_numpy(rng.integers(CLASSES, size=size)))


def slope(part, weights, kept):
    """Gradient of each sample's own loss by its smashed data, with a graph; the statistics of batch norm are thrown away."""
    z, values = kept.smashed.clone().requires_grad_(), {name: w.clone() for name, w in weights.items()}
    loss = cross_entropy(functional_call(part, values, (z,)), kept.y, reduction="sum")
    return torch.autograd.grad(loss, z, create_graph=True)[0]


def distance(part, weights, kept, target):
    return ((slope(part, weights, kept) - target) ** 2).sum()


def case(rng, make, kind, cut, size=6):
    """A network and its weights, an auxiliary network and its weights, the samples kept and their true gradients."""
    net = network(make=make)
    helpers, kept, truth = auxiliaries(net, kind, seed=5), received(rng, net, cut, size), params.values(net)
    return net, truth, helpers.at(cut), helpers.start(cut), kept, slope(net[cut:], params.back(truth, cut), kept).detach()


@pytest.mark.parametrize(("kind", "cut"), PAIRS)
@pytest.mark.parametrize("make", [PLAIN, NORMED])
def test_the_gradient_of_the_mismatch_is_that_of_finite_differences(rng, make, kind, cut):
    """Along five random directions, by central differences in double precision."""
    _, _, part, weights, kept, target = case(rng, make, kind, cut)
    found = mismatch(part, weights, kept, target)
    for _ in range(5):
        way = {name: torch.from_numpy(rng.standard_normal(p.shape)) for name, p in part.named_parameters()}
        ends = [distance(part, {n: w + step * way[n] if n in way else w for n, w in weights.items()}, kept, target).item()
                for step in (1e-6, -1e-6)]
        along = sum(float((g * way[name]).sum()) for name, g in found.items())
        assert along == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-6)


def test_the_estimate_of_a_linear_network_is_in_closed_form(rng):
    """W' (softmax(W z + b) - e_y), for a sample's own loss."""
    _, _, part, weights, kept, _ = case(rng, PLAIN, "linear", 2)
    (w, b) = weights.values()
    off = (kept.smashed @ w.T + b).softmax(1) - one_hot(kept.y, CLASSES)
    assert_close(serve(part, weights, *kept).cut_grad * len(kept.y), off @ w, **CLOSE)


@pytest.mark.parametrize("make", [PLAIN, NORMED])
@pytest.mark.parametrize("cut", [1, 2])
def test_a_copy_of_the_server_has_nothing_to_learn(rng, make, cut):
    net = network(make=make)
    helpers, kept = auxiliaries(net, "full", seed=None), received(rng, net, cut, 6)
    start = helpers.start(cut)
    target = serve(net[cut:], params.values(net), *kept).cut_grad * 6
    found = mismatch(helpers.at(cut), start, kept, target)
    assert_close(found, params.combine(torch.zeros_like, found), rtol=0, atol=1e-12)
    after = align(helpers.at(cut), start, net[cut:], params.values(net), kept, steps=5, optimiser=sgd(0.1))
    assert_close(after, start, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "cut"), PAIRS)
@pytest.mark.parametrize("make", [PLAIN, NORMED])
def test_alignment_brings_the_gradients_together(rng, make, kind, cut):
    net, truth, part, weights, kept, target = case(rng, make, kind, cut, 20)
    after = align(part, weights, net[cut:], truth, kept, steps=100, optimiser=adam(1e-2))
    assert distance(part, after, kept, target) < distance(part, weights, kept, target)


def test_a_server_that_is_linear_is_found(rng):
    """Behind cut 2 both are one linear layer: the mismatch falls to nothing."""
    net, truth, part, weights, kept, target = case(rng, PLAIN, "linear", 2, 30)
    after = align(part, weights, net[2:], truth, kept, steps=800, optimiser=adam(5e-2))
    assert distance(part, after, kept, target) < 1e-6 * distance(part, weights, kept, target)


@pytest.mark.parametrize(("kind", "cut"), PAIRS)
def test_steps_are_those_of_torch_on_the_mismatch(rng, kind, cut):
    """By double backward through the module itself."""
    net, truth, part, weights, kept, target = case(rng, PLAIN, kind, cut)
    found = align(part, weights, net[cut:], truth, kept, steps=4, optimiser=adam(1e-2))
    whole = copy.deepcopy(part)
    moving = torch.optim.Adam(whole.parameters(), lr=1e-2)
    for _ in range(4):
        moving.zero_grad()
        distance(whole, dict(whole.named_parameters()), kept, target).backward()
        moving.step()
    assert_close(found, params.values(whole), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("kind", "cut"), PAIRS)
@pytest.mark.parametrize("size", [1, 6])
def test_nothing_is_disturbed(rng, kind, cut, size):
    """Statistics of batch norm stay on both sides, as do modules, samples and the values that were given."""
    net, helpers = network(make=NORMED), auxiliaries(network(make=NORMED), kind)
    part, weights, truth, kept = helpers.at(cut), helpers.start(cut), params.values(net), received(rng, net, cut, size)
    before = copy.deepcopy((weights, truth, kept, net.state_dict(), part.state_dict()))
    after = align(part, weights, net[cut:], truth, kept, steps=3, optimiser=adam())
    assert_close((weights, truth, kept, net.state_dict(), part.state_dict()), before, **EXACT)
    assert after.keys() == weights.keys()
    assert_close({n: after[n] for n, _ in part.named_buffers()}, {n: weights[n] for n, _ in part.named_buffers()}, **EXACT)
    assert all(w.isfinite().all() and not w.requires_grad for w in after.values())
    assert all(module.training for module in (*net.modules(), *part.modules()))


@pytest.mark.parametrize("cut", [1, 2])
def test_gradients_are_of_a_samples_own_loss_whatever_the_batch(rng, cut):
    """Samples that are kept twice count twice, and nothing else changes."""
    _, _, part, weights, kept, target = case(rng, PLAIN, "stage", cut)
    twice = Samples(torch.cat([kept.smashed] * 2), torch.cat([kept.y] * 2))
    once, again = mismatch(part, weights, kept, target), mismatch(part, weights, twice, torch.cat([target] * 2))
    assert_close(again, params.combine(lambda g: 2 * g, once), **CLOSE)
    alone = [serve(part, weights, kept.smashed[i:i + 1], kept.y[i:i + 1]).cut_grad for i in range(6)]
    assert_close(serve(part, weights, *kept).cut_grad * 6, torch.cat(alone), **CLOSE)


def test_the_last_samples_are_kept_first_in_first_out():
    kept = Samples(torch.zeros(0, 1), torch.zeros(0, dtype=torch.long))
    seen = []
    for start, stop in ((0, 4), (4, 6), (6, 9)):
        numbers = torch.arange(start, stop)
        kept = kept.with_last(numbers[:, None].float(), numbers, 5)
        seen.append((kept.y.tolist(), kept.smashed.flatten().tolist()))
    assert seen == [([0, 1, 2, 3],) * 2, ([1, 2, 3, 4, 5],) * 2, ([4, 5, 6, 7, 8],) * 2]


def test_an_auxiliary_network_is_made_once_for_each_cut_and_its_start_is_a_copy():
    helpers = auxiliaries(network(), "stage")
    assert helpers.at(1) is helpers.at(1)
    start = helpers.start(1)
    start["0.1.weight"] += 1
    assert not torch.allclose(start["0.1.weight"], helpers.start(1)["0.1.weight"])
    assert helpers == auxiliaries(helpers.net, "stage")


@pytest.mark.parametrize(("cut", "product"), [(1, 12), (2, 24)])
def test_the_work_of_an_alignment_is_counted_by_hand(cut, product):
    """Five products of a linear network, as test_work has them; a pass forward and back is three."""
    helpers = auxiliaries(network(), "linear")
    assert helpers.align_flops(cut) == 5 * product
    assert helpers.profile(cut).flops(0, helpers.profile(cut).blocks) == 3 * product


def test_the_server_of_fsl_sage_aligns_right_after_the_first_upload(rng):
    """On the samples that it keeps, at the model that has just learnt from them."""
    net, data = network(), shards(rng, 10)
    training, helpers = Training(4, 0, client=sgd(0.1), server=sgd(0.2)), auxiliaries(net, "stage")
    algorithm = FSLSage(net, helpers, training, every=2, align_every=1, align_steps=3, keep=7)
    end = run(algorithm, data, plans(1), 1)[-1]
    x, y = next(training.batches(data[0], SEEDS.draws(0, 0)))
    start = params.values(net)
    server = descended(start, params.back(gradient(net, start, Shard(x, y)), 1), 0.2)
    kept = Samples(net[:1](x).detach(), y)
    expected = align(helpers.at(1), helpers.start(1), net[1:], server, kept, steps=3, optimiser=adam(1e-3))
    assert_close(end.guides[0].values, expected, **CLOSE)


def test_fsl_sage_aligns_every_so_many_rounds_and_keeps_the_last_samples(rng):
    """Four and two samples go up in a round; of three rounds, the last seven are two rounds and one of the first."""
    net, data, training = network(), shards(rng, 10), Training(4, 0, client=sgd(), server=sgd())
    algorithm = FSLSage(net, auxiliaries(net), training, every=2, align_every=2, align_steps=2, keep=7)
    first, second, third = (state.guides[0] for state in run(algorithm, data, plans(1), 3)[1:])
    assert_close(second.values, first.values, **EXACT)
    assert not torch.allclose(third.values["0.2.weight"], second.values["0.2.weight"])
    sent = torch.cat([y for number in range(3) for y in
                      [batch[1] for batch in training.batches(data[0], SEEDS.draws(number, 0))][::2]])
    assert [len(guide.kept.y) for guide in (first, second, third)] == [6, 7, 7]
    assert torch.equal(third.kept.y, sent[-7:])


@pytest.mark.parametrize("make", [PLAIN, NORMED])
@pytest.mark.parametrize(("kind", "cut"), PAIRS)
def test_a_device_of_cse_fsl_trains_a_network_of_its_own(rng, make, kind, cut):
    """Its side and the auxiliary network in one, by gradient descent on its data alone."""
    net, data, helpers = network(make=make), shard(rng, 9), auxiliaries(network(make=make), kind)
    end = run(CSEFSL(net, helpers, plain(0.1, steps=2)), [data], plans(cut), 2)[-1]
    whole = nn.Sequential(*copy.deepcopy(net[:cut]), *copy.deepcopy(helpers.at(cut)))
    moving = torch.optim.SGD(whole.parameters(), lr=0.1)
    for _ in range(4):
        moving.zero_grad()
        cross_entropy(whole(data.x), data.y).backward()
        moving.step()
    found = {**params.front(end.model, cut), **{f"{cut + params.block_of(name)}.{name.partition('.')[2]}": w
                                                for name, w in end.auxiliary[cut].items()}}
    assert_close(found, params.values(whole), rtol=1e-8, atol=1e-12)


def test_auxiliary_networks_of_cse_fsl_are_averaged_over_the_devices_of_a_cut(rng):
    net, data, helpers = network(), shards(rng, 6, 12, 9), auxiliaries(network(), "stage")
    algorithm = CSEFSL(net, helpers, plain())
    together = run(algorithm, data, plans(1, 1, 2), 1)[-1].auxiliary
    alone = [run(algorithm, [d], plans(cut), 1)[-1].auxiliary[cut] for d, cut in zip(data, (1, 1, 2), strict=True)]
    assert_close(together, {1: params.weighted_sum(alone[:2], [1 / 3, 2 / 3]), 2: alone[2]}, **CLOSE)


def test_a_device_that_comes_late_gets_an_aligned_network_in_its_first_round(rng):
    net, data = network(), shards(rng, 8, 8)
    algorithm = FSLSage(net, auxiliaries(net), Training(4, 0), every=1, align_every=10, align_steps=2)
    state, first = algorithm.step(algorithm.init(2), data, [plans(1)[0], None], SEEDS)
    _, second = algorithm.step(state, data, plans(1, 1), SEEDS)
    assert ["auxiliary" in traffic.down for traffic in first.traffic] == [True, False]
    assert ["auxiliary" in traffic.down for traffic in second.traffic] == [False, True]
