"""Gradients of all devices' losses, together or one by one."""

import numpy as np
import pytest
from tiny_task import gradient, network, normed_blocks, shards
from torch.testing import assert_close

from learning import params
from learning.probe import Probe, moved

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


def test_a_step_moves_what_has_a_gradient_and_leaves_its_arguments_alone(rng):
    net = network(make=normed_blocks)
    before, slope = params.values(net), gradient(net, params.values(net), shards(rng, 9)[0])
    after = moved(before, slope, 0.5)
    assert_close({name: after[name] for name in slope}, {name: before[name] - 0.5 * g for name, g in slope.items()})
    assert all(after[name] is before[name] for name in before.keys() - slope.keys())
    assert_close(before, params.values(net), rtol=0, atol=0)
