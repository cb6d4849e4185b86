"""Channels that leave: the small network is the full one with zeros in their place."""

import sys

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning.models import build, cnn, mlp, resnet18, vgg11
from learning.pruning import average_kept
from learning.structured import expand, mask_of, shrink

pytest.importorskip("torch_pruning")
torch.set_num_threads(1)
EXACT = {"rtol": 0, "atol": 0}


class Residual(nn.Module):
    def __init__(self, inputs, outputs, norm=nn.BatchNorm2d):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU(),
                                  nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), norm(outputs))
        self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1), norm(outputs)) if inputs != outputs else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))


def residual(shape, classes, norm=nn.BatchNorm2d):
    return nn.Sequential(nn.Sequential(nn.Conv2d(shape[0], 6, 3, padding=1), norm(6), nn.ReLU()), Residual(6, 6, norm),
                         Residual(6, 10, norm), Residual(10, 10, norm),
                         nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(40, classes)))


SHAPES = {cnn: (1, 8, 8), mlp: (1, 4, 4), residual: (2, 5, 5), vgg11: (3, 32, 32), resnet18: (3, 32, 32)}
CUTS = [(cnn, 2), (cnn, 3), (cnn, 4), (cnn, 5), (mlp, 2), (mlp, 4), (residual, 2), (residual, 3), (residual, 4), (residual, 5),
        (vgg11, 4), (resnet18, 5)]


def made(make):
    """A network in double precision with statistics as after some training."""
    source = torch.Generator().manual_seed(4)
    net = build(make, SHAPES[make], 3, 0).double()
    for name, p in (*net.named_parameters(), *net.named_buffers()):
        drawn = torch.randn(p.shape, generator=source, dtype=torch.float64)
        p.data = drawn.abs() + 0.5 if "running_var" in name else 0.3 * drawn
    return net


def tensors(net):
    return {name: p.detach().clone() for name, p in (*net.named_parameters(), *net.named_buffers())}


def images(make, number=5):
    return torch.randn((number, *SHAPES[make]), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def masked(small, weights):
    """The full network's tensors with zeros for all that left."""
    return {**weights, **expand({name: small.weights[name] for name in small.kept}, small.kept, weights)}


def gradients(net, weights, x, training):
    """Loss, gradients, and the buffers afterwards."""
    y = torch.arange(len(x)) % 3
    leaves = {name: weights[name].clone().requires_grad_() for name, _ in net.named_parameters()}
    buffers = {name: weights[name].clone() for name, _ in net.named_buffers()}
    loss = cross_entropy(functional_call(net.train(training), {**leaves, **buffers}, (x,)), y)
    return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True)), buffers


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("make", "blocks"), CUTS)
def test_the_small_network_is_the_masked_one(make, blocks, training):
    """Same loss; same gradients and same statistics of batch norm for all that was kept."""
    net = made(make)
    weights, x = tensors(net), images(make)
    small = shrink(net, weights, blocks, 0.5, SHAPES[make])
    little, full = (gradients(n, w, x, training) for n, w in ((small.net, small.weights), (net, masked(small, weights))))
    assert_close(little[0], full[0], rtol=1e-9, atol=1e-12)
    for some, all_ in zip(little[1:], full[1:], strict=True):
        for name, value in some.items():
            there = all_[name].flatten()[small.kept[name]] if name in small.kept else all_[name]
            assert_close(value, there, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("make", "blocks"), CUTS)
def test_tensors_really_shrink_and_the_cut_keeps_its_shape(make, blocks):
    net = made(make)
    weights, x = tensors(net), images(make)
    small = shrink(net, weights, blocks, 0.5, SHAPES[make])
    sizes = [sum(p.numel() for p in n[:blocks].parameters()) for n in (small.net, net)]
    assert sizes[0] < 0.75 * sizes[1]
    assert small.net.eval()[:blocks](x).shape == net.eval()[:blocks](x).shape
    assert all(a is b for a, b in zip(small.net[blocks:], net[blocks:], strict=True))
    assert {name: p.shape for name, p in tensors(small.net).items()} == {name: p.shape for name, p in small.weights.items()}
    assert_close(tensors(small.net[:blocks]), {name: small.weights[name] for name in small.kept}, **EXACT)


