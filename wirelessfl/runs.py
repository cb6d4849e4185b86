"""The runs of an experiment, one policy and seed each: side by side, and from a checkpoint on where there is one."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import joblib

from learning.calibration import Calibration
from learning.threads import at_a_time, divided
from wirelessfl import checkpoint
from wirelessfl.folder import CHECKPOINTS
from wirelessfl.record import Record
from wirelessfl.settings import Scenario
from wirelessfl.simulate import prepared, rounds

Watch = Callable[[Record], None]


def tasks(scenario: Scenario, seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Policy by policy, and seed by seed: the order of the tables."""
    return [(policy, seed) for policy in scenario.decision.policies for seed in seeds]


def all_runs(scenario: Scenario, pairs: Sequence[tuple[str, int]], measured: Calibration, folder: Path, workers: int,
             watch: Watch, every: int) -> Iterator[list[Record]]:
    """The records of every run, as they are finished.

    Parameters
    ----------
    pairs : sequence of (str, int)
        Policy and seed of each (:func:`tasks`).
    measured : Calibration
    folder : Path
        Where their checkpoints are.
    workers, watch, every
        As of ``experiment.run``.
    """
    processes, threads = divided(workers, len(pairs))
    if processes == 1:
        for policy, seed in pairs:
            yield one_run(scenario, policy, seed, measured, folder, every, threads, watch)
        return
    pool, us = joblib.Parallel(n_jobs=processes, backend="loky", return_as="generator_unordered"), os.getpid()
    jobs = (joblib.delayed(one_run)(scenario, *pair, measured, folder, every, threads, parent=us) for pair in pairs)
    for records in pool(jobs):
        watch(records[-1])
        yield records


def one_run(scenario: Scenario, policy: str, seed: int, measured: Calibration, folder: Path, every: int, threads: int = 1,
            watch: Watch = lambda record: None, parent: int | None = None) -> list[Record]:
    """The records of one run: from its checkpoint on, if there is one.

    Parameters
    ----------
    parent : int, optional
        The process that it is done for: where that is no more, the run is left, and nothing is written.
    """
    path, over = folder / CHECKPOINTS / f"{policy}-{seed}.pt", folder / CHECKPOINTS / f"{policy}-{seed}-over.pt"
    if over.exists():
        found: list[Record] = checkpoint.load(over, {})
        watch(found[-1])
        return found
    ready = prepared(scenario, policy, seed, measured)
    shared = {"air": ready.world.air, "trace": getattr(ready.world.air, "trace", None)}
    last, records = checkpoint.load(path, shared) if path.exists() else (None, [])
    with at_a_time(threads):
        for progress, record in rounds(ready.spending(), last):
            if parent not in (None, os.getppid()):                 # it was killed, and somebody else may go on with the run
                os._exit(1)
            records.append(record)
            if progress.number % every == 0 and not progress.over:
                checkpoint.save(path, (progress, records), shared)
            watch(record)
    checkpoint.save(over, records, {})
    return records
