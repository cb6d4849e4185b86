"""What studies that go on where they stopped have in common: names that are asked for, tables that grow, how they were made."""

import argparse
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wirelessfl.folder import commit, versions

GROW = ("arms", "algorithms")    # of a declaration: what more may be added to


def chosen(parser: argparse.ArgumentParser, names: Collection[str], what: str) -> argparse.Namespace:
    """The command line, with ``studies`` among the ``names`` of ``what`` there is; all of them without one."""
    parser.add_argument("studies", nargs="*", default=list(names), metavar=what, help=", ".join(names))
    options = parser.parse_args()
    unknown = set(options.studies) - set(names)
    if unknown:
        parser.error(f"no {what} {sorted(unknown)}; there are {list(names)}")
    return options


def declare(table: Path, made: dict[str, Any]) -> None:
    """Say beside a table how it is made; rows that were made otherwise are not mixed with new ones. What is compared may grow."""
    path, wanted = table.with_suffix(".json"), json.loads(json.dumps(made))
    if path.exists() and table.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        if not all(found.get(key) == v or (key in GROW and _grown(found.get(key, {}), v)) for key, v in wanted.items()):
            raise SystemExit(f"{table.name} was made with other settings (see {path.name}): take it away, or restore them")
    path.write_text(json.dumps({**wanted, "versions": versions()}, indent=1) + "\n", encoding="utf-8")


def _grown(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether all that was there is there as it was."""
    return all(name in now and now[name] == value for name, value in before.items())


def done(table: Path, columns: Sequence[str]) -> set[tuple]:
    """What a table has already, by these columns; nothing if there is none."""
    return set(pd.read_csv(table)[list(columns)].itertuples(index=False, name=None)) if table.exists() else set()


def append(table: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows to a table, which begins with its header."""
    pd.DataFrame(rows).to_csv(table, mode="a", header=not table.exists(), index=False)


def revision() -> str:
    """The commit of the source tree, short."""
    return (commit() or "unknown")[:9]
