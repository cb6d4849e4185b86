"""Latency of a round of EPSL and its relatives against band, clocks, number of devices and share that is aggregated.

Answers the EPSL paper's figures of latency. One of five quantities is turned at a time, the others are those of
``wirelessfl.experiments.epsl_scene``. Each method has the subchannels and powers of the descent for its own traffic, and the cut
that is best for it in that round; a sixth panel turns the band once more, with one cut for all, that of the trainings. A point is
the median of cells that are drawn with the same random numbers for all values of a quantity but the number of devices; the shades
are over sets of cells. Nothing is trained. The network is counted by ``learning.profile`` for images of 64 x 64, as HAM10000's
are taken to be (reconstructed).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from wirelessfl import style
from wirelessfl.experiments.epsl_clock import METHODS, Method, round_times
from wirelessfl.experiments.epsl_scene import BANDS, SLOWEST, Scene, load_named, scenes
from wirelessfl.experiments.epsl_training import LOOK
from wirelessfl.experiments.figure import Cell, Figure, Knobs

_ALL: dict[str, Any] = {"model": "resnet18", "image": 64, "classes": 7, "devices": 5, "methods": list(METHODS), "cut": 3}
_WIDE: dict[str, list[Any]] = {"band_mhz": [50.0, 100.0, 200.0, 300.0, 400.0], "server_ghz": [1.0, 2.5, 5.0, 10.0, 20.0],
         "slowest_ghz": [0.25, 0.5, 1.0, 1.5, 2.0], "counts": [2, 5, 10, 15, 20], "shares": [0.0, 0.25, 0.5, 0.75, 1.0]}
_FEW: dict[str, list[Any]] = {name: [values[1], values[-1]] for name, values in _WIDE.items()}
KNOBS: dict[str, Knobs] = {
    "small": _ALL | _FEW | {"model": "cnn", "image": 16, "counts": [2, 5], "shares": [0.0, 1.0], "cells": 2, "seeds": 2},
    "quick": _ALL | _WIDE | {"cells": 20, "seeds": 3},
    "full": _ALL | _WIDE | {"cells": 200, "seeds": 5}}
PANELS = {"band_mhz": "total band [MHz]", "server_ghz": "server's clock [GHz]", "slowest_ghz": "slowest device's clock [GHz]",
          "counts": "devices", "shares": "aggregated share φ [1]", "band_mhz, one cut": "total band, one cut [MHz]"}


def cells(knobs: Knobs) -> list[Cell]:
    """Sets of cells for each value of each quantity; a cut of 0 is the best one of each round."""
    fixed = {name: knobs[name] for name in ("model", "image", "classes", "devices", "cells")}
    free = [(panel, panel, 0, knobs["methods"]) for panel in _WIDE if panel != "shares"]
    panels = [*free, ("shares", "shares", 0, ["epsl"]), ("band_mhz, one cut", "band_mhz", knobs["cut"], knobs["methods"])]
    return [fixed | {"panel": panel, "turned": quantity, "value": value, "cut": cut, "methods": methods, "seed": seed}
            for panel, quantity, cut, methods in panels for value in knobs[quantity] for seed in range(knobs["seeds"])]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """Mean and median latency of each method, and the mean number of blocks on the device, over a set of cells."""
    count = cell["value"] if cell["turned"] == "counts" else cell["devices"]
    seen = turned(scenes(np.random.default_rng([cell["seed"], count]), count, cell["cells"]), cell["turned"], cell["value"])
    load, found = load_named(cell["model"], (3, cell["image"], cell["image"]), cell["classes"]), []
    for name in cell["methods"]:
        method = METHODS.get(name) or Method("EPSL", "epsl", cell["value"])
        times = round_times(seen, load.at(cell["cut"]) if cell["cut"] else load, method)
        best, blocks = times.min(axis=-1), (cell["cut"] or 1) + times.argmin(axis=-1)
        found.append({"method": name, "label": method.label, "latency_s": float(best.mean()),
                      "median_s": float(np.median(best)), "blocks": float(blocks.mean())})
    return found


def turned(seen: Scene, quantity: str, value: float) -> Scene:
    """The scene with another total band [MHz], clock of the server [GHz], or clock of the slowest possible device [GHz]."""
    if quantity == "band_mhz":
        return replace(seen, width=1e6 * value / BANDS)
    if quantity == "server_ghz":
        return replace(seen, server_clock=1e9 * value)
    return replace(seen, clock=seen.clock * 1e9 * value / SLOWEST) if quantity == "slowest_ghz" else seen


def draw(table: pd.DataFrame) -> Any:
    """A panel for each quantity."""
    figure, axes = style.panels(2, 3, width=style.PAGE, height=1.9)
    for ax, letter, (panel, label) in zip(axes.flat, "abcdef", PANELS.items(), strict=True):
        for method, run in table[table["panel"] == panel].groupby("method", sort=False):
            look = LOOK.get(str(method), style.look(5))
            style.over_seeds(ax, run, "value", "median_s", label=run["label"].iloc[0], **look)
        ax.set(xlabel=f"({letter}) {label}")
        if panel != "shares":
            style.logarithmic(ax.yaxis, minor=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("median round [s]")
    style.legend(figure, axes[0, 0], columns=5)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Median latency over PSL's, set by set of cells: least and most over the values of a quantity; and blocks on the device."""
    by = ["panel", "value", "seed"]
    psl = table[(table["method"] == "psl") | ((table["panel"] == "shares") & (table["value"] == 0))].set_index(by)["median_s"]
    where = table[by].assign(value=table["value"].where(table["panel"] != "shares", 0.0))
    each = table.assign(ratio=table["median_s"].to_numpy() / psl.reindex(pd.MultiIndex.from_frame(where)).to_numpy())
    mean = each.groupby(["panel", "label", "value"], sort=False)[["ratio", "blocks", "median_s"]].mean().reset_index()
    groups = mean[mean["label"] != "PSL"].groupby(["panel", "label"], sort=False)
    return groups.agg(least_over_psl=("ratio", "min"), most_over_psl=("ratio", "max"), fastest_s=("median_s", "min"),
                      slowest_s=("median_s", "max"), blocks=("blocks", "mean")).round(3).reset_index()


FIGURE = Figure(
    "epsl-latency", "epsl", "How long is a round of each method, against band, clocks, number of devices and aggregated share?",
    "A round of EPSL is shorter than one of vanilla SL, SplitFed and PSL, the more so the more is aggregated; by how much was "
    "not seen.", {"small": 0.1, "quick": 1.0, "full": 15.0}, KNOBS, cells, rows, draw, findings)
