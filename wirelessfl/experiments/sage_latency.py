"""How long five methods take, sending and computing, to an accuracy and for all rounds; FSL-SAGE's bars (arXiv 2505.23182).

Seen: the paper adds the time that its simulation took for 200 rounds to that of sending the load of all devices at 20 MB/s (of
10^6 bytes). Nobody else measures the same time, so here computing is the FLOPs of the cost table at stated speeds: devices
compute side by side, the server for all of them at once, and all share the link. SplitFed-V2 serves one device after another. An
alignment counts with as many samples as are kept in the end, and is spread over the rounds between two.
"""

from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from learning.algorithms.split_fed_v2 import SplitFedV2
from optim.costs import latency, round_costs
from wirelessfl.config import load
from wirelessfl.experiments import sage_methods as sage
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.style import PAGE, panels
from wirelessfl.world import World, world

SPEEDS = ("link_mb_s", "device_gflops", "server_gflops")
KNOBS = {
    "small": sage.DIGITS | {"link_mb_s": 20.0, "device_gflops": 100.0, "server_gflops": 1000.0},
    "quick": sage.FASHION | {"link_mb_s": 20.0, "device_gflops": 100.0, "server_gflops": 1000.0},
    "full": sage.PAPER | {"link_mb_s": 20.0, "device_gflops": 1000.0, "server_gflops": 10000.0},
}
PARTS = ("communication_s", "computation_s")


def cells(knobs: Knobs) -> list[Cell]:
    """A training a method and seed, with the speeds of link, device and server."""
    return [cell | {name: knobs[name] for name in SPEEDS} for cell in sage.cells(knobs)]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """Those of the training, with the time since the start that was spent on sending, and on computing [s]."""
    w = world(load(None, cell["settings"]), cell["seed"])
    link, device, server = 8e6 * cell["link_mb_s"], 1e9 * cell["device_gflops"], 1e9 * cell["server_gflops"]
    total, computing = (round_time(w, cell["cut"], way, device, server) for way in (link, np.inf))
    return [{**row, "communication_s": row["round"] * (total - computing), "computation_s": row["round"] * computing}
            for row in sage.rows(cell)]


def round_time(w: World, cut: int, link: float, device: float, server: float) -> float:
    """Time of a round [s] through a ``link`` [bit/s] that all share, at speeds of a device and of the server [FLOP/s]."""
    alone = isinstance(w.algorithm, SplitFedV2)
    here, share = cut if len(w.algorithm.cuts()) > 1 else len(w.net), 1 if alone else len(w.shards)
    work = [w.algorithm.work(w.profile, here, len(shard), len(w.shards)) for shard in w.shards]
    amounts = [(np.array([[a.fixed] for a in each]), np.array([[a.kept] for a in each])) for each in zip(*work, strict=True)]
    every = np.ones(len(w.shards))
    costs = round_costs(*amounts, speed=device * every, joules_per_flop=0.0 * every, server_speed=server / share,
                        downlink_rate=link / share * every)
    times = latency(costs, 1.0, link / share)
    return float(times.sum() if alone else times.max())


def draw(table: pd.DataFrame) -> matplotlib.figure.Figure:
    """Two bars a method, sending and computing; left to the accuracy, right for all rounds."""
    figure, ((left, right),) = panels(columns=2, width=PAGE, height=2.4, sharey=True)
    level, means = sage.target(table), sage.curves(table)
    for axes, of in ((left, level), (right, 0.0)):
        for x, (method, curve) in enumerate(means.items()):
            for side, part in zip((-0.2, 0.2), PARTS, strict=True):
                value = sage.until(curve, of, part) if of else float(curve[part].iloc[-1])
                axes.bar(x + side, value, 0.38, color=sage.LOOK[method]["color"], edgecolor="white", linewidth=0.5,
                         hatch="" if part == PARTS[0] else "////")
            if of and not (curve["accuracy"] >= of).any():
                axes.text(x, 0.02, "not reached", rotation=90, ha="center", va="bottom", fontsize=7,
                          transform=axes.get_xaxis_transform())
        axes.set(yscale="log", xticks=range(len(means)), xlim=(-0.6, len(means) - 0.4))
        axes.set_xticklabels(means, fontsize=6.5)
        axes.grid(axis="x", visible=False)
    left.set(ylabel="time [s]", title=f"(a) to an accuracy of {level:.3f}")
    right.set(title=f"(b) of {table['round'].max()} rounds")
    figure.legend(handles=[Patch(color="#888888", label="communication"),
                           Patch(facecolor="#888888", edgecolor="white", hatch="////", label="computation")],
                  loc="outside upper center", ncols=2)
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """Of each method: rounds and time to the accuracy, the share of computing in it, and the time of a round."""
    level, means = sage.target(table), sage.curves(table)
    found = []
    for method, curve in means.items():
        sending, computing = (sage.until(curve, level, part) for part in PARTS)
        found.append({
            "method": method, f"rounds to {level:.3f}": sage.until(curve.assign(round=curve.index), level, "round"),
            "time to it [s]": round(sending + computing, 3), "share of computing": round(computing / (sending + computing), 4),
            "time of a round [s]": round(float(curve[[*PARTS]].iloc[-1].sum()) / curve.index[-1], 4)})
    table = pd.DataFrame(found)
    ours = float(table.loc[table["method"] == "FSL-SAGE", "time to it [s]"].iloc[0])
    return table.assign(**{"times FSL-SAGE's": (table["time to it [s]"] / ours).round(2)})


FIGURE = Figure(
    name="fsl-sage-latency", paper="fsl-sage",
    question="How long does each method take, sending at 20 MB/s and computing?",
    claim="It draws the bars of 200 rounds, on a logarithmic axis; their values are not known here.",
    minutes={"small": 0.1, "quick": 1, "full": 4800}, knobs=KNOBS, cells=cells, rows=rows, draw=draw, findings=findings)
