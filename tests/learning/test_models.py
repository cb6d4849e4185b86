import pytest
import torch
from torch import nn
from torch.testing import assert_close

from learning.models import build, cnn, mlp


def sampled(make, seed=0):
    return build(make, (1, 8, 8), 10, seed)


@pytest.mark.parametrize(("make", "blocks"), [(cnn, 5), (mlp, 4)])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 4, 4), (1, 28, 28), (3, 9, 13)])
def test_a_model_scores_every_class(make, blocks, shape):
    net = build(make, shape, 7, 0)
    assert len(net) == blocks
    assert net(torch.zeros(2, *shape)).shape == (2, 7)
    assert all(name.split(".")[0].isdigit() for name, _ in net.named_parameters())


@pytest.mark.parametrize("make", [cnn, mlp])
def test_the_seed_decides_the_weights(make):
    once, again, other = (sampled(make, seed).state_dict() for seed in (1, 1, 2))
    assert_close(once, again, rtol=0, atol=0)
    assert not torch.equal(once["1.0.weight"], other["1.0.weight"])


@pytest.mark.parametrize("make", [cnn, mlp])
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


def test_batch_norm_is_refused():
    with pytest.raises(ValueError, match=r"keeps buffers \(batch norm\?\).*use group norm"):
        sampled(lambda shape, classes: nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))))


def test_dropout_layers_are_refused():
    """The levers drop activations themselves, from a seed; a layer would draw from torch's global generator."""
    with pytest.raises(ValueError, match="dropout layers"):
        sampled(lambda shape, classes: nn.Sequential(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, classes))))


def test_group_norm_lets_the_signal_through():
    def normed(shape, classes):
        return nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU()),
                             nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, classes)))

    scores = sampled(normed)(torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert scores.std() > 0


@pytest.mark.parametrize("shape", [(1, 3, 8), (1, 8, 2)])
def test_an_image_that_is_too_small_is_named(shape):
    with pytest.raises(ValueError, match=f"needs at least 4 x 4 pixels, got {shape[1]} x {shape[2]}"):
        build(cnn, shape, 10, 0)
