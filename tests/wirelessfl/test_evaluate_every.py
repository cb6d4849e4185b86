"""Models that are tested every so many rounds: the same run, with fewer scores."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

import wirelessfl as wfl
from wirelessfl import simulate
from wirelessfl.plot import accuracy_at
from wirelessfl.record import reached, rounds_table, smoothed

SMALL = ("cell.devices=3", "training.rounds=8", "training.model=mlp", "decision.pilot_rounds=4", "data.train=200", "data.test=50",
         "seeds=1", 'decision.policies=["joint"]', "training.target_accuracy=0.05")
SCORES = ["accuracy", "test_loss", "own_accuracy"]


def table(*settings):
    return rounds_table(simulate(wfl.load_scenario(overrides=[*SMALL, *settings]), "joint"))


@pytest.fixture(scope="module")
def each():
    return table()


@pytest.mark.parametrize(("every", "tested"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [2, 5, 7]), (4, [3, 7]), (99, [7])])
def test_scores_are_there_every_so_many_rounds_and_after_the_last_and_nothing_else_changes(each, every, tested):
    found = table(f"training.evaluate_every={every}")
    expected = each.copy()
    expected.loc[~expected["round"].isin(tested), SCORES] = np.nan
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_run_tested_now_and_then_leaves_one_row_a_round_and_its_pictures(tmp_path):
    summary = wfl.run(wfl.load_scenario(overrides=[*SMALL, "training.evaluate_every=3"]), tmp_path)
    rounds = pd.read_csv(tmp_path / "rounds.csv")
    assert rounds["accuracy"].notna().tolist() == [n in (2, 5, 7) for n in range(8)]
    assert summary["rounds"].item() == 6                        # with 5 rounds' smoothing the first test that can count
    assert np.isfinite(summary["final_accuracy"]).all()
    assert imread(tmp_path / "latency-accuracy.png").shape[0] > 400


def test_a_run_that_diverges_between_two_tests_ends_at_once(monkeypatch):
    """By its training loss; it is tested then, for it was the last round."""
    train = simulate.__globals__["train"]

    def broken(w, state, decision, done):
        state, (loss, up, down) = train(w, state, decision, done)
        return state, (np.nan if len(seen) == 1 else loss, up, down)

    monkeypatch.setitem(simulate.__globals__, "train", broken)
    seen = []
    for record in simulate(wfl.load_scenario(overrides=[*SMALL, "training.evaluate_every=5"]), "joint"):
        seen.append(record)
    assert [np.isfinite(r.accuracy) for r in seen] == [False, True]
    assert "training diverged in round 1" in seen[1].advice


def rounds_of(accuracy, status=None):
    number = len(accuracy)
    return pd.DataFrame({
        "policy": "a", "seed": 0, "round": range(number), "accuracy": accuracy, "status": status or ["optimal"] * number,
        "devices": 4, "left_out": 0, "lost": 0, "late": 0, "uplink_outages": 0, "downlink_outages": 0, "latency_s": 1.0,
        "elapsed_s": np.arange(1.0, number + 1), "spent_j": 2 * np.arange(1.0, number + 1)})


def test_the_mean_is_over_what_was_tested_in_the_last_rounds():
    accuracy = pd.Series([np.nan, 0.2, np.nan, 0.6, np.nan, 0.7])
    assert smoothed(accuracy, 3)[[1, 3, 5]].tolist() == pytest.approx([0.2, 0.4, 0.65])


def test_the_target_is_reached_in_a_round_that_was_tested():
    """0.9 is the mean of rounds 5 to 7 from round 6 on, and there is no test before round 7."""
    row = reached(rounds_of([np.nan, 0.1, np.nan, 0.3, np.nan, 0.9, np.nan, 0.95, np.nan, 0.5]), 0.9, 3).iloc[0]
    assert (row.rounds, row.time_s, row.energy_j, row.final_accuracy) == (8, 8.0, 16.0, pytest.approx((0.95 + 0.5) / 2))


def test_a_test_in_a_round_without_training_is_one_of_the_model_before():
    """Round 2 waits for better channels, and so does the last: what is tested there was trained in rounds 1 and 4."""
    status = ["optimal", "optimal", "waiting", "optimal", "optimal", "waiting"]
    rounds = rounds_of([np.nan, np.nan, 0.4, np.nan, np.nan, 0.8], status)
    row = reached(rounds, 0.5, 1).iloc[0]
    assert (row.rounds, row.time_s, row.final_accuracy) == (5, 5.0, 0.8)
    assert reached(rounds, 0.3, 1).iloc[0].rounds == 2


def test_rounds_that_waited_count_on_the_clock():
    """The target is reached in the third round that trained, which is the fourth of all."""
    rounds = rounds_of([0.1, 0.1, 0.2, 0.9], ["optimal", "waiting", "optimal", "optimal"])
    row = reached(rounds, 0.8, 1).iloc[0]
    assert (row.rounds, row.time_s) == (4, 4.0)


def test_curves_are_straight_between_tests():
    rounds, time = rounds_of([np.nan, 0.2, np.nan, 0.6]), np.array([0.0, 2.0, 3.0, 4.0, 9.0])
    assert accuracy_at(rounds, 1, time) == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.6])
