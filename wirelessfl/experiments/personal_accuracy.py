"""Accuracy of pruned personalisation against round, with and without personalisation, and against time.

Answers the paper's figures of accuracy for fixed ratios rho and the optimised rho*. Accuracy is that on classes mixed as in a
device's own data. (a) With personalisation the classifier stays on the device; (b) without, all of the network is averaged: that
is pruned FedAvg. (c) As (a), on the clock of the cell: unpruned in equal bands and in the best bands, with the paper's rho* and
B*, and with our own joint decision, which weighs time against the measured bias of pruning.

Reconstructed: the threshold of rho*, not known, is half the mean time of an unpruned round in equal bands (the paper claims
about half), or the shortest that all devices can keep; pruned are, in each layer, the weights that differ least between a device
and the average (``learning/algorithms/personalised.py``). Fixed ratios have no clock. The target is a share of what rho = 0 ends
with.
"""

from typing import Any

import numpy as np
import pandas as pd

from wirelessfl import style
from wirelessfl.closing import spread
from wirelessfl.config import load
from wirelessfl.experiments import personal_scene as scene
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.experiments.runs import simulated, trained
from wirelessfl.record import smoothed

TARGET, SMOOTHING = 0.95, 3                # share of the last accuracy of rho = 0 [1]; tests that an accuracy is the mean of
_ALL = {"ratios": [0.3, 0.5, 0.7]}
KNOBS = {
    "small": scene.DIGITS | _ALL | {"ratios": [0.5], "rounds": 4, "every": 2, "seeds": 1},
    "quick": scene.TASK | _ALL | {"rounds": 48, "every": 4, "seeds": 3},
    "full": scene.PAPER | _ALL | {"rounds": 200, "every": 5, "seeds": 5}}
POLICY = {scene.PLAIN: "equal", scene.BANDS: "no-pruning", scene.ADAPTIVE: "prune-kkt", scene.OURS: "joint"}
TITLE = {1: "(a) personalised", 0: "(b) not personalised"}
NAME = {scene.PLAIN: "ρ = 0 (c: equal bands)", scene.ADAPTIVE: "ρ* (c: with B*)", scene.BANDS: "ρ = 0, best bands",
        scene.OURS: "joint (ours)"}


def cells(knobs: Knobs) -> list[Cell]:
    """A training for each method and seed; ``personal`` is 1 with personalisation."""
    kept: Knobs = {name: knobs[name] for name in ("rounds", "every")}
    found: list[Cell] = []
    for personal in (1, 0):
        clocks = (scene.PLAIN, scene.ADAPTIVE) + (scene.BANDS, scene.OURS) * personal
        more = [f"training.{name}={value}" for name, value in (
            ("personal", personal), ("rounds", knobs["rounds"]), ("evaluate_every", knobs["every"]))]
        for method in (*clocks, *(f"{ratio:g}" for ratio in knobs["ratios"])):
            found += [{**kept, "personal": personal, "method": method, "seed": seed, "settings": scene.settings(knobs, *more)}
                      for seed in range(knobs["seeds"])]
    return found


