"""Small runs that the tests of the report look at."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import wirelessfl as wfl

SMALL = ("cell.devices=3", "training.rounds=4", "training.model=mlp", "decision.pilot_rounds=4", "seeds=2", "data.train=200",
         'decision.policies=["joint", "equal"]', "training.target_accuracy=0.05", "training.smoothing=1", "data.test=50")


@contextmanager
def without_pictures() -> Iterator[None]:
    """Pictures take half of the time of a run so small."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("plot.latency_accuracy", "plot.allocation", "experiment.partition_picture"):
            patch.setattr(f"wirelessfl.{name}", lambda *what: None)
        yield


def made(folder: Path, *more: str, **how: object) -> Path:
    """A run folder."""
    with without_pictures():
        wfl.run(wfl.load_scenario(overrides=(*SMALL, *more)), folder, **how)
    return folder


def copied(folder: Path, to: Path) -> Path:
    """A run folder of its own, to change."""
    shutil.copytree(folder, to)
    return to
