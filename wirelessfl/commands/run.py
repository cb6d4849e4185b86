"""``wirelessfl run`` and ``wirelessfl resume``."""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from wirelessfl.closing import alike, closing_table
from wirelessfl.commands.arguments import Commands, command, pilot, scenario, workers
from wirelessfl.config import load
from wirelessfl.experiment import begun, check, resume, run
from wirelessfl.folder import TIMING
from wirelessfl.record import Record
from wirelessfl.settings import Scenario


def add(commands: Commands) -> None:
    """Add both to the command line."""
    sub = command(commands, "run", _run, "simulate the policies of a scenario, and compare them")
    scenario(sub)
    sub.add_argument("--out", type=Path, help="the run folder; runs/NAME-TIME without one")
    workers(sub)
    sub = command(commands, "resume", _resume, "go on with a run that was not finished, from its last checkpoint")
    sub.add_argument("folder", type=Path, help="the run folder")
    workers(sub)


def _run(options: argparse.Namespace) -> int:
    s = load(options.scenario, options.set)
    folder = options.out or Path("runs") / f"{s.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    return _watched(s, s.seeds, folder, options.workers, partial(run, s))


def _resume(options: argparse.Namespace) -> int:
    made, s = begun(options.folder)
    return _watched(s, len(made["seeds"]), options.folder, options.workers, resume)


def _watched(s: Scenario, seeds: int, folder: Path, workers: int, start: Callable[..., pd.DataFrame]) -> int:
    """Run or resume, with a bar of progress and a closing table."""
    found, done = check(s), dict[tuple[str, int], int]()
    print(f"{s.name}: {len(s.decision.policies)} policies x {seeds} seeds, {workers} workers -> {folder}")
    with tqdm(total=len(s.decision.policies) * seeds * s.training.rounds, unit="round", dynamic_ncols=True) as bar:
        def watch(record: Record) -> None:
            if np.isfinite(record.accuracy) and record.elapsed:    # else it was not tested, or no round took place
                bar.set_postfix_str(f"{record.policy} seed {record.seed}: round {record.round + 1}, accuracy "
                                    f"{record.accuracy:.3f}, {record.elapsed:.1f} s simulated", refresh=False)
            done[record.policy, record.seed] = record.round + 1
            bar.update(sum(done.values()) - bar.n)

        summary = start(folder, workers=workers, watch=watch, found=found, pilot=lambda: bar.write(pilot(s), file=sys.stderr))
    print(closing_table(summary, pd.read_csv(folder / TIMING), s))
    if same := alike(pd.read_csv(folder / "rounds.csv")):
        print(same)
    print(f"\ntables and pictures: {folder}/")
    return 1 if summary["advice"].any() else 0
