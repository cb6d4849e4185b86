"""The plots of a report that stand as they are, as plotly's JSON: plain values, which the browser draws.

What a reader turns, the Gantt chart and the allocations, is drawn in the browser from ``wirelessfl.report.devices``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wirelessfl.plot import accuracy_at
from wirelessfl.report import looks
from wirelessfl.report.runs import Run
from wirelessfl.report.tables import predicted, progress

POINTS = 240            # of a curve


@dataclass(frozen=True)
class Chart:
    """A plot: what it shows in words, for those who cannot see it, and plotly's data and layout."""

    name: str
    title: str
    words: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    height: int = 380


def curves(run: Run, numbers: dict[str, int]) -> Chart:
    """Test accuracy against simulated time."""
    last = run.summary["time_s"][np.isfinite(run.summary["time_s"])].max()
    end = run.rounds["elapsed_s"].max()
    words = (f"Smoothed test accuracy of {', '.join(run.policies)} against simulated time, mean over {len(run.seeds)} seeds with "
             f"a band of one standard deviation; the target is {run.scenario.training.target_accuracy:g}.")
    near = [0, float(np.nanmin([1.15 * last, end]))]
    return Chart(f"curves-{run.label}", _titled(run, "Test accuracy against simulated time"), words,
                 _lines(run, numbers, run.rounds["elapsed_s"]), {
        "xaxis": {"title": {"text": "simulated time [s]"}, "range": near}, "yaxis": _accuracy(), "shapes": [_target(run)]})


def learnt(run: Run, numbers: dict[str, int]) -> Chart:
    """Test accuracy against what the bound says was learnt: one curve for all policies, if it were right about them."""
    gained = progress(run.rounds, run.scenario.decision.exponent)
    so_far = gained.groupby([run.rounds["policy"], run.rounds["seed"]], sort=False).cumsum()
    words = (f"Smoothed test accuracy of {', '.join(run.policies)} against the sum of what rounds bring by the bound; where "
             "curves lie on one another, it is right about them.")
    return Chart(f"learnt-{run.label}", _titled(run, "Test accuracy against progress by the bound"), words,
                 _lines(run, numbers, so_far), {
        "xaxis": {"title": {"text": "progress [rounds without any loss]"}, "rangemode": "tozero"}, "yaxis": _accuracy(),
        "shapes": [_target(run)]})


def _lines(run: Run, numbers: dict[str, int], clock: pd.Series) -> list[dict[str, Any]]:
    """Mean of the smoothed accuracy over the seeds at each time of a ``clock`` until the last has ended, with a band of one
    standard deviation."""
    table = run.rounds.assign(elapsed_s=clock)
    found: list[dict[str, Any]] = []
    for policy in run.policies:
        of_seeds = [seed for _, seed in table[table["policy"] == policy].groupby("seed") if seed["accuracy"].notna().any()]
        if not of_seeds:
            continue
        time = np.linspace(0, max(float(one["elapsed_s"].max()) for one in of_seeds), POINTS)
        each = np.array([accuracy_at(one, run.scenario.training.smoothing, time) for one in of_seeds])
        number, mean = numbers[policy], each.mean(0)
        if len(each) > 1:
            found += _band(time, mean, each.std(0, ddof=1), number, policy)
        found.append({"type": "scatter", "mode": "lines", "name": policy, "legendgroup": policy, "x": looks.short(time),
                      "y": looks.short(mean, 4), "line": looks.line(number), "hovertemplate": "%{y:.3f} at %{x:.3g}"})
    return found


def _band(time: np.ndarray, mean: np.ndarray, spread: np.ndarray, number: int, policy: str) -> list[dict[str, Any]]:
    edge = {"type": "scatter", "mode": "lines", "x": looks.short(time), "line": {"width": 0}, "hoverinfo": "skip",
            "showlegend": False, "legendgroup": policy, "name": policy}
    return [edge | {"y": looks.short(mean - spread, 4)},
            edge | {"y": looks.short(mean + spread, 4), "fill": "tonexty", "fillcolor": looks.fill(number)}]


def energy(run: Run, numbers: dict[str, int]) -> Chart:
    """Energy of a round, policy by policy."""
    return _bars(run, numbers, f"energy-{run.label}", "Energy of all devices in a round", 1e3 * run.rounds["energy_j"],
                 "energy of a round [mJ]")


