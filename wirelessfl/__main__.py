"""The command line, and the only place that prints."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

import wirelessfl
from channels.units import linear_to_db, watt_to_dbm
from optim.allocation import Allocation
from optim.deadline import residual
from optim.problem import Deadline
from wirelessfl.calibration_file import make
from wirelessfl.calibration_text import text
from wirelessfl.closing import closing_table
from wirelessfl.config import SettingsError, choose, load, to_toml
from wirelessfl.decide import afresh
from wirelessfl.experiment import begun, check, resume, run
from wirelessfl.folder import TIMING
from wirelessfl.known import calibrated
from wirelessfl.places import Outcome
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.pricing import priced
from wirelessfl.record import Record, allocation_table
from wirelessfl.settings import Scenario
from wirelessfl.sweep import TABLE, sweep
from wirelessfl.sweep_file import EXAMPLE, Task, read_sweep
from wirelessfl.world import World, world


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0, 1 where something is infeasible, and 2 for a setting that cannot be."""
    options = _parser().parse_args(arguments)
    try:
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
    for name, command, about in (
            ("run", _run, "simulate the policies of a scenario, and compare them"),
            ("solve", _solve, "decide one round of a scenario, and print the decision"),
            ("calibrate", _calibrate, "measure the bound's constants for a scenario, into a file that scenarios may name"),
            ("scenario", _scenario, "print a scenario as TOML, every key with its unit and meaning")):
        sub = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        sub.set_defaults(command=command)
        sub.add_argument("scenario", nargs="?", type=Path, help="a TOML file; the default scenario without one")
        sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                         help="override a setting, such as cell.devices=20")
        if name == "run":
            sub.add_argument("--out", type=Path, help="the run folder; runs/NAME-TIME without one")
            _workers(sub)
        if name == "calibrate":
            sub.add_argument("--out", type=Path, help="the file; calibrations/NAME-KEY.json without one; with a picture")
            sub.add_argument("--exponent", action="store_true", help="fit decision.exponent, too, to some short pruned trainings")
    about = "go on with a run that was not finished, from its last checkpoint"
    sub = commands.add_parser("resume", help=about, description=about[0].upper() + about[1:] + ".")
    sub.set_defaults(command=_resume)
    sub.add_argument("folder", type=Path, help="the run folder")
    _workers(sub)
    about = "do the runs of a grid or list of settings, those that are not finished, and make one table of all"
    sub = commands.add_parser("sweep", help=about, description=about[0].upper() + about[1:] + ".", epilog=EXAMPLE,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    sub.set_defaults(command=_sweep)
    sub.add_argument("sweep", type=Path, help="a TOML file, as below")
    sub.add_argument("--out", type=Path, help="the sweep's folder; runs/NAME without one, NAME the file's")
    place = sub.add_mutually_exclusive_group()
    _workers(place)
    place.add_argument("--scheduler", metavar="ADDRESS", help="have the workers of this Dask scheduler do the runs: tcp://HOST:8786")
    return parser


def _workers(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; results do not depend on them")


def _scenario(options: argparse.Namespace) -> int:
    print(to_toml(load(options.scenario, options.set)), end="")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    print(text(make(load(options.scenario, options.set), options.out, exponent=options.exponent)))
    return 0


def _solve(options: argparse.Namespace) -> int:
    s = load(options.scenario, options.set)
    chosen = choose(POLICIES, s.decision.policies[0], "decision.policies")
    w = world(s, s.seed)
    measured = calibrated(w, s.seed)
    seen = w.air.start(w.rng("fading", 0)).seen(w.rng("estimates", 0), w.knowledge, s.decision.outage)
    decider = prepare(chosen, w, measured)
    w = w.averaging(decider.interval)
    who, found, whole = afresh(w, measured, decider, seen, 1.0, w.hardware.battery)
    print(f"{s.name}: policy {s.decision.policies[0]}, seed {s.seed}, first round; {len(w.options)} options, "
          f"{s.cell.devices} devices, {s.cell.bandwidth_mhz:g} MHz\n")
    if not found.status.feasible:
        print(f"status    {found.status.name.lower()}: {found.status.value}\nadvice    "
              f"{decider.advice(whole, found, np.flatnonzero(who))}")
        return 1
    _print_decision(found.among(who), w, seen.up, who)
    if not who.all():
        p = priced(w, measured, seen, np.ones((len(who), 2)), energy=w.hardware.battery)
        everyone = decider.in_time(decider.decide(p), p)
        print(f"left out  {np.flatnonzero(~who).tolist()}; with everyone: {decider.advice(p, everyone)}\n")
    _print_grades(replace(decider.allowed(whole), deadline=found.deadline), decider.own(found), certified=decider.policy.band)
    return 0


def _print_decision(found: Allocation, w: World, gain: np.ndarray, who: np.ndarray) -> None:
    t = allocation_table(found, w.cuts[found.option], gain, w.hardware.speed)[who]
    with np.errstate(divide="ignore"):
        shown = pd.DataFrame({
            "device": t["device"], "gain [dB]": linear_to_db(t["gain"]).round(1),
            "speed [GFLOP/s]": (t["speed_flops"] / 1e9).round(3), "split [blocks]": t["split"],
            "pruned [1]": t["pruning_ratio"].round(3), "band [kHz]": (t["bandwidth_hz"] / 1e3).round(1),
            "power [dBm]": watt_to_dbm(t["power_w"]).round(1), "latency [ms]": (t["latency_s"] * 1e3).round(1),
            "energy [mJ]": (t["energy_j"] * 1e3).round(2)})
    print(shown.to_string(index=False), "\n")


def _print_grades(problem: Deadline, found: Allocation, *, certified: bool) -> None:
    grade = residual(problem, found)
    print(f"round     {float(found.latency.max()) * 1e3:.4g} ms, {float(found.energy.sum()) * 1e3:.4g} mJ\n"
          f"objective {float(found.objective):.6g} of a round's progress is lost by the bound")
    if certified:
        print(f"price     {float(found.price) * 1e6:.4g} of a round's progress per MHz\n"
              f"gap       {float(found.gap):.2g} of the objective, certified over all splits\n"
              f"residual  feasibility {grade.feasibility:.1e}, stationarity {grade.stationarity:.1e}, "
              f"complementarity {grade.complementarity:.1e}")
    else:
        print(f"price     none, and no certificate: the band is in equal shares\nresidual  feasibility {grade.feasibility:.1e}")
    print(f"status    {found.status.value}")


def _run(options: argparse.Namespace) -> int:
    s = load(options.scenario, options.set)
    folder = options.out or Path("runs") / f"{s.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    return _watched(s, folder, options.workers, partial(run, s))


def _resume(options: argparse.Namespace) -> int:
    return _watched(begun(options.folder)[1], options.folder, options.workers, resume)


def _watched(s: Scenario, folder: Path, workers: int, start: Callable[..., pd.DataFrame]) -> int:
    """Run or resume, with a bar of progress and a closing table."""
    if workers < 1:
        raise SettingsError(f"--workers must be at least 1, got {workers}")
    found = check(s)
    runs = len(s.decision.policies) * s.seeds
    print(f"{s.name}: {len(s.decision.policies)} policies x {s.seeds} seeds, {workers} workers -> {folder}")
    with tqdm(total=runs * (s.training.rounds if workers == 1 else 1), unit="round" if workers == 1 else "run",
              dynamic_ncols=True) as bar:
        def watch(record: Record) -> None:
            if np.isfinite(record.accuracy):                       # else it was not tested
                bar.set_postfix_str(f"{record.policy} seed {record.seed}: round {record.round + 1}, accuracy "
                                    f"{record.accuracy:.3f}, {record.elapsed:.1f} s simulated", refresh=False)
            bar.update()

        summary = start(folder, workers=workers, watch=watch, found=found)
    print(closing_table(summary, pd.read_csv(folder / TIMING), s))
    print(f"\ntables and pictures: {folder}/")
    return 1 if summary["advice"].any() else 0


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


if __name__ == "__main__":
    sys.exit(main())
