"""Devices that are computed at the same time become what they become one after another, bit by bit."""

import threading
import time

import pytest
import torch
from tiny_algorithms import ALGORITHMS, CASES, CLASSES, NETWORKS, OPTIMISERS, SHAPE, assert_same, run, shards
from torch import nn
from torch.nn.functional import interpolate

from learning import crew, threads
from learning.algorithm import Plan, Shard
from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.fsl_sage import FSLSage
from learning.estimate import Auxiliaries
from learning.models import build, cnn
from learning.precision import precision
from learning.split import forward
from learning.training import Training

SIZES = (6, 8, 3, 9, 5)


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


def trained(name, kind, data, most, rounds=3):
    chosen = OPTIMISERS["adam"]
    with threads.at_a_time(most):
        return run(ALGORITHMS[name](dozing(kind), Training(4, 0, chosen, chosen)), data, rounds=rounds)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_same_bits_by_one_thread_and_by_several(name, kind, rng):
    data = shards(rng, *SIZES)
    expected = trained(name, kind, data, 1)
    for most in (2, 4):
        assert_same(trained(name, kind, data, most), expected)


SOME_AS_ONE = ("fedavg", "splitfed-v1", "psl", "cse-fsl", "fsl-sage", "light-fedsl", "personalised")
EIGHT = (1, 8, 8)


def small_cnn(name, data, most):
    """Three rounds of what some devices compute as one, in pairs, with two cuts if the algorithm lets them."""
    net = build(cnn, EIGHT, CLASSES, seed=0)
    make = {"cse-fsl": lambda n, t: CSEFSL(n, Auxiliaries(n, EIGHT, CLASSES, "full"), t, 2),
            "fsl-sage": lambda n, t: FSLSage(n, Auxiliaries(n, EIGHT, CLASSES), t, 2, 2, 3, keep=6)}.get(name, ALGORITHMS[name])
    algorithm = make(net, Training(4, 0, OPTIMISERS["adam"], OPTIMISERS["adam"]))
    cuts = list(algorithm.cuts())[:2]
    by = [Plan(cuts[k // 4 % len(cuts)], 0.5 * algorithm.prunes) for k in range(len(data))]
    with threads.at_a_time(most):
        return run(algorithm, data, by, rounds=3)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SOME_AS_ONE)
def test_the_same_bits_where_some_compute_as_one(name, kind, rng, monkeypatch):
    data = [Shard(interpolate(s.x.float(), EIGHT[1:]), s.y) for s in shards(rng, 8, 8, 3, 8, 8, 8, 8, 5)]
    at_work, together, activate = [0], [0], torch.nn.ReLU.forward

    def slow(self, x):
        time.sleep(3e-4)
        return activate(self, x)

    def counted(of, *given):
        gathered = gather(of, *given)
        at_work[0] = 0
        for team in gathered:
            at_work[0] += len(team.devices) > 1
            together[0] = max(together[0], at_work[0])
            yield team

    gather = crew.Crew._gathered
    monkeypatch.setattr(torch.nn.ReLU, "forward", slow)
    monkeypatch.setattr(crew, "MOST", 2)
    monkeypatch.setattr(crew.Crew, "_gathered", counted)
    with precision(kind):
        expected = small_cnn(name, data, 1)
        assert_same(small_cnn(name, data, 4), expected)
    assert together[0] >= (1 if name in ("fedavg", "splitfed-v1", "personalised") else 2)     # those take a group at a time


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
    assert 1 < most <= 3


def test_results_come_in_order_and_few_more_items_are_taken_than_are_computed():
    taken, done = [], []

    def items():
        for i in range(30):
            assert len(taken) - len(done) < 6
            taken.append(i)
            yield i

    def work(i):
        time.sleep(4e-3 * (i % 5 == 0))
        return i, threading.current_thread() is threading.main_thread(), torch.get_num_threads()

    torch.set_num_threads(2)
    try:
        with threads.at_a_time(3):
            for made in threads.each(work, items()):
                done.append(made)
        assert list(threads.each(work, range(2))) == [(i, True, 2) for i in range(2)]
    finally:
        torch.set_num_threads(1)
    assert done == [(i, False, 1) for i in range(30)]


def test_nobody_waits_for_the_first_while_others_could_begin():
    slow, ended = threading.Event(), []

    def work(i):
        if i == 0:
            assert slow.wait(5.0)                      # until the third of the others is done: three at a time, of up to six
        ended.append(i)
        if len(ended) == 3:
            slow.set()
        return i

    with threads.at_a_time(2):
        assert list(threads.each(work, range(9))) == list(range(9))


def test_an_error_comes_out_as_it_is_and_others_stop_at_their_next_pass(rng):
    net, x, passes = dozing("plain"), torch.from_numpy(rng.standard_normal((2, *SHAPE))), []
    weights = dict(net.named_parameters())

    def work(i):
        if i == 1:
            raise FloatingPointError(f"item {i}")
        for number in range(10_000):
            forward(net, weights, x)
            passes.append((i, number))

    with threads.at_a_time(3):
        with pytest.raises(FloatingPointError, match="item 1"):
            next(threads.each(work, [1, 0, 2, 3, 4, 5]))
        before = len(passes)
        assert before < 1000
        time.sleep(0.05)
        assert len(passes) == before
        assert list(threads.each(lambda i: forward(net, weights, x).out.shape[0], range(3))) == [2, 2, 2]


def test_work_within_such_work_goes_on_where_it_is():
    with threads.at_a_time(2):
        inner = list(threads.each(lambda i: list(threads.each(lambda j: (i, j, threading.get_ident()), range(3))), range(4)))
    assert [[(i, j) for i, j, _ in each] for each in inner] == [[(i, j) for j in range(3)] for i in range(4)]
    assert all(len({thread for *_, thread in each}) == 1 for each in inner)


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

