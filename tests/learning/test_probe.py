"""Gradients of all devices' losses, together or one by one."""

import numpy as np
import pytest
import torch
from tiny_task import gradient, network, normed_blocks, shards, smooth_blocks
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithm import Shard
from learning.probe import Probe, inner, moved, product

SIZES = (7, 30, 12, 1)


def probe(net, data, sizes=SIZES):
    return Probe(net, params.values(net), data, sizes)


@pytest.mark.parametrize("together", [1, 20, 512])
@pytest.mark.parametrize("make", [None, normed_blocks])
def test_the_mean_gradient_weighs_devices_as_their_data_however_they_are_put_together(rng, monkeypatch, make, together):
    """Also where a device's samples are only some of its data."""
    monkeypatch.setattr("learning.probe.TOGETHER", together)
    net, data = network() if make is None else network(make=make), shards(rng, 7, 10, 12, 2)
    found = probe(net, data)
    each = [gradient(net, found.weights, d) for d in data]
    assert_close(found.mean(found.weights), params.weighted_sum(each, np.array(SIZES) / 50), rtol=1e-9, atol=1e-12)


def test_samples_of_several_devices_go_through_the_network_at_once_unless_they_meet_there(rng, monkeypatch):
    """7 + 10 + 12 samples fit together, two more do not; with batch norm nobody's go with another's."""
    monkeypatch.setattr("learning.probe.TOGETHER", 30)
    data = shards(rng, 7, 10, 12, 2)
    assert probe(network(), data)._groups() == [[0, 1, 2], [3]]
    assert probe(network(make=normed_blocks), data)._groups() == [[0], [1], [2], [3]]


def test_squares_are_told_apart_by_block(rng):
    net = network()
    found = probe(net, shards(rng, 5), (5,)).by_block(params.values(net))
    assert found == pytest.approx([sum(float((p.detach()**2).sum()) for p in block.parameters()) for block in net], rel=1e-12)


def test_a_step_meets_the_curvature_that_the_hessian_has_along_it(rng):
    net, data = network(make=smooth_blocks), shards(rng, 7, 10)
    found = probe(net, data, (7, 10))
    step = {name: 1e-4 * torch.from_numpy(rng.standard_normal(p.shape)) for name, p in net.named_parameters()}
    names = list(step)

    def loss(weights):
        return sum(len(d) / 17 * cross_entropy(functional_call(net, weights, (d.x,)), d.y) for d in data)

    def slope(*values):
        return torch.func.grad(loss)(dict(zip(names, values, strict=True)))

    _, along = torch.func.jvp(slope, tuple(found.weights[name] for name in names), tuple(step[name] for name in names))
    by_hand = [sum(float((along[name] * step[name]).sum()) for name in names if params.block_of(name) == b) for b in range(3)]
    np.testing.assert_allclose(found.bent(step), by_hand, rtol=1e-4)


def test_a_step_moves_what_has_a_gradient_and_leaves_its_arguments_alone(rng):
    net = network(make=normed_blocks)
    before, slope = params.values(net), gradient(net, params.values(net), shards(rng, 9)[0])
    after = moved(before, slope, 0.5)
    assert_close({name: after[name] for name in slope}, {name: before[name] - 0.5 * g for name, g in slope.items()})
    assert all(after[name] is before[name] for name in before.keys() - slope.keys())
    assert_close(before, params.values(net), rtol=0, atol=0)


def test_parts_are_disjoint_and_together_all(rng):
    data = shards(rng, 7, 10, 1)
    one, other = probe(network(), data, (7, 10, 1)).parts(2)
    assert [(len(a), len(b)) for a, b in zip(one.shards, other.shards, strict=True)] == [(4, 3), (5, 5), (1, 1)]
    assert_close(torch.cat([one.shards[0].x, other.shards[0].x]).sum(0), data[0].x.sum(0))


def test_a_product_of_two_is_their_inner_product_and_of_one_its_square():
    one, other = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, -1.0])}
    assert product([one, other]) == pytest.approx(1.0)
    assert product([one]) == 5.0


def test_of_pairs_only_what_is_not_of_one_pair_is_multiplied():
    one = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, -1.0])}]
    other = [{"w": torch.tensor([0.0, 1.0])}, {"w": torch.tensor([2.0, 5.0])}]
    assert inner(one, other) == pytest.approx((12 - 1) / 2)                        # (1, 2) (2, 5)' and (3, -1) (0, 1)'
    assert inner(one[:1], other[:1]) == 2.0


def test_squares_of_few_samples_are_too_large_and_products_are_not(rng):
    """Of 2000 samples a device, 8 are looked at: the plain square is the truth and sampling noise, the product the truth."""
    net, data = network(), shards(rng, 2000, 2000)
    truth = params.squared_norm(probe(net, data, (1, 1)).mean(params.values(net)))
    plain, crossed = [], []
    for start in range(0, 2000, 8):
        few = probe(net, [Shard(d.x[start:start + 8], d.y[start:start + 8]) for d in data], (1, 1))
        plain.append(params.squared_norm(few.mean(few.weights)))
        crossed.append(product([part.mean(part.weights) for part in few.parts(2)]))
    far = 4 * np.std(crossed) / np.sqrt(len(crossed))
    assert abs(np.mean(crossed) - truth) < far
    assert np.mean(plain) > truth + 3 * far
