"""What each of EPSL's three choices is worth: subchannels, power and cut, each left to chance or to equality.

Answers the EPSL paper's ablation of its resource allocation. Half of the batch is aggregated. The descent is the published method
(reconstructed), the exact one certifies how much is left to gain. Against them: subchannels by lot, equal power, the cut by lot,
each with the other two as good as they can be, and all three (``wirelessfl.experiments.epsl_choices``). All of them see the same
cells. A point is a mean over cells of the latency over the exact one's; the bands are over sets of cells.
"""

from typing import Any

import numpy as np
import pandas as pd

from optim.epsl_exact import solve_exact
from wirelessfl import style
from wirelessfl.experiments.epsl_choices import CHOICES
from wirelessfl.experiments.epsl_latency import turned
from wirelessfl.experiments.epsl_scene import load_named, scene
from wirelessfl.experiments.figure import Cell, Figure, Knobs

_ALL = {"model": "resnet18", "image": 64, "classes": 7, "devices": 5, "aggregated": 0.5, "choices": list(CHOICES)}
KNOBS = {
    "small": _ALL | {"model": "cnn", "image": 16, "band_mhz": [100.0, 200.0], "counts": [3], "cells": 1, "seeds": 2, "gap": 1e-2},
    "quick": _ALL | {"band_mhz": [50.0, 100.0, 200.0, 400.0], "counts": [2, 5, 10, 15, 20], "cells": 8, "seeds": 3, "gap": 2e-3},
    "full": _ALL | {"band_mhz": [50.0, 100.0, 200.0, 300.0, 400.0], "counts": [2, 5, 10, 15, 20], "cells": 50, "seeds": 5,
                    "gap": 1e-3}}
PANELS = {"band_mhz": "total band [MHz]", "counts": "devices"}
LONGEST = 600.0                      # for one exact answer [s]: a limit that is not meant to be reached


def cells(knobs: Knobs) -> list[Cell]:
    """Sets of cells for each band and each number of devices."""
    fixed = {name: knobs[name] for name in ("model", "image", "classes", "devices", "aggregated", "choices", "cells", "gap")}
    return [fixed | {"turned": quantity, "value": value, "seed": seed}
            for quantity in PANELS for value in knobs[quantity] for seed in range(knobs["seeds"])]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """Each method's mean latency, and its mean excess over the exact one's, over a set of cells."""
    count = cell["value"] if cell["turned"] == "counts" else cell["devices"]
    load = load_named(cell["model"], (3, cell["image"], cell["image"]), cell["classes"])
    found: dict[str, list[float]] = {"exact": [], **{name: [] for name in cell["choices"]}}
    for number in range(cell["cells"]):
        seen = turned(scene(np.random.default_rng([cell["seed"], count, number]), count), cell["turned"], cell["value"])
        problem, rng = seen.problem(load, cell["aggregated"]), np.random.default_rng([cell["seed"], count, number, 1])
        found["exact"].append(float(solve_exact(problem, rtol=cell["gap"], seconds=LONGEST).latency))
        for name in cell["choices"]:
            found[name].append(float(CHOICES[name](problem, rng).latency))
    exact = np.array(found["exact"])
    return [{"method": name, "latency_s": float(np.mean(each)), "over_exact": float(np.mean(each / exact)),
             "most_over_exact": float(np.max(each / exact))} for name, each in found.items()]


def draw(table: pd.DataFrame) -> Any:
    """Latency against the band and against the number of devices."""
    figure, axes = style.panels(1, 2, width=style.COLUMN, height=2.9, sharey=True)
    for ax, (panel, label) in zip(axes[0], PANELS.items(), strict=True):
        for number, (method, run) in enumerate(table[table["turned"] == panel].groupby("method", sort=False)):
            style.over_seeds(ax, run, "value", "over_exact", label=str(method), **style.look(number))
        ax.set(xlabel=label)
        style.logarithmic(ax.yaxis, minor=True)
    axes[0, 0].set_ylabel("round over the exact one's [1]")
    style.legend(figure, axes[0, 0], columns=3, columnspacing=1.0)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Excess over the exact answer [1]: means over seeds, the least and the most over each panel, and the worst cell of all."""
    mean = table.groupby(["turned", "method", "value"], sort=False)[["over_exact", "most_over_exact"]].agg(
        {"over_exact": "mean", "most_over_exact": "max"}).reset_index()
    groups = mean.groupby(["turned", "method"], sort=False)
    return groups.agg(least_over_exact=("over_exact", "min"), most_over_exact=("over_exact", "max"),
                      worst_cell=("most_over_exact", "max")).round(4).reset_index()


FIGURE = Figure(
    "epsl-ablation", "epsl", "What does each of EPSL's choices save: subchannels, power, cut?",
    "Each of the three shortens the round against random or equal choices, all together most; by how much was not seen.",
    {"small": 0.1, "quick": 1.5, "full": 30.0}, KNOBS, cells, rows, draw, findings)
