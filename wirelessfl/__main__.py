"""The command line."""

import argparse
import sys
from collections.abc import Sequence

import wirelessfl
from wirelessfl.commands import report, reproduce, run, scenario, solve, sweep
from wirelessfl.config import processors


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0, 1 where something is infeasible or failed, and 2 for a setting that cannot be."""
    options = _parser().parse_args(arguments)
    try:
        if "workers" in options:
            processors(options.workers)
        status: int = options.command(options)
        return status
    except ValueError as error:                      # a SettingsError, or a value that only the work could refuse
        print(f"wirelessfl: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"wirelessfl: {error.strerror or error}: {error.filename}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nwirelessfl: interrupted; `wirelessfl resume FOLDER` goes on from the last checkpoint of a run", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wirelessfl", description="Joint decisions for split federated learning over wireless links.")
    parser.add_argument("--version", action="version", version=f"wirelessfl {wirelessfl.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in (run, sweep, solve, scenario, reproduce, report):
        each.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
