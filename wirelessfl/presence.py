r"""Who takes part in a round: those who can, less those for whom waiting costs more than their part is worth.

Everybody in every round is dear: a round lasts as long as its worst link, and under Rayleigh fading with a mean that does not
exist. If each device need be there in the share pi of the rounds only, the least time of progress under these K conditions has,
by their multipliers nu, in each round the set S of devices and the decision for them that make

.. math:: T - \mu\,(1 - \Phi_S - \Phi_{absent})^\gamma - \textstyle\sum_{k \in S} \nu_k                         \tag{1}

least, where Phi_absent is what the round adds to all that remember it (``optim.absence``). mu is the running price of progress,
and nu is ``STEP`` prices for each round that the device lacks of its share: that number grows by pi in each round and falls by
one where it takes part, as planned, never below zero. Sets are looked for among those without the n devices that would take
longest by themselves in the whole band, less what (1) gives for them (where the band is scarce, such times add up), going up or
down from the last round's n as long as (1) falls: a search, without a certificate of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from channels.links import Gains
from learning.calibration import Calibration
from optim.absence import absence_added, made_up
from optim.allocation import Allocation, Status
from optim.problem import Deadline
from wirelessfl.decider import Decider
from wirelessfl.decision import Decision
from wirelessfl.pricing import constants, priced
from wirelessfl.scheduling import SCHEDULES, scheduled, size
from wirelessfl.world import World

Found = tuple[NDArray, Allocation, Deadline]      # who takes part (K,), the decision for them, and what it solves
Solve = Callable[[NDArray, NDArray], tuple[Allocation, Deadline]]      # of some devices (K,), with so much energy (K,) [J] each
SLOWER = 10.0        # a battery may stretch a round by so much; who asks for more is left out
STEP = 0.1           # what a round that a device lacks is worth, in prices of a full round's progress


def afresh(w: World, measured: Calibration, decider: Decider, gains: Gains, times: float, energy: NDArray,
           before: Decision | None = None, number: int = 0, mean: NDArray | None = None) -> Found:
    """Who takes part (K,), the decision for them, and what it solves: at gains (K,) [1], with so much energy (K,) left [J].

    The transfers of client models count so many ``times``; ``before`` is the last round's decision, to go on from. For rules by
    which devices take turns, ``number`` counts the decisions, and ``mean`` (K,) are the mean gains where devices are now, or
    those at the beginning [1].
    """
    start, so_far = (None, None) if before is None else before.last
    often, everyone = np.full((len(energy), 2), times), np.ones(energy.shape, bool)

    def whole(who: NDArray, energy: NDArray) -> tuple[Allocation, Deadline]:
        p = priced(w, measured, gains, often, who, energy)
        return decider.decide(p, start, so_far), p

    def solved(who: NDArray) -> Found:
        return of_those_who_can(whole, decider, who, energy, w.scenario.decision.absent == "stop")

    if decider.participation == 1:
        return solved(everyone)
    rule, share = decider.policy.presence, decider.participation
    if rule in SCHEDULES:
        able = decider.able(priced(w, measured, gains, often, energy=energy, sharing=size(share, len(energy))))
        return solved(scheduled(rule, w, gains.up / (w.air.mean_gain if mean is None else mean), number, share, able))
    return _without_some(w, measured, decider, solved, decider.alone(priced(w, measured, gains, often, energy=energy)), before)


def _without_some(w: World, measured: Calibration, decider: Decider, solved: Callable[[NDArray], Found], alone: NDArray,
                  before: Decision | None) -> Found:
    """The best round by (1) without some of the devices that take longest ``alone`` (K,) [s], less what they are worth."""
    price, known = decider.price(None if before is None else before.so_far), constants(w, measured)
    memory, stands = decider.memory, w.stands
    nu, worth, missed, out = np.zeros(alone.shape), np.zeros(alone.shape), np.zeros(alone.shape), 0
    if before is not None:
        finite, missed, out = price if price < np.inf else 0.0, before.missed, int((~before.chosen).sum())
        mass = w.weights[before.chosen].sum() if before.chosen.any() else 1.0
        nu = STEP * finite * before.credit
        worth = nu + finite * made_up(known, w.weights, missed, memory, stands) * w.weights / mass
    dearest = np.argsort(worth - alone, kind="stable")

    @cache
    def without(count: int) -> Found:
        return solved(~np.isin(np.arange(len(dearest)), dearest[:count]))

    def cost(count: int) -> float:
        who, now, _ = without(count)
        return decider.cost(now, absence_added(known, w.weights, who, missed, memory, stands), price) - float(nu[who].sum())

    return without(downhill(cost, out, len(dearest) - 1))


def downhill(cost: Callable[[int], float], start: int, most: int) -> int:
    """A number of 0 to ``most`` whose neighbours cost no less, walking from ``start``, or, where the cost is infinite, from the
    first at which it is not; 0 if there is none."""
    begin = min(start, most)
    here = begin if cost(begin) < np.inf else next((number for number in range(most + 1) if cost(number) < np.inf), 0)
    for step in (1, -1):
        while 0 <= here + step <= most and cost(here + step) < cost(here):
            here += step
    return here


def credited(decider: Decider, decision: Decision, before: NDArray) -> NDArray:
    """By how many rounds each device (K,) lacks its share after a planned round, of what it was ``before``; never below zero."""
    left: NDArray = np.maximum(before + decider.participation - decision.who, 0.0)
    return left if decider.participation < 1 else before


def of_those_who_can(solve: Solve, decider: Decider, who: NDArray, energy: NDArray, everyone: bool) -> Found:
    """The decision for as many of ``who`` as there is one for: while there is none, who stands in its way most is left out.

    Where that would be the last one, what it was for all of them, infeasible.
    """
    at_first = None
    while True:
        now, p = solve(who, energy + np.inf)
        now = decider.in_time(now, p)
        want = now.energy / np.maximum(energy[who], 1e-300)
        if now.status.feasible and np.any(want > 1):
            poor, q = solve(who, energy)
            poor = decider.in_time(poor, q)
            if poor.status.feasible and np.all(poor.energy <= energy[who] * (1 + 1e-9)) and lasts(poor) <= SLOWER * lasts(now):
                return who, poor, q
            now, p = replace(now, status=Status.ENERGY), q
        elif not now.status.feasible:
            want = decider.need(p)
        if now.status.feasible or now.status is Status.PROGRESS:
            return who, now, p
        at_first = (who, now, p) if at_first is None else at_first
        if everyone or len(want) == 1:
            return at_first
        who = who.copy()
        who[np.flatnonzero(who)[np.argmax(want)]] = False


def lasts(now: Allocation) -> float:
    """Planned time of a round [s]."""
    return float(now.latency.max())
