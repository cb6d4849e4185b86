"""What a sweep is: a grid or a list of settings, times seeds, read from a TOML file into a table of runs.

A run is one setting with one seed and all policies. It is named after its settings, so that it is known again when the sweep is
started again, also after it was extended.
"""

import difflib
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wirelessfl.config import SettingsError, load, scenario
from wirelessfl.settings import Scenario, Section

KEYS = ("scenario", "set", "grid", "runs")
SECTIONS = [name for name, field in Scenario.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, Section)]
EXAMPLE = """\
a sweep, every part but one of the last two may be missing (paths start at the file's own folder):

    scenario = "mine.toml"               # what all runs have in common; the default scenario without it

    [set]                                # the same, for a few settings
    seeds = 3

    [grid]                               # every combination of these values
    "cell.bandwidth_mhz" = [2, 4, 8]

    [[runs]]                             # a list of settings; with a grid, each at every point of it
    "training.algorithm" = "psl"
"""
COMMON = ("name", "seed", "seeds")             # settings that a sweep has one of


@dataclass(frozen=True)
class Task:
    """One run of a sweep.

    Attributes
    ----------
    given : dict
        The settings that vary in the sweep, by their keys.
    scenario : Scenario
    seed : int
        One of the scenario's.
    """

    given: dict[str, Any]
    scenario: Scenario
    seed: int

    @property
    def name(self) -> str:
        """Its folder: a short hash of all settings, and the seed."""
        settings = self.scenario.model_dump(mode="json", exclude={"name", "seeds"})
        return f"{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]}-{self.seed}"

    @property
    def words(self) -> str:
        """Its settings for a reader."""
        return f"{described(self.given)}, seed {self.seed}"


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, and where they come from.

    Attributes
    ----------
    name : str
        That of the file.
    definition : dict
        What the file says.
    base : Scenario
        What all runs have in common.
    tasks : tuple of Task
        Setting by setting, and seed by seed: the order of the table.
    """

    name: str
    definition: dict[str, Any]
    base: Scenario
    tasks: tuple[Task, ...]


def read_sweep(path: str | Path) -> Sweep:
    """Read a sweep from TOML, and make the scenario of every run.

    Raises
    ------
    SettingsError
        For an unknown key, a value that cannot be, a grid without values or two settings that are equal, in one sentence.
    """
    path = Path(path)
    table = _table(path)
    base = _scenario(load(path.parent / table["scenario"] if "scenario" in table else None), _flat(table.get("set", {})), "[set]")
    settings = [(given, _scenario(base, given, described(given))) for given in _settings(table)]
    tasks = tuple(Task(given, s, s.seed + i) for given, s in settings for i in range(s.seeds))
    _unequal(tasks)
    return Sweep(path.stem, table, base, tasks)


def described(given: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in given.items())


def value(s: Scenario, key: str) -> Any:
    """The setting ``section.key`` of a scenario."""
    found: Any = s
    for part in key.split("."):
        found = getattr(found, part)
    return found


def _table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the sweep {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    for key, kind, words in (("scenario", str, "a path"), ("set", dict, "a table, [set]"), ("grid", dict, "a table, [grid]"),
                             ("runs", list, "a list of tables, [[runs]]")):
        if not isinstance(table.get(key, kind()), kind):
            raise SettingsError(f"{path}: {key} is {words}, got {table[key]!r}")
    for key in table.keys() - set(KEYS):
        close = difflib.get_close_matches(key, KEYS, 1)
        raise SettingsError(f"{path}: unknown key {key}; " + (f"did you mean {close[0]}?" if close else
                            f"a sweep has {', '.join(KEYS)}, and settings that all runs have belong into [set]"))
    return table


def _settings(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What each setting gives, in the order of the file; the last key of a grid goes fastest."""
    if not table.get("grid") and not table.get("runs"):
        raise SettingsError("a sweep varies something: give a [grid] of lists, or [[runs]], and neither has a setting here")
    grid, runs = _flat(table.get("grid", {})), [_given(each) for each in table.get("runs", [])] or [{}]
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise SettingsError(f"grid: {key} takes a list of one value or more, got {values!r}")
    for key in grid.keys() & {key for run in runs for key in run}:
        raise SettingsError(f"{key} is in the grid and in a run of the list: it can vary in one of them")
    for key in (key for each in (grid, *runs) for key in each if key in COMMON):
        raise SettingsError(f"{key} is one for all runs: it belongs into [set], as `seeds = 3` for three seeds each")
    for run in runs:
        for values in itertools.product(*grid.values()):
            yield run | dict(zip(grid, values, strict=True))


def _given(run: Any) -> dict[str, Any]:
    if not isinstance(run, dict) or not run:
        raise SettingsError(f"runs: each is a table with one setting or more, got {run!r}")
    return _flat(run)


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their dotted keys, whether written as "cell.devices" = 3, cell.devices = 3 or a table."""
    found: dict[str, Any] = {}
    for key, each in table.items():
        section = each if key in SECTIONS and isinstance(each, dict) else None
        inner = {key: each} if section is None else {f"{key}.{name}": one for name, one in section.items()}
        for name in inner.keys() & found.keys():
            raise SettingsError(f"{name} is there twice, with a dot and in a table")
        found |= inner
    return found


def _scenario(base: Scenario, given: Mapping[str, Any], where: str) -> Scenario:
    table = base.model_dump(mode="json")
    for key, each in given.items():
        section, dot, name = key.partition(".")
        if dot and section in SECTIONS:
            table[section][name] = each
        else:
            table[key] = each
    try:
        return scenario(table)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None


def _unequal(tasks: Sequence[Task]) -> None:
    first: dict[str, Task] = {}
    for task in tasks:
        other = first.setdefault(task.name, task)
        if other is not task:
            raise SettingsError(f"two runs are equal: {other.words} and {task.words}")


def as_json(of: Sweep) -> dict[str, Any]:
    """How a sweep was defined, for its manifest."""
    runs = {task.name: task.given for task in of.tasks}
    return {"definition": of.definition, "base": of.base.model_dump(mode="json"), "runs": runs}
