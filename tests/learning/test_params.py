import pytest
import torch
from tiny_task import network, normed_blocks
from torch.testing import assert_close

from learning import params


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
@pytest.mark.parametrize("net", [network(), network(make=normed_blocks)])
def test_front_and_back_are_the_whole(cut, net):
    whole = params.values(net)
    front, back = params.front(whole, cut), params.back(whole, cut)
    assert front.keys() | back.keys() == whole.keys()
    assert not front.keys() & back.keys()
    assert all((int(name[0]) < cut) == (name in front) for name in whole)


def test_blocks_are_told_by_number_and_not_by_first_digit():
    assert [params.block_of(name) for name in ("0.weight", "9.0.bias", "10.weight", "12.1.bias")] == [0, 9, 10, 12]


@pytest.mark.parametrize("make", [None, normed_blocks])
def test_values_are_all_that_a_state_dict_has(make):
    net = network(make=make) if make else network()
    assert_close(params.values(net), dict(net.state_dict()), rtol=0, atol=0)


def test_values_are_copies():
    net = network(make=normed_blocks)
    found = params.values(net)
    for name in found:
        found[name] += 1
    assert not torch.allclose(found["0.0.weight"], net[0][0].weight)
    assert not torch.allclose(found["0.1.running_mean"], net[0][1].running_mean)
    assert not any(w.requires_grad for w in found.values())


def test_leaves_are_ready_for_autograd_and_leave_the_values_as_they_are():
    values = params.values(network())
    leaves = params.leaves(values, ["0.0.weight", "2.0.bias"])
    assert list(leaves) == ["0.0.weight", "2.0.bias"]
    assert all(leaf.requires_grad and leaf.is_leaf for leaf in leaves.values())
    assert not any(w.requires_grad for w in values.values())


def test_a_weighted_sum_is_taken_name_by_name():
    one, other = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}, {"a": torch.tensor([5.0, 0.0]), "b": torch.tensor(-1.0)}
    assert_close(params.weighted_sum([one, other], [0.5, 2.0]), {"a": torch.tensor([10.5, 1.0]), "b": torch.tensor(-0.5)})
    assert params.squared_norm(one) == 1 + 4 + 9


def test_a_mask_of_ones_keeps_all_and_so_does_one_of_nothing():
    assert [params.keeps_all(torch.tensor(mask)) for mask in ([1.0, 1.0], [1.0, 0.0], [0.0], [])] == [True, False, False, True]
