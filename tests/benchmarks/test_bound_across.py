"""What of a bias goes against the gradient, and what across it."""

import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn.functional import cross_entropy

from benchmarks.bound_across import of_lever, parts
from benchmarks.bound_runs import Pull, ratios
from learning import params
from learning.probe import Probe
from wirelessfl.config import load
from wirelessfl.world import world


@pytest.fixture(scope="module")
def task():
    small = ("training.model=mlp", "data.train=120", "data.test=60", "cell.devices=3", "training.lr=0.05")
    w = world(load(None, list(small)), 0)
    probe = Probe(w.net, params.values(w.net), w.shards, [len(s) for s in w.shards])
    return w, probe, probe.mean(probe.weights)


@pytest.mark.parametrize("half", [False, True])
def test_what_pruning_misses_is_counted_as_by_hand(task, half):
    """Half of the smallest weights of the first layer are zero, and get no gradient, on all devices or on some."""
    w, probe, slope = task
    name, weight = next((n, v) for n, v in probe.weights.items() if v.ndim == 2)
    pull, sent = Pull("", params.block_of(name) + 1, ratio=0.5, half=half), {}
    smallest = (weight.abs() > weight.abs().flatten().kthvalue(weight.numel() // 2).values).float()
    for shard, share, ratio in zip(w.shards, w.weights, ratios(w, pull), strict=True):
        kept = smallest if ratio else torch.ones(())
        leaves = {n: (v * kept if n == name else v).clone().requires_grad_() for n, v in probe.weights.items()}
        loss = cross_entropy(torch.func.functional_call(w.net, leaves, (shard.x,)), shard.y)
        for n, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            sent[n] = sent.get(n, 0) + float(share) * (g * kept if n == name else g)
    missing = {n: slope[n] - g for n, g in sent.items()}
    against, squared = parts(w, probe, slope, pull, 0)
    assert_allclose([against, squared], [params.dot(slope, missing), params.squared_norm(missing)], rtol=1e-4)
    assert 0 < squared != against


def test_what_is_sent_whole_misses_nothing_and_what_is_dropped_differs_from_draw_to_draw(task):
    w, probe, slope = task
    assert_allclose(parts(w, probe, slope, Pull("dropout", 2), 0), 0, atol=1e-6)
    one, other = (parts(w, probe, slope, Pull("dropout", 2, dropout=0.5), seed) for seed in (0, 1))
    assert one != other
    assert parts(w, probe, slope, Pull("dropout", 2, dropout=0.5), 0) == one


def test_a_lever_whose_runs_go_by_what_is_across_is_ranked_by_its_square():
    squared = pd.Series([0.1, 0.2, 0.4])
    runs = pd.DataFrame({"ratio": [0.1, 0.2, 0.3], "lever": "pruning", "cut": 2, "update_bits": 32, "smashed_bits": 32}).assign(
        dropout=0.0, interval=1, absent=0.0, same=False, half=False, seed=0, against=0.3 - squared / 2, squared=squared,
        sampling=0.0, relative_noise=0.0, relative=0.0, constants=0.0, base=10.0, rounds=50, slower=1 / (1 - squared))
    rows = [line.split(" | ") for line in of_lever("pruning", runs)[1:]]
    assert [row[3] for row in rows] == ["-1.00", "-1.00", "1.00", "1.00"]
    assert rows[-1][6:8] == ["1.00", "1.00"]
