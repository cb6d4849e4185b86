"""Small runs that the tests of the report look at."""

import shutil
from pathlib import Path

import pytest

import wirelessfl as wfl

SMALL = ("cell.devices=3", "training.rounds=4", "training.model=mlp", "decision.pilot_rounds=4", "seeds=2", "data.train=200",
         'decision.policies=["joint", "equal"]', "training.target_accuracy=0.05", "training.smoothing=1", "data.test=50")


def made(folder: Path, *more: str, **how: object) -> Path:
    """A run folder, without its pictures, which take half of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("plot.latency_accuracy", "plot.allocation", "experiment.partition_picture"):
            patch.setattr(f"wirelessfl.{name}", lambda *what: None)
        wfl.run(wfl.load_scenario(overrides=(*SMALL, *more)), folder, **how)
    return folder


def copied(folder: Path, to: Path) -> Path:
    """A run folder of its own, to change."""
    shutil.copytree(folder, to)
    return to