def rows(cell: Cell) -> list[dict[str, Any]]:
    """A row each test; ``time_s`` is NaN for a fixed ratio, ``up_bytes`` is of all devices since the start."""
    if cell["method"] in POLICY:
        found, devices = simulated(cell["settings"], POLICY[cell["method"]], cell["seed"]), 1
    else:
        devices = load(None, cell["settings"]).cell.devices                      # of each of them, traffic is the mean
        found = trained(cell["settings"], cell["seed"], cut=1, ratio=float(cell["method"]), rounds=cell["rounds"],
                        tests=cell["rounds"] // cell["every"])
    return [{"round": r["round"], "time_s": r.get("time_s", np.nan), "accuracy": r["accuracy"],
             "own_accuracy": r["own_accuracy"], "up_bytes": devices * r["up_bytes"]} for r in found]


def draw(table: pd.DataFrame) -> Any:
    """Own accuracy against round, with personalisation and without, and against time."""
    figure, axes = style.panels(1, 3, width=style.PAGE, height=2.2)
    fixed = sorted(set(table["method"]) - set(POLICY))
    look = scene.LOOK | {method: scene.FIXED[number % len(scene.FIXED)] for number, method in enumerate(fixed)}
    there = [scene.PLAIN, *fixed, scene.ADAPTIVE]
    for ax, personal in zip(axes[0], TITLE, strict=False):
        for method in there:
            run = table[(table["personal"] == personal) & (table["method"] == method)]
            style.over_seeds(ax, run, "round", "own_accuracy", label=NAME.get(method, f"ρ = {method}"), marks=6,
                             **look[method])
        ax.set(xlabel=f"{TITLE[personal]}: round")
    clocked = table[table["personal"] == 1].dropna(subset="time_s")
    clocked = clocked.assign(time_s=clocked.groupby(["method", "round"])["time_s"].transform("mean"))
    for method in POLICY:
        style.over_seeds(axes[0, 2], clocked[clocked["method"] == method], "time_s", "own_accuracy", marks=6, **look[method])
    for method in (scene.BANDS, scene.OURS):
        axes[0, 0].plot([], [], label=NAME[method], **look[method])
    axes[0, 2].set(xlabel="(c) personalised: time [s]")
    axes[0, 0].set(ylabel="accuracy on own classes [1]")
    style.legend(figure, axes[0, 0], columns=4)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Last accuracy, a round's time and the time to the target of each method; differences and ratios to rho = 0 seed by seed."""
    runs = ["personal", "method", "seed"]
    table = table.assign(smooth=table.groupby(runs)["own_accuracy"].transform(smoothed, SMOOTHING))
    plain = dict(table[table["method"] == scene.PLAIN].groupby(["personal", "seed"])["smooth"].last().items())
    each = pd.DataFrame([{"personal": personal, "method": method, "seed": seed, **_run(run, TARGET * plain[personal, seed])}
                         for (personal, method, seed), run in table.groupby(runs, sort=False)])
    where = pd.MultiIndex.from_frame(each[["personal", "seed"]])
    base = each[each["method"] == scene.PLAIN].set_index(["personal", "seed"]).loc[where].reset_index()
    each = each.assign(points=100 * (each["last"] - base["last"]), **{
        f"{name}_ratio": each[name] / base[name] for name in ("round_s", "time_s", "bytes")})
    return pd.DataFrame([{
        "personal": personal, "method": method, "last accuracy": _spread(run["last"]),
        "above ρ = 0 [points]": _spread(run["points"]), "round [s]": _spread(run["round_s"]),
        "round / ρ = 0": _spread(run["round_s_ratio"]), "sent / ρ = 0": _spread(run["bytes_ratio"]),
        "rounds to target": _spread(run["rounds"]), "reached": f"{run['rounds'].notna().sum()}/{len(run)}",
        "time to target / ρ = 0": _spread(run["time_s_ratio"])}
        for (personal, method), run in each.groupby(["personal", "method"], sort=False)])


def _run(run: pd.DataFrame, target: float) -> dict[str, float]:
    """What a training came to; NaN, where it never reaches the target, or has no clock."""
    last, there = run.iloc[-1], run[run["smooth"] >= target][["round", "time_s"]]
    rounds, time = there.iloc[0] if len(there) else (np.nan, np.nan)
    return {"last": last["smooth"], "round_s": last["time_s"] / last["round"], "bytes": last["up_bytes"], "rounds": rounds,
            "time_s": time}


def _spread(values: pd.Series) -> str:
    """Mean and standard deviation of what there is."""
    return spread(values.dropna()) if values.notna().any() else ""


FIGURE = Figure(
    "personal-accuracy", "personalised", "What do pruning and personalisation do to the accuracy on a device's own classes?",
    "Personalisation helps on non-IID data, and with optimised pruning the accuracy is comparable to that without pruning, at "
    "about 50 % less computation and communication latency.",
    {"small": 0.1, "quick": 5.0, "full": 900.0}, KNOBS, cells, rows, draw, findings)
