"""Latency of a round with pruning and personalisation against band, threshold and number of devices.

Answers the paper's figures of latency (derived; they were not seen). One quantity is turned at a time. Above is the mean time of
a round, below what is paid for it, the mean pruning ratio. Partial personalisation that does not prune takes as long as it takes;
with pruning the round ends by the threshold, or, where no pruning up to the limit does that, as soon as may be; it need not
end sooner, also where nobody is pruned. Three ways to prune are compared: the least ratio (2) of ``optim.personalised`` in equal
bands; ratios and bands by the conditions of optimality (3); and in each round the mean of those ratios for all devices alike, in
the best bands for that, which shows what adapting to each device is worth. A point is a mean over rounds of one placement, the
shades are over placements. Nothing is trained.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optim.personalised import Personalised, ratios, solve_personalised
from wirelessfl import style
from wirelessfl.config import load
from wirelessfl.experiments import personal_scene as scene
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.world import world

_WIDE = {"bandwidth_mhz": [0.25, 0.5, 1.0, 2.0, 4.0, 8.0], "thresholds_s": [0.6, 0.8, 1.0, 1.4, 2.0, 2.8],
         "counts": [5, 10, 15, 20, 30]}
_ALL = {"threshold_s": 1.4, "prune_max": 0.9}
KNOBS = {
    "small": scene.DIGITS | _ALL | {"bandwidth_mhz": [0.1, 0.5], "thresholds_s": [0.1, 0.2], "counts": [4], "threshold_s": 0.15,
                                    "draws": 4, "seeds": 1},
    "quick": scene.TASK | _ALL | _WIDE | {"draws": 100, "seeds": 5},
    "full": scene.TASK | _ALL | _WIDE | {"draws": 1000, "seeds": 20}}
PANELS = {"bandwidth_mhz": "uplink band [MHz]", "thresholds_s": "threshold [s]", "counts": "devices"}
CLOSE = 1 + 1e-6             # of the shortest round: what solvers may miss it by


def cells(knobs: Knobs) -> list[Cell]:
    """A placement for each quantity, with all its values; one for each number of devices."""
    fixed = {name: knobs[name] for name in ("draws", "threshold_s", "prune_max")} | {"settings": scene.settings(knobs)}
    groups = [(panel, knobs[panel]) for panel in PANELS if panel != "counts"] + [("counts", [count]) for count in knobs["counts"]]
    return [fixed | {"panel": panel, "values": values, "seed": seed}
            for panel, values in groups for seed in range(knobs["seeds"])]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """Mean latency and pruning ratio of each method over the rounds of a placement, at each value of the quantity."""
    devices = [f"cell.devices={cell['values'][0]}"] if cell["panel"] == "counts" else []
    w = world(load(None, [*cell["settings"], *devices]), cell["seed"])
    gains = w.air.forecast(w.rng("forecast"), cell["draws"], w.knowledge)
    p = scene.problem(w, gains, cell["threshold_s"], cell["prune_max"])
    return [{"value": value, "method": name, "latency_s": float(time.mean()), "ratio": float(ratio.mean())}
            for value in cell["values"] for name, (time, ratio) in decided(turned(p, cell["panel"], value)).items()]


def turned(p: Personalised, panel: str, value: float) -> Personalised:
    """The problem with another band [MHz] or threshold [s]."""
    changed = {"bandwidth_mhz": {"band": 1e6 * value}, "thresholds_s": {"threshold": value}}
    return replace(p, **changed.get(panel, {}))


def decided(p: Personalised) -> dict[str, tuple[NDArray, NDArray]]:
    """Time of a round (...,) [s] and pruning ratios (..., K) [1] by each method."""
    none, most = np.zeros(p.reach.shape), np.broadcast_to(p.prune_max, p.reach.shape)
    even = np.full(p.reach.shape, float(p.band) / p.reach.shape[-1])
    own = replace(p, threshold=np.maximum(p.threshold, CLOSE * scene.shortest(p, most)))
    alone = replace(p, threshold=np.maximum(p.threshold, CLOSE * scene.shortest(p, most, equal=True)))
    best, least = solve_personalised(own), ratios(alone, even)
    alike = np.broadcast_to(best.ratio.mean(-1, keepdims=True), most.shape)
    return {scene.PLAIN: (scene.shortest(p, none, equal=True), none), scene.BANDS: (scene.shortest(p, none), none),
            scene.SPARSE: (scene.shortest(p, least, equal=True), least), scene.ALIKE: (scene.shortest(p, alike), alike),
            scene.ADAPTIVE: (best.latency.max(-1), best.ratio)}


def draw(table: pd.DataFrame) -> Any:
    """Latency above, pruning below, a column for each quantity."""
    figure, axes = style.panels(2, 3, width=style.PAGE, height=1.8, sharex="col")
    for column, (letter, (panel, label)) in zip(axes.T, zip("abc", PANELS.items(), strict=True), strict=True):
        for method, run in table[table["panel"] == panel].groupby("method", sort=False):
            for ax, what in zip(column, ("latency_s", "ratio"), strict=True):
                if what == "latency_s" or method not in (scene.PLAIN, scene.BANDS, scene.ALIKE):
                    style.over_seeds(ax, run, "value", what, label=scene.LABEL[str(method)], **scene.LOOK[str(method)])
        column[0].set(ylim=(0, None))
        column[1].set(xlabel=f"({letter}) {label}", ylim=(0, None))
        if panel != "counts":
            style_axis(column[1], sorted(table.loc[table["panel"] == panel, "value"].unique()))
    axes[0, 0].set_ylabel("mean round [s]")
    axes[1, 0].set_ylabel("mean pruning ratio [1]")
    style.legend(figure, axes[0, 0])
    return figure


def style_axis(ax: Any, values: list[float]) -> None:
    """A logarithmic axis with the values that were computed on it."""
    ax.set_xscale("log")
    ax.set_xticks(values, [f"{value:g}" for value in values])
    ax.minorticks_off()


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Of means over the placements: latency of unpruned rounds and what is left of it, and the pruning that it takes."""
    mean = table.pivot_table(index=["panel", "value"], columns="method", values=["latency_s", "ratio"])
    time, ratio = mean["latency_s"], mean["ratio"]
    found = pd.DataFrame({
        "unpruned [s]": time[scene.PLAIN], "best bands / unpruned": time[scene.BANDS] / time[scene.PLAIN],
        "KKT / unpruned": time[scene.ADAPTIVE] / time[scene.PLAIN],
        "KKT / best bands": time[scene.ADAPTIVE] / time[scene.BANDS],
        "all alike / KKT": time[scene.ALIKE] / time[scene.ADAPTIVE],
        "mean ρ*": ratio[scene.ADAPTIVE], "mean ρ in equal bands": ratio[scene.SPARSE]})
    return found.round(3).reset_index()


FIGURE = Figure(
    "personal-latency", "personalised", "How long is a round with pruning, against band, threshold and number of devices?",
    "Pruning and bandwidth by KKT take about 50 % less computation and communication latency than partial personalisation "
    "without pruning.", {"small": 0.05, "quick": 0.5, "full": 10.0}, KNOBS, cells, rows, draw, findings)
