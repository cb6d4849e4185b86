"""``wirelessfl solve``."""

import argparse
import sys
from dataclasses import replace

import numpy as np
import pandas as pd

from channels.units import linear_to_db, watt_to_dbm
from optim.absence import absence_added
from optim.allocation import Allocation
from optim.deadline import residual
from optim.problem import Deadline
from wirelessfl.commands.arguments import Commands, command, pilot, scenario
from wirelessfl.config import choose, load
from wirelessfl.known import calibrated
from wirelessfl.options import FIELDS, LEVERS
from wirelessfl.policy import POLICIES
from wirelessfl.prepare import prepare
from wirelessfl.presence import afresh
from wirelessfl.pricing import constants, priced
from wirelessfl.record import allocation_table
from wirelessfl.schemes import check
from wirelessfl.world import World, all_at_once, world


def add(commands: Commands) -> None:
    """Add it to the command line."""
    scenario(command(commands, "solve", _solve, "decide one round of a scenario, and print the decision"))


def _solve(options: argparse.Namespace) -> int:
    s = load(options.scenario, options.set)
    chosen = choose(POLICIES, s.decision.policies[0], "decision.policies")
    w = world(s, s.seed)
    all_at_once(w)
    check(chosen, w)
    if not s.decision.calibration:
        print(pilot(s), file=sys.stderr)
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
        lost = absence_added(constants(w, measured), w.weights, who, 0.0, decider.memory, w.stands)
        away = f"{np.flatnonzero(~who).tolist()}, for {lost:.3g} of a round's progress; with everyone "
        print(f"sit out   {away}it would take {float(everyone.latency.max()) * 1e3:.4g} ms\n" if everyone.status.feasible else
              f"left out  {away}there is no decision: {decider.advice(p, everyone)}\n")
    _print_grades(replace(decider.allowed(whole), deadline=found.deadline), decider.own(found), bool(who.all()),
                  certified=decider.policy.band)
    return 0


def _print_decision(found: Allocation, w: World, gain: np.ndarray, who: np.ndarray) -> None:
    """A row a device; what compresses is shown where there was a choice."""
    t = allocation_table(found, w.cuts[found.option], gain, w.hardware.speed)[who]
    open_levers = [(field, unit) for field, lever, unit in zip(FIELDS, LEVERS, ("bit", "bit", "1"), strict=True)
                   if getattr(w.scenario.decision, lever)]
    with np.errstate(divide="ignore"):
        shown = pd.DataFrame({
            "device": t["device"], "gain [dB]": linear_to_db(t["gain"]).round(1),
            "speed [GFLOP/s]": (t["speed_flops"] / 1e9).round(3), "split [blocks]": t["split"],
            **{f"{field.replace('_', ' ')} [{unit}]": [getattr(w.options[at].compression, field) for at in found.option[who]]
               for field, unit in open_levers},
            "pruned [1]": t["pruning_ratio"].round(3), "band [kHz]": (t["bandwidth_hz"] / 1e3).round(1),
            "power [dBm]": watt_to_dbm(t["power_w"]).round(1), "latency [ms]": (t["latency_s"] * 1e3).round(1),
            "energy [mJ]": (t["energy_j"] * 1e3).round(2)})
    print(shown.to_string(index=False), "\n")
    if w.scenario.decision.intervals:
        print(f"interval  client sides are averaged every {w.algorithm.interval} rounds\n")


def _print_grades(problem: Deadline, found: Allocation, everyone: bool, *, certified: bool) -> None:
    grade, among = residual(problem, found), "" if everyone else " among those who take part"
    print(f"round     {float(found.latency.max()) * 1e3:.4g} ms, {float(found.energy.sum()) * 1e3:.4g} mJ\n"
          f"objective {float(found.objective):.6g} of a round's progress is lost by the bound{among}")
    if certified:
        print(f"price     {float(found.price) * 1e6:.4g} of a round's progress per MHz\n"
              f"gap       {float(found.gap):.2g} of the objective, certified over all splits\n"
              f"residual  feasibility {grade.feasibility:.1e}, stationarity {grade.stationarity:.1e}, "
              f"complementarity {grade.complementarity:.1e}")
    else:
        print(f"price     none, and no certificate: the band is in equal shares\nresidual  feasibility {grade.feasibility:.1e}")
    print(f"status    {found.status.value}")
