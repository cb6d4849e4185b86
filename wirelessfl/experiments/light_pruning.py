"""Lightweight FedSL: accuracy against round and against time, by pruning ratio.

Answers the paper's question of what pruning the client side costs and saves. The other levers are at rest. Reconstructed: weights
of least magnitude are pruned, in each layer, anew in every round; the clock counts a network that is smaller by as much.
"""

from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.experiments.light_scene import FULL, NO_LEVERS, QUICK, SMALL, arms, compared, draw, rows

_ALL = NO_LEVERS | {"ratios": [0.0, 0.2, 0.4, 0.6, 0.8]}
KNOBS = {
    "small": SMALL | _ALL | {"ratios": [0.0, 0.8]},
    "quick": QUICK | _ALL | {"split": 3},
    "full": FULL | _ALL | {"split": 4}}


def cells(knobs: Knobs) -> list[Cell]:
    """A training of each ratio and seed."""
    return arms(knobs, [(f"ratio {ratio:g}", {"ratio": ratio}) for ratio in knobs["ratios"]])


FIGURE = Figure(
    "light-pruning", "light-fedsl", "Does pruning the client side save time, and at what accuracy?",
    "Moderate pruning makes training faster at competitive accuracy; by how much was not seen.",
    {"small": 0.1, "quick": 1.5, "full": 10000.0}, KNOBS, cells, rows, draw, compared)
