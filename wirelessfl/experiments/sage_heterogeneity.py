"""Accuracy under label skew: at a fixed load against alpha, and where each run ends; FSL-SAGE's figures (arXiv 2505.23182).

Seen: devices of equal size, each with its own classes by Dirichlet(alpha), alpha the sum of the parameters (1 is as skewed as 0.1
a class); the best accuracy of the rounds that 80 GB pay for, which stop SplitFed and FedAvg near their 97th round of 200 and
leave the others all of theirs; and best accuracy against the load that it took, a larger marker for more skew. Quick stops as
early: at 0.48 of SplitFed's load.
"""

import matplotlib.figure
import numpy as np
import pandas as pd

from wirelessfl.experiments import sage_methods as sage
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.style import PAGE, legend, logarithmic, over_seeds, panels

KNOBS = {
    "small": sage.DIGITS | {"alphas": [1.0, 100.0], "load_gb": 0.0015, "rounds": 3, "tests": 3, "seeds": 1},
    "quick": sage.FASHION | {"alphas": [1.0, 1000.0], "load_gb": 0.071},
    "full": sage.PAPER | {"alphas": [1.0, 10.0, 100.0, 1000.0, 10000.0], "load_gb": 80.0},
}
RUN = ("method", "alpha", "seed", "limit_gb")


def cells(knobs: Knobs) -> list[Cell]:
    """A training an alpha, method and seed."""
    return [cell for alpha in knobs["alphas"]
            for cell in sage.cells(knobs, alpha=alpha, limit_gb=knobs["load_gb"])]


def draw(table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Left: accuracy at the load against alpha; right: best accuracy against the load that it took."""
    figure, ((left, right),) = panels(columns=2, width=PAGE, height=2.6, sharey=True)
    paid, free = _paid(table), sage.best(table, RUN).groupby(["method", "alpha"], sort=False).mean(numeric_only=True)
    for method, own in paid.groupby("method", sort=False):
        over_seeds(left, own, "alpha", "accuracy", label=method, **sage.LOOK[str(method)])
        ends, look = free.loc[method], sage.LOOK[str(method)]
        right.scatter(ends["load_gb"], ends["accuracy"], s=_size(ends.index.to_numpy(float)), color=look["color"],
                      marker=look["marker"], alpha=0.8, linewidths=0)
    for alpha in sorted(set(table["alpha"])):
        right.scatter([], [], s=_size(np.array([alpha])), color="#888888", marker="o", linewidths=0, label=f"{alpha:g}")
    right.legend(title="α", loc="center left", bbox_to_anchor=(1.0, 0.5))
    logarithmic(right.xaxis)
    right.margins(x=0.12)
    left.set(xscale="log", xlabel="α of the Dirichlet partition [1]", ylabel="best test accuracy [1]",
             title=f"(a) within {table['limit_gb'].iloc[0]:g} GB")
    right.set(xlabel="load at which it was reached [GB]", title="(b) of all rounds")
    legend(figure, left, columns=5)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each method and alpha: the best that the load pays for, and the mean of the last fifth of all rounds."""
    paid = _paid(table).pivot_table(index="method", columns="alpha", values="accuracy", sort=False, dropna=False)
    ends = sage.late(table, ("method", "alpha")).unstack()
    return paid.add_prefix("within the load, alpha = ").join(ends.add_prefix("last fifth, alpha = ")).round(3).reset_index()


def _paid(table: pd.DataFrame) -> pd.DataFrame:
    """What each run has at the fixed load."""
    return sage.best(table, RUN, float(table["limit_gb"].iloc[0]))


def _size(alpha: np.ndarray) -> np.ndarray:
    """Area of a marker [point^2], larger for more skew."""
    return 12.0 * np.maximum(5.0 - np.log10(alpha), 1.0)


FIGURE = Figure(
    name="fsl-sage-heterogeneity", paper="fsl-sage",
    question="Which accuracy does a fixed load buy when devices hold different classes?",
    claim="At 80 GB and alpha = 1 FSL-SAGE has 0.828, SplitFed-V1 0.806, CSE-FSL 0.797, SplitFed-V2 0.462, FedAvg 0.409 (read "
          "off its figure).",
    minutes={"small": 0.1, "quick": 2, "full": 24000}, knobs=KNOBS, cells=cells, rows=sage.rows, draw=draw, findings=findings)
