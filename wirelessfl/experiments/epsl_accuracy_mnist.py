"""Accuracy of EPSL and its relatives on MNIST, against rounds and against time.

Answers the EPSL paper's figures of accuracy on MNIST, IID and not: vanilla split learning, SplitFed-V1, PSL, EPSL with half and
with all of the batch aggregated. Full is ResNet-18 on all of MNIST with the batch and the learning rates of the paper, as
remembered; quick is the small ``cnn`` on a subset. The rest is as in ``wirelessfl.experiments.epsl_training`` and ``epsl_clock``,
where it is said what is reconstructed.
"""

from wirelessfl.experiments.epsl_clock import METHODS
from wirelessfl.experiments.epsl_training import cells, compared, draw, rows
from wirelessfl.experiments.figure import Figure

_ALL = {"devices": [5], "partitions": ["iid", "dirichlet-equal"], "concentration": 0.5, "methods": list(METHODS), "device": "cpu",
        "precision": "float32"}
KNOBS = {
    "small": _ALL | {"data": "digits", "train": 300, "test": 100, "standardise": False, "model": "cnn", "batch": 16, "rounds": 12,
                     "tests": 4, "cut": 2, "lr": 0.005, "server_lr": 0.005, "target": 0.3, "seeds": 1},
    "quick": _ALL | {"data": "mnist", "train": 4000, "test": 300, "standardise": False, "model": "cnn", "batch": 32,
                     "rounds": 100, "tests": 20, "cut": 2, "lr": 0.002, "server_lr": 0.002, "target": 0.85, "seeds": 2},
    "full": _ALL | {"data": "mnist", "train": 0, "test": 0, "standardise": False, "model": "resnet18", "batch": 64,
                    "rounds": 1000, "tests": 50, "cut": 3, "lr": 1.5e-4, "server_lr": 1e-4, "target": 0.95, "seeds": 3}}

FIGURE = Figure(
    "epsl-accuracy-mnist", "epsl",
    "Which of the split learners is accurate on MNIST after how many rounds, and after how much time?",
    "EPSL reaches a target accuracy in less time than vanilla SL, SplitFed and PSL; by how much was not seen.",
    {"small": 0.1, "quick": 1.5, "full": 1500.0}, KNOBS, cells, rows, draw, compared)
