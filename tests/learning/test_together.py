"""Devices that compute as one do what each of them does alone."""

import copy
from itertools import product

import numpy as np
import pytest
import torch
from tiny_algorithms import ALGORITHMS, OPTIMISERS, SHAPE, assert_same, plans, shards, without
from torch import nn
from torch.func import functional_call

from learning import crew, params
from learning.algorithm import Plan, Streams
from learning.algorithms import fsl_sage
from learning.algorithms.epsl import EPSL
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.fsl_sage import FSLSage
from learning.estimate import Auxiliaries
from learning.models import as_blocks, build, cnn, lenet, mlp, resnet18, vit_tiny
from learning.optimiser import Optimiser, Side, join
from learning.split import learn
from learning.together import can, gains, twin
from learning.training import Training

DEVICES = 3


def images(shape, classes):
    """Every layer that a twin knows."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(4, 6, 2, groups=2), nn.GroupNorm(3, 6), nn.GELU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5, bias=False), nn.Tanh(), nn.Linear(5, classes)),
    )


def features(shape, classes):
    return nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU()), nn.Sequential(nn.Linear(6, 4), nn.Sigmoid()),
                         nn.Linear(4, classes))


def small_images(shape, classes):
    """As ``images``, without batch norm, which keeps devices in step from one server's batch."""
    return nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
                         nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh()), nn.Linear(6, classes))


def draw(rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape))


@pytest.mark.parametrize(("make", "shape"), [(images, SHAPE), (features, SHAPE), (cnn, (1, 8, 8)), (lenet, (1, 14, 14)),
                                             (mlp, (15,)), (resnet18, (3, 32, 32))])
def test_a_twin_is_its_networks_side_by_side(rng, make, shape):
    """Scores, losses, gradients and statistics of three devices of their own weights, in training."""
    net = build(make, shape, 3, 0).double()
    each = [params.combine(lambda p: p + 0.1 * draw(rng, *p.shape).abs(), params.values(net)) for _ in range(DEVICES)]
    x, y = draw(rng, 4, DEVICES, *shape), torch.from_numpy(rng.integers(3, size=(4, DEVICES)))
    found = learn(twin(net, DEVICES), join(each), x, y)
    for k, values in enumerate(each):
        alone = learn(net, values, x[:, k], y[:, k])
        for mine, its in ((found.grads, alone.grads), (found.buffers, alone.buffers)):
            assert mine.keys() == its.keys()
            for name, value in its.items():
                torch.testing.assert_close(mine[name][k], value, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("cut", [1, 2])
def test_a_part_of_a_twin_is_a_twin(rng, cut):
    net = build(images, SHAPE, 3, 0).double().eval()
    whole, x = twin(net, 2), draw(rng, 5, 2, *SHAPE)
    values = join([params.values(net)] * 2)
    smashed = functional_call(whole[:cut], params.front(values, cut), (x,))
    for k in range(2):
        torch.testing.assert_close(smashed[:, k], net[:cut](x[:, k]), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(functional_call(whole[cut:], params.back(values, cut), (smashed,))[:, 1], net(x[:, 1]),
                               rtol=1e-10, atol=1e-12)


def test_a_network_serves_twins_of_any_number_and_stays_as_it_was(rng):
    net = build(features, SHAPE, 3, 0).double()
    before, x = copy.deepcopy(net), draw(rng, 5, *SHAPE)
    for devices in (2, 4, 2):
        out = functional_call(twin(net, devices), join([params.values(net)] * devices), (torch.stack([x] * devices, 1),))
        assert out.shape == (5, devices, 3)
    assert [type(layer) for layer in net.modules()] == [type(layer) for layer in before.modules()]
    assert torch.equal(net(x), before(x))


@pytest.mark.parametrize(("net", "known"), [
    (build(cnn, (1, 8, 8), 10, 0), True), (build(vit_tiny, (1, 8, 8), 10, 0), False), (nn.Conv2d(1, 1, 3), True),
    (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), False), (nn.Flatten(2), False), (nn.LayerNorm(3), False)])
def test_which_layers_are_known(net, known):
    assert can(net) is known


@pytest.mark.parametrize(("make", "shape", "batch", "gain"), [
    (cnn, (1, 8, 8), 32, True), (cnn, (1, 28, 28), 32, False), (cnn, (1, 28, 28), 2, True), (mlp, (1, 28, 28), 64, True),
    (resnet18, (3, 32, 32), 16, False), (vit_tiny, (1, 8, 8), 4, False)])
def test_a_twin_pays_for_small_convolutions_and_all_products(make, shape, batch, gain):
    assert gains(build(make, shape, 10, 0), torch.zeros(batch, *shape)) is gain


ACROSS = nn.Sequential(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Linear(6, 2)), nn.Flatten())


