"""How fast gains are drawn, side by side with numpy's standard_exponential: ``python -m benchmarks.channels``.

Prints a table and one JSON line. Everything runs in one process on one thread, each law right after numpy; of several such pairs
the median ratio of CPU times counts.

default           10^6 gains of the default law, Rayleigh's ``sample``
rician, nakagami  the same of these
gauss_markov, jakes    10^6 correlated gains of 1000 devices at 1000 times; and of one device at 10^6 times, and of 10^4 at 100
                  (a sum of waves is costly to begin: within 30 from some 50 times on)
step_...          one round of 1000 links from the last one: microseconds for each link
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from channels.fading import Fading, Nakagami, Rayleigh, Rician
from channels.process import GaussMarkov, Jakes
from channels.tapped_delay import TappedDelay

LINKS, MOVED = 1000, 0.02      # of a round by round simulation, and wavelengths from one time to the next
WITHIN = {"default": 5.0, "gauss_markov": 30.0, "jakes": 30.0}


def seconds(work: Callable[[], Any]) -> float:
    """CPU time of some work [s]."""
    start = time.process_time()
    work()
    return time.process_time() - start


def beside(work: Callable[[], Any], other: Callable[[], Any], pairs: int) -> tuple[float, float, float]:
    """Median CPU times of work and another [s], and the median of their ratios, pair by pair."""
    times = np.array([(seconds(work), seconds(other)) for _ in range(pairs)])
    return (*np.median(times, axis=0), float(np.median(times[:, 0] / times[:, 1])))


def bulk(rng: np.random.Generator, count: int) -> dict[str, Callable[[], Any]]:
    """So many gains of each law."""
    side = int(np.sqrt(count))
    work: dict[str, Callable[[], Any]] = {
        "default": lambda: Rayleigh().sample(rng, (count,)),
        "rician": lambda: Rician(3.0).sample(rng, (count,)),
        "nakagami": lambda: Nakagami(2.5).sample(rng, (count,))}
    for name, process in (("gauss_markov", GaussMarkov()), ("jakes", Jakes())):
        for label, devices in ((name, side), (f"{name}_one_device", 1), (f"{name}_many_devices", 10 * side)):
            work[label] = lambda p=process, k=devices: Rayleigh(p).trace(rng, k, count // k, MOVED)
    return work


def rounds(rng: np.random.Generator) -> dict[str, Callable[[], Any]]:
    """One round of each law that remembers."""
    laws: dict[str, Fading] = {
        "step_block": Rayleigh(), "step_gauss_markov": Rayleigh(GaussMarkov()), "step_jakes": Rayleigh(Jakes()),
        "step_tdl_a_64_subchannels": TappedDelay("tdl-a", subchannels=64, process=Jakes())}
    fades = {name: law.start(rng, LINKS) for name, law in laws.items()}
    return {name: (lambda fade=fade: fade.after(rng, MOVED).gain) for name, fade in fades.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the gains: under a second")
    small = parser.parse_args().quick
    rng, count = np.random.default_rng(0), 10**4 if small else 10**6
    table, found = [], {}
    for name, work in bulk(rng, count).items():
        ours, theirs, ratio = beside(work, lambda: rng.standard_exponential(count), 15)
        found[name] = round(ratio, 2)
        table.append((name, 1e9 * ours / count, 1e9 * theirs / count, ratio, WITHIN.get(name, np.nan)))
    frame = pd.DataFrame(table, columns=["gains", "ours [ns]", "standard_exponential [ns]", "ratio", "to be below"])
    print(frame.to_string(index=False, float_format="{:.3g}".format, na_rep=""))
    for name, work in rounds(rng).items():
        found[name] = round(1e6 * float(np.median([seconds(work) for _ in range(15)])) / LINKS, 3)
        print(f"{name}: {found[name]} us a link")
    print(json.dumps({"gains": count, **found, "met": all(found[name] < limit for name, limit in WITHIN.items())}))


if __name__ == "__main__":
    main()
