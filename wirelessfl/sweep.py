"""All runs of a sweep, each in a folder of its own, and one table of them.

Runs that are finished are skipped, others go on from their checkpoints, and one that fails leaves a sentence in the table and
does not stop the others. The table does not depend on who did which run, where and when.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import groupby
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd

from wirelessfl.config import SettingsError
from wirelessfl.experiment import check
from wirelessfl.folder import SUMMARY, commit, finished, held, now, versions, whole, write_json
from wirelessfl.places import Outcome, cluster, local
from wirelessfl.sweep_file import Sweep, Task, as_json, described, value

SWEEP, TABLE = "sweep.json", "sweep.csv"
TEXTS = ("policy", "status", "advice", "error")
EVERY, SHARE = 10.0, 0.05       # of writing the table while runs are done: least time between two [s], most of all time [1]
Watch = Callable[[Task, Outcome], None]


def sweep(of: Sweep, folder: str | Path, *, workers: int = 1, scheduler: str | None = None,
          watch: Watch = lambda task, outcome: None) -> pd.DataFrame:
    """Do the runs of a sweep that are not finished in ``folder``, and leave the table of all of them there.

    The table is written again as runs end, not more often than every few seconds, so that a sweep that is killed leaves one.

    Parameters
    ----------
    of : Sweep
        What :func:`wirelessfl.sweep_file.read_sweep` reads.
    workers : int
        Processes of this machine, of one thread each; the results do not depend on it.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers do the runs instead; they must see ``folder``.
    watch : callable
        Called with every run and its outcome as it ends, and at once for those that were finished before.

    Returns
    -------
    DataFrame
        One row a run and policy (``sweep.csv``): the run's folder, the settings that vary, policy, seed, what
        ``record.reached`` says, advice where it ended early, and the error of a run that failed.

    Raises
    ------
    SettingsError
        Before any work, where a run that is to be done could not be, or another process does the sweep in this folder.
    """
    folder = Path(folder).absolute()
    tasks = {task.name: task for task in of.tasks}
    done = {name: Outcome((folder / name / SUMMARY).read_text(encoding="utf-8")) for name in tasks if finished(folder / name)}
    left = [task for name, task in tasks.items() if name not in done]
    _check(left)
    with held(folder, wait=False), cluster(scheduler, folder) if scheduler else nullcontext(local(workers)) as place:
        made = _manifest(of, folder, scheduler or f"{workers} here")
        write_json(folder / SWEEP, made)
        made["ended"], due = "interrupted", -math.inf
        try:
            for name, outcome in done.items():
                watch(tasks[name], outcome)
            for task, outcome in place(left, folder):
                done[task.name] = outcome
                if (begun := monotonic()) >= due:
                    with suppress(OSError):                       # at the end there is another chance, and then a sentence
                        _write(of.tasks, done, folder / TABLE)
                    due = monotonic() + max(EVERY, (monotonic() - begun) / SHARE)
                watch(task, outcome)
            made["ended"] = "finished"
        finally:
            failed = {name: outcome.error for name, outcome in done.items() if outcome.error}
            write_json(folder / SWEEP, made | {"finished_at": now(), "failed": failed})
            table = _write(of.tasks, done, folder / TABLE)
    return table


def _check(tasks: Sequence[Task]) -> None:
    """Build every setting once, and refuse the first that cannot be."""
    for _, equal in groupby(tasks, lambda task: described(task.given)):
        task = next(equal)
        try:
            check(task.scenario)
        except SettingsError as error:
            raise SettingsError(f"{described(task.given)}: {error}") from None


def _manifest(of: Sweep, folder: Path, workers: str) -> dict[str, Any]:
    """How the sweep's folder is made, with all the times that it was started."""
    try:
        before = json.loads((folder / SWEEP).read_text(encoding="utf-8"))["started"]
    except (OSError, ValueError, KeyError, TypeError):
        before = []
    started = {"at": now(), "workers": workers, "commit": commit(), "versions": versions()}
    return {"ended": "running", "started": [*before, started], **as_json(of)}


def _write(tasks: Sequence[Task], done: Mapping[str, Outcome], path: Path) -> pd.DataFrame:
    """The table of all runs that ended, in the sweep's order: in the file whole, or as it was before."""
    keys = list(dict.fromkeys(key for task in tasks for key in task.given))
    table = pd.DataFrame([row for task in tasks if task.name in done for row in _rows(task, keys, done[task.name])])
    table = table[[*(name for name in table if name not in TEXTS[1:]), *(name for name in TEXTS[1:] if name in table)]]
    if len(table):
        with whole(path) as file:
            file.write(table.to_csv(index=False).encode())
    return table


def _rows(task: Task, keys: Sequence[str], outcome: Outcome) -> Iterator[dict[str, Any]]:
    """One row a policy: of a run that failed, with its error alone."""
    settings = {key: value(task.scenario, key) for key in keys}
    settings = {key: each if isinstance(each, str | int | float) else json.dumps(each) for key, each in settings.items()}
    nothing = [{"policy": policy, "status": "failed", "advice": ""} for policy in task.scenario.decision.policies]
    for row in nothing if outcome.error else csv.DictReader(io.StringIO(outcome.summary)):
        numbers = {name: float(text or "nan") for name, text in row.items() if name not in (*TEXTS, "seed")}
        yield {"run": task.name, **settings, "policy": row["policy"], "seed": task.seed, **numbers, "status": row["status"],
               "advice": row["advice"], "error": outcome.error}
