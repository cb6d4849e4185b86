"""Auxiliary networks of every kind, for every network, at every cut."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning.auxiliary import KINDS, first_stage, make
from learning.models import build, cnn, lenet, mlp, resnet18, resnet18_cifar, smashed_shape, vgg11, vit_tiny
from learning.profile import profile

torch.set_num_threads(1)

SHAPE, CLASSES = (1, 12, 12), 3
small_vit = partial(vit_tiny, depth=3, width=12, patch=4)
NETWORKS = {"mlp": mlp, "cnn": cnn, "lenet": lenet, "vgg11": vgg11, "resnet18": resnet18, "vit": small_vit}


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module", params=NETWORKS)
def net(request):
    return build(NETWORKS[request.param], SHAPE, CLASSES, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_smashed_data_get_scores_whose_gradients_have_gradients(net, kind, rng):
    """FSL-SAGE trains the gradient of the smashed data, so each weight but the last biases must move it."""
    for cut in range(1, len(net), 4):
        aux = make(kind, net, cut, SHAPE, CLASSES, 1).eval()
        smashed = torch.from_numpy(rng.standard_normal((2, *smashed_shape(net, cut, SHAPE)))).float().requires_grad_()
        scores = aux(smashed)
        assert scores.shape == (2, CLASSES)
        slope, = torch.autograd.grad(cross_entropy(scores, torch.tensor([0, 2])), smashed, create_graph=True)
        grads = torch.autograd.grad((slope ** 2).sum(), list(aux.parameters()), allow_unused=True)
        assert all(g is not None and g.isfinite().all() for p, g in zip(aux.parameters(), grads, strict=True) if p.dim() > 1)


def test_sizes_rise_from_linear_to_full(net):
    for cut in {1, 2, len(net) - 1}:
        linear, half, stage, full = (size(make(kind, net, cut, SHAPE, CLASSES, 1)) for kind in KINDS)
        assert linear <= half <= stage
        assert linear <= full
        assert (linear < half < stage) == (first_stage(net, cut, SHAPE) > 0)


def test_the_stage_of_resnet18_behind_layer2_is_layer3():
    net = build(resnet18, (3, 32, 32), 10, 0)
    basic = 9 * 128 * 256 + 9 * 256 ** 2 + 128 * 256 + 3 * 2 * 256, 2 * 9 * 256 ** 2 + 2 * 2 * 256      # with norms
    assert first_stage(net, 5, (3, 32, 32)) == 2
    assert size(make("stage", net, 5, (3, 32, 32), 10, 0)) == sum(basic) + 256 * 10 + 10
    assert size(make("linear", net, 5, (3, 32, 32), 10, 0)) == 128 * 10 + 10
    half = make("half", net, 5, (3, 32, 32), 10, 0)
    assert size(half) == basic[0] + 256 * 10 + 10
    numbers = size(half) + sum(b.numel() for b in half.buffers() if b.is_floating_point())
    assert 4 * numbers / 2**20 == pytest.approx(3.522, abs=5e-4)                              # as in the paper's code [MB]


@pytest.mark.parametrize(("kind", "count"), [
    ("linear", 8 * 3 + 3),                                              # 8 channels arrive
    ("half", 9 * 8 * 8 + 8 + 8 * 3 + 3), ("stage", 9 * 8 * 16 + 16 + 16 * 3 + 3)])
def test_weights_for_the_cnn_are_counted_by_hand(kind, count):
    assert size(make(kind, build(cnn, SHAPE, CLASSES, 0), 1, SHAPE, CLASSES, 0)) == count


def test_half_of_what_adds_its_input_is_behind_a_linear_map():
    """An encoder layer of width w has 12 w² + 13 w numbers; here w is six instead of twelve."""
    aux = make("half", build(small_vit, SHAPE, CLASSES, 0), 1, SHAPE, CLASSES, 0)
    assert [size(block) for block in aux] == [12 * 6 + 6, 12 * 36 + 13 * 6, 6 * 3 + 3]


def test_stages_end_where_shapes_change_and_leave_the_last_block():
    wide = build(resnet18_cifar, SHAPE, CLASSES, 0)
    assert [first_stage(wide, cut, SHAPE) for cut in range(1, 10)] == [1, 1, 2, 1, 2, 1, 2, 1, 0]
    tokens = build(small_vit, SHAPE, CLASSES, 0)
    assert [first_stage(tokens, cut, SHAPE) for cut in range(1, 5)] == [1, 1, 1, 0]
    flat = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(200, 3))
    assert [first_stage(flat, cut, SHAPE) for cut in range(1, 5)] == [2, 1, 0, 0]


def test_a_full_copy_can_be_the_server_or_start_anew(net, rng):
    smashed = torch.from_numpy(rng.standard_normal((2, *smashed_shape(net, 2, SHAPE)))).float()
    net.eval()
    same, fresh = make("full", net, 2, SHAPE, CLASSES, None), make("full", net, 2, SHAPE, CLASSES, 1)
    assert_close(same(smashed), net[2:](smashed), rtol=0, atol=0)
    assert not torch.equal(fresh(smashed), same(smashed))
    assert all(a is not b for a, b in zip(same.parameters(), net[2:].parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_and_nothing_else_is_touched(net, kind):
    before, global_state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    once, again, other = (make(kind, net, 1, SHAPE, CLASSES, seed).state_dict() for seed in (1, 1, 2))
    assert_close(once, again, rtol=0, atol=0)
    assert any(not torch.equal(once[name], other[name]) for name in once)
    assert torch.equal(torch.get_rng_state(), global_state)
    assert_close(net.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_and_mode_are_those_of_the_network(kind):
    net = build(resnet18, SHAPE, CLASSES, 0).double().eval()
    aux = make(kind, net, 5, SHAPE, CLASSES, 1)
    assert {value.dtype for value in aux.state_dict().values()} == {torch.float64}
    assert not any(layer.training for layer in aux.modules())
    assert all(name.split(".")[0].isdigit() for name in aux.state_dict())


def test_work_is_counted_on_smashed_data():
    """Linear behind layer2: 128 x 3 products, as many again for each of the two gradients."""
    net = build(resnet18, SHAPE, CLASSES, 0)
    found = profile(make("linear", net, 5, SHAPE, CLASSES, 1), smashed_shape(net, 5, SHAPE), CLASSES, received=True)
    assert (found.forward, found.backward, found.buffers) == ((2 * 384,), (4 * 384,), (0,))
    whole, full = profile(net, SHAPE, CLASSES), make("full", net, 5, SHAPE, CLASSES, 1)
    assert profile(full, smashed_shape(net, 5, SHAPE), CLASSES, received=True).flops(0, 5) == whole.flops(5, 10)


class Fixed(nn.Module):
    """A block that insists on eight channels."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return self.layer(x.reshape(-1, 8)).reshape(-1, 2, 8)[:, 0] + self.layer.weight.new_ones(8)


@pytest.mark.parametrize(("kind", "cut", "seed", "sentence"), [
    ("third", 1, 0, "kind .* must be one of .*, got 'third'"), ("stage", 5, 0, r"cut must be within 1 to 4 \[blocks\].* got 5"),
    ("stage", 0, 0, "got 0"), ("half", 1, None, "seed must be a whole number for kind 'half'")])
def test_what_cannot_be_is_named(kind, cut, seed, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(kind, build(cnn, SHAPE, CLASSES, 0), cut, SHAPE, CLASSES, seed)


def test_a_stage_that_cannot_be_halved_is_named():
    net = build(lambda shape, classes: nn.Sequential(nn.Flatten(), Fixed(), nn.Linear(8, classes)), (1, 4, 4), 3, 0)
    with pytest.raises(ValueError, match="kind 'half' is not possible for this network"):
        make("half", net, 1, (1, 4, 4), 3, 0)
    assert size(make("stage", net, 1, (1, 4, 4), 3, 0)) == 72 + 27
