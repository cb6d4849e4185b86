"""The two sides of ``benchmarks.training`` do the same mathematics."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import training, training_cases
from benchmarks.training_cases import CASES
from benchmarks.training_guided import align as plain_align
from benchmarks.turns import seconds
from learning import params
from learning.algorithm import Streams
from learning.estimate import Samples, align
from learning.models import cnn
from learning.optimiser import adam

torch.set_num_threads(1)


def normed(shape, classes):
    """Batch norm on both sides of a cut behind the first block."""
    return nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
                         nn.Sequential(nn.Flatten(), nn.Linear(144, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU()),
                         nn.Sequential(nn.Linear(8, classes)))


NAMES = ("fedavg-cnn-10", "splitfed-v1-cnn-10", "splitfed-v1-resnet", "splitfed-v2-resnet", "cse-fsl-resnet", "fsl-sage-resnet")
SMALL = [CASES[name]._replace(make=make, shape=(1, 8, 8), devices=3, batch=8, steps=6, cut=cut)
         for make, cut in ((cnn, 2), (normed, 1)) for name in NAMES]


class Replayed:
    """The batches that our algorithms draw."""

    def __init__(self, case, shards):
        self.training, self.shards, self.asked, self.rounds = training_cases.training(case), shards, Counter(), -1

    @property
    def sizes(self):
        return [len(shard) for shard in self.shards]

    def batches(self, device):
        self.asked[device] += 1
        return self.training.batches(self.shards[device], Streams().draws(self.asked[device] - 1, device))

    def order(self):
        self.rounds += 1
        return Streams().order(self.rounds, range(len(self.shards)))


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.algorithm}, {case.make.__name__}, {case.optimiser}")
def test_the_plain_loop_and_ours_reach_the_same_averaged_model(case):
    shards, schedule = training_cases.shards(case), {}
    if case.algorithm == "FSL-SAGE":
        schedule = {"align_every": 2, "align_steps": 4}
    ours, plain = training_cases.ours(case, shards, **schedule), training_cases.plain(case, Replayed(case, shards), **schedule)
    start = params.values(training_cases.network(case))
    apart = 1e-5 if case.optimiser == "SGD" else 1e-4                                   # a tenth of a step of Adam's
    for _ in range(2):
        expected, found = plain(), ours()
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=apart)
    assert all((found[name] - start[name]).abs().max() > 1e-3 for name in found)        # it was a real journey


def test_the_plain_alignment_and_ours_reach_the_same_auxiliary_network():
    case = CASES["fsl-sage-resnet"]._replace(make=cnn, shape=(1, 8, 8), cut=2)
    net = training_cases.network(case)
    guide = training_cases.auxiliaries(case, net).at(case.cut)
    smashed, y = torch.randn(20, 16, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
    found = align(guide, params.values(guide), net[2:], params.values(net), Samples(smashed, y), steps=10, optimiser=adam(1e-3))
    losses = plain_align(guide, net[2:], (smashed, y), 10)
    assert losses[-1] < losses[0]
    for name, value in guide.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5)


def test_a_row_tells_the_time_of_either_side_and_its_ratio():
    rows = list(training.compared("fedavg-mlp-100", training.Asked(quick=True, repeats=2)))
    assert [(row.case, row.what, row.unit, row.target) for row in rows] == [("fedavg-mlp-100", "a round", "s", 5.0)]
    assert rows[0].other > 0
    assert rows[0].ratio == pytest.approx(rows[0].other / rows[0].ours, abs=1e-3)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from /proc, which is Linux's")
@pytest.mark.parametrize("megabytes", [64, 256])
def test_the_peak_is_what_a_round_held_at_most(megabytes):
    """In a process of its own: memory that tests before this one let go of would be taken again, and not be seen."""
    code = ("import torch; from benchmarks.training_memory import peak; "
            f"print(peak(lambda: torch.ones({megabytes}, 1 << 18).sum()))")
    found = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert 0.9 * megabytes * 2**20 < found < (megabytes + 40) * 2**20


def test_sides_take_turns_and_the_first_turn_does_not_count():
    done = []
    times = seconds([lambda: done.append("plain"), lambda: done.append("ours")], 3)
    assert done == ["plain", "ours"] * 4
    assert len(times) == 2
    assert all(t >= 0 for t in times)
