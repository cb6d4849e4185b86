"""Run folders: what is in them, how they say how they were made, and writing that leaves whole files."""

import json
import os
import platform
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from wirelessfl.config import SettingsError, differing, scenario
from wirelessfl.record import Record, allocations_table, rounds_table, timing_table
from wirelessfl.settings import Scenario

LIBRARIES = ("wirelessfl", "numpy", "scipy", "cvxpy", "torch", "pandas", "scikit-learn", "matplotlib", "pydantic")
MANIFEST, SUMMARY, TIMING, CHECKPOINTS, LOCK = "manifest.json", "summary.csv", "timing.csv", "checkpoints", "lock"
OWN = threading.local()         # the folders that a thread holds


def manifest(s: Scenario, workers: int) -> dict[str, Any]:
    """How a run folder is made."""
    return {
        "ended": "running", "begun_at": now(), "wall_time_s": 0.0, "workers": workers,
        "seeds": [s.seed + i for i in range(s.seeds)], "settings": s.model_dump(mode="json"), "versions": versions(),
        "commit": commit(), "data_folder_set": bool(os.environ.get("WIRELESSFL_DATA")), "resumed": [],
    }


def read_manifest(folder: Path) -> tuple[dict[str, Any], Scenario]:
    """How a run folder was made, and its scenario.

    Raises
    ------
    SettingsError
        Where the folder holds no run.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {**found, "seeds": list(found["seeds"]), "ended": str(found["ended"])}, scenario(found["settings"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise SettingsError(f"{folder} holds no run: its {MANIFEST} is missing or broken ({type(error).__name__})") from None


def changed_settings(folder: Path, s: Scenario, seeds: Sequence[int]) -> list[str]:
    """Names of what is other than in these settings in those of the run that a folder holds."""
    try:
        made, there = read_manifest(folder)
    except SettingsError:
        return ["those of another version"]
    return differing(there, s) or ["seeds"] * (made["seeds"] != seeds)


def now() -> str:
    """The time, for a manifest."""
    return datetime.now(UTC).isoformat(timespec="seconds")


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


def ended(folder: Path) -> str:
    """How the run in a folder ended, by its manifest; empty if there is none."""
    try:
        return str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["ended"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def finished(folder: Path) -> bool:
    """Whether a folder holds all that a run leaves."""
    return ended(folder) == "finished" and (folder / SUMMARY).exists() and not (folder / CHECKPOINTS).exists()


@contextmanager
def held(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """A folder for one process at a time, and for one thread of it, which may hold it again in what it calls.

    The system lets go of it when the process ends, however it does. Where it has no such locks, nothing is held.

    Raises
    ------
    SettingsError
        Where another process holds it and this one does not ``wait`` until it lets go.
    """
    own, where = vars(OWN).setdefault("folders", set()), folder.resolve()
    if where in own:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("ab+", buffering=0) as file:
        _lock(file, folder, wait)
        own.add(where)
        try:
            yield
        finally:
            own.remove(where)


def _lock(file: BinaryIO, folder: Path, wait: bool) -> None:
    """Lock a file, and write into it who did; where that cannot be, go on without."""
    with suppress(ImportError, OSError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            who = file.read().decode() or "another process"
            raise SettingsError(f"{folder} is in use by {who}: wait until it has ended, or stop it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} of {platform.node()}".encode())


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file that is there whole, or as it was before: another one takes its place when all of it is on the disk."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain data, whole."""
    with whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def write_tables(folder: Path, runs: Sequence[Sequence[Record]]) -> None:
    """The tables of all finished runs."""
    records = [record for one in runs for record in one]
    rounds_table(records).to_csv(folder / "rounds.csv", index=False)
    allocations_table(records).to_csv(folder / "allocations.csv", index=False)
    timing_table(runs).to_csv(folder / TIMING, index=False)
