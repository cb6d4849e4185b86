"""Optimisers as values take the steps of torch.optim, and leave what they are given as it was."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny_task import gradient, network, normed_blocks, shard, shards
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.optimiser import Optimiser, Side, adam, sgd
from learning.split import Learnt

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-12, "atol": 1e-14}
EACH = [sgd(0.2), sgd(0.1, momentum=0.9), sgd(0.1, weight_decay=0.05), sgd(0.1, 0.9, 0.05), adam(1e-2), adam(1e-2, 1e-2),
        Optimiser(torch.optim.SGD, 0.1, (("momentum", 0.9), ("nesterov", True))), Optimiser(torch.optim.RMSprop, 1e-2),
        Optimiser(torch.optim.AdamW, 1e-2, (("amsgrad", True),))]
NAMES = ["sgd", "momentum", "decay", "both", "adam", "adam-decay", "nesterov", "rmsprop", "amsgrad"]
every = pytest.mark.parametrize("optimiser", EACH, ids=NAMES)


def torchs(optimiser, parameters):
    """torch's own, of its plain implementation."""
    return optimiser.make(parameters, lr=optimiser.lr, **{key: v for key, v in optimiser.settings if key != "fused"})


def descend(optimiser, net, data, values=None, moments=None):
    """Values and moments after a step on each batch."""
    values, moments = params.values(net) if values is None else values, {} if moments is None else moments
    for batch in data:
        values, moments = optimiser.step(values, gradient(net, values, batch), moments)
    return values, moments


@every
def test_steps_are_those_of_torch_on_the_module_itself(rng, optimiser):
    net, data = network(), shards(rng, *[5] * 6)
    whole = copy.deepcopy(net)
    moving = torchs(optimiser, whole.parameters())
    values, moments = params.values(net), {}
    for batch in data:
        values, moments = descend(optimiser, net, [batch], values, moments)
        moving.zero_grad()
        cross_entropy(whole(batch.x), batch.y).backward()
        moving.step()
        assert_close(values, params.values(whole), **CLOSE)
        for name, p in whole.named_parameters():
            expected = {key: v for key, v in moving.state[p].items() if v is not None}
            assert_close({key: v for key, v in moments.get(name, {}).items() if v is not None}, expected, **CLOSE)


@every
def test_a_step_leaves_its_arguments_alone(rng, optimiser):
    net, data = network(), shards(rng, 5, 5)
    values, moments = descend(optimiser, net, data)
    slope = gradient(net, values, data[0])
    before = copy.deepcopy((values, slope, moments))
    once, again = (optimiser.step(values, slope, moments) for _ in range(2))
    assert_close((values, slope, moments), before, **EXACT)
    assert_close(once, again, **EXACT)
    assert not any(w.requires_grad or w.grad is not None for w in once[0].values())


@every
def test_what_has_no_gradient_stays_and_keeps_its_moments(rng, optimiser):
    net, data = network(), shards(rng, 5, 5)
    values, moments = descend(optimiser, net, data)
    after, remembered = optimiser.step(values, params.front(gradient(net, values, data[0]), 1), moments)
    assert not torch.equal(after["0.0.weight"], values["0.0.weight"])
    assert_close(params.back(after, 1), params.back(values, 1), **EXACT)
    assert_close(params.back(remembered, 1), params.back(moments, 1), **EXACT)
    assert list(after) == list(values)


@every
def test_a_network_may_be_moved_in_parts(rng, optimiser):
    """An optimiser treats every entry by itself, so front and back in turn are the whole at once."""
    net, batch = network(), shard(rng, 5)
    values, moments = descend(optimiser, net, shards(rng, 5, 5))
    slope = gradient(net, values, batch)
    whole, parts = optimiser.step(values, slope, moments), (values, moments)
    for side in (params.back(slope, 2), params.front(slope, 2)):
        parts = optimiser.step(parts[0], side, parts[1])
    assert_close(parts[0], whole[0], **EXACT)
    assert {name: parts[1][name] for name in whole[1]}.keys() == parts[1].keys()
    assert_close({name: parts[1][name] for name in whole[1]}, whole[1], **EXACT)


@every
def test_what_joins_later_starts_afresh(rng, optimiser):
    """The server's side takes three steps, the front one: as if the others were not there."""
    net = network()
    values, moments = params.values(net), {}
    slopes = [gradient(net, params.values(network(seed)), shard(rng, 5)) for seed in (1, 2, 3)]
    for slope in (params.back(slopes[0], 1), params.back(slopes[1], 1), slopes[2]):
        values, moments = optimiser.step(values, slope, moments)
    front, back = optimiser.step(params.front(params.values(net), 1), params.front(slopes[2], 1), {}), (params.values(net), {})
    for slope in slopes:
        back = optimiser.step(back[0], params.back(slope, 1), back[1])
    assert_close(values, {**params.back(back[0], 1), **front[0]}, **EXACT)
    assert_close(moments, {**back[1], **front[1]}, **EXACT)