def traffic(run: Run, numbers: dict[str, int]) -> Chart:
    """Bits of a round, policy by policy."""
    both = (run.rounds["uplink_bits"] + run.rounds["downlink_bits"]) / 1e6
    return _bars(run, numbers, f"traffic-{run.label}", "Traffic in a round, up and down", both, "traffic of a round [Mbit]")


def _bars(run: Run, numbers: dict[str, int], name: str, title: str, values: pd.Series, unit: str) -> Chart:
    """Mean over the rounds of each policy, and over the seeds, with a whisker of one standard deviation of the latter."""
    each = values.groupby([run.rounds["policy"], run.rounds["seed"]], sort=False).mean().groupby(level=0, sort=False)
    mean, spread = each.mean(), each.std(ddof=1).fillna(0.0)
    words = f"{title}: " + ", ".join(f"{policy} {at:.3g}" for policy, at in mean.items()) + f"; {unit}."
    data = {"type": "bar", "orientation": "h", "y": list(mean.index), "x": looks.short(mean), "showlegend": False,
            "error_x": {"type": "data", "array": looks.short(spread), "color": looks.NEUTRAL, "visible": bool(spread.any())},
            "marker": looks.bars(numbers[policy] for policy in mean.index), "hovertemplate": "%{y}: %{x:.4g}<extra></extra>"}
    return Chart(name, _titled(run, title), words, [data], {
        "xaxis": {"title": {"text": unit}, "rangemode": "tozero"}, "yaxis": {"autorange": "reversed", "automargin": True}},
        110 + 34 * len(mean))


def foretold(run: Run, numbers: dict[str, int]) -> Chart:
    """Rounds to the target over the first policy's, by the bound and as measured."""
    table = predicted(run).dropna()
    ends = [*table["predicted"], *table["measured"], 1.0]
    low, high = 0.9 * min(ends), 1.1 * max(ends)
    data = [{"type": "scatter", "mode": "markers", "name": policy, "x": looks.short(mine["predicted"]),
             "y": looks.short(mine["measured"]), "marker": looks.marker(numbers[policy]),
             "text": [f"seed {seed}" for seed in mine["seed"]], "hovertemplate": "%{text}: bound %{x:.3f}, measured %{y:.3f}"}
            for policy in run.policies for mine in [table[table["policy"] == policy]] if len(mine)]
    words = ("Rounds to the target over those of the first policy, one point a policy and seed: by the bound across, measured "
             "upwards; on the diagonal the bound is right.")
    line = {"type": "line", "x0": low, "x1": high, "y0": low, "y1": high,
            "line": {"color": looks.NEUTRAL, "width": 1, "dash": "dot"}}
    return Chart(f"foretold-{run.label}", _titled(run, "Rounds to the target over the first policy's"), words, data, {
        "xaxis": {"title": {"text": "by the bound [1]"}, "range": [low, high]},
        "yaxis": {"title": {"text": "measured [1]"}, "range": [low, high]}, "shapes": [line]})


def standing(runs: Sequence[Run]) -> dict[str, list[Chart]]:
    """All of them, by the section that they belong to; nothing of runs in which nothing has ended."""
    numbers, there = looks.numbered(runs), [run for run in runs if len(run.rounds)]
    bound = [chart(run, numbers) for run in there for chart in (foretold, learnt)
             if chart is learnt or len(predicted(run).dropna())]
    return {"curves": [curves(run, numbers) for run in there],
            "spending": [chart(run, numbers) for run in there for chart in (energy, traffic)], "bound": bound}


def _titled(run: Run, title: str) -> str:
    return f"{run.label}: {title}" if run.label else title


def _accuracy() -> dict[str, Any]:
    return {"title": {"text": "test accuracy [1]"}, "range": [0, 1.02]}


def _target(run: Run) -> dict[str, Any]:
    """A line at the target."""
    at = run.scenario.training.target_accuracy
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at,
            "line": {"color": looks.NEUTRAL, "width": 1.2, "dash": "dot"},
            "label": {"text": f"target {at:g}", "textposition": "start", "yanchor": "bottom",
                      "font": {"size": 11, "color": looks.NEUTRAL}}}