@pytest.mark.parametrize(("make", "blocks"), CUTS)
def test_expanding_is_the_inverse_of_shrinking_on_what_was_kept(make, blocks):
    net = made(make)
    weights = tensors(net)
    small = shrink(net, weights, blocks, 0.4, SHAPES[make])
    front, mask = {name: weights[name] for name in small.kept}, mask_of(small.kept, weights)
    assert_close(masked(small, front), {name: w * mask[name] for name, w in front.items()}, **EXACT)
    outside = expand(small.weights, small.kept, weights, torch.nan)
    assert all(torch.equal(outside[name].isnan(), mask[name] == 0) for name in mask)
    assert {name: int(m.sum()) for name, m in mask.items()} == {name: place.numel() for name, place in small.kept.items()}


def test_sizes_of_a_small_cnn_are_counted_by_hand():
    """Half of 8, 16 and 32 channels; the hidden layer reaches the cut and stays, its inputs are 16 channels of 2 x 2."""
    net = made(cnn)
    small = shrink(net, tensors(net), 4, 0.5, SHAPES[cnn])
    assert [tuple(p.shape) for name, p in small.weights.items() if "weight" in name] == [
        (4, 1, 3, 3), (8, 4, 3, 3), (16, 8, 3, 3), (64, 64), (3, 64)]


@pytest.mark.parametrize(("ratio", "channels"), [(0.0, (8, 16, 32)), (0.3, (8, 8, 24)), (0.5, (8, 8, 16)), (0.9, (8, 8, 8))])
def test_kept_channels_come_in_multiples(ratio, channels):
    """Of 8, 16 and 32 channels; 0.7 x 16 is 11 and goes to 8, 0.7 x 32 is 22 and goes to 24."""
    small = shrink(made(cnn), tensors(made(cnn)), 4, ratio, SHAPES[cnn], multiple=8)
    assert tuple(len(small.weights[f"{block}.0.weight"]) for block in range(3)) == channels


def test_channels_that_are_added_leave_together():
    net = made(residual)
    small = shrink(net, tensors(net), 3, 0.5, SHAPES[residual])
    rows = [small.kept[name] // small.kept[name].new_tensor(net.get_parameter(name)[0].numel())
            for name in ("0.0.weight", "1.body.3.weight")]
    assert torch.equal(*(r.flatten(1)[:, 0] for r in rows))
    assert small.kept["2.body.3.weight"].shape[0] == small.kept["2.short.0.weight"].shape[0] == 10           # at the cut


def test_the_channels_of_least_squares_leave():
    """By hand: a filter, its bias and what the next layer makes of it are 1, 9 and 4 (squares) for the three units."""
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 3), nn.ReLU()), nn.Sequential(nn.Linear(3, 1)))
    weights = {"0.0.weight": torch.tensor([[1.0], [0.0], [0.0]]), "0.0.bias": torch.tensor([0.0, 3.0, 0.0]),
               "1.0.weight": torch.tensor([[0.0, 0.0, 2.0]]), "1.0.bias": torch.zeros(1)}
    assert shrink(net, weights, 2, 1 / 3, (1,)).kept["0.0.bias"].tolist() == [1, 2]
    assert shrink(net, weights, 2, 2 / 3, (1,)).kept["0.0.bias"].tolist() == [1]
    equal = {name: torch.ones_like(w) for name, w in weights.items()}
    assert shrink(net, equal, 2, 1 / 3, (1,)).kept["0.0.bias"].tolist() == [0, 1]
    assert shrink(net, equal, 2, 0.99, (1,)).kept["0.0.bias"].tolist() == [0]


