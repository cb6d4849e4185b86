"""One look for all figures: the column width of IEEE, colour-blind safe, legible in grey print, with spreads over seeds."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

COLUMN, PAGE = 3.5, 7.16             # width of a column, and of a page with two [inch]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666", "#E69F00", "#56B4E9")     # Okabe and Ito
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)), (0, (2, 2)), "-", "--")
MARKERS = "osD^vPX"
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
              "legend.frameon": False, "figure.constrained_layout.use": True}
PRINT: Any = STYLE | {
    "font.size": 8, "axes.titlesize": 8, "legend.fontsize": 7, "lines.linewidth": 1.3, "lines.markersize": 4,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.axisbelow": True, "pdf.fonttype": 42}


def look(number: int) -> dict[str, Any]:
    """Colour, dashes and marker of the line with this number."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)],
            "marker": MARKERS[number % len(MARKERS)]}


def panels(rows: int = 1, columns: int = 1, *, width: float = COLUMN, height: float = 2.3,
           **how: Any) -> tuple[Figure, np.ndarray]:
    """A figure for print with (rows, columns) axes; ``height`` is that of a row [inch]."""
    with matplotlib.rc_context(PRINT):
        figure = Figure(figsize=(width, rows * height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **how)


def over_seeds(axes: Any, table: pd.DataFrame, x: str, y: str, *, across: str = "seed", marks: int = 8, **how: Any) -> None:
    """A line of the mean of ``y`` at each ``x``, with a band of plus and minus one standard deviation over the seeds.

    Where a seed has no value (NaN) at an ``x``, nobody's is drawn there. About ``marks`` markers are set.
    """
    each = table.pivot_table(index=x, columns=across, values=y, dropna=False, observed=True)
    middle, spread = each.mean(axis=1, skipna=False), each.std(axis=1, ddof=1)
    axes.plot(each.index, middle, markevery=max(1, len(each) // marks), **how)
    if each.shape[1] > 1:
        axes.fill_between(each.index.to_numpy(float), middle - spread, middle + spread, color=how.get("color"), alpha=0.15,
                          linewidth=0)


def over_rounds_and_time(axes: Sequence[Any], runs: pd.DataFrame, y: str, **how: Any) -> None:
    """The same twice: against ``round``, and against the mean ``time_s`` of each round over the seeds."""
    runs = runs.assign(mean_s=runs.groupby("round")["time_s"].transform("mean"))
    for ax, x in zip(axes, ("round", "mean_s"), strict=True):
        over_seeds(ax, runs, x, y, **how)


def logarithmic(axis: Any, *, minor: bool = False) -> None:
    """A logarithmic axis of few decades, with plain numbers at 1, 2 and 5 times powers of ten; ``minor`` ticks or none."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    if not minor:
        axis.set_minor_locator(NullLocator())


def legend(figure: Figure, axes: Any, *, columns: int = 3, **how: Any) -> None:
    """One legend for all panels, above them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=columns, handlelength=3.2, **how)


def save(figure: Figure, stem: Path, note: str = "") -> None:
    """Write STEM.png and STEM.pdf, the same bytes each time; with a small ``note`` in the corner below."""
    with matplotlib.rc_context(PRINT):
        if note:
            lines = textwrap.wrap(note, int(24 * figure.get_figwidth()))           # letters of 1/24 inch or less
            low = (0.04 + 0.09 * len(lines)) / figure.get_figheight()
            engine: Any = figure.get_layout_engine()
            engine.set(rect=(0, low, 1, 1 - low))
            figure.text(0.995, 0.02 / figure.get_figheight(), "\n".join(lines), ha="right", va="bottom", fontsize=5.5,
                        color="#555555")
        figure.savefig(stem.with_suffix(".png"), dpi=200, metadata={"Software": None})
        figure.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None, "Producer": None, "Creator": None})
