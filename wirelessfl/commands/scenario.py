"""``wirelessfl scenario`` and ``wirelessfl calibrate``."""

import argparse
from pathlib import Path

from wirelessfl.calibration_file import make
from wirelessfl.calibration_text import text
from wirelessfl.commands.arguments import Commands, command, scenario
from wirelessfl.config import load, to_toml


def add(commands: Commands) -> None:
    """Add both to the command line."""
    sub = command(commands, "calibrate", _calibrate,
                  "measure the bound's constants for a scenario, into a file that scenarios may name")
    scenario(sub)
    sub.add_argument("--out", type=Path, help="the file; calibrations/NAME-KEY.json without one; with a picture")
    sub.add_argument("--exponent", action="store_true", help="fit decision.exponent, too, to some short pruned trainings")
    sub.add_argument("--memory", action="store_true", help="fit decision.memory, too, to some with few devices in each round")
    scenario(command(commands, "scenario", _scenario, "print a scenario as TOML, every key with its unit and meaning"))


def _scenario(options: argparse.Namespace) -> int:
    print(to_toml(load(options.scenario, options.set)), end="")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    print(text(make(load(options.scenario, options.set), options.out, exponent=options.exponent, memory=options.memory)))
    return 0