@pytest.mark.parametrize("make", [cnn, residual])
def test_no_ratio_no_change(make):
    net = made(make)
    weights = tensors(net)
    small = shrink(net, weights, 4, 0.0, SHAPES[make])
    assert_close(small.weights, weights, **EXACT)


def test_shrinking_leaves_its_arguments_and_the_global_generator_alone():
    net = made(residual).train()
    weights, before, state = tensors(net), tensors(net), torch.get_rng_state()
    one, again = (shrink(net, weights, 4, 0.5, SHAPES[residual]) for _ in range(2))
    assert_close(tensors(net), before, **EXACT)
    assert_close(weights, before, **EXACT)
    assert_close(one.kept, again.kept, **EXACT)
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training
    assert all(m.training for m in one.net.modules())
    one.net[0][0].weight.data.zero_()
    assert_close(one.weights["0.0.weight"], again.weights["0.0.weight"], **EXACT)


def test_devices_with_other_channels_are_averaged_per_entry():
    """Each entry is the mean over those that kept it, and as before where nobody did."""
    net = made(cnn)
    weights = {name: w for name, w in tensors(net).items() if int(name[0]) < 4}
    other = {name: w.flip(0) for name, w in weights.items()}
    small = [shrink(net, w, 4, 0.5, SHAPES[cnn]) for w in (weights, other)]
    masks = [mask_of(s.kept, weights) for s in small]
    trained = [{name: torch.full_like(w, to) for name, w in s.weights.items()} for s, to in zip(small, (2.0, 6.0), strict=True)]
    full = [expand(t, s.kept, weights, torch.nan) for t, s in zip(trained, small, strict=True)]
    found = average_kept(full, masks, [1, 3], weights)
    for name, w in weights.items():
        a, b = (m[name] == 1 for m in masks)
        by_hand = torch.where(a & b, 5.0, torch.where(a, 2.0, torch.where(b, 6.0, w)))
        assert_close(found[name], by_hand, **EXACT)


def test_channels_that_a_norm_mixes_stay():
    net = residual(SHAPES[residual], 3, lambda channels: nn.GroupNorm(2, channels))
    small = shrink(net, tensors(net), 4, 0.5, SHAPES[residual])
    assert_close(small.weights, tensors(net), **EXACT)


def test_blocks_without_weights_have_nothing_to_lose():
    net = nn.Sequential(nn.Sequential(nn.Flatten()), nn.Linear(4, 2))
    small = shrink(net, tensors(net), 1, 0.5, (1, 2, 2))
    assert not small.kept
    assert_close(small.weights, tensors(net), **EXACT)


NET = cnn((1, 8, 8), 3)
FULL = tensors(NET)
FREE = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.PReLU(4)), nn.Linear(4, 2))


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: shrink(NET, FULL, 3, 1.0, (1, 8, 8)), r"ratio of channels must be within \[0, 1\) \[1\], got 1.0"),
    (lambda: shrink(NET, FULL, 0, 0.5, (1, 8, 8)), "blocks must be between 1 and 5, got 0"),
    (lambda: shrink(NET, FULL, 6, 0.5, (1, 8, 8)), "blocks must be between 1 and 5, got 6"),
    (lambda: shrink(NET, FULL, 3, 0.5, (1, 8, 8), 0), r"multiple must be 1 or more \[channels\], got 0"),
    (lambda: shrink(NET, {}, 1, 0.5, (1, 8, 8)), "weights must hold every parameter and buffer of the first 1 .* got none of 0"),
    (lambda: shrink(FREE, tensors(FREE), 1, 0.5, (3,)), "net must have its weights in .* got PReLU"),
])
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_without_the_library_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(ImportError, match="pip install torch-pruning"):
        shrink(NET, FULL, 3, 0.5, (1, 8, 8))
