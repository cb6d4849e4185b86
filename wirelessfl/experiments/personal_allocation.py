"""Pruning ratio and bandwidth of each device against its channel gain, in one round, for some thresholds.

Answers the paper's figure of rho* and B* against the channel (derived; it was not seen). All devices compute at one speed and
have as much data, so that only channels tell them apart. Thresholds are shares of the shortest round without pruning. Filled
markers are devices at which neither limit of the ratio binds: theirs is the closed form, one price nu of the band by (3) of
``optim.personalised``. The third panel shows it: what another hertz would save a device that is being pruned, over that price. It
is one for all of them, more at the band that just leaves a device unpruned, which has no use for another, and less at the band
that a device must have who is pruned to the limit.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from channels.links import Gains
from channels.units import linear_to_db
from optim.personalised import marginal, ratios, solve_personalised
from wirelessfl import style
from wirelessfl.config import load
from wirelessfl.experiments import personal_scene as scene
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.world import world

_ALL = {"speed_gflops": 0.3, "prune_max": 0.9, "shares": [0.15, 0.45, 0.8], "seed": 0}
KNOBS = {"small": scene.DIGITS | _ALL, "quick": scene.TASK | _ALL, "full": scene.TASK | _ALL | {"devices": 30}}
WITHIN = 1e-6            # of a limit is at the limit
KINDS = {"unpruned": "at ρ = 0", "free": "unclipped", "limit": "at the limit of ρ"}


def cells(knobs: Knobs) -> list[Cell]:
    """The same round for each threshold."""
    speed = [f"devices.{name}_gflops={knobs['speed_gflops']}" for name in ("slowest", "fastest")]
    return [{"share": share, "prune_max": knobs["prune_max"], "seed": knobs["seed"], "settings": scene.settings(knobs, *speed)}
            for share in knobs["shares"]]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """A row a device, from the weakest channel to the strongest; ``alone`` is its ratio (2) in an equal band [1]."""
    w = world(load(None, cell["settings"]), cell["seed"])
    gains = w.air.start(w.rng("fading", 0)).gains
    order = np.argsort(gains.up)
    p = scene.problem(w, Gains(gains.up[order], gains.down[order]), 1.0, cell["prune_max"])
    threshold = cell["share"] * scene.shortest(p, np.zeros(p.reach.shape))
    p = replace(p, threshold=threshold)
    found = solve_personalised(p)
    if not found.feasible:
        raise ValueError(f"share must be larger [1]: no pruning up to {p.prune_max:g} keeps {cell['share']:g} of the shortest "
                         "round without pruning")
    kind = np.select([found.ratio < WITHIN, found.ratio < p.prune_max - WITHIN], ["unpruned", "free"], "limit")
    alone = np.clip(ratios(p, np.full(p.reach.shape, p.band / len(order))), 0.0, p.prune_max)
    return [{"device": k, "gain_db": linear_to_db(gains.up[order][k]), "threshold_s": float(threshold), "kind": str(kind[k]),
             "ratio": found.ratio[k], "bandwidth_hz": found.bandwidth[k], "alone": alone[k], "band_hz": float(p.band),
             "over_price": marginal(p, found.bandwidth)[k] / found.price} for k in range(len(order))]


def draw(table: pd.DataFrame) -> Any:
    """Ratio, band and marginal value against the gain, a line for each threshold."""
    figure, axes = style.panels(1, 3, width=style.PAGE, height=2.2)
    panels = (("ratio", 1.0, "pruning ratio ρ* [1]"), ("bandwidth_hz", 1e3, "band B* [kHz]"),
              ("over_price", 1.0, "value of a hertz over ν [1]"))
    for number, (share, run) in enumerate(table.groupby("share")):
        label = f"T = {1e3 * run['threshold_s'].iloc[0]:.0f} ms, {share:g} of unpruned"
        for ax, (what, unit, _) in zip(axes[0], panels, strict=True):
            ax.plot(run["gain_db"], run[what] / unit, **style.look(number), label=label, markerfacecolor="white")
            free = run[run["kind"] == "free"]
            ax.plot(free["gain_db"], free[what] / unit, **style.look(number) | {"linestyle": "none"})
    for ax, letter, (_, _, label) in zip(axes[0], "abc", panels, strict=True):
        ax.set(xlabel=f"({letter}) channel gain [dB]", ylabel=label)
    axes[0, 0].set(ylim=(-0.03, None))
    axes[0, 1].axhline(table["band_hz"].iloc[0] / table["device"].nunique() / 1e3, color="black", linewidth=0.6, linestyle=":")
    axes[0, 1].set(ylim=(0, None))
    style.legend(figure, axes[0, 0])
    return figure


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """How many devices are at which limit, how alike the marginal values of the others are, and what the band buys."""
    found = []
    for share, run in table.groupby("share"):
        free, kinds = run[run["kind"] == "free"], list(run["kind"])
        band = (run["bandwidth_hz"] * len(run) / run["band_hz"]).round(3)
        found.append({"share of unpruned": share, "T [s]": round(float(run["threshold_s"].iloc[0]), 3)} | {
            KINDS[kind]: kinds.count(kind) for kind in KINDS} | {
            "most |value / ν - 1| of unclipped": float((free["over_price"] - 1).abs().max()),
            "band of the weakest / equal": band.iloc[0], "of the strongest": band.iloc[-1], "most": band.max(),
            "mean ρ*": round(float(run["ratio"].mean()), 3), "mean ρ in equal bands": round(float(run["alone"].mean()), 3)})
    return pd.DataFrame(found)


FIGURE = Figure(
    "personal-allocation", "personalised", "Who is pruned and who gets the band, by the channel?",
    "Ratios and bands follow the channel by a closed form, with one price of the band for all devices that are pruned within the "
    "limits (derived from the problem; the figure was not seen).",
    {"small": 0.02, "quick": 0.05, "full": 0.05}, KNOBS, cells, rows, draw, findings)
