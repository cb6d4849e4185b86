"""Lightweight FedSL: accuracy against round and against time, by the bits of what is quantised.

Answers the paper's question of what quantising gradients costs and saves. Which gradients it quantises is not known, so the
knob ``quantised`` names any of: "update" (what the client side has moved by), "cut" (smashed data up and their gradients down),
"all". Each has a row of panels, and a split (``splits``) at which it is a large part of the traffic. Other levers are at rest.
"""

from typing import Any

import pandas as pd

from wirelessfl import style
from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.experiments.light_scene import FULL, NO_LEVERS, QUICK, SMALL, arms, compared, pair, rows

LEVERS = {"update": ("update_bits",), "cut": ("smashed_bits", "cut_bits"), "all": ("update_bits", "smashed_bits", "cut_bits")}
TITLES = {"update": "updates of the client side", "cut": "smashed data and their gradients", "all": "all of it"}
_ALL = NO_LEVERS | {"bits": [32, 8, 4], "quantised": ["update", "cut"]}
KNOBS = {
    "small": SMALL | _ALL | {"bits": [32, 4], "splits": [4, 2]},
    "quick": QUICK | _ALL | {"splits": [4, 3]},
    "full": FULL | _ALL | {"quantised": ["update", "cut", "all"], "splits": [8, 2, 4]}}


def cells(knobs: Knobs) -> list[Cell]:
    """A training of each of what is quantised, its bits and seed."""
    return arms(knobs, [(f"{bits} bits{' (floats)' * (bits == 32)}",
                         {"what": what, "split": split, **dict.fromkeys(LEVERS[what], bits)})
                        for what, split in zip(knobs["quantised"], knobs["splits"], strict=True) for bits in knobs["bits"]])


def findings(table: pd.DataFrame) -> pd.DataFrame:
    """What is compared with the claim, for each of what is quantised."""
    each = [(what, compared(runs)) for what, runs in table.groupby("what", sort=False)]
    return pd.concat([found.assign(what=what)[["what", *found.columns]] for what, found in each], ignore_index=True)


def draw(table: pd.DataFrame) -> Any:
    """A row of panels for each of what is quantised."""
    what = list(dict.fromkeys(table["what"]))
    figure, axes = style.panels(len(what), 2, height=1.75, sharey=True)
    for row, each in zip(axes, what, strict=True):
        runs = table[table["what"] == each]
        pair(row, runs)
        row[0].set_title(f"quantised: {TITLES[each]} (split {runs['split'].iloc[0]})", loc="left")
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    style.legend(figure, axes[0, 0])
    return figure


FIGURE = Figure(
    "light-bits", "light-fedsl", "Do fewer bits save time, and at what accuracy?",
    "Quantising to 8 bits makes training faster at competitive accuracy; by how much was not seen.",
    {"small": 0.1, "quick": 2.0, "full": 18000.0}, KNOBS, cells, rows, draw, findings)
