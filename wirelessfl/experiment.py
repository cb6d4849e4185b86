"""All policies and seeds of a scenario: run in parallel, kept in one folder, the same for any number of workers."""

import dataclasses
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from learning.calibration import Calibration
from learning.data import Dataset
from wirelessfl import build, plot
from wirelessfl.plot_partition import partition_picture
from wirelessfl.policy import POLICIES
from wirelessfl.record import Record, allocations_table, reached, rounds_table
from wirelessfl.settings import Scenario
from wirelessfl.simulate import simulate
from wirelessfl.world import measure, world

Watch = Callable[[Record], None]
LIBRARIES = ("wirelessfl", "numpy", "scipy", "cvxpy", "torch", "pandas", "scikit-learn", "matplotlib", "pydantic")


def run(scenario: Scenario, folder: str | Path, *, workers: int = 1, watch: Watch = lambda record: None) -> pd.DataFrame:
    """Simulate every policy and seed, and leave tables, manifest and pictures in ``folder``.

    Parameters
    ----------
    workers : int
        Processes, of one thread each; the results do not depend on it.
    watch : callable
        Called with every record where there is one worker, and else with the last record of every run.

    Returns
    -------
    DataFrame
        One row a run: simulated time, energy and rounds to the target, and final accuracy (``record.reached``).

    Notes
    -----
    What was finished when something fails, or when it is interrupted, is written all the same.
    """
    found, folder = check(scenario), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    begun, records, order, ended = time.time(), list[list[Record]](), _tasks(scenario), "interrupted"
    first = world(scenario, scenario.seed, found)
    measured = measure(first)
    _write_json(folder / "calibration.json", dataclasses.asdict(measured))
    partition_picture(found.y_train.numpy(), first.parts, folder / "partition.png")
    try:
        for one in _all(scenario, measured, workers, watch):
            records = sorted([*records, one], key=lambda run: order.index((run[0].policy, run[0].seed)))
        ended = "finished"
    finally:
        if records:
            _tables(scenario, folder, records)
        _write_json(folder / "manifest.json", manifest(scenario, ended, time.time() - begun, workers))
    rounds = rounds_table(r for one in records for r in one)
    summary = reached(rounds, scenario.training.target_accuracy, scenario.training.smoothing)
    summary["advice"] = [one[-1].advice for one in records]
    summary.to_csv(folder / "summary.csv", index=False)
    plot.latency_accuracy(rounds, summary, scenario.training.target_accuracy, scenario.training.smoothing,
                          folder / "latency-accuracy.png")
    plot.allocation(allocations_table(records[0]), folder / "allocation.png")
    return summary


def check(scenario: Scenario) -> Dataset:
    """Look up all names of a scenario, its policies too, and load its data."""
    for policy in scenario.decision.policies:
        build.choose(POLICIES, policy, "decision.policies")
    return build.check(scenario)


def _tasks(scenario: Scenario) -> list[tuple[str, int]]:
    """Policy by policy, and seed by seed: the order of the tables."""
    return [(policy, scenario.seed + i) for policy in scenario.decision.policies for i in range(scenario.seeds)]


def _all(scenario: Scenario, measured: Calibration, workers: int, watch: Watch) -> Iterator[list[Record]]:
    """The records of every run, as they are finished."""
    if workers == 1:
        for policy, seed in _tasks(scenario):
            yield _one(scenario, policy, seed, measured, watch)
        return
    pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
    for records in pool(joblib.delayed(_one)(scenario, policy, seed, measured) for policy, seed in _tasks(scenario)):
        watch(records[-1])
        yield records


def _one(scenario: Scenario, policy: str, seed: int, measured: Calibration, watch: Watch = lambda record: None) -> list[Record]:
    records = []
    for record in simulate(scenario, policy, seed, measured):
        watch(record)
        records.append(record)
    return records


def _tables(scenario: Scenario, folder: Path, runs: Sequence[Sequence[Record]]) -> None:
    """Write the tables of all finished runs."""
    records = [record for one in runs for record in one]
    rounds_table(records).to_csv(folder / "rounds.csv", index=False)
    allocations_table(records).to_csv(folder / "allocations.csv", index=False)


def manifest(scenario: Scenario, ended: str, wall_time: float, workers: int) -> dict[str, Any]:
    """How a run folder was made."""
    return {
        "ended": ended, "finished_at": datetime.now(UTC).isoformat(timespec="seconds"), "wall_time_s": round(wall_time, 2),
        "workers": workers, "seeds": [scenario.seed + i for i in range(scenario.seeds)],
        "settings": scenario.model_dump(mode="json"), "versions": versions(), "commit": commit(),
        "data_folder_set": bool(os.environ.get("WIRELESSFL_DATA")),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str | None:
    """Commit of the source tree that runs, with a mark if it was changed since; None outside a checkout."""
    where = Path(__file__).resolve().parent
    try:
        head = subprocess.run(["git", "-C", str(where), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "-C", str(where), "status", "--porcelain", "--untracked-files=no"],
                                 capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
