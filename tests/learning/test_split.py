import copy

import pytest
import torch
from tiny_task import CLASSES, SMALL, gradient, network, normed_blocks, shard
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithm import Link, Shard
from learning.compress import quantise
from learning.crossing import PLAIN, Compression
from learning.smash import drop, dropout_mask
from learning.split import forward, split_gradient

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-12, "atol": 1e-12}


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def crossing(net, cut, data, compression=PLAIN):
    """A pass, and its account."""
    link = Link()
    return split_gradient(net, params.values(net), cut, data.x, data.y, compression, seeded(), link), link


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("samples", [1, 7])
def test_the_cut_moves_the_work_and_not_the_mathematics(rng, cut, samples):
    net, data = network(), shard(rng, samples)
    done, link = crossing(net, cut, data)
    assert_close(done.grads, gradient(net, params.values(net), data), **CLOSE)
    assert link.losses == pytest.approx([cross_entropy(net(data.x), data.y).item()], rel=1e-12)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_statistics_of_batch_norm_are_those_of_the_whole_model(rng, cut):
    net, data = network(make=normed_blocks), shard(rng, 7)
    done, _ = crossing(net, cut, data)
    assert_close(done.grads, gradient(net, params.values(net), data), **CLOSE)
    whole = copy.deepcopy(net)
    whole(data.x)
    assert_close(done.buffers, dict(whole.named_buffers()), **CLOSE)
    assert not torch.equal(whole[0][1].running_mean, net[0][1].running_mean)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_single_sample_is_normed_by_the_running_statistics(rng, cut):
    """It has no spread of its own; the module is in training again afterwards."""
    net, data = network(make=normed_blocks), shard(rng, 1)
    net(shard(rng, 9).x)
    done, _ = crossing(net, cut, data)
    assert all(module.training for module in net.modules())
    assert_close(done.buffers, dict(net.named_buffers()), **EXACT)
    assert_close(done.grads, gradient(copy.deepcopy(net).eval(), params.values(net), data), **CLOSE)


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("make", [None, normed_blocks])
@pytest.mark.parametrize("compression", [Compression(), SMALL])
def test_a_pass_leaves_its_arguments_alone(rng, cut, make, compression):
    net, data = network(make=make) if make else network(), shard(rng, 5)
    weights = {name: w + 1 for name, w in params.values(net).items()}
    before = copy.deepcopy((weights, net.state_dict(), data.x, data.y))
    split_gradient(net, weights, cut, data.x, data.y, compression, torch.Generator())
    assert_close((weights, net.state_dict(), data.x, data.y), before, **EXACT)
    assert not any(w.requires_grad for w in weights.values())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("cut", [1, 2])
def test_dropout_is_a_layer_at_the_cut(rng, cut):
    """Masked on the way there and on the way back, as autograd does through the same mask."""
    net, data = network(), shard(rng, 6)
    done, _ = crossing(net, cut, data, Compression(dropout=0.5))
    smashed = net[:cut](data.x)
    mask = dropout_mask(smashed.shape, 0.5, seeded(), smashed.dtype)
    cross_entropy(net[cut:](smashed * mask), data.y).backward()
    assert_close(done.grads, {name: p.grad for name, p in net.named_parameters()}, **CLOSE)


@pytest.mark.parametrize("cut", [1, 2])
def test_features_are_dropped_as_a_layer_too(rng, cut):
    net, data = network(), shard(rng, 6)
    done, link = crossing(net, cut, data, Compression(dropout=0.5, dropout_kind="feature"))
    smashed = net[:cut](data.x)
    sent = drop(smashed, 0.5, "feature", seeded())
    cross_entropy(net[cut:](smashed * sent.mask), data.y).backward()
    assert_close(done.grads, {name: p.grad for name, p in net.named_parameters()}, **CLOSE)
    assert link.up["smashed"] == sent.entries * 32 + smashed[0].numel()              # a bit a column says which are sent
    assert link.down["gradients"] == sent.entries * 32


def test_behind_the_last_block_nothing_crosses(rng):
    net, data = network(), shard(rng, 5)
    done, link = crossing(net, 3, data, SMALL)
    assert (link.up, link.down) == ({}, {})
    assert_close(done.grads, gradient(net, params.values(net), data), **CLOSE)


