"""Make a figure: compute its points, in parallel and only those that are not there yet, and draw them.

Beside NAME.png and NAME.pdf stand NAME.csv, the table that was drawn, and NAME.json, which says how it was made: question and
claim, the numbers to compare, size, all points with their settings, versions and commits. A point is kept as it is computed, in
``points/NAME/``, under a hash of all that it depends on; so a figure that was interrupted goes on, and one whose knobs were
turned computes what is new.
"""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import matplotlib
import pandas as pd
from joblib.externals.loky.process_executor import TerminatedWorkerError

from learning.data import FOLDER_SETTING
from learning.threads import at_a_time, divided
from wirelessfl.config import SettingsError, processors
from wirelessfl.experiments import PAPERS, Figure
from wirelessfl.experiments.figure import Cell, Knobs
from wirelessfl.folder import commit, held, now, versions, whole, write_json
from wirelessfl.knobs import cells_of, knobs_here
from wirelessfl.places import sentence
from wirelessfl.style import PRINT, save

POINTS = "points"
KEPT = {"cell", "rows", "cpu_s", "commit"}
Watch = Callable[[Cell, str], None]


@dataclass(frozen=True)
class Made:
    """What became of a figure.

    Attributes
    ----------
    size : str
        The size that was made.
    table : DataFrame
        One row or more a point; of those that did not fail.
    findings : DataFrame
        The numbers to compare with the paper's claim; empty where a point failed.
    failed : dict
        Sentences on what went wrong, by the points' settings as text. With one, nothing is drawn.
    commits : tuple of str
        Of the source trees that computed the points.
    """

    size: str
    table: pd.DataFrame
    findings: pd.DataFrame
    failed: Mapping[str, str]
    commits: tuple[str, ...]


def reproduce(figure: Figure, folder: str | Path, size: str = "quick", *, turned: Knobs | None = None, workers: int = 1,
              afresh: bool = False, watch: Watch = lambda cell, error: None) -> Made:
    """Make a figure in ``folder``.

    Parameters
    ----------
    size : str
        "small", "quick" or "full"; where the data of that are not there, "small" is made.
    turned : dict, optional
        Knobs with other values than those of the size.
    workers : int
        Processors to use; the results do not depend on it.
    afresh : bool
        Compute points again that are in the folder: they are known by their settings, not by the code that computed them.
    watch : callable
        Called with every point, at once for those that were there, and a sentence if it failed.

    Raises
    ------
    SettingsError
        For a size, knobs or points that there are not, where another process makes this figure, or where one of ours was killed.
    """
    processors(workers)
    size, knobs = knobs_here(figure, size, turned)
    folder, cells = Path(folder), cells_of(figure, knobs)
    points = folder / POINTS / figure.name
    with held(points, wait=False):
        found, failed = dict[str, Any](), dict[str, str]()
        for cell, point, error in _all(figure, cells, points, workers, afresh):
            if error:
                failed[json.dumps(cell)] = error
            else:
                found[key(cell)] = point
            watch(cell, error)
        there = [found[key(cell)] for cell in cells if key(cell) in found]
        table = pd.DataFrame([plain(point["cell"]) | row for point in there for row in point["rows"]])
        findings = pd.DataFrame() if failed else _leave(figure, size, knobs, there, table, folder)
    return Made(size, table, findings, failed, tuple(sorted({str(point["commit"]) for point in there})))


def key(cell: Cell) -> str:
    """Name of a point: a hash of what it depends on."""
    return hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:12]


def _all(figure: Figure, cells: Sequence[Cell], points: Path, workers: int, afresh: bool) -> Iterator[tuple[Cell, Any, str]]:
    """Every cell with its point, or a sentence on what went wrong."""
    left = []
    for cell in cells:
        point = None if afresh else _read(points / f"{key(cell)}.json")
        if point is None:
            left.append(cell)
        else:
            yield cell, point, ""
    processes, threads = divided(workers, len(left))
    with joblib.parallel_config("loky", inner_max_num_threads=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped")     # one that holds much memory is replaced, nothing is lost
        pool = joblib.Parallel(n_jobs=processes, return_as="generator_unordered", pre_dispatch=processes)
        try:
            yield from pool(joblib.delayed(_point)(figure, cell, points, threads, os.getpid()) for cell in left)
        except TerminatedWorkerError:
            raise SettingsError(f"{figure.name}: a process was killed, and too little memory is the usual cause; what was "
                                "computed is kept, and --workers 1 takes least") from None


def _read(path: Path) -> Any:
    """A point that is there, whole and of this version; or None."""
    try:
        point = json.loads(path.read_text(encoding="utf-8"))
        return point if point.keys() >= KEPT and point["rows"] else None
    except (OSError, ValueError, AttributeError):
        return None


def _point(figure: Figure, cell: Cell, points: Path, threads: int, parent: int) -> tuple[Cell, Any, str]:
    """Compute one point, and keep it."""
    begun = time.process_time()
    try:
        with at_a_time(threads):
            rows = [dict(row) for row in figure.rows(cell)]
        if not rows:
            raise ValueError("nothing was measured: rounds, tests and lists must not be 0 or empty")
        if os.getpid() != parent != os.getppid():                  # who asked for it was killed, and may have been started again
            os._exit(1)
        point = {"cell": dict(cell), "rows": rows, "cpu_s": round(time.process_time() - begun, 2), "made_at": now(),
                 "commit": commit(), "versions": versions()}
        write_json(points / f"{key(cell)}.json", point)
        return cell, json.loads(json.dumps(point)), ""
    except Exception as error:
        return cell, None, sentence(error)


def _leave(figure: Figure, size: str, knobs: Knobs, points: Sequence[Any], table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write the table, the figure and how it was made; the numbers to compare."""
    findings = figure.findings(table)
    with whole(folder / f"{figure.name}.csv") as file:
        file.write(table.to_csv(index=False, float_format="%.6g").encode())
    write_json(folder / f"{figure.name}.json", {
        "figure": figure.name, "paper": PAPERS[figure.paper], "question": figure.question, "claim": figure.claim, "size": size,
        "knobs": dict(knobs), "findings": findings.to_dict("records"), "drawn_at": now(),
        "cpu_s": round(sum(point["cpu_s"] for point in points), 1), "commits": sorted({str(p["commit"]) for p in points}),
        "versions": versions(), "data_folder_set": bool(os.environ.get(FOLDER_SETTING)), "points": [p["cell"] for p in points]})
    with matplotlib.rc_context(PRINT):
        drawn = figure.draw(table)
    save(drawn, folder / figure.name, "" if knobs == figure.knobs["full"] else _note(size, knobs, figure))
    return findings


def _note(size: str, knobs: Knobs, figure: Figure) -> str:
    """What a reader should know of a figure that has not the paper's size."""
    turned = [f"{name} = {value}" for name, value in knobs.items() if value != figure.knobs[size][name] and name != "data"]
    return ", ".join([f"{size} size", *filter(None, [knobs.get("data")]), *turned])


def plain(cell: Cell) -> dict[str, Any]:
    """What of a cell stands in the table: all but lists."""
    return {name: each for name, each in cell.items() if not isinstance(each, list | dict)}
