"""How large auxiliary networks must be: accuracy against their size, FSL-SAGE and CSE-FSL (arXiv 2505.23182).

Seen: sizes of 0.005 MB (linear), 3.522 (half), 8.029 (the server's first stage) and 40.078 (a copy of the whole server side), MB
of 2^20 bytes, and the accuracy that 200 GB buy, however many rounds that takes: CSE-FSL sends an auxiliary network both ways in
every round, FSL-SAGE one way every l rounds. Full has 200 rounds, of which the load of (b) pays for some. Half is half of the
stage's blocks, as in the paper's code; of LeNet, whose stage is one block, half as many outputs in each layer.
"""

import matplotlib.figure
import pandas as pd

from wirelessfl.config import load
from wirelessfl.experiments import sage_methods as sage
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.style import legend, over_seeds, panels
from wirelessfl.world import world

KNOBS = {
    "small": sage.DIGITS | {"kinds": ["linear", "stage"], "load_gb": 0.0006},
    "quick": sage.FASHION | {"kinds": ["linear", "half", "stage", "full"], "load_gb": 0.02},
    "full": sage.PAPER | {"kinds": ["linear", "half", "stage", "full"], "load_gb": 25.0},
}
MB = 2**20
RUN = ("method", "kind", "aux_mb", "seed", "limit_gb")


def cells(knobs: Knobs) -> list[Cell]:
    """A training a kind of auxiliary network, method and seed."""
    return [cell for kind in knobs["kinds"]
            for cell in sage.cells({**knobs, "auxiliary": kind}, sage.GUIDED, kind=kind, limit_gb=knobs["load_gb"])]


def rows(cell: Cell) -> list[dict]:
    """Those of the training, with ``aux_mb``, the size of the auxiliary network [MB of 2^20 bytes]."""
    auxiliaries = world(load(None, cell["settings"]), cell["seed"]).algorithm.auxiliaries        # type: ignore[attr-defined]
    size = auxiliaries.profile(cell["cut"]).bits / 8 / MB
    return [{**row, "aux_mb": size} for row in sage.rows(cell)]


def draw(table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Left: after all rounds; right: at the load."""
    figure, ((left, right),) = panels(columns=2, height=2.5, sharey=True)
    sizes = dict(sorted(set(zip(table["kind"], table["aux_mb"], strict=True)), key=lambda each: each[1]))
    for axes, limit in ((left, float("inf")), (right, _limit(table))):
        found = sage.best(table, RUN, limit)
        for method, own in found.assign(place=found["kind"].map([*sizes].index)).groupby("method", sort=False):
            over_seeds(axes, own, "place", "accuracy", label=method, **sage.LOOK[str(method)])
        axes.set_xticks(range(len(sizes)), [f"{kind}\n{size:.2g}" for kind, size in sizes.items()], fontsize=6)
        axes.set(xlabel="auxiliary, size [MB]", xlim=(-0.4, len(sizes) - 0.6))
    left.set(title=f"(a) {table['round'].max()} rounds", ylabel="best test accuracy [1]")
    right.set(title=f"(b) within {_limit(table):g} GB")
    legend(figure, left)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each size and method, after all rounds and at the load, with the rounds that the load pays for."""
    free, paid = sage.best(table, RUN), sage.best(table, RUN, _limit(table))
    rounds = table[table["load_gb"] <= _limit(table)].groupby(["method", "kind"])["round"].max()
    ends, within = (found.groupby(["method", "kind"])["accuracy"] for found in (free, paid))
    return pd.DataFrame([{
        "method": method, "auxiliary": kind, "size [MB]": round(size, 4), "accuracy": sage.spread(ends.get_group((method, kind))),
        f"within {_limit(table):g} GB": sage.spread(within.get_group((method, kind))),
        "rounds of that": rounds.get((method, kind), 0)}
        for method, kind, size in free[["method", "kind", "aux_mb"]].drop_duplicates().itertuples(index=False)])


def _limit(table: pd.DataFrame) -> float:
    return float(table["limit_gb"].iloc[0])


FIGURE = Figure(
    name="fsl-sage-auxiliary", paper="fsl-sage",
    question="How large must the auxiliary networks be?",
    claim="With the first stage (8.029 MB) FSL-SAGE has 0.853, CSE-FSL 0.833 (read off its figure of the load); it sweeps four "
          "sizes at 200 GB, with accuracies that are not known here.",
    minutes={"small": 0.1, "quick": 2, "full": 9000}, knobs=KNOBS, cells=cells, rows=rows, draw=draw, findings=findings)
