"""Where the runs of a sweep are done: in this process, on processes of this machine, or on the workers of a Dask cluster.

A place takes runs and yields each with its outcome, as they end. Dask gives the run of a worker that died to another one, which
goes on from its last checkpoint.
"""

import os
import threading
import traceback
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from learning.data import FOLDER_SETTING
from wirelessfl.config import SettingsError, processors
from wirelessfl.experiment import resume, run
from wirelessfl.folder import MANIFEST, SUMMARY, ended, finished, held, versions
from wirelessfl.sweep_file import Task

ERROR = "error.txt"
KILLED = "its process was killed, and once more when it was alone: too little memory is the usual cause"
WAIT = 20.0                     # for a scheduler to answer [s]
ONE = threading.Lock()          # a worker that has more threads than it should does one run at a time


class Outcome(NamedTuple):
    """How a run ended: its table as CSV, or one sentence on what went wrong."""

    summary: str
    error: str = ""


Place = Callable[[Sequence[Task], Path], Iterator[tuple[Task, Outcome]]]


def work(task: Task, folder: Path) -> Outcome:
    """Do one run in its folder within the sweep's, or go on with it; whatever goes wrong is its outcome.

    One that a killed sweep left at work in another process comes to its end before.
    """
    where = folder / task.name
    try:
        with held(where):
            if not finished(where):
                if (where / MANIFEST).exists():
                    resume(where)
                else:
                    run(task.scenario, where, seeds=[task.seed])
        (where / ERROR).unlink(missing_ok=True)
        return Outcome((where / SUMMARY).read_text(encoding="utf-8"))
    except Exception as error:
        with suppress(OSError):                                   # a disk that is full, perhaps
            (where / ERROR).write_text(traceback.format_exc(), encoding="utf-8")
        return Outcome("", sentence(error))


def sentence(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def local(workers: int) -> Place:
    """Processes of this machine, with one thread each; this process itself, if it is one."""
    processors(workers)

    def place(tasks: Sequence[Task], folder: Path) -> Iterator[tuple[Task, Outcome]]:
        if workers == 1:
            yield from ((task, work(task, folder)) for task in tasks)
            return
        left = {task.name: task for task in tasks}
        while left:
            try:
                for task, outcome in _pooled(list(left.values()), folder, workers):
                    yield left.pop(task.name), outcome
            except TerminatedWorkerError:            # somebody killed a process: those that it may have been doing go alone
                for task in [task for task in left.values() if ended(folder / task.name)] or list(left.values()):
                    yield left.pop(task.name), _alone(task, folder)

    return place


def _pooled(tasks: Sequence[Task], folder: Path, workers: int) -> Iterator[tuple[Task, Outcome]]:
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(workers, return_as="generator_unordered", batch_size=1)
    yield from pool(joblib.delayed(_named)(task, folder) for task in tasks)


def _named(task: Task, folder: Path) -> tuple[Task, Outcome]:
    return task, work(task, folder)


def _alone(task: Task, folder: Path) -> Outcome:
    """A run in a process that does nothing else, so that its death is known to be this run's."""
    try:
        return next(_pooled([task], folder, 2))[1]
    except TerminatedWorkerError:
        return Outcome("", KILLED)


@contextmanager
def cluster(scheduler: str, folder: Path) -> Iterator[Place]:
    """The workers of a Dask cluster.

    Raises
    ------
    SettingsError
        Where no scheduler answers, or a worker that is there could not do what this machine would: it does not see ``folder``,
        has other versions of the libraries, or more threads than one.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise SettingsError("--scheduler needs dask.distributed: pip install 'wirelessfl[cluster]'") from None
    try:
        client = Client(scheduler, timeout=WAIT)
    except (OSError, ValueError) as error:
        raise SettingsError(f"no Dask scheduler answers at {scheduler}: {sentence(error)}") from None

    def place(tasks: Sequence[Task], folder: Path) -> Iterator[tuple[Task, Outcome]]:
        data, ours = os.environ.get(FOLDER_SETTING), versions()
        given = {client.submit(_far, task, folder, ours, data, pure=False): task for task in tasks}
        for future in as_completed(given):
            task = given.pop(future)
            yield task, _fetched(future)

    with client:
        _fit(client, folder)
        yield place


def _fetched(future: Any) -> Outcome:
    try:
        found: Outcome = future.result()
        return found
    except (Exception, CancelledError) as error:                  # its workers died, one after the other, or the scheduler
        return Outcome("", sentence(error))


def _fit(client: Any, folder: Path) -> None:
    try:
        for worker, problem in client.run(unfit, folder, versions()).items():
            if problem:
                raise SettingsError(f"worker {worker}: {problem}")
    except ImportError as error:
        raise SettingsError(f"the workers of the cluster lack a library, install wirelessfl there: {sentence(error)}") from None
    for worker, threads in client.nthreads().items():
        if threads > 1:
            raise SettingsError(f"worker {worker} has {threads} threads, and a run takes a process with one: start workers with "
                                "`dask worker ADDRESS --nthreads 1 --nworkers N`")


def unfit(folder: Path, ours: dict[str, str]) -> str:
    """Why this process could not do what another one would with the libraries ``ours``; empty if it could."""
    if not folder.is_dir():
        return f"it does not see {folder}; a sweep on a cluster needs a folder that all its machines share (--out)"
    other = {name: (theirs, ours[name]) for name, theirs in versions().items() if theirs != ours[name]}
    words = ", ".join(f"{name} {theirs} in the place of {mine}" for name, (theirs, mine) in other.items())
    return words and f"it has {words}, and results would not be the same"


def _far(task: Task, folder: Path, ours: dict[str, str], data: str | None) -> Outcome:
    """The work on another machine, which may have joined late; its own folder of data goes before this one's."""
    problem = unfit(folder, ours)
    if problem:
        return Outcome("", problem)
    if data:
        os.environ.setdefault(FOLDER_SETTING, data)
    with ONE:
        return work(task, folder)
