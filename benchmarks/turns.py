"""Times of things that are compared: they take turns, so that a busy machine is busy for all of them."""

from collections.abc import Callable, Sequence
from time import process_time

import numpy as np

Loop = Callable[[], object]                       # what is measured, once


def seconds(loops: Sequence[Loop], repeats: int, clock: Callable[[], float] = process_time) -> list[float]:
    """Median time of each, taking turns [s], by default that which this process really had the processor; the first turn does not
    count."""
    times = np.empty((repeats + 1, len(loops)))
    for turn in times:
        for number, once in enumerate(loops):
            start = clock()
            once()
            turn[number] = clock() - start
    return [float(t) for t in np.median(times[1:], axis=0)]
