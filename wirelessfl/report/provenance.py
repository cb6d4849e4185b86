"""Settings, and how runs were made: what differs stands out."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from wirelessfl.config import keys
from wirelessfl.report.runs import Run
from wirelessfl.report.tables import Row, Table
from wirelessfl.settings import Scenario
from wirelessfl.sweep_file import value

SEEDS = ("seed", "seeds")                  # what a run is repeated on, and no setting of it


def differing(runs: Sequence[Run]) -> Table | None:
    """The settings that differ between runs, or, of one run, from the defaults; None where none does."""
    several = len(runs) > 1
    scenarios = [run.scenario for run in runs] if several else [runs[0].scenario, Scenario()]
    rows = [Row(row.cells) for row in _rows(scenarios, [key for key in keys(Scenario) if key not in SEEDS]) if row.marked]
    columns = [run.label for run in runs] if several else ["this run", "by default"]
    caption = "Settings that differ between these runs." if several else "Settings that differ from the defaults."
    return Table(caption, ("setting", *columns, "meaning"), tuple(rows)) if rows else None


def sections(runs: Sequence[Run]) -> list[tuple[str, Table]]:
    """All settings, section by section, with those marked that differ between runs."""
    names = dict.fromkeys(_section(key) for key in keys(Scenario))
    head = ("setting", *(run.label if len(runs) > 1 else "value" for run in runs), "meaning")
    found = []
    for name in names:
        mine = [key for key in keys(Scenario) if _section(key) == name]
        found.append((name, Table(f"Settings: {name}.", head, tuple(_rows([run.scenario for run in runs], mine)))))
    return found


def _section(key: str) -> str:
    """What a setting belongs to."""
    return key.split(".")[0] if "." in key else "scenario"


def _rows(scenarios: Sequence[Scenario], wanted: Iterable[str]) -> Iterable[Row]:
    fields = keys(Scenario)
    for key in wanted:
        cells = [words(value(s, key)) for s in scenarios]
        yield Row((key, *cells, str(fields[key].description)), marked=len(set(cells)) > 1)


def made(runs: Sequence[Run]) -> Table:
    """When, where from and with what each run was made; what differs is marked."""
    columns = [_made(run) for run in runs]
    rows = [Row((name, *(column.get(name, "-") for column in columns)))
            for name in dict.fromkeys(name for column in columns for name in column)]
    apart = {"folder", "began", "wall time", "computer's time"}
    return Table("How these runs were made." if len(runs) > 1 else "How this run was made.",
                 ("", *(run.label if len(runs) > 1 else "this run" for run in runs)),
                 tuple(Row(row.cells, marked=len(set(row.cells[1:])) > 1 and row.cells[0] not in apart) for row in rows))


def _made(run: Run) -> dict[str, str]:
    def each(name: str) -> str:
        return words(list(dict.fromkeys(str(made.get(name)) for made in run.made)))

    spent = run.timing[["deciding_s", "training_s", "testing_s"]].sum() if len(run.timing) else pd.Series(dtype=float)
    clock = {"computer's time": ", ".join(f"{str(name)[:-2]} {seconds:.3g} s" for name, seconds in spent.items())}
    again = sum(len(made.get("resumed", [])) for made in run.made)
    return {"folder": words(map(str, run.folders)), "ended": each("ended"), "began": each("begun_at"),
            "wall time": f"{sum(made.get('wall_time_s', 0.0) for made in run.made):.3g} s, workers: {each('workers')}",
            **(clock if len(spent) else {}), "resumed": f"{again} times" if again else "never", "seeds": words(run.seeds),
            "commit": each("commit"), **run.made[0].get("versions", {})}


def words(value: Any) -> str:
    """A setting as a reader takes it."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {each}" for key, each in value.items()) or "(none)"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "(none)"
    return "(empty)" if value == "" else f"{value:g}" if isinstance(value, float) else str(value)
