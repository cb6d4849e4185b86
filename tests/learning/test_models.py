from functools import partial

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from learning import models
from learning.models import as_blocks, build, cnn, lenet, mlp, resnet18, resnet18_cifar, resnet50, smashed_shape, vgg11, vit_tiny
from learning.models.blocks import Conv2d, shapes
from learning.models.vit import Attention, Encoder

torch.set_num_threads(1)

BLOCKS = {"mlp": 4, "cnn": 5, "lenet": 5, "vgg11": 9, "vgg16": 14, "vgg19": 17, "resnet18": 10, "resnet18_cifar": 10,
          "resnet50": 18, "resnet50_cifar": 18, "vit_tiny": 14}
small_vit = partial(vit_tiny, depth=2, width=12)


def on_paper(make, shape, classes, **settings):
    """A network without numbers: shapes only."""
    with torch.device("meta"):
        return make(shape, classes, **settings)


def size(module):
    return sum(p.numel() for p in module.parameters())


def sampled(make, seed=0):
    return build(make, (1, 8, 8), 10, seed)


def images(rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape))


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 13, 9)])
def test_a_network_scores_every_class(name, norm, shape):
    if name == "lenet" and min(shape[1:]) < 12:
        return
    net = on_paper(getattr(models, name), shape, 7, norm=norm)
    assert len(net) == BLOCKS[name]
    assert net(torch.zeros(2, *shape, device="meta")).shape == (2, 7)
    assert all(tensor.split(".")[0].isdigit() for tensor in net.state_dict())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules()) == (norm == "batch" and name[:3] in ("vgg", "res"))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 4), (1, 28, 28), (3, 9, 13)])
