"""Predicted against measured rounds: what ``benchmarks.bound`` counts and compares."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from benchmarks import bound_report
from benchmarks.bound import CELL, Study, cells, goals, lost, parted, pulls, run, together
from benchmarks.bound_runs import Pull, averaged, measured, models, present, ratios
from benchmarks.bound_truth import Case, compared, square
from learning.algorithm import Plan
from wirelessfl.config import load
from wirelessfl.world import world

SMALL = ("training.model=mlp", "data.train=120", "data.test=60", "cell.devices=3", "training.lr=0.05")
STUDY = Study(SMALL, (0,), (Pull(), Pull("pruning", ratio=0.5)), 12, 2, (0.5, 0.9), (1.0,))


@pytest.fixture(scope="module")
def task():
    return world(load(None, list(SMALL)), 0)


def rounds_of(w, interval, rounds, ratio=0.0):
    algorithm, streams = replace(w.algorithm, interval=interval), w.streams()
    state = algorithm.init(len(w.shards))
    for _ in range(rounds):
        state, _ = algorithm.step(state, w.shards, [Plan(2, ratio)] * len(w.shards), streams)
    return algorithm, state


def test_the_averaged_model_is_the_one_that_serves_right_after_an_averaging(task):
    algorithm, state = rounds_of(task, 3, 3)
    (served,) = algorithm.models(state)
    for name, value in averaged(state, task.weights.tolist()).items():
        assert torch.equal(value, served[name])


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_one_round_after_an_averaging_it_is_what_averaging_now_would_give(task, ratio):
    """Gradients of the first round are taken at the common model, whoever averages when."""
    _, seldom = rounds_of(task, 4, 1, ratio)
    _, at_once = rounds_of(task, 1, 1, ratio)
    for name, value in averaged(seldom, task.weights.tolist()).items():
        assert_allclose(value, at_once.model[name], atol=1e-6)


def test_the_averaged_model_moves_between_averagings_and_the_one_that_serves_does_not(task):
    _, state = rounds_of(task, 4, 2)
    now, first = averaged(state, task.weights.tolist()), "0."
    names = [name for name in now if name.startswith(first) or name.startswith("1.")]
    assert all(torch.equal(state.model[name], state.base[name]) for name in names)
    assert any(not torch.equal(now[name], state.base[name]) for name in names)


def test_a_goal_is_reached_when_the_mean_of_the_last_tests_is():
    study = replace(STUDY, every=2, accuracies=(0.5,), losses=(1.0,))
    scores = [(accuracy, 3.0) for accuracy in (0.0, 0.9, 0.4, 0.4, 0.4, 0.4)]      # means of 5: .42, .5
    assert goals(study, scores) == {"accuracy 0.5": 12, "loss 1.0": math.inf}
    assert goals(study, ())["accuracy 0.5"] == goals(study, scores[:4])["accuracy 0.5"] == math.inf    # too few tests


def test_a_run_ends_with_its_last_goal_or_when_it_is_given_up(task):
    easy = run(task, Pull(), replace(STUDY, accuracies=(0.0,), losses=(100.0,)))
    assert easy["rounds"] == easy["accuracy 0.0"] == 10                            # five tests, one every other round
    hard = run(task, Pull(), replace(STUDY, accuracies=(1.1,), losses=()))
    assert hard["rounds"] == 12
    assert hard["accuracy 1.1"] == math.inf


def test_a_cell_in_the_table_is_not_run_again(tmp_path):
    path = tmp_path / "study.csv"
    pd.DataFrame([(*vars(STUDY.pulls[1]).values(), 0)], columns=CELL).to_csv(path, index=False)
    assert list(cells(STUDY, 0, path)) == [STUDY.pulls[0]]
    assert list(cells(STUDY, 1, path)) == list(STUDY.pulls)


def test_pulls_are_counted_by_hand():
    some = pulls((1, 2), (0.5,), (2,), (2, 4), (1,), (0.5,), (4, 8), (0.4, 0.6))
    assert len(some) == len(set(some)) == 1 + 2 + 2 + 1 + 1 + 2 + 2 + 2
    assert some[0] == Pull()


def test_levers_that_are_pulled_together_are_two_or_more():
    some = together((2, 4), (0.0, 0.2), (32, 4), (0.0, 0.25), (1, 4))
    assert len(some) == len(set(some)) == 2 * (2**4 - 1 - 4)
    assert {(p.lever, p.half) for p in some} == {("together", False)}


def test_half_of_the_devices_prune_and_the_loss_is_the_sum_of_theirs(task):
    """Of three devices two, the same in all rounds and for all ratios."""
    half, whole = Pull("half pruned", ratio=0.5, half=True), Pull("pruning", ratio=0.5)
    found = measured(task, [half], 6)
    pruned = ratios(task, half)
    assert sorted(pruned) == [0.0, 0.5, 0.5]
    assert_allclose(ratios(task, replace(half, ratio=0.3)), 0.6 * pruned)
    share = task.weights[pruned > 0].sum()
    assert_allclose(lost(task, found, half)["relative"], share * lost(task, found, whole)["relative"])
    algorithm, state = task.algorithm, task.algorithm.init(3)
    state, _ = algorithm.step(state, task.shards, [Plan(2, float(ratio)) for ratio in pruned], task.streams())
    after = next(islice(models(task, half), 1, 2))[0]
    assert all(torch.equal(value, algorithm.models(state)[0][name]) for name, value in after.items())
    assert half in parted([half])[0]


def test_what_no_lever_loses_is_nothing_and_each_lever_is_a_cause_of_its_own(task):
    each = {"noise": Pull("update bits", update_bits=3), "pruning": Pull("pruning", ratio=0.5),
            "drift": Pull("interval", interval=4)}
    found = measured(task, list(each.values()), 6)
    assert lost(task, found, Pull())["relative"] == lost(task, found, Pull())["constants"] == 0
    for cause, pull in each.items():
        row = lost(task, found, pull)
        for form in bound_report.FORMS:
            assert row[form] == row[f"{form}_{cause}"] > 0


def test_intervals_go_by_what_drift_takes_to_first_order_and_bounds_by_its_square(task):
    pull = Pull("interval", interval=4)
    found = measured(task, [pull], 6)
    first, squared = (getattr(found, name)[0][found.interval_number(4)] for name in ("misalignment", "drift"))
    row = lost(task, found, pull)
    assert_allclose([row["relative_drift"], row["squared_drift"]], (1 + row["sampling"]) * np.array([first, squared]))
    assert 0 < squared != first > 0
    bound = compared(task, found, pull, Case(SMALL, 4, 3, (0,)))
    assert_allclose(bound["relative_drift"] / bound["relative"], squared)


def test_who_is_absent_is_drawn_anew_in_each_round_or_never_and_only_they_learn_nothing(task):
    """Of three devices one is away; what it costs is a cause of its own, and the loss is that of who is there."""
    one, same = Pull("absence", absent=0.34), Pull("the same absent", absent=0.34, same=True)
    sets = [[tuple(present(task, pull, number)) for number in range(20)] for pull in (one, same)]
    assert {sum(who) for some in sets for who in some} == {2}
    assert len(set(sets[0])) == 3
    assert len(set(sets[1])) == 1
    found = measured(task, [Pull()], 6)
    row = lost(task, found, one)
    assert row["relative"] == row["relative_absence"] == row["constants_absence"] > 0
    _, after = islice(models(task, same), 2)
    algorithm, state = task.algorithm, task.algorithm.init(3)
    plans = [Plan(2) if there else None for there in sets[1][0]]
    state, told = algorithm.step(state, task.shards, plans, task.streams())
    (served,) = algorithm.models(state)
    assert all(torch.equal(value, served[name]) for name, value in after[0].items())
    there = np.array(sets[1][0])
    assert_allclose(after[1], np.average(np.array(told.loss)[there], weights=task.weights[there]))


def test_the_bound_of_a_truth_cell_is_the_sum_of_its_causes_and_the_measured_gradient_is_of_all_data(task):
    found = measured(task, [Pull()], 4, 10**6)
    row = compared(task, found, Pull(), Case(SMALL, 4, 3, (0,)))
    model = next(models(task, Pull()))[0]
    x, y = task.data.x_train, task.data.y_train
    leaves = {name: value.clone().requires_grad_() for name, value in model.items()}
    loss = torch.nn.functional.cross_entropy(torch.func.functional_call(task.net, leaves, (x,)), y)
    by_hand = sum(float((g**2).sum()) for g in torch.autograd.grad(loss, list(leaves.values())))
    assert_allclose(square(task, model), by_hand, rtol=1e-4)
    causes = [value for name, value in row.items() if name.startswith("relative_")]
    assert_allclose(row["relative"], sum(causes))


def table(slower, phi):
    """Runs of one lever, with R_0 = 10 rounds."""
    rows = [{"lever": "none", "slower": 1.0, "relative": 0.0}]
    rows += [{"lever": "pruning", "slower": s, "relative": p} for s, p in zip(slower, phi, strict=True)]
    made = pd.DataFrame(rows)
    return made.assign(cut=1, ratio=np.arange(len(made)) / 10, update_bits=32, smashed_bits=32, dropout=0.0, interval=1,
                       absent=0.0, same=False, half=False, seed=0, rounds=50,
                       constants=made["relative"], squared=made["relative"], **{"accuracy 0.9": 10 * made["slower"]})


def test_a_forecast_that_is_right_has_rank_one_and_no_error_and_its_exponent_is_found():
    phi = np.array([0.1, 0.3, 0.5])
    some = bound_report.slowed(table((1 - phi) ** -0.5, phi), "accuracy 0.9")
    assert_allclose(bound_report.gamma(some, "relative")[0], 0.5)
    found = bound_report.compared(some, "relative", 0.5)
    assert_allclose([found["by_run"], found["by_setting"], found["fitted"]], 1.0)
    assert_allclose(found["over"], 0.7**0.5)                                       # the median of what was a square too much


def test_a_run_that_never_arrives_ranks_last_and_has_no_error():
    some = bound_report.slowed(table([1.2, np.inf, 1.5], [0.1, 0.9, 1.4]), "accuracy 0.9")
    found = bound_report.compared(some, "relative", 1.0)
    assert (found["never"], found["finite"], found["too_bold"], found["too_cautious"]) == (1, 1, 0, 1)   # 100 of 50 rounds
    sooner = bound_report.slowed(table([np.inf], [0.75]), "accuracy 0.9")
    assert bound_report.compared(sooner, "relative", 1.0)["too_bold"] == 1                              # 40 of 50
    assert_allclose(found["by_run"], 0.5)                                          # ranks 1, 3, 2 beside 1, 2, 3
