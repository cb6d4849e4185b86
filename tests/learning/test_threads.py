"""Devices that are computed at the same time become what they become one after another, bit by bit."""

import copy
import threading
import time
from itertools import product

import pytest
import torch
from tiny_algorithms import ALGORITHMS, CLASSES, NETWORKS, OPTIMISERS, SHAPE, assert_same, run, shards
from torch import nn

from learning import threads
from learning.models import build, cnn
from learning.precision import precision
from learning.split import forward
from learning.training import Training

SIZES = (6, 8, 3, 9, 5)
CASES = [(name, net) for name, net in product(ALGORITHMS, NETWORKS) if net == "batch norm" or "compressed" not in name]


class Doze(nn.Module):
    """A layer that lets other threads go on in the middle of a pass."""

    def forward(self, x):
        time.sleep(2e-4)
        return x


def dozing(kind):
    """The network of ``kind`` with a doze behind every layer of its first two blocks."""
    def make(shape, classes):
        blocks = list(NETWORKS[kind](shape, classes))
        slow = [nn.Sequential(*(layer for each in block for layer in (each, Doze()))) for block in blocks[:2]]
        return nn.Sequential(*slow, blocks[2])

    return build(make, SHAPE, CLASSES, seed=0).double()


def trained(name, kind, data, most, optimiser="adam", rounds=3):
    chosen = OPTIMISERS[optimiser]
    with threads.at_a_time(most):
        return run(ALGORITHMS[name](dozing(kind), Training(4, 0, chosen, chosen)), data, rounds=rounds)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_same_bits_by_one_thread_and_by_several(name, kind, rng):
    data = shards(rng, *SIZES)
    expected = trained(name, kind, data, 1)
    for most in (2, 4):
        assert_same(trained(name, kind, data, most), expected)


def test_the_same_bits_where_some_compute_as_one_and_in_bfloat16(rng):
    data = [type(s)(s.x.float(), s.y) for s in shards(rng, 8, 8, 3, 8, 8)]
    net = build(cnn, (1, 8, 8), CLASSES, seed=0)
    data = [type(s)(torch.nn.functional.interpolate(s.x, (8, 8)), s.y) for s in data]
    for name, kind in product(("fedavg", "light-fedsl", "splitfed-v1"), ("float32", "bfloat16")):
        found = []
        for most in (1, 3):
            with threads.at_a_time(most), precision(kind):
                found.append(run(ALGORITHMS[name](copy.deepcopy(net), Training(4)), data, rounds=2))
        assert_same(found[1], found[0])


@pytest.mark.parametrize("name", ["fedavg", "splitfed-v1", "cse-fsl", "fsl-sage", "psl", "epsl", "light-fedsl", "personalised"])
def test_several_really_compute_at_the_same_time(name, rng, monkeypatch):
    busy, most, lock = 0, 0, threading.Lock()

    def counted(self, x):
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(5e-3)
        with lock:
            busy -= 1
        return x

    monkeypatch.setattr(Doze, "forward", counted)
    trained(name, "plain", shards(rng, 4, 4, 4, 4), 3, rounds=1)
    assert 1 < most <= 4 if name == "fsl-sage" else 1 < most <= 3          # beside those who align, the server goes on


def test_results_come_in_order_and_no_more_items_are_taken_than_are_computed():
    taken, done = [], []

    def items():
        for i in range(9):
            assert len(taken) - len(done) < 3
            taken.append(i)
            yield i

    def work(i):
        time.sleep(1e-3 * (i % 3 == 0))
        return i, threading.current_thread() is threading.main_thread(), torch.get_num_threads()

    with threads.at_a_time(3):
        for made in threads.each(work, items()):
            done.append(made)
    assert done == [(i, False, 1) for i in range(9)]
    assert list(threads.each(work, range(2))) == [(i, True, torch.get_num_threads()) for i in range(2)]


def test_an_error_comes_out_as_it_is_when_nobody_is_at_work_any_more():
    ended = []

    def work(i):
        if i == 1:
            raise FloatingPointError(f"item {i}")
        time.sleep(0.02)
        ended.append(i)

    with threads.at_a_time(3), pytest.raises(FloatingPointError, match="item 1"):
        list(threads.each(work, range(50)))
    assert set(ended) <= {0, 2, 3}
    before = len(ended)
    time.sleep(0.05)
    assert len(ended) == before


def test_how_many_is_set_for_a_while_and_is_at_least_one():
    with pytest.raises(ValueError, match=r"at least one thing .* got 0"), threads.at_a_time(0):
        pass
    part = nn.Sequential(nn.Linear(2, 2))
    with threads.at_a_time(2):
        inner = threads.own(part)
        with threads.at_a_time(1):
            assert threads.own(part) is part
        assert inner[0] is not part[0]
        assert inner[0].weight is part[0].weight
        assert threads.own(part)[0] is inner[0]                             # made once, though slices are made anew
        assert threads.own(part.eval())[0].training is False
    assert threads.own(part) is part


def test_a_thread_has_a_network_of_its_own_while_it_computes(rng):
    net, x = dozing("plain"), torch.from_numpy(rng.standard_normal((2, *SHAPE)))
    weights = [{name: torch.full_like(p, float(i)) for name, p in net.named_parameters()} for i in range(6)]
    alone = [forward(net, w, x).out for w in weights]
    with threads.at_a_time(3):
        together = list(threads.each(lambda w: forward(net, w, x).out, weights))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))

