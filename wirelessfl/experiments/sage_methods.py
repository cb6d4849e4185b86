"""What the figures of FSL-SAGE (Nair et al., ICML 2025, arXiv 2505.23182) share: its five methods, its setting, its load.

Seen in its public code: the setting of ``PAPER``; that the load is of all devices, in both directions, in GB of 2^30 bytes, with
labels for free and the statistics of batch norm counted; that the best test accuracy is taken of the rounds that a load pays for.
Ours: standardised images, how often models are tested, and the settings ``FASHION`` and ``DIGITS``. Behind the convolutions of
LeNet, with 200 samples a device, a round of FedAvg has 4.0 times the load of one of FSL-SAGE, SplitFed 5.3 and CSE-FSL 3.9 times;
in the paper's setting it is 6.0, 5.9 and 2.1 times.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from wirelessfl.config import override
from wirelessfl.experiments.figure import Cell, Knobs
from wirelessfl.experiments.runs import trained
from wirelessfl.style import look

METHODS = {"FedAvg": "fedavg", "SplitFed-V1": "splitfed-v1", "SplitFed-V2": "splitfed-v2", "CSE-FSL": "cse-fsl",
           "FSL-SAGE": "fsl-sage"}
GUIDED = ("CSE-FSL", "FSL-SAGE")
LOOK = {method: look(number) for number, method in enumerate(reversed(METHODS))}
GB = 2**30
SHARE = 0.95             # of FSL-SAGE's best accuracy, to which loads and times are compared; the paper's 0.81 of 0.853
PAPER = {
    "data": "cifar-10", "train": 0, "test": 0, "standardise": True, "flip": True, "crop": 4, "model": "resnet18", "cut": 5,
    "devices": 10, "batch": 256, "lr": 1e-3, "weight_decay": 1e-4, "every": 5, "align_every": 10, "align_steps": 100,
    "align_batch": 0, "auxiliary": "stage", "rounds": 200, "tests": 50, "seeds": 3, "precision": "float32",
    "device": "cpu"}
FASHION = PAPER | {
    "data": "fashion-mnist", "train": 2000, "test": 1000, "flip": False, "crop": 0, "model": "lenet", "cut": 2, "batch": 20,
    "align_every": 5, "align_steps": 50, "align_batch": 128, "rounds": 24, "tests": 24, "seeds": 2}
DIGITS = FASHION | {
    "data": "digits", "train": 200, "test": 100, "model": "cnn", "devices": 4, "batch": 10, "every": 2, "align_every": 2,
    "align_steps": 5, "rounds": 4, "tests": 4, "seeds": 2}


def settings(knobs: Knobs, method: str, alpha: float = 0.0) -> list[str]:
    """Settings of a scenario: a method of ``METHODS``, on data that are IID, or spread by Dirichlet(``alpha``) [1]."""
    some = [f"data.dataset={knobs['data']}", f"cell.devices={knobs['devices']}", f"training.algorithm={METHODS[method]}",
            "training.optimiser=adam", "training.local_steps=0"]
    some += [override(f"data.{name}", knobs[name]) for name in ("train", "test", "standardise")]
    names = ["model", "batch", "lr", "weight_decay", "flip", "crop", "device"]
    names += ["precision"] * (knobs["precision"] != "float32")
    names += ["every", "auxiliary"] * (method in GUIDED) + ["align_every", "align_steps", "align_batch"] * (method == "FSL-SAGE")
    spread = ["data.partition=dirichlet-equal", f"data.concentration={alpha}"] if alpha else ["data.partition=iid"]
    return some + spread + [override(f"training.{name}", knobs[name]) for name in names]


def cells(knobs: Knobs, methods: Sequence[str] = tuple(METHODS), **columns: Any) -> list[dict[str, Any]]:
    """Trainings of some methods, one a seed; ``columns`` are put beside them in the table, ``alpha`` [1] skews the data, too."""
    same, alpha = {name: knobs[name] for name in ("devices", "cut", "rounds", "tests")}, columns.get("alpha", 0.0)
    return [{"method": method, **columns, "seed": seed, **same, "settings": settings(knobs, method, alpha)}
            for method in methods for seed in range(knobs["seeds"])]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """A row each test: ``round``, ``accuracy`` [1], ``loss`` in training [nat], ``load_gb`` since the start, as above."""
    found = trained(cell["settings"], cell["seed"], cut=cell["cut"], rounds=cell["rounds"], tests=cell["tests"])
    return [{"round": row["round"], "accuracy": row["accuracy"], "loss": row["loss"],
             "load_gb": cell["devices"] * (row["up_bytes"] + row["down_bytes"] - row["label_bytes"]) / GB} for row in found]


def best(table: pd.DataFrame, by: Sequence[str], load_gb: float = np.inf) -> pd.DataFrame:
    """Best accuracy of each run, among the tests that a load pays for; NaN, where it pays for none.

    ``by`` names the columns that tell runs apart; they stand beside ``accuracy`` [1] and the ``load_gb`` that it took.
    """
    runs = table[[*by]].drop_duplicates()
    within = table[table["load_gb"] <= load_gb]
    there = within.loc[within.groupby([*by])["accuracy"].idxmax(), [*by, "accuracy", "load_gb"]]
    return runs.merge(there, how="left", on=[*by])


def late(table: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Mean accuracy of the tests in the last fifth of the rounds [1], which no lucky test can lift; by the columns ``by``."""
    found: pd.Series = table[table["round"] > 0.8 * table["round"].max()].groupby([*by], sort=False)["accuracy"].mean()
    return found


def curves(table: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """Means over the seeds at each test, of each method in the table; indexed by round."""
    return {str(method): own.groupby("round").mean(numeric_only=True) for method, own in
            table.groupby("method", sort=False)}


def target(table: pd.DataFrame) -> float:
    """``SHARE`` of the best of FSL-SAGE's mean accuracy [1]."""
    return SHARE * float(curves(table)["FSL-SAGE"]["accuracy"].max())


def until(curve: pd.DataFrame, level: float, column: str) -> float:
    """What a column of a mean curve is at the first test that has an accuracy of ``level`` [1]; NaN without one."""
    there = curve[curve["accuracy"] >= level]
    return float(there[column].iloc[0]) if len(there) else float("nan")


def spread(values: pd.Series) -> str:
    """Mean and standard deviation over the seeds, as text."""
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")
