"""A picture of who holds what: readable in grey and without telling colours apart, since size alone carries the numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from learning.partition import class_counts
from wirelessfl.style import COLOURS, STYLE

LEAST = 2.0              # diameter of the smallest bubble [point]


def partition_picture(labels: NDArray, parts: Sequence[NDArray], path: Path, names: Sequence[str] | None = None) -> None:
    """Draw a bubble for each device and class, of an area in proportion to its samples; above it, the samples of each device.

    The smallest bubbles keep a size that can be seen: a place without a bubble is a class that the device does not hold.

    Parameters
    ----------
    labels : (n,) array of int
        Class of each sample, from 0.
    parts : (K,) sequence of arrays
        Indices of the samples of each device.
    path : Path
        File to write; its suffix says the format.
    names : (C,) sequence of str, optional
        Names of the classes; their numbers without them.

    Raises
    ------
    ValueError
        When there is no device, or not one name a class.
    """
    if not len(parts):
        raise ValueError("parts must hold the indices of at least one device, got none")
    counts = class_counts(labels, parts)
    if names is not None and len(names) != counts.shape[1]:
        raise ValueError(f"names must be one for each of the {counts.shape[1]} classes, got {len(names)}")
    draw(counts, names).savefig(path, dpi=160)


@matplotlib.rc_context(STYLE)
def draw(counts: NDArray, names: Sequence[str] | None = None) -> Figure:
    """The picture for a table of counts (K, C) [samples]."""
    devices, classes = counts.shape
    wide, high = (float(np.clip(0.36 * n, *limits)) for n, limits in ((devices, (3.6, 12.0)), (classes, (1.0, 8.0))))    # [inch]
    figure = Figure(figsize=(wide + 1.0, high + 2.3))
    figure.suptitle(title(counts), fontsize=9)
    bars, table = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, high))
    bars.bar(np.arange(devices), counts.sum(1), 0.7, color="#666666", zorder=3)
    bars.set(ylabel="samples")
    bars.grid(axis="x", visible=False)
    bars.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    bars.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    figure.align_ylabels()
    table.set(xlabel="device", ylabel="class", xlim=(-0.6, devices - 0.4), ylim=(classes - 0.4, -0.6))
    table.set_xticks(_some(devices))
    table.set_yticks(_some(classes) if names is None else range(classes), names)
    _bubbles(figure, table, counts)
    return figure


def title(counts: NDArray) -> str:
    """Two short lines: how many samples on how many devices; how many samples, and of how many classes, a device holds."""
    sizes, held = counts.sum(1), (counts > 0).sum(1)
    return (f"{_many(_span(sizes.sum()), 'sample')} on {_many(_span(len(sizes)), 'device')}\n"
            f"a device holds {_many(_span(sizes), 'sample')} of {_many(_span(held), 'class', 'es')}")


def _span(values: Any) -> str:
    low, high = np.min(values), np.max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _many(number: str, what: str, ending: str = "s") -> str:
    return f"{number} {what}{'' if number == '1' else ending}"


def _some(number: int) -> range:
    """At most 20 of 0, ..., number - 1, evenly."""
    return range(0, number, -(-number // 20))


def _bubbles(figure: Figure, table: Any, counts: NDArray) -> None:
    """Bubbles as large as the grid allows, and a key with up to three of them."""
    held, shown = np.nonzero(counts), key(int(counts.max()))
    look: Any = {"color": COLOURS[0], "linewidths": 0, "zorder": 3}
    handles = [table.scatter([], [], **look, label=f"{n:,}") for n in shown]
    said = table.scatter([], [], s=0, label="samples of a class on a device:")        # beside bubbles, not where they reach
    legend: Any = figure.legend(handles=[said, *handles], loc="outside lower center", ncols=1 + len(shown), borderpad=1.2)
    figure.draw_without_rendering()
    box = table.get_window_extent()
    cell = 72 / figure.dpi * min(box.width / counts.shape[0], box.height / counts.shape[1])        # [point]

    def area(number: Any) -> Any:
        return np.maximum((0.95 * cell) ** 2 * number / counts.max(), min(LEAST, cell) ** 2)       # [point^2]

    table.scatter(*held, s=area(counts[held]), **look)
    for handle, number in zip(legend.legend_handles[1:], shown, strict=True):
        handle.set_sizes([area(number)])


def key(most: int) -> list[int]:
    """Up to three round numbers for a key, the largest of them at most ``most``."""
    digit = 10 ** (len(str(most)) - 1)
    top = most // digit * digit
    return sorted({n for n in (top, top // 4, top // 20) if n})
