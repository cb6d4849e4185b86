"""What a report is of: run folders, read as they are; runs with the same settings on other seeds are one.

A folder of a sweep stands for all its runs. A run that has not finished is shown as far as it went: of a policy and seed that
have ended, the tables, or, where those were not written, the records in its checkpoints.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wirelessfl import checkpoint
from wirelessfl.config import SettingsError
from wirelessfl.folder import CHECKPOINTS, SUMMARY, TIMING, finished, read_manifest
from wirelessfl.record import allocations_table, reached, rounds_table, timing_table
from wirelessfl.settings import Scenario
from wirelessfl.sweep import SWEEP

MOST = 26                                       # that a page can lay side by side, and the alphabet name
NEEDED = {"rounds.csv": {"policy", "seed", "round", "accuracy", "latency_s", "elapsed_s", "energy_j", "spent_j", "progress_lost"},
          "allocations.csv": {"policy", "seed", "round", "device", "split", "gain", "bandwidth_hz", "took_s", "spent_j"}}


@dataclass(frozen=True)
class Run:
    """One setting on some seeds.

    Attributes
    ----------
    label : str
        A letter, short enough for an axis; empty where there is only one run.
    folders : tuple of Path
    scenario : Scenario
        Of the first folder.
    made : tuple of dict
        The manifest of each folder.
    rounds, devices, timing : DataFrame
        As ``record.rounds_table``, ``allocations_table`` and ``timing_table``; empty where nothing has ended yet.
    summary : DataFrame
        As ``record.reached``, with the advice of those that ended early.
    notes : tuple of str
        What a reader must know: folders that have not finished, and who ended early.
    """

    label: str
    folders: tuple[Path, ...]
    scenario: Scenario
    made: tuple[dict[str, Any], ...]
    rounds: pd.DataFrame
    devices: pd.DataFrame
    timing: pd.DataFrame
    summary: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its folder's name, and how many more there are."""
        more = len(self.folders) - 1
        return self.folders[0].resolve().name + (f" and {more} more" if more else "")

    @property
    def seeds(self) -> list[int]:
        return [seed for made in self.made for seed in made["seeds"]]

    @property
    def policies(self) -> list[str]:
        """Those of which something has ended, in the scenario's order."""
        return list(dict.fromkeys(self.rounds["policy"])) if len(self.rounds) else []


def read(folders: Sequence[str | Path]) -> list[Run]:
    """The runs in some folders, in their order.

    Raises
    ------
    SettingsError
        Where a folder holds no run, or tables of another version, or there are too many settings for one page.
    """
    each = list(dict.fromkeys(folder for path in folders for folder in _inside(Path(path))))
    if not each:
        raise SettingsError(f"no runs to report: {', '.join(map(str, folders)) or 'no folder'} has none")
    groups: list[list[Run]] = []
    for run in map(_read, each):
        same = next((group for group in groups if _alike(group, run)), None)
        if same is None:
            groups.append([run])
        else:
            same.append(run)
    if len(groups) > MOST:
        raise SettingsError(f"a report lays at most {MOST} settings side by side, got {len(groups)}: name fewer runs")
    return [_joined(group, chr(ord("A") + number) if len(groups) > 1 else "") for number, group in enumerate(groups)]


def _inside(folder: Path) -> Iterator[Path]:
    """A run's folder, or those of a sweep that have begun."""
    if not (folder / SWEEP).exists():
        yield folder
        return
    try:
        names = list(json.loads((folder / SWEEP).read_text(encoding="utf-8"))["runs"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{folder} holds no sweep: its {SWEEP} is broken ({type(error).__name__})") from None
    yield from (folder / name for name in names if (folder / name / "manifest.json").exists())


def _read(folder: Path) -> Run:
    made, s = read_manifest(folder)
    rounds, devices, timing = _tables(folder, s, made)
    t, empty = s.training, [name for name, table in zip(NEEDED, (rounds, devices), strict=True) if not len(table)]
    if len(empty) == 1 or (empty and finished(folder)):
        raise SettingsError(f"{folder} has nothing in {' and '.join(empty)}, of which a report is made")
    if (folder / SUMMARY).exists() and finished(folder):
        summary = pd.read_csv(folder / SUMMARY, dtype={"advice": str}).fillna({"advice": ""})
    else:
        summary = reached(rounds, t.target_accuracy, t.smoothing).assign(advice="") if len(rounds) else pd.DataFrame()
    return Run("", (folder,), s, (made,), rounds, devices, timing, summary, tuple(_notes(folder, s, made, summary)))


def _notes(folder: Path, s: Scenario, made: dict[str, Any], summary: pd.DataFrame) -> Iterator[str]:
    """What a reader must know of a folder."""
    if not finished(folder):
        there = f"{len(summary)} of {len(s.decision.policies) * len(made['seeds'])}"
        yield (f"{folder} has not finished (its manifest says {made['ended']!r}): this page is of the {there} trainings that "
               f"have ended. `wirelessfl resume {folder}` goes on with it.")
    early = summary[summary["advice"] != ""] if len(summary) else summary
    for row in early.to_dict("records"):
        yield f"{row['policy']}, seed {row['seed']}, ended early: {row['advice']}"


def _tables(folder: Path, s: Scenario, made: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rounds, devices and timing: of the files, or, where they are not written yet, of what has ended."""
    if (folder / CHECKPOINTS).exists() and not (folder / "rounds.csv").exists():
        over = [folder / CHECKPOINTS / f"{policy}-{seed}-over.pt" for policy in s.decision.policies for seed in made["seeds"]]
        runs = [checkpoint.load(path, {}) for path in over if path.exists()]
        records = [record for one in runs for record in one]
        return (rounds_table(records), allocations_table(records), timing_table(runs)) if runs else 3 * (pd.DataFrame(),)
    return _table(folder, "rounds.csv"), _table(folder, "allocations.csv"), _table(folder, TIMING)


def _table(folder: Path, name: str) -> pd.DataFrame:
    path = folder / name
    if not path.exists():
        return pd.DataFrame()
    try:
        found = pd.read_csv(path)
    except ValueError as error:                                          # pandas' own are of this kind
        raise SettingsError(f"{path} is no table ({error})") from None
    if lacking := NEEDED.get(name, set()) - set(found.columns):
        raise SettingsError(f"{path} is not of this version: it lacks the columns {sorted(lacking)}")
    return found


def _alike(group: Sequence[Run], run: Run) -> bool:
    """Whether a run is one more of the same settings, on seeds of its own."""
    others = {"seed", "seeds"}
    return group[0].scenario.model_dump(exclude=others) == run.scenario.model_dump(exclude=others) and not (
        set(run.seeds) & {seed for one in group for seed in one.seeds})


def _joined(group: Sequence[Run], label: str) -> Run:
    first = group[0]
    tables = {name: _stacked(getattr(run, name) for run in group) for name in ("rounds", "devices", "timing", "summary")}
    return Run(label, tuple(run.folders[0] for run in group), first.scenario, tuple(run.made[0] for run in group),
               notes=tuple(note for run in group for note in run.notes), **tables)


def _stacked(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other, in the order of policies and then seeds."""
    there = [table for table in tables if len(table)]
    if len(there) < 2:
        return there[0] if there else pd.DataFrame()
    table = pd.concat(there, ignore_index=True)
    order = table["policy"].map({name: number for number, name in enumerate(dict.fromkeys(table["policy"]))})
    return table.iloc[np.argsort(order.to_numpy(), kind="stable")].reset_index(drop=True)