@every
def test_a_side_takes_the_same_steps_in_place_and_leaves_what_it_was_made_of_alone(rng, optimiser):
    """Some of the network joins at the second step; copies are made once."""
    net = network()
    values, moments = descend(optimiser, net, shards(rng, 5, 5))
    before, side, expected = copy.deepcopy((values, moments)), Side(optimiser, values, moments), (values, moments)
    for number, batch in enumerate(shards(rng, 5, 5, 5)):
        slope = gradient(net, expected[0], batch) if number else params.front(gradient(net, expected[0], batch), 1)
        held = dict(side.values)
        side.step(slope)
        expected = optimiser.step(expected[0], slope, expected[1])
        assert_close((side.values, side.moments), expected, **EXACT)
        assert all((side.values[name] is p) == (number > 1 or (number > 0) == name.startswith("0")) for name, p in held.items())
    assert_close((values, moments), before, **EXACT)


@every
def test_an_optimiser_in_place_takes_the_same_steps_and_holds_no_second_copy_of_what_it_remembers(rng, optimiser):
    net, spending = network(), replace(optimiser, in_place=True)
    values, moments = descend(optimiser, net, shards(rng, 5, 5))
    slope, given = gradient(net, values, shard(rng, 5)), copy.deepcopy(values)
    expected = optimiser.step(values, slope, copy.deepcopy(moments))
    found = spending.step(values, slope, moments)
    assert_close(found, expected, **EXACT)
    assert_close(values, given, **EXACT)
    places = [sorted(v.data_ptr() for state in each.values() for v in state.values() if isinstance(v, torch.Tensor))
              for each in (moments, found[1])]
    assert places[0] == places[1]
    assert places[0] or optimiser.make is torch.optim.SGD


def test_what_is_put_in_a_side_between_two_steps_counts(rng):
    """Gradients 1 and 2 at a rate of 1: from 0 to -1, from the 10 that was put there to 8; the 10 stays."""
    side, put = Side(sgd(1.0), {"0.w": torch.zeros(1)}, {}), torch.tensor([10.0])
    side.step({"0.w": torch.tensor([1.0])})
    assert side.values["0.w"].item() == -1
    side.values["0.w"] = put
    side.step({"0.w": torch.tensor([2.0])})
    assert (side.values["0.w"].item(), put.item()) == (8, 10)


@every
def test_pruned_weights_of_a_side_stay_at_zero(rng, optimiser):
    """The others move as they would without a mask; buffers are those of the pass, and names of other sides are not heard."""
    mask = {"0.w": torch.tensor([1.0, 0.0, 1.0]).double(), "0.b": torch.ones(1).double()}
    values = {"0.w": torch.tensor([1.0, 0.0, 2.0]).double(), "0.b": torch.ones(1).double(), "0.mean": torch.zeros(1).double()}
    side, slope = Side(optimiser, values, {}, mask), {name: torch.full_like(m, 3.0) for name, m in mask.items()}
    side.descend(Learnt({**slope, "1.w": torch.ones(1)}, {"0.mean": torch.ones(1).double(), "1.mean": torch.ones(1)}))
    free = optimiser.step(values, slope, {})[0]
    assert_close(side.values, {**free, "0.w": free["0.w"] * mask["0.w"], "0.mean": torch.ones(1).double()}, **EXACT)
    assert side.values["0.w"][1].item() == 0


def test_nothing_to_move_by_is_no_step():
    values = params.values(network())
    after, moments = adam().step(values, {}, {})
    assert after is values
    assert moments == {}


def test_buffers_have_no_gradient_and_stay(rng):
    net = network(make=normed_blocks)
    values, moments = descend(adam(), net, shards(rng, 5, 5))
    assert_close({n: values[n] for n, _ in net.named_buffers()}, dict(net.named_buffers()), **EXACT)
    assert moments.keys() == {n for n, _ in net.named_parameters()}


def test_plain_gradient_descent_remembers_nothing(rng):
    assert descend(sgd(0.1), network(), shards(rng, 5, 5))[1] == {}


def test_momentum_is_the_sum_by_hand():
    """Gradients 1, 2, 4 at a momentum of 1/2: 1, 2 + 1/2, 4 + 5/4."""
    values, moments = {"0.w": torch.zeros(1).double()}, {}
    for g in (1.0, 2.0, 4.0):
        values, moments = sgd(1.0, momentum=0.5).step(values, {"0.w": torch.tensor([g]).double()}, moments)
    assert moments["0.w"]["momentum_buffer"].item() == 5.25
    assert values["0.w"].item() == -(1 + 2.5 + 5.25)


def test_the_first_step_of_adam_has_the_length_of_its_rate():
    values = {"0.w": torch.zeros(3).double()}
    after, _ = adam(0.5).step(values, {"0.w": torch.tensor([2.0, -30.0, 400.0]).double()}, {})
    assert_close(after["0.w"], torch.tensor([-0.5, 0.5, -0.5]).double(), rtol=1e-7, atol=0)


def test_optimisers_are_values():
    assert sgd(0.1, 0.9) == sgd(0.1, 0.9) != sgd(0.1)
    assert hash(adam(1e-3)) == hash(adam(1e-3))


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan")])
def test_a_rate_must_be_positive(lr):
    with pytest.raises(ValueError, match=r"the learning rate must be positive \[1\], got"):
        sgd(lr)
