import copy

import pytest
import torch
from tiny_task import CLASSES, SMALL, gradient, network, shard
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithm import Shard
from learning.compress import dropout_mask, quantise
from learning.split import Compression, split_gradient


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("samples", [1, 7])
def test_the_cut_moves_the_work_and_not_the_mathematics(rng, cut, samples):
    net, data = network(), shard(rng, samples)
    done = split_gradient(net, weights := params.values(net), cut, data.x, data.y)
    assert_close(done.grads, gradient(net, weights, data), rtol=1e-12, atol=1e-12)
    assert done.loss == pytest.approx(cross_entropy(net(data.x), data.y).item(), rel=1e-12)


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("compression", [Compression(), SMALL])
def test_a_pass_leaves_its_arguments_alone(rng, cut, compression):
    net, data = network(), shard(rng, 5)
    weights = params.values(network(seed=1))
    before = copy.deepcopy((weights, net.state_dict(), data.x, data.y))
    split_gradient(net, weights, cut, data.x, data.y, compression, torch.Generator())
    assert_close((weights, net.state_dict(), data.x, data.y), before, rtol=0, atol=0)
    assert not any(w.requires_grad for w in weights.values())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("cut", [1, 2])
def test_dropout_is_a_layer_at_the_cut(rng, cut):
    """Masked on the way there and on the way back, as autograd does through the same mask."""
    net, data, compression = network(), shard(rng, 6), Compression(dropout=0.5)
    done = split_gradient(net, params.values(net), cut, data.x, data.y, compression, torch.Generator().manual_seed(3))
    smashed = net[:cut](data.x)
    mask = dropout_mask(smashed.shape, 0.5, torch.Generator().manual_seed(3), smashed.dtype)
    cross_entropy(net[cut:](smashed * mask), data.y).backward()
    assert_close(done.grads, {name: p.grad for name, p in net.named_parameters()}, rtol=1e-12, atol=1e-12)


def test_behind_the_last_block_nothing_crosses(rng):
    net, data = network(), shard(rng, 5)
    done = split_gradient(net, params.values(net), 3, data.x, data.y, SMALL, torch.Generator())
    assert (done.up, done.down) == (0, 0)
    assert_close(done.grads, gradient(net, params.values(net), data), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("compression", "up", "down"), [
    (Compression(), 5 * (4 * 32 + 2), 5 * 4 * 32),                         # rows x (width x bits, and a label of two bits)
    (Compression(cut_bits=6), 5 * (4 * 6 + 2) + 32, 5 * 4 * 6 + 32),       # a scale goes with the tensor
    (Compression(dropout=0.25), 5 * (3 * 32 + 2), 5 * 3 * 32),             # three of four are sent
    (Compression(dropout=0.95), 5 * (1 * 32 + 2), 5 * 1 * 32),             # never nothing
    (Compression(update_bits=3), 5 * (4 * 32 + 2), 5 * 4 * 32)])           # updates do not cross here
def test_bits_of_a_batch_are_counted_by_hand(rng, compression, up, down):
    net, data = network(), shard(rng, 5)
    done = split_gradient(net, params.values(net), 2, data.x, data.y, compression, torch.Generator())
    assert (done.up, done.down) == (up, down)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_blocks_without_parameters_may_stand_on_either_side(rng, cut):
    net, data = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES), nn.Tanh()).double(), shard(rng, 5)
    done = split_gradient(net, weights := params.values(net), cut, data.x, data.y)
    assert_close(done.grads, gradient(net, weights, data), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cut", [1, 2])
def test_each_side_computes_with_what_it_received(rng, cut):
    """The server at the rounded smashed data, the device with the rounded gradient of them."""
    net, data, draw = network(), shard(rng, 6), torch.Generator().manual_seed(3)
    done = split_gradient(net, params.values(net), cut, data.x, data.y, Compression(cut_bits=3), torch.Generator().manual_seed(3))
    smashed = net[:cut](data.x)
    received = quantise(smashed.detach(), 3, draw).requires_grad_()
    cross_entropy(net[cut:](received), data.y).backward()
    smashed.backward(quantise(received.grad, 3, draw))
    assert_close(done.grads, {name: p.grad for name, p in net.named_parameters()}, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("compression", [Compression(cut_bits=8), Compression(dropout=0.5)])
def test_chance_needs_a_generator(rng, compression):
    net, data = network(), shard(rng, 2)
    with pytest.raises(ValueError, match=r"give them a torch\.Generator"):
        split_gradient(net, params.values(net), 1, data.x, data.y, compression)


@pytest.mark.parametrize(("setting", "sentence"), [
    ({"update_bits": 1}, r"update_bits must be between 2 and 32 \[bit\], got 1"),
    ({"cut_bits": 33}, r"cut_bits must be between 2 and 32 \[bit\], got 33"),
    ({"dropout": 1.0}, r"dropout must be within \[0, 1\) \[1\], got 1.0"),
    ({"dropout": -0.1}, r"dropout must be within \[0, 1\) \[1\], got -0.1")])
def test_a_bad_compression_is_named(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        Compression(**setting)


def test_the_loss_is_a_mean_over_the_batch(rng):
    net, data = network(), shard(rng, 4)
    twice = Shard(data.x.repeat(2, 1, 1, 1), data.y.repeat(2))
    once, again = (split_gradient(net, params.values(net), 1, d.x, d.y) for d in (data, twice))
    assert_close(again.grads, once.grads, rtol=1e-12, atol=1e-12)
