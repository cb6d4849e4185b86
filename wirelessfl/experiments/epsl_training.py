"""Trainings of the EPSL figures, with the time that each round takes beside its accuracy.

A training has no clock (``wirelessfl.experiments.runs``). The clock is ``wirelessfl.experiments.epsl_clock``: each seed has a
cell of its own (places, sight, shadowing and clocks stay, fading is new in each round), the same for all methods; a round's time
is that of its realised channel; the cut is one for all methods and stands for the run. The network whose work and traffic the
clock counts is the one that is trained.

Reconstructed: the settings of training, of which batch, learning rates and 5 devices are from memory; how data are not IID (here:
the classes of each device by Dirichlet, sizes equal). The accuracy of PSL and EPSL is the mean over the devices' models, for
these are never averaged.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.profile import profile
from wirelessfl import build, style
from wirelessfl.config import load, override
from wirelessfl.experiments.epsl_clock import METHODS, round_times
from wirelessfl.experiments.epsl_scene import Load, load_of, scene
from wirelessfl.experiments.figure import Cell, Knobs
from wirelessfl.experiments.runs import trained

KEYS = {"data": "data.dataset", "train": "data.train", "test": "data.test", "standardise": "data.standardise",
        "concentration": "data.concentration", "model": "training.model", "batch": "training.batch", "lr": "training.lr",
        "server_lr": "training.server_lr", "precision": "training.precision", "device": "training.device"}
COMMON = (*KEYS, "rounds", "tests", "cut", "target")
LOOK = {method: style.look(number) for number, method in enumerate(METHODS)}


def cells(knobs: Knobs) -> list[Cell]:
    """A training of each method, number of devices, partition and seed."""
    common = {name: knobs[name] for name in COMMON}
    return [common | {"devices": devices, "partition": partition, "method": method, "seed": seed}
            for devices in knobs["devices"] for partition in knobs["partitions"] for method in knobs["methods"]
            for seed in range(knobs["seeds"])]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """The tested rounds of one training, with ``time_s`` since the start."""
    method, settings = METHODS[cell["method"]], _settings(cell)
    passed = np.cumsum(times(cell, loaded(settings)))
    done = trained(settings, cell["seed"], cut=cell["cut"], rounds=cell["rounds"], tests=cell["tests"])
    return [{"label": method.label, "time_s": passed[row["round"] - 1]} | row for row in done]


def times(cell: Cell, counted: Load) -> NDArray:
    """Time of each round of a training, (rounds,) [s]."""
    seen = scene(np.random.default_rng([cell["seed"], cell["devices"]]), cell["devices"], (cell["rounds"],), batch=cell["batch"])
    return round_times(seen, counted.at(cell["cut"]), METHODS[cell["method"]])[:, 0]


def loaded(settings: Sequence[str]) -> Load:
    """Work and traffic of the network that these settings train."""
    s = load(None, settings)
    found = build.dataset(s)
    return load_of(profile(build.network(s, found), found.shape, found.classes))


def to_target(table: pd.DataFrame) -> pd.DataFrame:
    """A row each training: the first tested round, and its time, in which the accuracy is the target; NaN without one."""
    by, found = ["devices", "partition", "method", "label", "seed"], list[dict[str, Any]]()
    for key, run in table.groupby(by, sort=False):
        there = run[run["accuracy"] >= run["target"]].head(1)
        first: dict[Any, Any] = there.iloc[0].to_dict() if len(there) else {}
        found.append(dict(zip(by, key, strict=True)) | {
            "target": run["target"].iloc[0], "rounds_to_target": first.get("round", np.nan),
            "time_to_target_s": first.get("time_s", np.nan), "final_accuracy": run["accuracy"].iloc[-1],
            "round_s": run["time_s"].iloc[-1] / run["round"].iloc[-1]})
    return pd.DataFrame(found)


def beside_psl(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows, with the time of a round and that to the target over PSL's of the same seed [1]."""
    each, by = to_target(table), ["devices", "partition", "seed"]
    psl = each[each["method"] == "psl"].set_index(by)
    for name in ("round_s", "time_to_target_s"):
        each[f"{name}_over_psl"] = each[name].to_numpy() / psl[name].reindex(pd.MultiIndex.from_frame(each[by])).to_numpy()
    return each


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """What is compared with the claim: means over the seeds, and times relative to PSL, seed by seed."""
    groups = beside_psl(table).groupby(["devices", "partition", "label"], sort=False)
    return groups.agg(
        target=("target", "first"), seeds=("seed", "count"), reached=("rounds_to_target", "count"),
        accuracy=("final_accuracy", "mean"), accuracy_std=("final_accuracy", "std"), round_s=("round_s", "mean"),
        round_over_psl=("round_s_over_psl", "mean"), rounds_to_target=("rounds_to_target", "mean"),
        time_to_target_s=("time_to_target_s", "mean"),
        time_over_psl=("time_to_target_s_over_psl", "mean")).round(4).reset_index()


def draw(table: pd.DataFrame) -> Any:
    """Accuracy against round and against time, a row each partition and number of devices."""
    parts = [(part, count, of) for (part, count), of in table.groupby(["partition", "devices"], sort=False)]
    figure, axes = style.panels(len(parts), 2, width=style.COLUMN, height=1.75, sharey="row")
    for row, (part, count, of) in zip(axes, parts, strict=True):
        for method, runs in of.groupby("method", sort=False):
            style.over_rounds_and_time(row, runs, "accuracy", marks=5, label=runs["label"].iloc[0], **LOOK[str(method)])
        many = f", {count} devices" if table["devices"].nunique() > 1 else ""
        row[0].set_ylabel(f"accuracy, {'IID' if part == 'iid' else 'non-IID'}{many} [1]")
    for ax, label in zip(axes[-1], ("round", "time [s]"), strict=True):
        ax.set_xlabel(label)
    style.legend(figure, axes[0, 0], columns=3)
    return figure


def _settings(cell: Cell) -> list[str]:
    """The training of a cell, as settings of a scenario."""
    method = METHODS[cell["method"]]
    share = [f"training.share={method.share}"] * (method.algorithm == "epsl")
    return [f"training.algorithm={method.algorithm}", *share, "training.optimiser=adam", f"cell.devices={cell['devices']}",
            f"data.partition={cell['partition']}", *(override(key, cell[name]) for name, key in KEYS.items())]
