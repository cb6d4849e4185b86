"""Time to a target accuracy against the number of devices, for EPSL and its relatives.

Answers the EPSL paper's figure of the time to a target accuracy against the number of devices. Every point is a training of its
own, with that many devices, on its own cell; nothing is interpolated. Cells differ by more than methods do, so times are drawn
over PSL's in the same cell. The training data are shared out among the devices, so with more of them a round sees more samples,
and each device has fewer of its own; all share one band and one server. A training that does not reach the target within the
rounds has no point; a mean is drawn where all seeds have reached it. The rest is as in ``wirelessfl.experiments.epsl_training``
and ``epsl_clock``, where it is said what is reconstructed.
"""

from typing import Any

import pandas as pd

from wirelessfl import style
from wirelessfl.experiments.epsl_clock import METHODS
from wirelessfl.experiments.epsl_training import LOOK, beside_psl, cells, compared, rows
from wirelessfl.experiments.figure import Figure

_ALL = {"partitions": ["iid"], "concentration": 0.5, "methods": list(METHODS), "device": "cpu", "precision": "float32",
        "standardise": False}
KNOBS = {
    "small": _ALL | {"data": "digits", "train": 400, "test": 100, "devices": [2, 4], "model": "cnn", "batch": 16, "rounds": 16,
                     "tests": 8, "cut": 2, "lr": 0.01, "server_lr": 0.01, "target": 0.3, "seeds": 1},
    "quick": _ALL | {"data": "mnist", "train": 4000, "test": 200, "devices": [2, 5, 10, 20], "model": "cnn", "batch": 16,
                     "rounds": 40, "tests": 10, "cut": 2, "lr": 0.004, "server_lr": 0.004, "target": 0.65, "seeds": 2},
    "full": _ALL | {"data": "mnist", "train": 0, "test": 0, "devices": [2, 5, 10, 15, 20], "model": "resnet18", "batch": 64,
                    "rounds": 1000, "tests": 100, "cut": 3, "lr": 1.5e-4, "server_lr": 1e-4, "target": 0.95, "seeds": 3}}
PANELS = {"round_s_over_psl": "round over PSL's [1]", "rounds_to_target": "rounds to target",
          "time_to_target_s_over_psl": "time to it over PSL's [1]"}


def draw(table: pd.DataFrame) -> Any:
    """Time of a round, rounds to the target and time to it, against the number of devices; times over PSL's of the same seed."""
    each = beside_psl(table)
    parts = list(each.groupby("partition", sort=False))
    figure, axes = style.panels(len(parts), len(PANELS), width=style.PAGE, height=2.2)
    for row, (part, of) in zip(axes, parts, strict=True):
        for ax, (name, label) in zip(row, PANELS.items(), strict=True):
            for method, run in of.groupby("method", sort=False):
                style.over_seeds(ax, run, "devices", name, label=run["label"].iloc[0], **LOOK[str(method)])
            ax.set(xlabel="devices", ylabel=label, xticks=sorted(of["devices"].unique()), title=part if len(parts) > 1 else "")
    style.legend(figure, axes[0, 0], columns=5)
    return figure


FIGURE = Figure(
    "epsl-devices", "epsl", "How does the time to a target accuracy grow with the number of devices?",
    "EPSL's time grows least with the number of devices; by how much was not seen.",
    {"small": 0.1, "quick": 1.5, "full": 10000.0}, KNOBS, cells, rows, draw, compared)
