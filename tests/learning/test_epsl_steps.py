"""EPSL against PSL, and against its equation (1) written out."""

import copy
import math

import pytest
import torch
from tiny_algorithms import BLOCKS, NETWORKS, OPTIMISERS, assert_same, network, of, plans, run, shards
from torch.nn.functional import cross_entropy

from learning import params
from learning.algorithm import Streams
from learning.algorithms.epsl import EPSL
from learning.algorithms.psl import PSL
from learning.compress import FLOAT_BITS
from learning.training import Training

TIGHT, LR = 1e-10, 0.1


def both(optimiser, batch=8, steps=0):
    return Training(batch, steps, OPTIMISERS[optimiser], OPTIMISERS[optimiser])


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("cut", range(1, BLOCKS))
def test_without_aggregation_it_is_psl_bit_by_bit(rng, cut, kind, optimiser):
    net, data, training = network(kind), shards(rng, 9, 30, 4), both(optimiser)
    found, expected = (run(each, data, plans(cut, cut, cut), rounds=3) for each in (EPSL(net, training, 0.0), PSL(net, training)))
    assert_same(found, expected)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("cut", range(1, BLOCKS))
def test_the_gradients_of_one_device_are_their_own_mean(rng, cut, share, optimiser):
    net, data, training = network(), shards(rng, 30), both(optimiser)
    found, expected = (run(each, data, plans(cut), rounds=3) for each in (EPSL(net, training, share), PSL(net, training)))
    assert_same(found[0], expected[0], TIGHT)
    assert_same([report.loss for report in found[1]], [report.loss for report in expected[1]], TIGHT)


def test_a_device_whose_twin_holds_the_same_samples_notices_no_aggregation(rng):
    """The mean over equal batches is the batch."""
    class Alike(Streams):
        def draws(self, number, device):
            return super().draws(number, 0)

    net, (data,), training = network(), shards(rng, 9), both("momentum")
    for share in (0.5, 1.0):
        twins, _ = run(EPSL(net, training, share), [data, data], plans(1, 1), rounds=3, streams=Alike(1, 2))
        alone, _ = run(PSL(net, training), [data], plans(1), rounds=3, streams=Alike(1, 2))
        for found, expected in zip(twins, alone, strict=True):
            assert_same(of(found, [0]), expected, TIGHT)


def written_out(net, cut, batches, weights, phi):
    """One step of descent after equation (1): the devices' sides and the server's, by autograd on modules, a sample at a time."""
    first = [math.ceil(phi * len(y)) for _, y in batches]
    net = copy.deepcopy(net)
    front, body, last = net[:cut], net[cut:-1], net[-1]
    smashed = [front(x) for x, _ in batches]
    inner = [body(s).detach().requires_grad_() for s in smashed]
    losses = [cross_entropy(last(v), y) for v, (_, y) in zip(inner, batches, strict=True)]
    slopes = torch.autograd.grad(losses, inner, retain_graph=True)
    sum(weight * loss for weight, loss in zip(weights, losses, strict=True)).backward()      # the last block, by every sample
    arriving = [torch.zeros_like(s) for s in smashed]
    for j in range(max(len(s) for s in smashed)):
        pooled = [k for k, m in enumerate(first) if j < m]
        alone = [[k] for k, s in enumerate(smashed) if first[k] <= j < len(s)]
        for devices in [pooled, *alone] if pooled else alone:
            mass = sum(weights[k] for k in devices)
            s, g = (sum(weights[k] / mass * v[k][j].detach() for k in devices) for v in (smashed, slopes))
            s = s[None].requires_grad_()
            (mass * body(s) * g).sum().backward()
            for k in devices:
                arriving[k][j] = s.grad[0] / mass
    server = {name: (p - LR * p.grad).detach() for name, p in net[cut:].named_parameters()}
    return [descended(front, s, g) for s, g in zip(smashed, arriving, strict=True)], server


def descended(front, smashed, arriving):
    """A device's side after a step by the gradient that arrives."""
    names, values = zip(*front.named_parameters(), strict=True)
    slopes = torch.autograd.grad(smashed, values, arriving)
    return {name: (p - LR * g).detach() for name, p, g in zip(names, values, slopes, strict=True)}


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("sizes", [(6, 6), (3, 8), (8, 1)])
@pytest.mark.parametrize("cut", range(1, BLOCKS))
def test_a_step_is_equation_1_written_out_sample_by_sample(rng, cut, sizes, phi):
    net, data, training = network(), shards(rng, *sizes), both("sgd", 100, 1)
    (_, after), _ = run(EPSL(net, training, phi), data, plans(cut, cut))
    batches = [next(training.batches(shard, Streams(1, 2).draws(0, k))) for k, shard in enumerate(data)]
    fronts, server = written_out(net, cut, batches, [size / sum(sizes) for size in sizes], phi)
    assert_same(after.local, tuple(fronts), TIGHT)
    assert_same(params.back(after.model, cut), server, TIGHT)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("phi", [0.3, 1.0])
def test_aggregation_leaves_the_last_block_losses_and_statistics_alone(rng, phi, kind):
    """In one step only what lies in front of the last block goes another way."""
    net, data, training = network(kind), shards(rng, 6, 9), both("sgd", 100, 1)
    found, expected = (run(each, data, plans(1, 1)) for each in (EPSL(net, training, phi), PSL(net, training)))
    one, other = found[0][-1].model, expected[0][-1].model
    same = [name for name in other if params.block_of(name) == BLOCKS - 1 or "running" in name]
    assert_same({name: one[name] for name in same}, {name: other[name] for name in same}, TIGHT)
    assert not torch.allclose(one["1.1.weight"], other["1.1.weight"], atol=1e-6)
    assert_same(found[1][0], expected[1][0], TIGHT)


@pytest.mark.parametrize("phi", [0.0, 0.5, 1.0])
def test_a_device_gets_a_gradient_for_each_sample_broadcast_or_its_own(rng, phi):
    _, (report,) = run(EPSL(network(), both("sgd"), phi), shards(rng, 5, 8), plans(1, 1))
    assert [traffic.down["gradients"] for traffic in report.traffic] == [5 * 32 * FLOAT_BITS, 8 * 32 * FLOAT_BITS]


def test_what_is_aggregated_has_one_cut(rng):
    algorithm, data = EPSL(network()), shards(rng, 5, 5)
    with pytest.raises(ValueError, match=r"EPSL aggregates at one cut: all devices must have the same, got \[1, 2\] \[blocks\]"):
        run(algorithm, data, plans(1, 2))
    assert len(run(algorithm, data, [*plans(1), None])[1]) == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_nothing_and_all(share):
    with pytest.raises(ValueError, match=r"share of the batch that is aggregated must be within \[0, 1\] \[1\], got"):
        EPSL(network(), share=share)
