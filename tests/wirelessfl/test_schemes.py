"""Published schemes as policies: their decisions are priced by our table, and are what their own solvers say."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import wirelessfl as wfl
from optim.allocation import Status
from optim.answer import at_full_power
from optim.problem import Deadline
from wirelessfl.__main__ import main
from wirelessfl.config import SettingsError, to_toml
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.pricing import problem
from wirelessfl.schemes import SHARE, SUBCHANNELS, epsl_descent, prune_kkt, unpruned
from wirelessfl.simulate import simulate

SMALL = ("cell.devices=4", "training.rounds=3", "training.model=mlp", "decision.pilot_rounds=6")


def place(*settings: str):
    s = wfl.load_scenario(overrides=(*SMALL, *settings))
    w = wfl.world(s, 0)
    return s, w, wfl.measure(w)


@pytest.fixture(scope="module")
def parallel():
    return place("training.algorithm=epsl")


@pytest.fixture(scope="module")
def personal():
    return place("training.algorithm=personalised")


def faded(w, measured, seed=0) -> Deadline:
    rng = np.random.default_rng(seed)
    return problem(w, measured, w.air.mean_gain * rng.standard_exponential(len(w.shards)))


@pytest.mark.parametrize(("where", "policy"), [("parallel", "epsl-descent"), ("personal", "prune-kkt")])
def test_a_scheme_runs_through_the_same_clock_and_keeps_the_band_and_the_power(where, policy, request):
    s, w, measured = request.getfixturevalue(where)
    for r in simulate(s, policy, 0, measured):
        a = r.allocation
        assert a.status is Status.OPTIMAL
        assert_allclose(r.latency, a.latency.max())
        assert a.bandwidth.sum() <= 4e6 * (1 + 1e-9)
        assert np.all(a.power <= w.hardware.peak_power * (1 + 1e-9))


def test_epsl_shares_out_whole_subchannels_at_one_cut_and_prunes_nothing(parallel):
    _, w, measured = parallel
    p = faded(w, measured)
    found = epsl_descent(p)
    assert_allclose(found.bandwidth * SUBCHANNELS / p.band, np.round(found.bandwidth * SUBCHANNELS / p.band), atol=1e-9)
    assert_allclose(found.bandwidth.sum(), p.band)
    assert len(set(found.option)) == 1
    assert np.all(found.ratio == 0)


def test_epsl_is_no_faster_than_a_continuous_band_and_near_it(parallel):
    """Whole subchannels are a restriction of the band, so the fastest unpruned round of our own bounds the descent from below."""
    _, w, measured = parallel
    for seed in range(5):
        p = faded(w, measured, seed)
        found = epsl_descent(p)
        least = wfl.least_deadline(p.of(found.option))
        assert least * (1 - 1e-6) <= found.latency.max() <= 1.3 * least


def test_a_decision_of_a_scheme_is_read_off_the_table_of_costs(parallel):
    _, w, measured = parallel
    p = faded(w, measured)
    found = epsl_descent(p)
    loud = at_full_power(p, replace(found, power=np.zeros_like(found.power)))
    full = np.isclose(found.power, loud.power)
    assert full.any()
    assert_allclose(found.latency[full], loud.latency[full])
    assert_allclose(found.energy[full], loud.energy[full])


def test_pruning_meets_its_threshold_and_no_device_prunes_that_need_not(personal):
    _, w, measured = personal
    p = faded(w, measured)
    mean = float(unpruned(p))
    found = prune_kkt(p, 0.0, mean)
    limit = max(SHARE * mean, float(wfl.least_deadline(p)))
    assert np.all(found.latency <= limit * (1 + 1e-3))
    pruned = found.ratio > 1e-6
    assert pruned.any()
    assert_allclose(found.latency[pruned & (found.ratio < p.prune_max[:, 0] - 1e-6)], limit, rtol=1e-3)


def test_with_time_for_all_nobody_is_pruned(personal):
    _, w, measured = personal
    p = faded(w, measured)
    assert np.all(prune_kkt(p, 1.01 * float(unpruned(p)), 0.0).ratio < 1e-9)


def test_a_threshold_of_the_scenario_that_no_pruning_keeps_is_infeasible(personal):
    _, w, measured = personal
    p = faded(w, measured)
    found = prune_kkt(p, 0.5 * float(wfl.least_deadline(p)), 0.0)
    assert found.status is Status.BAND
    assert found.objective == np.inf
    assert not found.bandwidth.any()


def test_light_fixed_prunes_all_alike_at_one_cut_in_equal_bands():
    s, _, measured = place("training.update_bits=8", "training.dropout=0.25")
    r = next(simulate(s, "light-fixed", 0, measured))
    assert len(set(r.cut)) == 1
    assert_allclose(r.allocation.ratio, np.minimum(0.3, max(measured.ratio_max)))
    assert_allclose(r.allocation.bandwidth, 4e6 / 4)
    assert {(c.update_bits, c.smashed_bits, c.dropout) for c in r.compression} == {(8, 32, 0.25)}


def test_a_scheme_is_refused_where_it_has_no_meaning(parallel, personal):
    _, w, measured = parallel
    with pytest.raises(SettingsError, match="send models and nothing else"):
        prune_kkt(faded(w, measured), 0.0, 1.0)
    late = wfl.load_scenario(overrides=(*SMALL, "training.algorithm=personalised", "decision.every=2"))
    with pytest.raises(SettingsError, match=r"decision\.every"):
        prepare(POLICIES["prune-kkt"], wfl.world(late, 0), personal[2])


@pytest.mark.parametrize("command", ["run", "solve", "sweep"])
@pytest.mark.parametrize(("settings", "sentence"), [
    (("training.algorithm=epsl",), "send models and nothing else"),
    (("training.algorithm=light-fedsl", "decision.splits=[2]", "decision.update_bits=[4, 8]"), "close decision.update_bits"),
    (("training.algorithm=personalised", "decision.every=2"), "decision.every and training.interval 1")])
def test_a_scheme_that_has_no_meaning_is_refused_before_any_work(tmp_path, monkeypatch, capsys, command, settings, sentence):
    monkeypatch.setattr("wirelessfl.known.measure", lambda w: pytest.fail("a pilot was run"))
    settings = (*SMALL, *settings, 'decision.policies=["prune-kkt", "joint"]')
    given = [f"--set={each}" for each in settings]
    if command == "sweep":
        (tmp_path / "mine.toml").write_text(to_toml(wfl.load_scenario(overrides=settings)))
        (tmp_path / "lr.toml").write_text('scenario = "mine.toml"\n[grid]\n"training.lr" = [0.1]\n')
        given = [str(tmp_path / "lr.toml")]
    out = [] if command == "solve" else ["--out", str(tmp_path / "out")]
    assert main([command, *given, *out]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_energy_for_it_a_decision_is_infeasible_and_says_so(parallel):
    _, w, measured = parallel
    p = faded(w, measured)
    assert epsl_descent(replace(p, energy_budget=np.array(1e-12))).status is Status.ENERGY
    assert epsl_descent(p, deadline=1e-6).status is Status.DEADLINE
