"""Where networks and data are: one setting for all of a world, and draws that do not depend on it."""

import pytest
import torch
from test_precision import tensors

from learning.estimate import Auxiliaries
from wirelessfl import build
from wirelessfl.config import SettingsError, load
from wirelessfl.world import world

SMALL = ["cell.devices=3", "data.train=60", "data.test=40", "training.batch=8", "decision.pilot_rounds=3", "seeds=1"]
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def held(w):
    """All tensors of a world: data, shards, network, auxiliary networks, first state."""
    auxiliaries = [part for part in vars(w.algorithm).values() if isinstance(part, Auxiliaries)]
    parts = [w.net, *(made.at(1) for made in auxiliaries)]
    return [*tensors(w.data), *tensors(w.shards), *(v for part in parts for v in part.state_dict().values()),
            *tensors(w.algorithm.init(len(w.shards)))]


@pytest.mark.parametrize("where", ["cpu", pytest.param("cuda", marks=CUDA)])
@pytest.mark.parametrize("name", build.ALGORITHMS)
def test_all_tensors_of_a_world_are_on_its_device(name, where):
    w = world(load(None, [*SMALL, f"training.algorithm={name}", f"training.device={where}"]), 0)
    assert {v.device.type for v in held(w)} == {where}


def test_on_the_cpu_nothing_is_copied():
    s = load(None, SMALL)
    found = build.check(s)
    assert world(s, 0, found).data.x_train.data_ptr() == found.x_train.data_ptr()


@CUDA
def test_weights_and_shards_are_those_of_the_cpu():
    here, there = (world(load(None, [*SMALL, f"training.device={where}"]), 0) for where in ("cpu", "cuda"))
    for one, other in zip(held(here), held(there), strict=True):
        assert torch.equal(one, other.cpu())


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda0", "meta", "CPU"])
def test_an_unknown_device_gets_a_sentence(name):
    with pytest.raises(SettingsError, match=f"training.device must be cpu, cuda or cuda:N, N from 0, got '{name}'"):
        build.check(load(None, [*SMALL, f"training.device='{name}'"]))


@pytest.mark.parametrize(("name", "there"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there_gets_a_sentence(monkeypatch, name, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(SettingsError, match=f"training.device is '{name}', and torch .* sees {there} CUDA devices here: take"):
        build.check(load(None, [*SMALL, f"training.device='{name}'"]))
