"""Who takes part in a round, and what is decided for them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from channels.links import Gains
from learning.algorithm import Algorithm
from learning.calibration import Calibration
from optim.allocation import Allocation, Status
from optim.answer import at_full_power, impossible
from optim.fastest import LONGEST
from optim.problem import Deadline
from wirelessfl.policy import Decider
from wirelessfl.world import Times, World, priced


@dataclass(frozen=True)
class Decision:
    """What was decided for a round.

    Attributes
    ----------
    who : (K,) bool array
        Devices that take part; all others have no row in what follows.
    standing : Allocation
        The decision that stands, whose splits and ratios the next rounds may keep.
    now : Allocation
        The round itself.
    problem : Deadline
        What it is a solution of.
    cuts : tuple of int
        What its options stand for.
    advice : str
        What stood in the way, where that is nothing of the problem's.
    """

    who: NDArray
    standing: Allocation
    now: Allocation
    problem: Deadline
    cuts: tuple[int, ...]
    advice: str = ""

    @cached_property
    def plan(self) -> Allocation:
        """The round with a row for every device (K,), of zeros for those that were left out."""
        return self.now.among(self.who)

    @property
    def cut(self) -> NDArray:
        """Blocks on each device (K,); 0 for those that were left out."""
        return np.where(self.who, np.array(self.cuts)[self.plan.option], 0)


def decide(w: World, measured: Calibration, decider: Decider, seen: Gains, number: int, battery: NDArray,
           before: Decision | None = None) -> Decision:
    """Decide round ``number`` on what the gains are ``seen`` as (K,), with the energy (K,) left in batteries [J].

    Splits and ratios are decided when client sides have just been averaged, on the costs spread over the interval;
    in between, and on each round's own costs, only band and power are. Decided "once", on the mean channel, everything
    stays as it is and devices send at full power: a deadline is then not kept, and an energy budget ends the run if broken.

    Devices that cannot take part are left out, if the scenario allows it: without a link, by the deadline, within their
    energy budget, or because their batteries hold less than the round takes. Who is left out of a decision waits for the next.
    """
    everyone = w.scenario.decision.absent == "stop"
    who = present(decider, priced(w, measured, seen, transfers(w.algorithm, number)), everyone)
    while True:
        found = _decided(w, measured, decider, seen, number, who, before)
        empty = found.now.energy > battery[found.who]
        if not found.now.status.feasible or not empty.any():
            return found
        if everyone or empty.all():
            which = np.flatnonzero(found.who)[empty].tolist()
            return replace(found, now=replace(found.now, status=Status.ENERGY),
                           advice=f"batteries of devices {which} hold less than the round takes: larger ones, or fewer rounds")
        who = found.who.copy()
        who[who] = ~empty


def _decided(w: World, measured: Calibration, decider: Decider, seen: Gains, number: int, who: NDArray,
             before: Decision | None) -> Decision:
    interval, once = w.algorithm.interval, w.scenario.decision.when == "once"
    if before is None or (number % interval == 0 and not once):
        basis = Gains(w.air.mean_gain, w.air.mean_gain) if once else seen
        whole = priced(w, measured, basis, (1 / interval, 1 / interval), who)
        standing = decider.decide(whole)
        if not standing.status.feasible or (interval == 1 and not once):
            return Decision(who, standing, standing, whole, w.cuts)
    else:
        who = who & before.who if np.any(who & before.who) else before.who
        standing = before.standing.devices(who[before.who])
    actual = priced(w, measured, seen, transfers(w.algorithm, number), who)
    now = _once(actual, standing) if once else decider.solve(actual.pinned(standing.option, standing.ratio))
    return Decision(who, standing, replace(now, option=standing.option, ratio=standing.ratio), actual, w.cuts)


def transfers(algorithm: Algorithm, number: int) -> Times:
    """How often client models go down and up in round ``number``: at the first and at the last of an interval."""
    return float(number % algorithm.interval == 0), float((number + 1) % algorithm.interval == 0)


def _once(actual: Deadline, standing: Allocation) -> Allocation:
    now = at_full_power(actual, standing)
    broke = bool(np.any(now.energy > actual.energy_budget * (1 + 1e-9)))
    return replace(now, status=Status.ENERGY) if broke else now


def present(decider: Decider, whole: Deadline, everyone: bool = False) -> NDArray:
    """Devices (K,) that could take part alone, with the whole band; all, where nobody could, or ``everyone`` must."""
    p = decider.allowed(whole)
    able: NDArray = ~np.logical_or.reduce(impossible(p if decider.deadline else replace(p, deadline=np.array(LONGEST))))
    return able if able.any() and not everyone else np.ones(able.shape, bool)
