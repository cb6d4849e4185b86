"""How fast the deadline problem is solved, side by side with a modelling language: ``python -m benchmarks.allocation``.

Prints a table and one JSON line. Everything runs in one process on one thread; of several runs the median counts.

single_speedup       one problem of 1000 devices in a new fade, from the last price, against cvxpy's re-solve of a
                     parametrised problem by Clarabel (its faster setting of two); in most of the fades nobody need prune
scarce_speedup       the same with 0.15 of the band, where all prune in each fade
batch_speedup        10,000 fades of 10 devices at once, against as many of those re-solves; again, in most nobody need prune
scarce_batch_speedup the same with 0.15 of the band, where somebody prunes in nearly all
ample_shares         share of the fades of these two batches in which nobody need prune
million_over_log1p   10^6 devices with 3 split options, in units of one numpy log1p of 10^6 doubles
exponent             of time against the number of devices, 10^3 to 10^6, 3 options, by least squares of the logarithms
max_rel_gap, max_kkt_residual    over everything solved; the gap is that of the mixed-integer problem where there are options
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.cells import cell
from optim.deadline import residual, solve_kkt
from optim.deadline_cvxpy import ConicModel
from optim.fastest import least_deadline
from optim.problem import Deadline

SCARCE = 0.15
SETTINGS: tuple[dict[str, Any], ...] = ({}, {"equilibrate_enable": False})


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of some work, and what it found."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def median(work: Callable[[], Any], times: int) -> float:
    """Median wall time of so many runs [s]."""
    return float(np.median([seconds(work)[0] for _ in range(times)]))


class Grades:
    """The worst of all answers."""

    def __init__(self) -> None:
        self.gap = self.kkt = 0.0

    def take(self, problem: Deadline, found: Any) -> None:
        self.gap = max(self.gap, float(np.max(found.gap)))
        if len(problem.shape) == 2:
            grade = residual(problem, found)
            self.kkt = max(self.kkt, grade.feasibility, grade.stationarity, grade.complementarity)


def resolve(model: ConicModel, problem: Deadline) -> float:
    """Seconds of a re-solve by the faster of Clarabel's settings that end well."""
    model.fade(problem)
    times = []
    for settings in SETTINGS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                took = seconds(lambda s=settings: model.model.solve(solver="CLARABEL", **s))[0]
            except Exception:                                    # it gives up now and then
                continue
        times.append(took)
    return min(times, default=np.nan)


def faded(seed: int, devices: int, fades: int, share: float) -> Deadline:
    """Fades with a ``share`` of the band, and as much more time as the shortest round then takes."""
    rows = cell(seed=seed, devices=devices, options=1, rows=fades)
    least = float(np.max(least_deadline(rows)))
    rows = replace(rows, band=share * rows.band)
    return replace(rows, deadline=rows.deadline * float(np.max(least_deadline(rows))) / least)


def against_cvxpy(devices: int, fades: int, grades: Grades, share: float) -> tuple[float, float]:
    """Median seconds of a re-solve by cvxpy, and by ours from the last price."""
    rows = faded(1, devices, fades, share)
    problems = [replace(rows, gain=gain) for gain in rows.gain]
    model, price, theirs, ours = ConicModel(problems[0]), None, [], []
    resolve(model, problems[0])
    for problem in problems:
        theirs.append(resolve(model, problem))
        took, found = seconds(lambda p=problem, start=price: solve_kkt(p, price=start))
        ours.append(took)
        price = found.price
        grades.take(problem, found)
    return float(np.nanmedian(theirs)), float(np.median(ours))


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the devices and fades: seconds")
    small = parser.parse_args().quick
    grades, table = Grades(), []

    fades, many = (6, 100) if small else (16, 10_000)
    speedup, ample = {}, []
    for share, name in ((1.0, ""), (SCARCE, f", {SCARCE:g} of the band")):
        theirs, ours = against_cvxpy(1000, fades, grades, share)
        speedup["single", share] = theirs / ours
        table.append((f"1000 devices, one fade{name}", ours, "cvxpy re-solve (Clarabel)", theirs, theirs / ours))
    for share, name in ((1.0, ""), (SCARCE, f", {SCARCE:g} of the band")):
        theirs = many * against_cvxpy(10, 2 * fades, grades, share)[0]
        batch = faded(2, 10, many, share)
        found = solve_kkt(batch)
        grades.take(batch, found)
        ample.append(round(float(np.mean(found.price == 0)), 2))
        ours = median(lambda p=batch: solve_kkt(p), 5)
        speedup["batch", share] = theirs / ours
        table.append((f"10 devices, {many} fades{name}", ours, "cvxpy re-solves", theirs, theirs / ours))

    sizes, times = [10**3, 10**4] if small else [10**3, 10**4, 10**5, 10**6], []
    values = np.random.default_rng(0).random(10**6)
    for devices in sizes:
        problem = cell(seed=3, devices=devices, options=3)
        grades.take(problem, solve_kkt(problem))
        times.append(median(lambda p=problem: solve_kkt(p), 5))
        log1p = median(lambda: np.log1p(values), 15)
        table.append((f"{devices} devices, 3 options", times[-1], "log1p of 10^6", log1p, times[-1] / log1p))
    exponent = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])

    frame = pd.DataFrame(table, columns=["problem", "ours [s]", "against", "theirs [s]", "ratio"])
    print(frame.to_string(index=False, float_format="{:.3g}".format))
    print(json.dumps({
        "single_speedup": round(speedup["single", 1.0], 1), "scarce_speedup": round(speedup["single", SCARCE], 1),
        "batch_speedup": round(speedup["batch", 1.0]), "scarce_batch_speedup": round(speedup["batch", SCARCE]),
        "ample_shares": ample, "million_over_log1p": round(table[-1][-1]), "exponent": round(exponent, 3),
        "max_rel_gap": grades.gap, "max_kkt_residual": grades.kkt,
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)}))


if __name__ == "__main__":
    main()
