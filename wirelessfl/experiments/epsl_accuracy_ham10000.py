"""Accuracy of EPSL and its relatives on HAM10000 with ResNet-18, against rounds and against time.

Answers the EPSL paper's figures of accuracy on HAM10000 (skin lesions, 7 classes), IID and not: vanilla split learning,
SplitFed-V1, PSL, EPSL with half and with all of the batch aggregated. Images are 28 x 28 here, not the paper's size, and two
thirds of the samples are of one class: who always says so has an accuracy of 0.67. Full has the batch and the learning rates of
the paper, as remembered, and tests on all samples. The rest is as in ``wirelessfl.experiments.epsl_training`` and ``epsl_clock``,
where it is said what is reconstructed.
"""

from wirelessfl.experiments.epsl_clock import METHODS
from wirelessfl.experiments.epsl_training import cells, compared, draw, rows
from wirelessfl.experiments.figure import Figure

_ALL = {"devices": [5], "partitions": ["iid", "dirichlet-equal"], "concentration": 0.5, "methods": list(METHODS), "device": "cpu"}
KNOBS = {
    "small": _ALL | {"data": "digits", "train": 200, "test": 50, "standardise": True, "model": "cnn", "precision": "float32",
                     "batch": 8, "rounds": 8, "tests": 4, "cut": 2, "lr": 0.005, "server_lr": 0.005, "target": 0.2, "seeds": 1},
    "quick": _ALL | {"data": "ham10000-28", "train": 0, "test": 200, "standardise": True, "model": "resnet18",
                     "precision": "bfloat16", "batch": 16, "rounds": 30, "tests": 6, "cut": 3, "lr": 3e-4, "server_lr": 3e-4,
                     "target": 0.66, "seeds": 2},
    "full": _ALL | {"data": "ham10000-28", "train": 0, "test": 0, "standardise": True, "model": "resnet18",
                    "precision": "float32", "batch": 64, "rounds": 1000, "tests": 50, "cut": 3, "lr": 1.5e-4, "server_lr": 1e-4,
                    "target": 0.72, "seeds": 3}}

FIGURE = Figure(
    "epsl-accuracy-ham10000", "epsl",
    "Which of the split learners is accurate on HAM10000 after how many rounds, and after how much time?",
    "EPSL reaches a target accuracy in less time than vanilla SL, SplitFed and PSL; by how much was not seen.",
    {"small": 0.1, "quick": 2.5, "full": 900.0}, KNOBS, cells, rows, draw, compared)
