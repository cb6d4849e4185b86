"""Lightweight FedSL: accuracy against round and against time, by the rounds between two averagings of the client sides.

Answers the paper's question of what the interval I costs and saves. The other levers are at rest, data are not IID (two classes
a device: ``partition``), and the split is deep, so that the client side is large: a rare averaging saves the transfer of a
client side, and nothing else. Models are tested when they have just been averaged. Reconstructed but for the interval itself.
"""

from typing import Any

import pandas as pd

from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.experiments.light_scene import FULL, NO_LEVERS, QUICK, SMALL, arms, compared, draw, rows

_ALL = NO_LEVERS | {"intervals": [1, 2, 5, 10], "tested_every": 10, "partition": "shards"}
KNOBS = {
    "small": SMALL | _ALL | {"intervals": [1, 10], "split": 4},
    "quick": QUICK | _ALL | {"split": 4},
    "full": FULL | _ALL | {"split": 8, "tested_every": 100}}


def cells(knobs: Knobs) -> list[Cell]:
    """A training of each interval and seed."""
    return arms(knobs, [(f"I = {interval}", {"interval": interval}) for interval in knobs["intervals"]])


def drawn(table: pd.DataFrame) -> Any:
    """Accuracy against round and against time."""
    return draw(table.assign(arm=table["arm"].str.replace("I", "$I$")), columns=4)


FIGURE = Figure(
    "light-interval", "light-fedsl", "Does it pay to average client sides only now and then?",
    "The bound grows with the interval between two averagings; what it buys was not seen.",
    {"small": 0.1, "quick": 1.5, "full": 8000.0}, KNOBS, cells, rows, drawn, compared)
