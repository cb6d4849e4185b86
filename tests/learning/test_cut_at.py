"""A residual network that nobody wrote as a chain, cut where one value crosses."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, dropout
from torch.testing import assert_close

from learning.models import build, cut_at

torch.set_num_threads(1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.layer1, self.layer2 = nn.Sequential(Block(), Block()), nn.Sequential(Block())
        self.shift = nn.Parameter(torch.full((4, 1, 1), 0.5))
        self.classifier = nn.Linear(4, 3)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)) + self.shift)
        return self.classifier(x.mean((2, 3)))


@pytest.fixture
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net().double()


@pytest.fixture
def batch(rng):
    return torch.from_numpy(rng.standard_normal((5, 1, 6, 6))), torch.from_numpy(rng.integers(3, size=5))


CUTS = ["layer1.0", "add_2", "layer2"]                 # a submodule, a node, a submodule


def original(name):
    """The parameter's name without its block's number."""
    return name.partition(".")[2]


def gradients(net, batch):
    loss = cross_entropy(net(batch[0]), batch[1])
    return dict(zip(dict(net.named_parameters()), torch.autograd.grad(loss, list(net.parameters())), strict=True))


def test_the_chain_has_the_modules_parameters_in_their_blocks(net):
    names = [name for name, _ in cut_at(net, CUTS).named_parameters()]
    assert sorted(map(original, names)) == sorted(name for name, _ in net.named_parameters())
    blocks = {original(name): int(name[0]) for name in names}
    assert (blocks["stem.weight"], blocks["layer1.0.conv.weight"], blocks["layer1.1.conv.weight"], blocks["shift"],
            blocks["layer2.0.norm.bias"], blocks["classifier.bias"]) == (0, 0, 1, 1, 2, 3)


@pytest.mark.parametrize("training", [True, False])
def test_scores_gradients_and_statistics_are_those_of_the_module(net, batch, training):
    chain = cut_at(net, CUTS).train(training)
    net.train(training)
    assert_close(chain(batch[0]), net(batch[0]), rtol=1e-12, atol=1e-12)
    assert_close({original(name): g for name, g in gradients(chain, batch).items()}, gradients(net, batch))
    expected = {name: b for name, b in net.named_buffers() if b.is_floating_point()}
    assert_close({original(name): b for name, b in chain.named_buffers()}, expected)


def test_the_mode_decides_what_batch_norm_does(net, batch):
    chain = cut_at(net, CUTS)
    before = {name: b.clone() for name, b in chain.named_buffers()}
    chain.eval()(batch[0])
    assert_close(dict(chain.named_buffers()), before, rtol=0, atol=0)
    chain.train()(batch[0])
    assert all((b != before[name]).all() for name, b in chain.named_buffers())


def test_a_graph_is_trained_beside_its_module(net, batch):
    """Weights from outside, smashed data cut off: the gradient of the two halves is that of the whole."""
    chain = cut_at(net, CUTS)
    weights = {name: p.detach().clone().requires_grad_() for name, p in chain.named_parameters()}
    front = {name: p for name, p in weights.items() if name[0] in "01"}
    back = {name: p for name, p in weights.items() if name[0] in "23"}
    smashed = functional_call(chain[:2], front, (batch[0],))
    received = smashed.detach().requires_grad_()
    loss = cross_entropy(functional_call(chain[2:], back, (received,)), batch[1])
    *grad_back, grad_cut = torch.autograd.grad(loss, [*back.values(), received])
    grad_front = torch.autograd.grad(smashed, list(front.values()), grad_cut)
    expected = gradients(net, batch)
    assert_close([*grad_front, *grad_back], [expected[original(name)] for name in weights])


def test_cutting_leaves_the_module_as_it_was(net):
    net.layer1.eval()
    modes, before = [m.training for m in net.modules()], copy.deepcopy(net.state_dict())
    chain = cut_at(net, CUTS)
    with torch.no_grad():
        for p in chain.parameters():
            p.zero_()
    assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert [m.training for m in net.modules()] == modes


def test_a_module_is_built_from_a_seed_like_any_chain():
    def make(shape, classes):
        return cut_at(Net(), CUTS)

    once, again = (build(make, (1, 6, 6), 3, 7).state_dict() for _ in range(2))
    assert_close(once, again, rtol=0, atol=0)
    assert not once["0.stem.bias"].any()


class Way(nn.Module):
    """A module by its forward pass."""

    def __init__(self, forward):
        super().__init__()
        self.layer, self.way = nn.Linear(3, 3), forward

    def forward(self, x):
        return self.way(self, x)


def test_a_submodule_is_cut_behind_its_last_use(rng):
    net, x = Way(lambda m, x: m.layer(m.layer(x)).exp()).double(), torch.from_numpy(rng.standard_normal((2, 3)))
    chain = cut_at(net, ["layer"])
    assert [len(list(block.parameters())) for block in chain] == [2, 0]
    assert_close(chain[0](x), net.layer(net.layer(x)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("nodes", "sentence"), [
    (["layer3"], r"no node or submodule 'layer3'; the nearest are \['layer[12]', 'layer[12]'"),
    (["layer1.0.norm"], r"one value must cross the cut behind 'layer1_0_norm', got \['stem', 'layer1_0_norm'\]"),
    (["layer2", "layer1"], "in the order of the computation"), (["layer1", "layer1"], "in the order of the computation"),
    (["classifier"], "leave every block a step")])
def test_a_cut_that_cannot_be_made_is_named(net, nodes, sentence):
    with pytest.raises(ValueError, match=sentence):
        cut_at(net, nodes)


@pytest.mark.parametrize(("module", "nodes", "sentence"), [
    (Way(lambda m, x: m.layer(x) if m.training else x), [], "takes another way in training"),
    (Way(lambda m, x: m.layer(x) if x.sum() > 0 else x), [], "cannot trace Way"),
    (Way(lambda m, x: dropout(m.layer(x))), [], "must have no dropout"),
    (Way(lambda m, x: (m.layer(x), x)), [], "must return one tensor"),
    (Way(lambda m, x: m.layer(x).add_(1)), ["layer"], r"must not be changed in place, got \['add_'\]"),
    (Way(lambda m, x: m.layer(m.layer(x).exp())), ["exp"], "blocks 0 and 1 share"),
    (nn.Bilinear(2, 2, 2), [], "must have one input")])
def test_a_module_that_is_no_chain_is_refused(module, nodes, sentence):
    with pytest.raises(ValueError, match=sentence):
        cut_at(module, nodes)


def test_what_cannot_be_traced_can_be_a_leaf(rng):
    class Fickle(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else 2 * x

    net, x = nn.Sequential(nn.Linear(3, 3), Fickle(), nn.Linear(3, 2)).double(), torch.from_numpy(rng.standard_normal((4, 3)))
    chain = cut_at(net, ["0"], leaves=[Fickle])
    assert len(chain) == 2
    assert_close([chain(x), chain(-x)], [net(x), net(-x)])