def test_the_cnn_and_the_mlp_take_images_of_any_size(shape):
    for make in (cnn, mlp):
        assert build(make, shape, 7, 0)(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(("name", "shape", "classes", "count"), [
    ("resnet18", (3, 224, 224), 1000, 11_689_512), ("resnet50", (3, 224, 224), 1000, 25_557_032),   # as published
    ("lenet", (1, 28, 28), 10, 61_706),
    ("vit_tiny", (3, 224, 224), 1000, 5_717_416 - 2 * 192)])          # published with a class token and its position
def test_parameters_are_as_many_as_published(name, shape, classes, count):
    assert size(on_paper(getattr(models, name), shape, classes)) == count


@pytest.mark.parametrize(("name", "count"), [("vgg11", 9_220_480), ("vgg16", 14_714_688), ("vgg19", 20_024_384)])
def test_the_body_of_a_vgg_is_as_large_as_published(name, count):
    """Published without norms and with biases; a norm has two numbers a channel in place of the one bias."""
    make = getattr(models, name)
    assert size(on_paper(make, (3, 32, 32), 10, norm="none")[:-1]) == count
    channels = sum(layer.out_channels for layer in on_paper(make, (3, 32, 32), 10).modules() if isinstance(layer, nn.Conv2d))
    assert size(on_paper(make, (3, 32, 32), 10, norm="batch")[:-1]) == count + channels


def test_shapes_at_the_cuts_of_resnet18_are_those_of_the_paper():
    found = shapes(build(resnet18, (3, 64, 64), 10, 0), (3, 64, 64))
    stages = [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert found == [(3, 64, 64), (64, 16, 16), *(stage for stage in stages for _ in range(2)), (10,)]
    assert shapes(build(resnet18_cifar, (3, 32, 32), 10, 0), (3, 32, 32))[1::2] == [(64, 32, 32), (64, 32, 32), (128, 16, 16),
                                                                                     (256, 8, 8), (512, 4, 4)]
    assert smashed_shape(build(small_vit, (1, 28, 28), 10, 0), 2, (1, 28, 28)) == (49, 12)


@pytest.mark.parametrize("make", [cnn, mlp, small_vit, resnet18])
def test_the_seed_decides_the_weights(make):
    once, again, other = (sampled(make, seed).state_dict() for seed in (1, 1, 2))
    assert_close(once, again, rtol=0, atol=0)
    name = next(name for name, value in once.items() if value.dim() > 1)
    assert not torch.equal(once[name], other[name])


@pytest.mark.parametrize("make", [cnn, mlp, small_vit])
def test_building_leaves_the_global_generator_alone(make):
    before = torch.get_rng_state()
    sampled(make)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_start_by_hes_law_and_biases_at_zero():
    """A standard deviation of sqrt(2 / inputs), with inputs channels x 9 for a convolution of 3 x 3."""
    found = sampled(cnn).state_dict()
    for name, inputs in (("2.0.weight", 16 * 9), ("3.1.weight", 32 * 4)):
        weight = found[name]
        expected = (2 / inputs) ** 0.5
        assert abs(weight.std() / expected - 1) < 5 / (2 * weight.numel()) ** 0.5
        assert abs(weight.mean() / expected) < 5 / weight.numel() ** 0.5
    assert not any(value.any() for name, value in found.items() if name.endswith("bias"))


def test_a_transformer_starts_small_and_its_norms_at_one():
    """A normal law of 0.02 that is cut off at two standard deviations has one of 0.02 x 0.8796."""
    found = build(partial(vit_tiny, depth=1), (3, 32, 32), 10, 0).state_dict()
    weight = found["1.alone.1.weight"]
    assert weight.abs().max() <= 0.04
    assert abs(weight.std() / (0.02 * 0.8796) - 1) < 5 / (2 * weight.numel()) ** 0.5
    assert (found["1.alone.0.weight"] == 1).all()
    assert not any(value.any() for name, value in found.items() if name.endswith("bias"))


@pytest.mark.parametrize("make", [resnet18, vgg11])
def test_buffers_are_two_floats_a_channel_of_each_batch_norm(make):
    net = sampled(make)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert sum(b.numel() for b in net.buffers()) == 2 * sum(layer.num_features for layer in norms) > 0
    assert all(b.is_floating_point() for b in net.buffers())
    net.load_state_dict(net.state_dict())
    assert not list(build(make, (1, 8, 8), 10, 0, norm="group").buffers())


def test_statistics_of_batch_norm_stay_beside_the_network(rng):
    """A pass with given buffers moves them by a tenth of the way to the batch's, and not those of the network."""
    def make(shape, classes):
        return nn.Sequential(nn.BatchNorm2d(2), nn.Flatten())

    net, x = build(make, (2, 4, 4), 3, 0).double(), images(rng, 5, 2, 4, 4)
    given = {name: b.clone() for name, b in net.named_buffers()}
    functional_call(net, given, (x,))
    assert_close(given["0.running_mean"], 0.1 * x.mean((0, 2, 3)))
    assert_close(given["0.running_var"], 0.9 + 0.1 * x.var((0, 2, 3)))
    assert not net[0].running_mean.any()


@pytest.mark.parametrize("make", [small_vit, resnet18, cnn])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_cut_moves_no_score(make, cut, rng):
    net, x = build(make, (1, 8, 8), 5, 0).double(), images(rng, 4, 1, 8, 8)
    assert_close(net[cut:](net[:cut](x)), net(x), rtol=1e-12, atol=1e-12)


def test_attention_is_that_of_torch(rng):
    layer, x = Attention(12, 3).double(), images(rng, 2, 5, 12)
    q, k, v = (part.view(2, 5, 3, 4).transpose(1, 2) for part in layer.queries_keys_values(x).chunk(3, 2))
    expected = layer.out(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 12))
    assert_close(layer(x), expected)


def test_an_encoder_layer_does_not_know_the_order_of_its_tokens(rng):
    layer, x, order = Encoder(12, 3).double(), images(rng, 2, 5, 12), [3, 1, 4, 0, 2]
    assert_close(layer(x)[:, order], layer(x[:, order]))


def test_a_chain_of_the_users_own_is_copied_numbered_and_kept_as_it_was():
    mine = nn.Sequential()
    mine.add_module("body", nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True)))
    mine.add_module("head", nn.Sequential(nn.Flatten(), nn.Dropout(0.0), nn.Linear(72, 3)))
    chain, x = as_blocks(mine), torch.ones(2, 1, 8, 8)
    assert [name for name, _ in chain.named_parameters()] == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias", "1.2.weight",
                                                              "1.2.bias"]
    assert_close(chain(x), mine(x), rtol=0, atol=0)
    assert (chain[0][1].num_batches_tracked, chain[0][2].inplace) == (None, False)
    assert (mine.body[1].num_batches_tracked, mine.body[2].inplace) == (1, True)
    assert chain[1][2].weight is not mine.head[2].weight