@pytest.mark.parametrize(("net", "shape"), [(ACROSS, (1, 8, 8)), (nn.Sequential(nn.Linear(5, 2)), (3, 5))])
def test_a_linear_layer_on_images_or_tokens_has_no_twin(net, shape):
    """Its inputs lie where the twin has no axis for them."""
    assert can(net)
    assert not gains(net, torch.zeros(2, *shape))


SIZES = (8, 8, 11, 3, 8)        # samples; in batches of four: two full ones, two and a part, a part only
STACKED = ["fedavg", "splitfed-v1", "psl", "cse-fsl", "fsl-sage", "light-fedsl", "light-fedsl, compressed", "fedavg, compressed",
           "personalised", "epsl"]


def _run(make, net, optimiser, data, alone, monkeypatch, rounds=3):
    """The states of rounds, of which one device sits out the second."""
    torch.manual_seed(0)
    teams = []
    with monkeypatch.context() as patch:
        if alone:
            patch.setattr(crew, "gains", lambda net, x: False)
        watched = crew.share_out
        patch.setattr(crew, "share_out", lambda told, links: (teams.append(len(links)), watched(told, links)))
        algorithm = make(copy.deepcopy(net), Training(4, 0, OPTIMISERS[optimiser], OPTIMISERS[optimiser]))
        cuts = list(algorithm.cuts())[:1 if isinstance(algorithm, EPSL) else None]
        by = tuple(Plan(cuts[k % min(2, len(cuts))], 0.3 * k / len(data) * algorithm.prunes) for k in range(len(data)))
        states, reports = [algorithm.init(len(data))], []
        for number in range(rounds):
            out = without(by, 1) if number == 1 and "interval" not in vars(algorithm) else by
            state, report = algorithm.step(states[-1], data, out, Streams(1, 2))
            states.append(state)
            reports.append(report)
    return states, reports, max(teams, default=1)


@pytest.mark.parametrize(("name", "make_net", "optimiser"),
                         list(product(STACKED, [images, small_images, features], ["momentum", "adam"])))
def test_rounds_are_those_of_devices_that_compute_alone(rng, monkeypatch, name, make_net, optimiser):
    """Weights, moments, masks, losses and traffic: also where data, cuts and ratios differ, and where one sat out."""
    net, data = build(make_net, SHAPE, 3, 0).double(), shards(rng, *SIZES)
    make = ALGORITHMS[name]
    (alone, told, single), (found, seen, together) = (
        _run(make, net, optimiser, data, only, monkeypatch) for only in (True, False))
    assert single == 1
    if name in ("fedavg", "splitfed-v1", "cse-fsl"):
        assert together > 1
    assert_same(found, alone, 1e-7)
    for one, other in zip(seen, told, strict=True):
        assert one.traffic == other.traffic
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-9)


def test_sides_that_are_joined_leave_what_they_were_made_of(rng):
    start = {"0.w": draw(rng, 2, 3)}
    sides = [Side(OPTIMISERS["adam"], start, {}) for _ in range(3)]
    before, joint = start["0.w"].clone(), Side.joined(sides)
    joint.step({"0.w": draw(rng, 3, 2, 3)})
    joint.part(sides)
    assert torch.equal(start["0.w"], before)
    assert not torch.equal(sides[0].values["0.w"], sides[1].values["0.w"])
    assert all(float(side.moments["0.w"]["step"]) == 1 for side in sides)
    sides[0].step({"0.w": draw(rng, 2, 3)})                        # goes on alone, and the others' stay
    assert [float(side.moments["0.w"]["step"]) for side in sides] == [2, 1, 1]


