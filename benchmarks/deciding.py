"""Deciding over fading rounds: which price of progress serves best, and what a decision costs: ``python -m benchmarks.deciding``.

Prints two tables and one JSON line.

*Price of progress.* Seconds that a full round's progress takes, E[T] / E[(1 - Phi)^gamma], in cells of the default scenario, on
the same channels for all:

- beforehand: mu from 32 other channels (``wirelessfl run`` takes the median of nine such);
- online: mu by running means (``optim.worth.Worth``), with one round at the mean channel to begin with;
- greedy: each round the least T / (1 - Phi)^gamma of its own.

*Cost.* Processor time of a decision (median of the rounds; one thread), cold and from the last round's, with the price of
progress beforehand. More options than the scenario's cuts are made of them: the uplink in fewer bits, for more noise.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from time import process_time

import numpy as np
import pandas as pd

import wirelessfl as wfl
from learning.calibration import Calibration
from optim.allocation import Allocation
from optim.problem import Deadline
from optim.time_to_accuracy import time_to_accuracy, worth_of_progress
from optim.worth import Worth
from wirelessfl.prepare import FORECASTS
from wirelessfl.pricing import priced
from wirelessfl.world import World

CELLS: dict[str, list[str]] = {
    "default": [],
    "1 MHz": ["cell.bandwidth_mhz=1"],
    "16 MHz": ["cell.bandwidth_mhz=16"],
    "slower devices": ["devices.slowest_gflops=0.01", "devices.fastest_gflops=0.1"],
    "fast devices, 1 MHz": ["devices.slowest_gflops=1", "devices.fastest_gflops=3", "cell.bandwidth_mhz=1"],
    "trusting (gamma 0.2)": ["decision.exponent=0.2"],
}
SIZES = ((10, 4), (10, 36), (100, 4), (100, 36))        # devices and options
BITS = 32 / np.array([32, 16, 12, 10, 8, 6, 5, 4, 3])   # how much shorter an upload is
NOISE = 1e-3                                            # what the shortest adds to the loss, over all devices [1]


def channels(w: World, known: Calibration, cause: str, count: int) -> Deadline:
    """The problem in so many channels, drawn for a ``cause``: (count, K, O)."""
    gains = w.air.forecast(w.rng(cause), count, w.knowledge, w.scenario.decision.outage)
    return priced(w, known, gains, np.ones((len(w.shards), 2)))


def each(many: Deadline) -> Iterator[Deadline]:
    """The rounds of a batch, one by one."""
    for number in range(many.shape[0]):
        row = many.rows(slice(number, number + 1))
        yield row.change(lambda v: v[0], lambda v: v[0], lambda v: v[0])


def shorter(problem: Deadline, options: int) -> Deadline:
    """The problem with every option also in fewer bits, up to so many ``options``."""
    variants = options // problem.shape[-1]
    over, loud = BITS[:variants], NOISE * (4.0 ** np.arange(variants) - 1) / 4.0 ** (len(BITS) - 1) / problem.shape[-2]

    def repeated(v: np.ndarray) -> np.ndarray:
        return np.concatenate([np.broadcast_to(v, problem.shape)] * variants, axis=-1)

    per_option = np.repeat(np.stack([1 / over, loud]), problem.shape[-1], axis=-1)
    whole = problem.change(lambda v: v, lambda v: v, repeated)
    fixed, kept = (bits * per_option[0] for bits in (whole.costs.fixed_bits, whole.costs.kept_bits))
    return replace(whole, costs=replace(whole.costs, fixed_bits=fixed, kept_bits=kept), noise=whole.noise + per_option[1])


def ratio(found: list[Allocation], exponent: float) -> float:
    """E[T] / E[(1 - Phi)^gamma] [s]."""
    times, losses = (np.array([float(getattr(f, name)) for f in found]) for name in ("deadline", "objective"))
    return float(times.sum() / ((1 - np.minimum(losses, 1.0)) ** exponent).sum())


def prices(overrides: list[str], known: Calibration, rounds: int) -> dict[str, float]:
    """Seconds that progress takes by each of the three."""
    s = wfl.load_scenario(overrides=overrides)
    w, gamma = wfl.world(s, seed=0), s.decision.exponent
    mu = worth_of_progress(channels(w, known, "forecast", FORECASTS), exponent=gamma)
    first = time_to_accuracy(wfl.problem(w, known, w.air.mean_gain), exponent=gamma)
    worth = Worth(float(first.deadline), (1 - float(first.objective)) ** gamma, gamma)
    beforehand, online, greedy = [], [], []
    for now in each(channels(w, known, "fading", rounds)):
        beforehand.append(time_to_accuracy(now, mu, exponent=gamma, start=beforehand[-1] if beforehand else None))
        greedy.append(time_to_accuracy(now, exponent=gamma, start=greedy[-1] if greedy else None))
        online.append(time_to_accuracy(now, worth.price, exponent=gamma, start=online[-1] if online else None))
        worth = worth.after(float(online[-1].deadline), float(online[-1].objective))
    least = ratio(beforehand, gamma)
    return {"mu [s]": mu, "beforehand [s]": least, "online/beforehand": ratio(online, gamma) / least,
            "greedy/beforehand": ratio(greedy, gamma) / least, "mu at the end [s]": worth.price}


def cost(devices: int, options: int, known: Calibration, rounds: int) -> dict[str, float]:
    """Milliseconds of a decision, cold and warm, and the largest gap of the warm ones."""
    w = wfl.world(wfl.load_scenario(overrides=[f"cell.devices={devices}", f"cell.bandwidth_mhz={0.4 * devices}"]), seed=0)
    mu, cold, warm, gaps, last = worth_of_progress(channels(w, known, "forecast", 8)), [], [], [], None
    for now in each(shorter(channels(w, known, "fading", rounds), options)):
        begun = process_time()
        found = time_to_accuracy(now, mu)
        middle = process_time()
        last = time_to_accuracy(now, mu, start=last or found)
        cold.append(middle - begun)
        warm.append(process_time() - middle)
        gaps.append(float(last.gap))
    return {"devices": devices, "options": options, "cold [ms]": 1e3 * float(np.median(cold)),
            "warm [ms]": 1e3 * float(np.median(warm)), "largest gap": max(gaps)}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="channels of each comparison; a fifth of them for the cost")
    rounds = parser.parse_args().rounds
    known = wfl.measure(wfl.world(wfl.load_scenario(), seed=0))
    table = pd.DataFrame([{"cell": name, **prices(overrides, known, rounds)} for name, overrides in CELLS.items()])
    print(table.to_string(index=False, float_format="{:.4g}".format))
    costs = [cost(*size, known, max(rounds // 5, 3)) for size in SIZES]
    print(pd.DataFrame(costs).to_string(index=False, float_format="{:.3g}".format))
    print(json.dumps({"rounds": rounds, "prices": table.to_dict("records"), "cost": costs}))


if __name__ == "__main__":
    main()