def tied():
    layer = nn.Linear(2, 2)
    return nn.Sequential(layer, nn.ReLU(), layer)


def counting():
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].register_buffer("steps", torch.zeros((), dtype=torch.long))
    return net


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 2)), r"layer 1: .*no dropout layers.* 0.5 \[1\]"),
    (lambda: nn.Sequential(nn.MultiheadAttention(4, 2, dropout=0.1)), "layer 0: .*no dropout layers"),
    (lambda: nn.Sequential(nn.Dropout(1)), "layer 0: .*no dropout layers"),
    (lambda: nn.Sequential(nn.BatchNorm2d(2, momentum=None)), "layer 0: the momentum .* must be a number"),
    (tied, "blocks 0 and 2 share"), (counting, "buffer 0.steps: buffers must be floats"),
    (lambda: nn.Linear(2, 2), "must be an nn.Sequential"), (lambda: nn.Sequential(), "one block or more")])
def test_a_chain_that_cannot_be_trained_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_blocks(make())


@pytest.mark.parametrize(("make", "shape", "settings", "sentence"), [
    (cnn, (1, 3, 8), {}, "needs at least 4 x 4 pixels, got 3 x 8"),
    (cnn, (1, 8, 2), {}, "needs at least 4 x 4 pixels, got 8 x 2"),
    (lenet, (1, 8, 8), {}, "needs at least 12 x 12 pixels, got 8 x 8"), (vgg11, (64,), {}, r"takes images .* got \(64,\)"),
    (resnet50, (1, 8, 8), {"norm": "none"}, "norm .* must be 'batch' or 'group', got 'none'"),
    (vgg11, (1, 8, 8), {"norm": "layer"}, "norm must be one of .*, got 'layer'"),
    (vit_tiny, (1, 97, 97), {}, "at most 1024 tokens, got 9409"),
    (vit_tiny, (1, 8, 8), {"patch": 3}, "patch must divide .* got 3"),
    (vit_tiny, (1, 8, 8), {"heads": 5}, "heads must divide the width of 192 features, got 5")])
def test_an_image_or_a_setting_that_does_not_fit_is_named(make, shape, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(make, shape, 10, 0, **settings)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), [
    (1, 3, 1, 1), (2, 3, 2, 1), (3, 3, 1, 0), (1, 5, 2, 2), (4, 7, 4, 3), (1, (3, 1), 1, (1, 0)), (1, 3, 1, "same"),
    (4, 3, 1, 1), (1, 1, 1, 0)])
def test_a_convolution_that_spares_the_margin_is_torchs(rng, size, kernel, stride, padding):
    """Values and gradients, in training; and evaluation counts what torch's convolution multiplies."""
    ours = Conv2d(3, 4, kernel, stride, padding)
    theirs = nn.Conv2d(3, 4, kernel, stride, padding)
    theirs.load_state_dict(ours.state_dict())
    x = torch.from_numpy(rng.standard_normal((5, 3, size, size))).float().requires_grad_()
    ends = []
    for layer in (ours, theirs):
        out = layer(x)
        ends.append([out, *torch.autograd.grad((out ** 2).sum(), [x, layer.weight, layer.bias])])
    for mine, its in zip(*ends, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_a_convolution_that_spares_the_margin_does_spare_it():
    layer, x = Conv2d(8, 8, 3, padding=1), torch.zeros(2, 8, 1, 1)
    with FlopCounterMode(display=False) as training:
        layer(x)
    with FlopCounterMode(display=False) as evaluation:
        layer.eval()(x)
    assert evaluation.get_total_flops() == 9 * training.get_total_flops()
