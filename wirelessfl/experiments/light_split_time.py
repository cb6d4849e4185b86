"""Lightweight FedSL: how long a round of VGG-19 on CIFAR-10 takes, by the split layer.

Answers the same as ``light-split``, at the paper's size: nothing is trained, a round's time is the median over sampled channels
in the table of costs (its mean is that of a few deep fades). A panel each speed of devices, the fastest four times as fast as the
slowest: which split is best is a question of their speed against the link, and of what is made small. Transfers of a client side
are spread over the interval. Reconstructed but for the network, the images and the levers.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from wirelessfl import style
from wirelessfl.config import load
from wirelessfl.decider import Decider
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.experiments.light_scene import FULL, LIGHT, NO_LEVERS, SMALL, lever_settings, scene
from wirelessfl.known import indifferent
from wirelessfl.policy import NONE
from wirelessfl.pricing import priced
from wirelessfl.world import world

_ALL = LIGHT | {"interval": 5, "speeds": [0.5, 5.0, 50.0], "channels": 100}
KNOBS = {
    "small": SMALL | _ALL | {"speeds": [0.03, 3.0], "channels": 10},
    "quick": FULL | _ALL | {"train": 2000, "test": 500},
    "full": FULL | _ALL | {"channels": 1000, "seeds": 10}}


def cells(knobs: Knobs) -> list[Cell]:
    """All splits of a method in a cell."""
    light = {name: knobs[name] for name in LIGHT}
    methods = {"plain FedSL": NO_LEVERS, "lightweight FedSL": light,
               "FedAvg": NO_LEVERS | {"algorithm": "fedavg"}}
    return [{"method": method, "slowest_gflops": speed, "seed": seed, "channels": knobs["channels"]} | levers
            | {"scene": scene({**knobs, "slowest_gflops": speed, "fastest_gflops": 4 * speed})}
            for speed in knobs["speeds"] for method, levers in methods.items() for seed in range(knobs["seeds"])]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """Median time of a round for each split [s]."""
    w = world(load(None, [*cell["scene"], *lever_settings(cell)]), cell["seed"])
    gains = w.air.forecast(w.rng("forecast"), cell["channels"], w.knowledge)
    p = priced(w, indifferent(w), gains, np.full((len(w.shards), 2), 1 / w.algorithm.interval))
    clock, shape = Decider(NONE, 1.0, 0.0), len(w.shards)
    times = [clock.lasting(p.pinned(np.full(shape, number), np.full(shape, cell["ratio"]))) for number in range(len(w.options))]
    return [{"blocks": option.cut, "round_s": float(np.median(each))} for option, each in zip(w.options, times, strict=True)]


def draw(table: pd.DataFrame) -> Any:
    """A panel each speed; FedAvg, which has no split, is a line across."""
    speeds = list(dict.fromkeys(table["slowest_gflops"]))
    figure, axes = style.panels(1, len(speeds), width=style.PAGE, height=2.0, sharey=True)
    for ax, speed in zip(axes[0], speeds, strict=True):
        for number, (method, runs) in enumerate(table[table["slowest_gflops"] == speed].groupby("method", sort=False)):
            if method == "FedAvg":
                ax.axhline(runs["round_s"].mean(), label=method, **style.look(number) | {"marker": ""})
            else:
                style.over_seeds(ax, runs, "blocks", "round_s", label=str(method), **style.look(number))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="blocks on the device", yscale="log", title=f"{speed:g} to {4 * speed:g} GFLOP/s")
    axes[0, 0].set_ylabel("median time of a round [s]")
    style.legend(figure, axes[0, 0])
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """The best split of each method and speed, and the times there, at the shallowest split and at the deepest [s]."""
    found = []
    for (speed, method), runs in table.groupby(["slowest_gflops", "method"], sort=False):
        mean = runs.groupby("blocks")["round_s"].mean()
        found.append({"slowest_gflops": speed, "method": method, "best_blocks": mean.idxmin(), "round_s": mean.min(),
                      "shallowest_s": mean.iloc[0], "deepest_s": mean.iloc[-1]})
    return pd.DataFrame(found).round(3)


FIGURE = Figure(
    "light-split-time", "light-fedsl", "How long does a round of VGG-19 take for each split?",
    "Shallower split layers do better; by how much was not seen.",
    {"small": 0.1, "quick": 0.6, "full": 5.0}, KNOBS, cells, rows, draw, findings)
