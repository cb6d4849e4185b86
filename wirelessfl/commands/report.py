"""``wirelessfl report``."""

import argparse
from pathlib import Path

from wirelessfl.commands.arguments import Commands, command


def add(commands: Commands) -> None:
    """Add it to the command line."""
    sub = command(commands, "report", _report, "make a page of a run, or of several side by side, that opens in any browser")
    sub.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="run folders, or those of sweeps")
    sub.add_argument("--out", type=Path, help="the page; report.html in the folder of one run, and here for several, without one")


def _report(options: argparse.Namespace) -> int:
    from wirelessfl.report import report  # only here: plotly and its script are large

    print(f"report: {report(options.folders, options.out)}")
    return 0
