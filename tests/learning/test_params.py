import pytest
import torch
from tiny_task import network
from torch.testing import assert_close

from learning import params


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_front_and_back_are_the_whole(cut):
    whole = params.values(network())
    front, back = params.front(whole, cut), params.back(whole, cut)
    assert list(front) + list(back) == list(whole)
    assert [int(name[0]) < cut for name in whole] == [True] * len(front) + [False] * len(back)


def test_blocks_are_told_by_number_and_not_by_first_digit():
    assert [params.block_of(name) for name in ("0.weight", "9.0.bias", "10.weight", "12.1.bias")] == [0, 9, 10, 12]


def test_values_are_copies():
    net = network()
    found = params.values(net)
    found["0.0.weight"] += 1
    assert not torch.allclose(found["0.0.weight"], net[0][0].weight)


def test_a_weighted_sum_is_taken_name_by_name():
    one, other = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}, {"a": torch.tensor([5.0, 0.0]), "b": torch.tensor(-1.0)}
    assert_close(params.weighted_sum([one, other], [0.5, 2.0]), {"a": torch.tensor([10.5, 1.0]), "b": torch.tensor(-0.5)})
    assert params.squared_norm(one) == 1 + 4 + 9