def test_a_layer_that_comes_twice_comes_twice_in_a_twin(rng):
    relu = nn.ReLU()
    net = as_blocks(nn.Sequential(nn.Flatten(), nn.Linear(16, 6), relu, nn.Linear(6, 6), relu, nn.Linear(6, 3))).double()
    net[2] = net[4] = relu
    x = draw(rng, 5, 2, *SHAPE)
    assert len(twin(net, 2)) == len(twin(net, 2)[:]) == 6
    out = functional_call(twin(net, 2), join([params.values(net)] * 2), (x,))
    torch.testing.assert_close(out[:, 1], net(x[:, 1]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("net", [
    nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.GroupNorm(2, 6), nn.Linear(6, 3)),
    nn.Sequential(nn.Conv2d(1, 8, 8), nn.GroupNorm(8, 8), nn.Flatten(), nn.Linear(8, 3)),
    nn.Sequential(nn.Conv2d(1, 8, 8), nn.BatchNorm2d(8, track_running_stats=False), nn.Flatten(), nn.Linear(8, 3))])
def test_a_network_whose_trial_fails_has_no_twin(net):
    assert not gains(net, torch.zeros(2, 1, 8, 8))


def test_a_layer_that_is_watched_has_no_twin():
    """What a hook sees would lie otherwise."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    assert can(net)
    net[1].register_forward_hook(lambda module, given, out: out - out.mean(0, keepdim=True))
    assert not can(net)


def test_what_a_device_has_keeps_nobody_elses_in_memory(rng):
    """Also after many rounds with others: a view would keep the values of all."""
    net, data = build(features, SHAPE, 3, 0).double(), shards(rng, *[4] * 6)
    algorithm = FedAvg(net, Training(4, 1, OPTIMISERS["momentum"]))
    state = algorithm.init(6)
    for left in (6, 5, 4):
        state, _ = algorithm.step(state, data, [Plan(3)] * left + [None] * (6 - left), Streams())
    for moments in state.moments:
        for name, held in moments.items():
            assert held["momentum_buffer"].untyped_storage().nbytes() == state.model[name].untyped_storage().nbytes()


@pytest.mark.parametrize("change", [lambda net: net.to(memory_format=torch.channels_last),
                                    lambda net: net[1][1].weight.data.set_(net[1][1].weight.data.T.contiguous().T)])
def test_weights_that_lie_otherwise_in_memory_train_alike(rng, change):
    net, data = build(small_images, SHAPE, 3, 0).double(), shards(rng, 8, 8)
    other = copy.deepcopy(net)
    change(other)
    ends = []
    for each in (net, other):
        algorithm = FedAvg(each, Training(4, 2, OPTIMISERS["momentum"]))
        state = algorithm.init(2)
        for _ in range(2):
            state, _ = algorithm.step(state, data, [Plan(3)] * 2, Streams())
        ends.append(state.model)
    assert_same(ends[1], ends[0], 1e-10)


def test_an_optimiser_that_looks_at_a_whole_tensor_has_each_device_alone(rng):
    net, data = build(features, SHAPE, 3, 0).double(), shards(rng, 4, 4)
    factored = Training(4, 1, Optimiser(torch.optim.Adafactor, 0.01))
    assert crew.crews(net, factored, data, plans(3, 3), range(2)) == [(0,), (1,)]
    state, _ = FedAvg(net, factored).step(FedAvg(net).init(2), data, plans(3, 3), Streams())
    assert all(p.isfinite().all() for p in state.model.values())


def test_the_server_takes_devices_in_the_drawn_order_also_where_some_are_due_for_an_alignment(rng, monkeypatch):
    """Device 1 sat out the first round and is aligned in the second; devices are told by their samples."""
    net, data, sizes = build(features, SHAPE, 3, 0).double(), shards(rng, 3, 4, 5, 6), []
    algorithm = FSLSage(net, Auxiliaries(net, SHAPE, 3), Training(9), every=1, align_every=100, align_steps=2)
    state, _ = algorithm.step(algorithm.init(4), data, without(plans(2, 2, 2, 2), 1), Streams())
    served = fsl_sage.serve
    monkeypatch.setattr(fsl_sage, "serve", lambda part, values, x, y, link: (sizes.append(len(y)),
                                                                             served(part, values, x, y, link))[1])
    algorithm.step(state, data, plans(2, 2, 2, 2), Streams())
    order = Streams().order(1, [0, 1, 2, 3])
    assert sizes == [3 + k for k in order]
    assert order.index(1) > 0


def test_many_devices_are_several_teams(rng):
    """No more at once than fit the cache."""
    net, data = build(features, SHAPE, 3, 0).double(), shards(rng, *[4] * 70)
    groups = crew.crews(net, Training(4), data, plans(*[3] * 70), range(70))
    assert [len(group) for group in groups] == [32, 32, 6]
    assert [k for group in groups for k in group] == list(range(70))
    assert crew.crews(net, Training(4), data, plans(*[3] * 70), range(70), able=False) == [(k,) for k in range(70)]


def test_equal_runs_have_equal_bits(rng):
    net, data = build(images, SHAPE, 3, 0), [type(d)(d.x.float(), d.y) for d in shards(rng, *SIZES)]
    one, other = (FedAvg(copy.deepcopy(net), Training(4, 0)) for _ in range(2))
    states = [algorithm.step(algorithm.init(5), data, plans(*[3] * 5), Streams())[0] for algorithm in (one, other)]
    assert_same(*states)