@pytest.mark.parametrize(("compression", "up", "down"), [
    (Compression(), 5 * 4 * 32, 5 * 4 * 32),                               # rows x width x bits
    (Compression(smashed_bits=6), 5 * 4 * 6 + 32, 5 * 4 * 32),             # a scale goes with the tensor
    (Compression(cut_bits=6), 5 * 4 * 32, 5 * 4 * 6 + 32),
    (Compression(smashed_bits=1, cut_bits=16, scales="channel"), 5 * (4 * 1 + 32), 5 * (4 * 16 + 32)),    # or with each row
    (Compression(dropout=0.25), 5 * 3 * 32, 5 * 3 * 32),                   # three of four are sent
    (Compression(dropout=0.95), 5 * 1 * 32, 5 * 1 * 32),                   # never nothing
    (Compression(dropout=0.5, smashed_bits=4), 5 * 2 * 4 + 32, 5 * 2 * 32),
    (Compression(update_bits=3), 5 * 4 * 32, 5 * 4 * 32)])                 # updates do not cross here
def test_bits_of_a_batch_are_counted_by_hand(rng, compression, up, down):
    _, link = crossing(network(), 2, shard(rng, 5), compression)
    assert link.up == {"smashed": up, "labels": 5 * 2}                     # a label of three classes has two bits
    assert link.down == {"gradients": down}


def test_an_account_adds_up_over_the_batches(rng):
    net, link = network(), Link()
    for samples in (5, 2):
        data = shard(rng, samples)
        split_gradient(net, params.values(net), 2, data.x, data.y, link=link)
    assert link.up == {"smashed": 7 * 4 * 32, "labels": 7 * 2}
    assert len(link.losses) == 2


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_blocks_without_parameters_may_stand_on_either_side(rng, cut):
    net, data = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES), nn.Tanh()).double(), shard(rng, 5)
    assert_close(crossing(net, cut, data)[0].grads, gradient(net, params.values(net), data), **CLOSE)


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize(("there", "back"), [(3, 3), (3, 32), (32, 3), (1, 2)])
def test_each_side_computes_with_what_it_received(rng, cut, there, back):
    """The server at the rounded smashed data, the device with the rounded gradient of them."""
    net, data, draw = network(), shard(rng, 6), seeded()
    done, _ = crossing(net, cut, data, Compression(smashed_bits=there, cut_bits=back))
    smashed = net[:cut](data.x)
    received = quantise(smashed.detach(), there, draw).requires_grad_()
    cross_entropy(net[cut:](received), data.y).backward()
    smashed.backward(quantise(received.grad, back, draw))
    assert_close(done.grads, {name: p.grad for name, p in net.named_parameters()}, **CLOSE)


@pytest.mark.parametrize("compression", [Compression(cut_bits=8), Compression(smashed_bits=8), Compression(dropout=0.5)])
def test_chance_needs_a_generator(rng, compression):
    net, data = network(), shard(rng, 2)
    with pytest.raises(ValueError, match=r"give them a torch\.Generator"):
        split_gradient(net, params.values(net), 1, data.x, data.y, compression)


@pytest.mark.parametrize(("setting", "sentence"), [
    ({"update_bits": 0}, r"update_bits must be between 1 and 16, or 32 for floats \[bit\], got 0"),
    ({"smashed_bits": 17}, r"smashed_bits must be between 1 and 16, or 32 for floats \[bit\], got 17"),
    ({"cut_bits": 33}, r"cut_bits must be between 1 and 16, or 32 for floats \[bit\], got 33"),
    ({"dropout": 1.0}, r"dropout must be within \[0, 1\) \[1\], got 1.0"),
    ({"dropout": -0.1}, r"dropout must be within \[0, 1\) \[1\], got -0.1"),
    ({"dropout_kind": "column"}, "dropout_kind must be one of .*'random', 'feature'.* got 'column'"),
    ({"scales": "row"}, "scales one of .*'tensor', 'channel'.* got .*'row'")])
def test_a_bad_compression_is_named(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        Compression(**setting)


def test_the_loss_is_a_mean_over_the_batch(rng):
    net, data = network(), shard(rng, 4)
    twice = Shard(data.x.repeat(2, 1, 1, 1), data.y.repeat(2))
    once, again = (crossing(net, 1, d)[0] for d in (data, twice))
    assert_close(again.grads, once.grads, **CLOSE)


def test_a_part_runs_at_the_values_that_it_is_given(rng):
    net, x = network(), shard(rng, 4).x
    other = params.values(network(seed=1))
    assert_close(forward(net[:2], other, x).out, network(seed=1)[:2](x), **CLOSE)
