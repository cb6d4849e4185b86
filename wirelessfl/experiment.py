"""All policies and seeds of a scenario: run in parallel, kept in one folder, the same for any number of workers.

A run leaves a checkpoint every few rounds and begins again where its last one was left, with the same tables, byte for byte.
"""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from learning.calibration import Calibration
from learning.data import Dataset
from learning.threads import at_a_time
from wirelessfl import build, calibration_file, plot, schemes
from wirelessfl.config import SettingsError, choose, processors
from wirelessfl.folder import (
    CHECKPOINTS,
    MANIFEST,
    SUMMARY,
    changed_settings,
    commit,
    finished,
    held,
    manifest,
    now,
    read_manifest,
    write_json,
    write_tables,
)
from wirelessfl.known import calibrated
from wirelessfl.plot_partition import partition_picture
from wirelessfl.policy import POLICIES
from wirelessfl.record import Record, allocations_table, reached, rounds_table
from wirelessfl.runs import Watch, all_runs, tasks
from wirelessfl.settings import Scenario
from wirelessfl.world import all_at_once, world

Pilot = Callable[[], None]
CALIBRATION = "calibration.json"
EVERY = 10          # rounds from one checkpoint to the next


def run(scenario: Scenario, folder: str | Path, *, workers: int = 1, watch: Watch = lambda record: None, every: int = EVERY,
        seeds: Sequence[int] | None = None, found: Dataset | None = None, pilot: Pilot = lambda: None) -> pd.DataFrame:
    """Simulate every policy and seed, and leave tables, manifest and pictures in ``folder``.

    Parameters
    ----------
    workers : int
        Processors to use; the results do not depend on it. As many runs at the same time; where there are half as many or fewer,
        devices of a run that do not wait for each other, too.
    watch : callable
        Called with every record where runs are done one after another, and else with the last record of every run; with the last
        one, too, of runs that were over before.
    every : int
        Rounds from one checkpoint to the next.
    seeds : sequence of int, optional
        Some of the scenario's seeds, instead of all; what the first one gives to all (data, calibration) is the same.
    found : Dataset, optional
        What :func:`check` has loaded, where the scenario was checked already.
    pilot : callable
        Called before the bound's constants are measured, where they are: it may take minutes, and has no records.

    Returns
    -------
    DataFrame
        One row a run: simulated time, energy and rounds to the target, and final accuracy (``record.reached``).

    Raises
    ------
    SettingsError
        Where the folder holds a run that was not finished, or a finished one with other settings (the same ones are run again,
        in its place), or another process is at work in it.

    Notes
    -----
    What was finished when something fails, or when it is interrupted, is written all the same, and :func:`resume` goes on.
    """
    found, folder = check(scenario) if found is None else found, Path(folder)
    gamma, memory = calibration_file.fitted(scenario)              # as the file says now, whatever it will say
    scenario = _deciding(scenario, exponent=gamma, memory=memory)
    with held(folder, wait=False):
        if (folder / CHECKPOINTS).exists():
            raise SettingsError(f"{folder} holds a run that was not finished: `wirelessfl resume {folder}` goes on with it, or "
                                "take another folder")
        made = manifest(scenario, workers)
        made["seeds"] = made["seeds"] if seeds is None else list(seeds)
        if finished(folder) and (other := changed_settings(folder, scenario, made["seeds"])):
            raise SettingsError(f"{folder} holds a finished run with other settings ({', '.join(other)}): take another folder "
                                "(--out), or remove this one")
        (folder / CALIBRATION).unlink(missing_ok=True)             # of an older run, perhaps
        return _run(scenario, found, folder, made, workers, watch, every, pilot)


def resume(folder: str | Path, *, workers: int = 1, watch: Watch = lambda record: None, every: int = EVERY,
           found: Dataset | None = None, pilot: Pilot = lambda: None) -> pd.DataFrame:
    """Go on with a run that was not finished; parameters as of :func:`run`.

    The tables are those of a run that nothing happened to, if the versions are the same; the manifest says when and with what
    it went on.
    """
    processors(workers)
    folder = Path(folder)
    made, scenario = begun(folder)
    with held(folder, wait=False):
        if finished(folder):
            raise SettingsError(f"{folder} is finished: there is nothing to go on with")
        made["resumed"] = [*made.get("resumed", []), {"at": now(), "commit": commit(), "workers": workers}]
        return _run(scenario, check(scenario) if found is None else found, folder, made, workers, watch, every, pilot)


def begun(folder: Path) -> tuple[dict[str, Any], Scenario]:
    """How a run was made, and its scenario: with a calibration in the folder, it asks for no other file of that."""
    made, scenario = read_manifest(folder)
    return made, _deciding(scenario, calibration="") if (folder / CALIBRATION).exists() else scenario


def _deciding(scenario: Scenario, **decision: Any) -> Scenario:
    return scenario.model_copy(update={"decision": scenario.decision.model_copy(update=decision)})


def check(scenario: Scenario) -> Dataset:
    """Look up all names of a scenario, its policies and its calibration too, and load its data."""
    d = scenario.decision
    for policy in d.policies:
        choose(POLICIES, policy, "decision.policies")
    if d.calibration:
        calibration_file.read(Path(d.calibration))
    calibration_file.fitted(scenario)
    found = build.check(scenario)
    first = world(scenario, scenario.seed, found)
    all_at_once(first)
    for policy in d.policies:
        schemes.check(POLICIES[policy], first)
    return found


def _run(scenario: Scenario, found: Dataset, folder: Path, made: dict[str, Any], workers: int, watch: Watch,
         every: int, pilot: Pilot) -> pd.DataFrame:
    begun, before, records, order = time.time(), made["wall_time_s"], list[list[Record]](), tasks(scenario, made["seeds"])
    made["ended"] = "running"
    write_json(folder / MANIFEST, made)
    with at_a_time(workers):
        measured = _measured(scenario, found, folder, pilot)
    made["ended"] = "interrupted"
    try:
        for one in all_runs(scenario, order, measured, folder, workers, watch, every):
            records = sorted([*records, one], key=lambda run: order.index((run[0].policy, run[0].seed)))
        made["ended"] = "finished"
    finally:
        if records:
            write_tables(folder, records)
        write_json(folder / MANIFEST, made | {"wall_time_s": round(before + time.time() - begun, 2), "finished_at": now()})
    summary = _summary(scenario, folder, records)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return summary


def _measured(scenario: Scenario, found: Dataset, folder: Path, pilot: Pilot) -> Calibration:
    """The calibration of the first seed's world: the folder's, if it has one."""
    path, first = folder / CALIBRATION, world(scenario, scenario.seed, found)
    if not path.exists():
        if not scenario.decision.calibration:
            pilot()
        write_json(path, dataclasses.asdict(calibrated(first, scenario.seed)))
    partition_picture(found.y_train.numpy(), first.parts, folder / "partition.png")
    try:
        return Calibration.of(json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{path} is no calibration of this version ({type(error).__name__}): delete it, and it is measured "
                            "again") from None


def _summary(scenario: Scenario, folder: Path, records: list[list[Record]]) -> pd.DataFrame:
    t, table = scenario.training, rounds_table(r for one in records for r in one)
    summary = reached(table, t.target_accuracy, t.smoothing)
    summary["advice"] = [one[-1].advice for one in records]
    summary.to_csv(folder / SUMMARY, index=False)
    plot.latency_accuracy(table, summary, t.target_accuracy, t.smoothing, folder / "latency-accuracy.png")
    plot.allocation(allocations_table(records[0]), folder / "allocation.png")
    return summary
