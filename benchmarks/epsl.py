r"""EPSL's allocation by its published block-coordinate descent and exactly, in one table: ``python -m benchmarks.epsl``.

The scene is the paper's as far as it is known (reconstructed): devices uniform in a disc of 200 m, 20 subchannels of 10 MHz at
28 GHz, an antenna gain product of 10, noise of -174 dBm/Hz, 31.76 dBm a device and 36.99 dBm in all, -50 dBm/Hz down, batches of
64 of which half is aggregated, clocks uniform in 1 to 1.6 GHz at 1/16 cycle a FLOP, a server of 5 GHz at 1/32. Path loss,
shadowing and sight are those of New York at 28 GHz (``CloseIn`` in ``channels/path_loss.py``). Each subchannel fades on its own,
Rayleigh: ours, for without fading all subchannels of a device are alike. The network is ResNet-18 for images of 64 x 64 x 3 and
7 classes (HAM10000, scaled down).
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import fields, replace
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from channels.path_loss import CloseIn
from channels.units import dbm_to_watt
from optim.epsl import EpslProblem, latency
from optim.epsl_amounts import epsl_problem
from optim.epsl_answer import EpslAnswer, epsl_residual, settle
from optim.epsl_descent import best_cut, floor, greedy, solve_descent
from optim.epsl_exact import solve_exact
from optim.epsl_power import best_power

BANDS, CLASSES, BITS = 20, 7, 32
# one row a block of ResNet-18: channels and side of its output, and its convolutions (channels in, channels out, kernel, side);
# the stem is 7 x 7 / 2, then a max-pool / 2; a block has two 3 x 3, and a 1 x 1 on the short cut where it halves the side
RESNET18 = (
    (64, 16, ((3, 64, 7, 32),)),
    (64, 16, ((64, 64, 3, 16), (64, 64, 3, 16))),
    (64, 16, ((64, 64, 3, 16), (64, 64, 3, 16))),
    (128, 8, ((64, 128, 3, 8), (128, 128, 3, 8), (64, 128, 1, 8))),
    (128, 8, ((128, 128, 3, 8), (128, 128, 3, 8))),
    (256, 4, ((128, 256, 3, 4), (256, 256, 3, 4), (128, 256, 1, 4))),
    (256, 4, ((256, 256, 3, 4), (256, 256, 3, 4))),
    (512, 2, ((256, 512, 3, 2), (512, 512, 3, 2), (256, 512, 1, 2))),
    (512, 2, ((512, 512, 3, 2), (512, 512, 3, 2))),
)


def network() -> dict[str, NDArray | float]:
    """Work and traffic of ResNet-18 for one sample at the cuts behind the stem and behind each of the 8 blocks [FLOP], [bit].

    A multiplication and an addition are two FLOPs. Backward is twice forward, gradients of inputs and of weights, but nobody
    needs the gradient of the image. What crosses the cut are 32-bit numbers, as many up as down.
    """
    work = np.array([sum(2.0 * a * b * k**2 * side**2 for a, b, k, side in convs) for _, _, convs in RESNET18])
    last = 2.0 * RESNET18[-1][0] * CLASSES
    ahead, size = work.cumsum(), np.array([BITS * channels * side**2 for channels, side, _ in RESNET18], float)
    rest = work.sum() - ahead + last
    return {"forward_flops": ahead, "backward_flops": 2 * ahead - work[0], "server_forward_flops": rest,
            "server_backward_flops": 2 * rest, "last_layer_flops": 2 * last, "smashed_bits": size, "gradient_bits": size}


def scene(rng: np.random.Generator, devices: int, *, aggregated: float = 0.5) -> EpslProblem:
    """A random round of the paper's cell."""
    law, distance = CloseIn(), 200.0 * np.sqrt(rng.uniform(0.0025, 1.0, devices))        # none within 10 m
    sight = rng.random(devices) < law.sight_probability(distance)
    mean = law.gain(distance, sight) * np.exp(-law.spread(distance, sight) * rng.standard_normal(devices))
    gain = 10.0 * mean[:, None] * rng.standard_exponential((devices, BANDS)) / dbm_to_watt(-174.0)
    return epsl_problem(
        gain, batch=64, aggregated=aggregated, clock=rng.uniform(1e9, 1.6e9, devices), server_clock=5e9, cycles_per_flop=1 / 16,
        server_cycles_per_flop=1 / 32, width=10e6, peak_power=dbm_to_watt(31.76), total_power=dbm_to_watt(36.99),
        downlink_density=dbm_to_watt(-50.0), **network())  # type: ignore[arg-type]


