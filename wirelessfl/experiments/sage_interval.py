"""How often FSL-SAGE must align: best accuracy of all rounds against the alignment interval l (arXiv 2505.23182; seen).

The dashed line is CSE-FSL, which never hears of the server's gradients. In quick, l goes to the length of the run: the last
point has one alignment, in the first round, when the server knows nothing.
"""

import matplotlib.figure
import pandas as pd

from wirelessfl.experiments import sage_methods as sage
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.style import legend, panels

KNOBS = {
    "small": sage.DIGITS | {"intervals": [1, 4]},
    "quick": sage.FASHION | {"intervals": [2, 5, 10, 24]},
    "full": sage.PAPER | {"intervals": [2, 3, 5, 10, 20, 30, 40, 50]},
}
NEVER = "CSE-FSL"


def cells(knobs: Knobs) -> list[Cell]:
    """A training of FSL-SAGE an interval and seed, and one of CSE-FSL a seed, with interval 0."""
    ours = [cell for interval in knobs["intervals"]
            for cell in sage.cells({**knobs, "align_every": interval}, ("FSL-SAGE",), interval=interval)]
    return [*ours, *sage.cells(knobs, (NEVER,), interval=0)]


def draw(table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Means and standard deviations over the seeds; the band is CSE-FSL's."""
    figure, ((axes,),) = panels()
    each = _each(table)
    ours, mean, std = each.drop(index=0), float(each["mean"][0]), float(each["std"][0])
    look = sage.LOOK["FSL-SAGE"]
    axes.errorbar(ours.index, ours["mean"], ours["std"], capsize=2, label="FSL-SAGE", **look)
    axes.axhline(mean, color=sage.LOOK[NEVER]["color"], linestyle="--", label=NEVER)
    axes.axhspan(mean - std, mean + std, color=sage.LOOK[NEVER]["color"], alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(ours.index, [f"{interval:g}" for interval in ours.index])
    axes.minorticks_off()
    axes.set(xlabel="alignment interval l [rounds]", ylabel="best test accuracy [1]")
    legend(figure, axes)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Of each interval: best accuracy, its gain over CSE-FSL seed by seed, accuracy in the last fifth of the rounds, load."""
    found = sage.best(table, ("interval", "seed")).pivot_table(index="seed", columns="interval", values="accuracy")
    gain, loads = 100 * found.drop(columns=0).sub(found[0], axis=0), table.groupby("interval")["load_gb"].max()
    ends = sage.late(table, ("interval",))
    return pd.DataFrame({
        "best accuracy": [sage.spread(found[interval]) for interval in gain], "gain over CSE-FSL [points]": gain.mean().round(2),
        "standard error": gain.sem().round(2), "last fifth": ends.drop(index=0).round(3),
        "over CSE-FSL's": (ends.drop(index=0) - ends[0]).round(3), "load [GB]": loads.drop(index=0).round(4),
    }).rename_axis("l").reset_index()


def _each(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of each interval over the seeds; no deviation of a single seed."""
    return sage.best(table, ("interval", "seed")).groupby("interval")["accuracy"].agg(["mean", "std"]).fillna({"std": 0.0})


FIGURE = Figure(
    name="fsl-sage-interval", paper="fsl-sage",
    question="How often must auxiliary networks be aligned with the server?",
    claim="At l = 10 FSL-SAGE has 0.853, CSE-FSL 0.833 (read off its figure of the load); it sweeps l from 2 to 50, with values "
          "that are not known here.",
    minutes={"small": 0.1, "quick": 1.5, "full": 15000}, knobs=KNOBS, cells=cells, rows=sage.rows, draw=draw, findings=findings)
