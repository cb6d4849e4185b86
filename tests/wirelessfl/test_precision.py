"""bfloat16 in matrix products and convolutions: what is remembered, averaged, sent and counted is as it was."""

import dataclasses
import math

import pytest
import torch
from torch.testing import assert_close

from learning.algorithm import Plan
from learning.precision import precision
from wirelessfl.build import ALGORITHMS
from wirelessfl.config import load
from wirelessfl.simulate import simulate
from wirelessfl.world import world

SMALL = ["cell.devices=3", "data.train=90", "data.test=60", "training.rounds=3", "training.batch=16", "decision.pilot_rounds=3",
         "training.local_steps=2", "training.optimiser=adam", "training.lr=0.01", "seeds=1"]
QUANTISED = ["training.update_bits=8", "training.smashed_bits=4", "training.cut_bits=4", "training.dropout=0.3"]
CASES = [*((name, []) for name in ALGORITHMS), ("light-fedsl", QUANTISED),
         ("light-fedsl", [*QUANTISED[:3], "training.dropout=0.3", "training.dropout_kind=feature", "training.scales=channel"])]


def trained(name, settings, kind, rounds=3, model="cnn"):
    """The last state, and what each round reported."""
    w = world(load(None, [*SMALL, *settings, f"training.algorithm={name}", f"training.model={model}"]), 0)
    ratio = 0.3 if w.algorithm.prunes else 0.0
    plans = [Plan(w.algorithm.cuts()[0], ratio)] * len(w.shards)
    state, reports = w.algorithm.init(len(w.shards)), []
    for _ in range(rounds):
        with precision(kind):
            state, report = w.algorithm.step(state, w.shards, plans, w.streams())
        reports.append(report)
    return w, state, reports


def tensors(value):
    """All tensors of a state."""
    if isinstance(value, torch.Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        return tensors([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, dict):
        return tensors(list(value.values()))
    return [found for each in value for found in tensors(each)] if isinstance(value, tuple | list) else []


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_every_algorithm_steps_in_bfloat16_and_remembers_in_float32(name, settings):
    _, state, reports = trained(name, settings, "bfloat16")
    assert all(math.isfinite(loss) for report in reports for loss in report.loss)
    floats = [v for v in tensors(state) if v.is_floating_point()]
    assert {v.dtype for v in floats} == {torch.float32}
    assert all(bool(v.isfinite().all()) for v in floats)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_same_seed_gives_the_same_bits_in_bfloat16(name, settings):
    (w, one, _), (_, two, _) = (trained(name, settings, "bfloat16", rounds=2) for _ in range(2))
    for first, second in zip(w.algorithm.models(one), w.algorithm.models(two), strict=True):
        assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_air_carries_as_many_bits_in_bfloat16(name):
    """And the losses are those of float32, but for the rounding of 8 significant bits."""
    (_, _, plain), (_, _, short) = (trained(name, [], kind) for kind in ("float32", "bfloat16"))
    assert [report.traffic for report in plain] == [report.traffic for report in short]
    assert plain[-1].loss != short[-1].loss
    assert short[0].loss == pytest.approx(plain[0].loss, rel=0.03)


def test_a_step_after_a_step_sees_the_weights_that_moved():
    """A cast that was kept from the first step would give the second one the old weights."""
    weight, x = torch.ones(2, 2), torch.ones(1, 2)
    with precision("bfloat16"):
        before = torch.nn.functional.linear(x, weight.requires_grad_())
        with torch.no_grad():
            weight.add_(1)
        after = torch.nn.functional.linear(x, weight)
    assert before.dtype == torch.bfloat16
    assert after.tolist() == [[4.0, 4.0]]


def test_float32_changes_nothing_and_other_words_get_a_sentence():
    with precision("float32"):
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).dtype == torch.float32
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, got 'float8'"), precision("float8"):
        pass


def test_double_precision_stays_double():
    with precision("bfloat16"):
        assert torch.nn.functional.linear(torch.ones(1, 2).double(), torch.ones(2, 2).double()).dtype == torch.float64


def test_a_scenario_is_piloted_and_trained_in_its_precision():
    plain, short, again = (list(simulate(load(None, [*SMALL, f"training.precision={kind}"]), "joint"))
                           for kind in ("float32", "bfloat16", "bfloat16"))
    assert [r.train_loss for r in short] == [r.train_loss for r in again]
    assert [r.train_loss for r in short] != [r.train_loss for r in plain]
    assert short[0].train_loss == pytest.approx(plain[0].train_loss, rel=0.03)
    assert [r.test_loss for r in short] == pytest.approx([r.test_loss for r in plain], rel=0.1)
