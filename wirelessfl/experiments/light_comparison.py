"""Lightweight FedSL against plain FedSL and FedAvg: accuracy against round and against time.

Answers the paper's comparison. Plain FedSL is SplitFed-V1, which without levers is what lightweight FedSL is; lightweight is all
levers together. With as many local steps as here, FedAvg and SplitFed-V1 are the same model round for round, and differ in their
clocks alone. Reconstructed: how far each lever is pulled.
"""

from wirelessfl.experiments.figure import Cell, Figure, Knobs
from wirelessfl.experiments.light_scene import FULL, LIGHT, NO_LEVERS, SMALL, VGG11, arms, compared, draw, rows

KNOBS = {"small": SMALL | LIGHT, "quick": VGG11 | LIGHT, "full": FULL | LIGHT | {"split": 4}}


def cells(knobs: Knobs) -> list[Cell]:
    """A training of each method and seed."""
    return arms(knobs, [("plain FedSL", NO_LEVERS | {"algorithm": "splitfed-v1", "split": knobs["split"]}),
                        ("lightweight FedSL", {}),
                        ("FedAvg", NO_LEVERS | {"algorithm": "fedavg", "split": 0})])


FIGURE = Figure(
    "light-comparison", "light-fedsl", "Is lightweight FedSL faster than plain FedSL and FedAvg, and as accurate?",
    "It trains faster at competitive accuracy; by how much was not seen.",
    {"small": 0.1, "quick": 4.0, "full": 6000.0}, KNOBS, cells, rows, draw, compared)
