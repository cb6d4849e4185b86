"""Accuracy against communication load, five methods, IID: the main figure of FSL-SAGE (arXiv 2505.23182; setting and load seen).

The dotted line is 0.95 of FSL-SAGE's best accuracy, as the paper's 0.81 is of its 0.853; loads are compared where a method's mean
accuracy first gets there. Quick keeps the paper's network and data and has 150 samples a device instead of 5000, so models
weigh more beside smashed data than in the paper: with fewer samples FedAvg's and CSE-FSL's rounds cost relatively more.
"""

import matplotlib.figure
import pandas as pd

from wirelessfl.experiments import sage_methods as sage
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.style import legend, logarithmic, over_seeds, panels

KNOBS = {
    "small": sage.DIGITS,
    "quick": sage.PAPER | {"train": 1500, "test": 1000, "batch": 25, "every": 2, "align_every": 5, "align_steps": 25,
                           "align_batch": 64, "rounds": 10, "tests": 5, "seeds": 2},
    "full": sage.PAPER,
}


def cells(knobs: Knobs) -> list[Cell]:
    """A training a method and seed."""
    return [*sage.cells(knobs)]


def draw(table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Lines of the methods over the load, logarithmic."""
    figure, ((axes,),) = panels(height=2.7)
    for method, own in table.groupby("method", sort=False):
        over_seeds(axes, own, "load_gb", "accuracy", label=method, **sage.LOOK[str(method)])
    axes.axhline(sage.target(table), color="black", linestyle=":", linewidth=0.8)
    logarithmic(axes.xaxis)
    axes.set(xlabel="load of all devices, up and down [GB]", ylabel="test accuracy [1]")
    legend(figure, axes)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Of each method: best and last accuracy, load of a round, load until the line, also as a multiple of FSL-SAGE's."""
    level, means = sage.target(table), sage.curves(table)
    ours = sage.until(means["FSL-SAGE"], level, "load_gb")
    best, last = sage.best(table, ("method", "seed")), table[table["round"] == table["round"].max()]
    return pd.DataFrame([{
        "method": method, "best accuracy": sage.spread(best[best["method"] == method]["accuracy"]),
        "last accuracy": sage.spread(last[last["method"] == method]["accuracy"]),
        "load of a round [GB]": round(curve["load_gb"].iloc[-1] / curve.index[-1], 5),
        f"load to {level:.3f} [GB]": round(there := sage.until(curve, level, "load_gb"), 4),
        "times FSL-SAGE's": round(there / ours, 2)} for method, curve in means.items()])


FIGURE = Figure(
    name="fsl-sage-load", paper="fsl-sage",
    question="Which accuracy does a load of communication buy, with each of five methods?",
    claim="At the plateau FSL-SAGE has 0.853, SplitFed-V1 0.838, CSE-FSL 0.833, FedAvg 0.822, SplitFed-V2 0.815 (read off its "
          "figure); to 0.81 it takes 2.1 times less load than CSE-FSL, 4.9 to 8.9 times less than the others.",
    minutes={"small": 0.1, "quick": 5, "full": 4800}, knobs=KNOBS, cells=cells, rows=sage.rows, draw=draw, findings=findings)
