"""What several commands take from the command line."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wirelessfl.settings import Scenario

Commands = Any          # what ``ArgumentParser.add_subparsers`` gives
Command = Callable[[argparse.Namespace], int]


def command(commands: Commands, name: str, does: Command, about: str, **looks: Any) -> argparse.ArgumentParser:
    """A command that ``does`` something with its arguments, and returns the exit status."""
    looks["description"] = f"{about[0].upper()}{about[1:]}."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about, **looks)
    parser.set_defaults(command=does)
    return parser


def scenario(parser: argparse.ArgumentParser) -> None:
    """The scenario, and overrides of its settings."""
    parser.add_argument("scenario", nargs="?", type=Path, help="a TOML file; the default scenario without one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="override a setting, such as cell.devices=20")


def pilot(s: Scenario) -> str:
    """What is told before a pilot is run, on which nothing is heard for a while."""
    return f"measuring the bound's constants along a pilot of {s.decision.pilot_rounds} rounds"


def workers(parser: argparse._ActionsContainer) -> None:
    """How many processors."""
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processors to use; no result depends on them")
