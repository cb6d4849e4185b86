"""Lightweight FedSL: accuracy against round and against time, by the split layer.

Answers the paper's question of where to split. Pruning, quantisation, dropout and rare averaging are on, for without them the
split changes no weight: the deeper it is, the more of the network is pruned, quantised and averaged late. How long a round of
VGG-19 takes for each split is ``light-split-time``. Reconstructed but for the levers themselves.
"""

from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.experiments.light_scene import FULL, LIGHT, QUICK, SMALL, arms, compared, draw, rows

_ALL = LIGHT | {"interval": 5}
KNOBS = {
    "small": SMALL | _ALL | {"splits": [1, 4]},
    "quick": QUICK | _ALL | {"splits": [1, 2, 3, 4]},
    "full": FULL | _ALL | {"splits": [2, 4, 8, 12]}}


def cells(knobs: Knobs) -> list[Cell]:
    """A training of each split and seed."""
    return arms(knobs, [(f"{split} block{'s' * (split > 1)}", {"split": split}) for split in knobs["splits"]])


FIGURE = Figure(
    "light-split", "light-fedsl", "Where should the network be split?",
    "Shallower split layers do better; by how much was not seen.",
    {"small": 0.1, "quick": 1.5, "full": 8000.0}, KNOBS, cells, rows, lambda table: draw(table, columns=2), compared)
