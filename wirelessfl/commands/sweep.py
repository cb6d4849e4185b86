"""``wirelessfl sweep``."""

import argparse
import sys
from pathlib import Path

from tqdm.auto import tqdm

from wirelessfl.commands.arguments import Commands, command, workers
from wirelessfl.places import Outcome
from wirelessfl.sweep import TABLE, sweep
from wirelessfl.sweep_file import EXAMPLE, Task, read_sweep


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "do the runs of a grid or list of settings, those that are not finished, and make one table of all"
    sub = command(commands, "sweep", _sweep, about, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub.add_argument("sweep", type=Path, help="a TOML file, as below")
    sub.add_argument("--out", type=Path, help="the sweep's folder; runs/NAME without one, NAME the file's")
    place = sub.add_mutually_exclusive_group()
    workers(place)
    place.add_argument("--scheduler", metavar="ADDRESS", help="have the workers of this Dask scheduler do the runs: tcp://HOST:8786")


def _sweep(options: argparse.Namespace) -> int:
    of = read_sweep(options.sweep)
    folder = options.out or Path("runs") / of.name
    print(f"{of.name}: {len(of.tasks)} runs, {options.scheduler or f'workers: {options.workers}'} -> {folder}")
    with tqdm(total=len(of.tasks), unit="run", dynamic_ncols=True) as bar:
        def watch(task: Task, outcome: Outcome) -> None:
            if outcome.error:
                bar.write(f"failed: {task.words}: {outcome.error} ({folder / task.name})", file=sys.stderr)
            bar.update()

        try:
            table = sweep(of, folder, workers=options.workers, scheduler=options.scheduler, watch=watch)
        except KeyboardInterrupt:
            print(f"\nwirelessfl: interrupted; the same command goes on with what is not finished in {folder}", file=sys.stderr)
            return 130
    failed, early = (table[table[name] != ""]["run"].nunique() if name in table else 0 for name in ("error", "advice"))
    print(f"\nfinished: {len(of.tasks) - failed} of {len(of.tasks)} runs"
          + (f", {early} of them early (column advice)" if early else "")
          + (f"\nfailed: {failed} (column error); the same command tries them again" if failed else ""))
    print(f"table: {folder / TABLE}")
    return 1 if failed else 0
