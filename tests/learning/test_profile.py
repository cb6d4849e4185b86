"""Counts of real networks, by hand."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from learning import models
from learning.models import as_blocks, build, resnet18, vgg11, vit_tiny
from learning.profile import profile

torch.set_num_threads(1)


def test_a_convolution_is_counted_by_hand():
    """Each output is a sum of 3 x 9 products; the gradients of the weights and of the input take as much work each."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False))
    forward = 2 * (3 * 9) * (8 * 10 * 12)
    found = profile(net, (3, 10, 12), 2)
    assert (found.weights, found.biases, found.tensors, found.channels, found.buffers) == ((216,), (0,), (1,), (8,), (0,))
    assert (found.forward, found.backward, found.outputs) == ((forward,), (forward,), (960,))
    assert profile(net, (3, 10, 12), 2, received=True).backward == (2 * forward,)


def test_work_of_resnet18_is_counted_by_hand():
    """At 224 pixels: a convolution of 3 x 3 takes as much in every stage, since channels double where pixels are a quarter."""
    found = profile(build(resnet18, (3, 224, 224), 1000, 0), (3, 224, 224), 1000)
    square = 56 ** 2 * 64 ** 2 * 9                                        # multiplications of such a convolution
    opening = square // 2 + 3 * square // 3 + 28 ** 2 * 64 * 128          # half as many inputs; a whole one; the shortcut
    stem = 112 ** 2 * 64 * 3 * 49
    expected = (stem, 2 * square, 2 * square, *3 * (opening, 2 * square), 512_000)
    assert found.forward == tuple(2 * count for count in expected)
    assert found.backward == (2 * stem, *(4 * count for count in expected[1:]))
    assert sum(found.forward) == pytest.approx(2 * 1.814e9, rel=0.01)     # as published


def test_work_of_a_transformer_is_counted_by_hand():
    """t tokens of width w: 12 w² products a token in linear maps, and 2 t w in attention."""
    t, w = 49, 12
    found = profile(build(partial(vit_tiny, depth=2, width=w), (1, 28, 28), 10, 0), (1, 28, 28), 10)
    layer = 2 * (12 * t * w ** 2 + 2 * t ** 2 * w)
    assert found.forward == (2 * t * w * 16, layer, layer, 2 * w * 10)
    assert found.backward == (2 * t * w * 16, 2 * layer, 2 * layer, 4 * w * 10)
    assert found.outputs == (t * w, t * w, t * w, 10)


def test_work_of_vgg11_is_counted_by_hand():
    found = profile(build(vgg11, (3, 32, 32), 10, 0), (3, 32, 32), 10)
    rows = [(32, 3, 64), (16, 64, 128), (8, 128, 256), (8, 256, 256), (4, 256, 512), (4, 512, 512), (2, 512, 512), (2, 512, 512)]
    assert found.forward == (*(2 * side ** 2 * 9 * inputs * outputs for side, inputs, outputs in rows), 2 * 512 * 10)
    assert found.weights == (*(9 * inputs * outputs for _, inputs, outputs in rows), 512 * 10)
    assert found.biases == (*found.buffers[:-1], 10) == (*(2 * outputs for _, _, outputs in rows), 10)
    assert found.outputs == (64 * 16 ** 2, 128 * 8 ** 2, 256 * 8 ** 2, 256 * 4 ** 2, 512 * 16, 512 * 4, 512 * 4, 512, 10)


@pytest.mark.parametrize("name", ["mlp", "cnn", "lenet", "vgg11", "resnet18", "resnet18_cifar", "vit_tiny"])
def test_floats_are_all_that_a_network_holds(name):
    net = build(getattr(models, name), (1, 12, 12), 10, 0)
    found = profile(net, (1, 12, 12), 10)
    assert found.floats(0, found.blocks) == sum(value.numel() for value in net.state_dict().values())
    assert sum(found.tensors) == len(list(net.parameters()))
    assert found.floats(0, 2) + found.floats(2, found.blocks) == found.floats(0, found.blocks)


def test_counting_leaves_statistics_modes_and_gradients_alone():
    net = as_blocks(nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)),
                                  nn.Sequential(nn.Flatten(), nn.Linear(72, 3))))
    net[0].eval()
    net(torch.ones(2, 1, 8, 8)).sum().backward()
    before, gradients = copy.deepcopy(net.state_dict()), [p.grad.clone() for p in net.parameters()]
    profile(net, (1, 8, 8), 3)
    assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert_close([p.grad for p in net.parameters()], gradients, rtol=0, atol=0)
    assert [block.training for block in net] == [False, True]


def test_a_block_without_weights_still_passes_the_gradient_on():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 3))
    found = profile(net, (1, 4, 4), 3)
    assert found.forward == (0, 2 * 64, 0, 2 * 12)
    assert found.backward == (0, 4 * 64, 0, 4 * 12)
