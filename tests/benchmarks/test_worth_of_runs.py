"""The prices that ``benchmarks.worth`` prints."""

import wirelessfl as wfl
from benchmarks import worth
from optim.fastest import least_deadline
from wirelessfl.prepare import FORECASTS


def test_prices_are_those_of_runs_of_channels_and_the_longest_round_is_among_them(monkeypatch):
    s = wfl.load_scenario(overrides=("cell.devices=3", "training.model=mlp", "decision.pilot_rounds=4", "data.train=100",
                                     "data.test=20"))
    w = wfl.world(s, 1)
    measured = wfl.measure(w)
    monkeypatch.setattr(worth, "scenario", lambda study, arm: s)
    monkeypatch.setattr(worth, "calibration", lambda study, arm: measured)
    found = worth.prices("digits", 1)
    assert found["least [s]"] < found["median [s]"] < found["highest [s]"]
    assert found["highest / least"] == found["highest [s]"] / found["least [s]"]
    gains = w.air.forecast(w.rng("forecast"), worth.RUNS * FORECASTS, w.knowledge, 0.0).up
    assert found["longest round [s]"] == float(least_deadline(wfl.problem(w, measured, gains)).max())
