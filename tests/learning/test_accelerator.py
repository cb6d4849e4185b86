"""Rounds on another device than the processor, without one: on torch's "meta" device tensors have no values, so that whoever
mixes devices, or reads a value and so makes an accelerator wait, is caught."""

from dataclasses import replace

import pytest
import torch

from learning.algorithm import Plan, Round, Shard
from learning.crossing import Compression
from wirelessfl.build import ALGORITHMS
from wirelessfl.config import load
from wirelessfl.world import world

SMALL = ("cell.devices=3", "data.train=90", "data.test=30", "training.local_steps=2")
PRUNING = ("fedavg", "light-fedsl", "personalised")


class Read(Exception):
    """A value was asked for."""


@pytest.fixture
def nowhere(monkeypatch):
    """Torch's fused optimiser knows no meta device; the account of a round, where losses are read, raises."""
    for kind in (torch.optim.SGD, torch.optim.Adam):
        plain = kind.__init__
        monkeypatch.setattr(kind, "__init__", lambda self, *args, run=plain, **more: run(self, *args, **more | {"fused": False}))

    def of(links):
        assert any(link.losses for link in links)
        assert all(loss.device.type == "meta" for link in links for loss in link.losses)
        raise Read

    monkeypatch.setattr(Round, "of", of)


def away(w, cut):
    """The world's algorithm and data on the meta device."""
    if hasattr(w.algorithm, "auxiliaries"):
        w.algorithm.auxiliaries.at(cut).to("meta")
    w.net.to("meta")
    return w.algorithm, tuple(Shard(s.x.to("meta"), s.y.to("meta")) for s in w.shards)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_round_makes_all_its_tensors_where_the_network_is_and_reads_none(nowhere, algorithm, model):
    more = ("training.flip=true", "training.crop=1") if model == "cnn" else ()
    w = world(load(None, [*SMALL, *more, f"training.model={model}", f"training.algorithm={algorithm}"]), 0)
    cut = w.algorithm.cuts()[-1] if algorithm in ("fedavg", "personalised") else 1
    ratio = 0.3 if algorithm in PRUNING else 0.0
    small = Compression(4, 4, dropout=0.5) if algorithm == "light-fedsl" else None
    moved, shards = away(w, cut)
    plans = [Plan(cut, ratio, small), None, Plan(cut, ratio, small)]
    with pytest.raises(Read):
        moved.step(moved.init(3), shards, plans, w.streams())


def test_who_mixes_devices_or_reads_a_value_is_caught(nowhere):
    w = world(load(None, [*SMALL, "training.model=mlp", "training.algorithm=psl"]), 0)
    algorithm, shards = away(w, 1)
    with pytest.raises(RuntimeError, match="device"):
        algorithm.step(algorithm.init(3), w.shards, [Plan(1)] * 3, w.streams())
    state = algorithm.init(3)
    here = {name: torch.zeros_like(value, device="cpu") for name, value in state.model.items()}
    with pytest.raises(RuntimeError, match="device"):
        algorithm.step(replace(state, model=here), shards, [Plan(1)] * 3, w.streams())
    with pytest.raises(RuntimeError, match="meta"):
        state.model[next(iter(here))].sum().item()