def random_subchannels(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """As many subchannels to each device, drawn by lot; power and cut as good as they can be."""
    devices, bands, cuts = problem.sizes
    assignment, each = rng.permutation(np.arange(bands) % devices), np.arange(cuts)
    power = best_power(problem, each, assignment)
    cut = latency(problem, each, assignment, power).total.argmin()
    return settle(problem, cut, assignment, power[cut], floor(problem).min(), 1)


def equal_power(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """The same density everywhere, less where a device would pass its peak; subchannels greedily, the best cut of those."""
    del rng
    power, best = np.full(BANDS, problem.total_power / BANDS), None
    for cut in range(problem.sizes[2]):
        assignment = greedy(problem, np.array(cut), power)
        used = power[0] * np.bincount(assignment, minlength=problem.sizes[0])
        fits = power * np.minimum(1.0, problem.peak_power / np.maximum(used, power[0]))[assignment]
        found = settle(problem, best_cut(problem, assignment, fits), assignment, fits, floor(problem).min(), 1)
        best = found if best is None or found.latency < best.latency else best
    assert best is not None
    return best


def middle_cut(problem: EpslProblem, rng: np.random.Generator) -> EpslAnswer:
    """The descent with the cut fixed to the middle."""
    del rng
    middle = problem.sizes[2] // 2
    only = {f.name: getattr(problem, f.name)[..., [middle]] for f in fields(problem)
            if getattr(problem, f.name).shape[-1:] == problem.server.shape}
    found = solve_descent(replace(problem, **only))
    return settle(problem, np.array(middle), found.assignment, found.power, floor(problem).min(), found.steps)


def methods(seconds: float) -> dict[str, Callable[[EpslProblem, np.random.Generator], EpslAnswer]]:
    """Name to solver, the exact one first."""
    return {"exact": lambda problem, rng: solve_exact(problem, seconds=seconds),
            "descent": lambda problem, rng: solve_descent(problem),
            "random subchannels": random_subchannels, "equal power": equal_power, "middle cut": middle_cut}


def measure(devices: list[int], realisations: int, seconds: float, seed: int = 0) -> pd.DataFrame:
    """One row a method and realisation; every answer is graded before it counts."""
    rows = []
    for count in devices:
        for number in range(realisations):
            problem = scene(np.random.default_rng([seed, count, number]), count)
            for name, solve in methods(seconds).items():
                start = perf_counter()
                found = solve(problem, np.random.default_rng([seed, count, number, 1]))
                took = perf_counter() - start
                grade = epsl_residual(problem, found)
                if max(grade.feasibility, grade.clock) > 1e-9:
                    raise RuntimeError(f"{name} broke a limit: {grade}")
                rows.append((count, number, name, float(found.latency), float(found.gap), took))
    return pd.DataFrame(rows, columns=["devices", "realisation", "method", "latency", "gap", "seconds"])


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Per number of devices and method: latency, what it is above the exact answer, the certified gap of that, and the time."""
    exact = rows[rows.method == "exact"].set_index(["devices", "realisation"]).latency
    above = rows.latency / exact.loc[pd.MultiIndex.from_frame(rows[["devices", "realisation"]])].to_numpy() - 1
    groups = rows.assign(above=100 * above).groupby(["devices", "method"], sort=False)
    return groups.agg(latency=("latency", "mean"), above_mean=("above", "mean"), above_max=("above", "max"),
                      gap_max=("gap", "max"), median_s=("seconds", "median"), longest_s=("seconds", "max")).reset_index()


def markdown(table: pd.DataFrame) -> str:
    """The table as a person reads it."""
    heads = ["devices", "method", "latency [s]", "above exact, mean [%]", "max [%]", "certified gap, max", "time, median [s]",
             "max [s]"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table.itertuples(index=False):
        gap = f"{row.gap_max:.1e}" if row.method == "exact" else ""
        lines.append(f"| {row.devices} | {row.method} | {row.latency:.3f} | {row.above_mean:.2f} | {row.above_max:.2f} | {gap} "
                     f"| {row.median_s:.3f} | {row.longest_s:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="EPSL's allocation: published descent and exact method side by side")
    options.add_argument("--devices", type=int, nargs="+", default=[5, 10, 15, 20])
    options.add_argument("--realisations", type=int, default=20)
    options.add_argument("--seconds", type=float, default=15.0, help="limit of the exact method for one realisation [s]")
    options.add_argument("--quick", action="store_true", help="two realisations of a few seconds")
    chosen = options.parse_args()
    realisations, seconds = (2, 2.0) if chosen.quick else (chosen.realisations, chosen.seconds)
    table = summary(measure(chosen.devices, realisations, seconds))
    print(markdown(table))
    print(json.dumps({"benchmark": "epsl", "subchannels": BANDS, "realisations": realisations,
                      "rows": table.round(6).to_dict("records")}))


if __name__ == "__main__":
    main()
