"""Who takes part by a fixed rule, so many in each round: schedules of the literature, to lay beside ``wirelessfl.presence``.

H. H. Yang, Z. Liu, T. Q. S. Quek, H. V. Poor, "Scheduling Policies for Federated Learning in Wireless Networks", IEEE Trans.
Commun. 68(1), 2020, has the three; *random* is also how FedAvg samples its clients. They look at who is there, not at what a part
is worth; all else is decided for those that were drawn as it is for any devices.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from channels.links import Gains
from wirelessfl.world import World

Schedule = Callable[[World, Gains, int, int, NDArray], NDArray]     # world, gains, number of the decision, how many, among whom


def random(w: World, gains: Gains, number: int, many: int, among: NDArray) -> NDArray:
    """Devices drawn afresh."""
    return _first(_drawn(w, number), many, among)


def round_robin(w: World, gains: Gains, number: int, many: int, among: NDArray) -> NDArray:
    """The next ones in the order of their numbers."""
    return among[(number * many + np.arange(many)) % len(among)]


def proportional_fair(w: World, gains: Gains, number: int, many: int, among: NDArray) -> NDArray:
    """Those whose link is best beside its own mean; of equals any."""
    return _first(np.lexsort((_drawn(w, number), -gains.up / w.air.mean_gain)), many, among)


def _drawn(w: World, number: int) -> NDArray:
    """All devices in a random order."""
    return w.rng("schedule", number).permutation(len(w.shards))


def _first(order: NDArray, many: int, among: NDArray) -> NDArray:
    """So many of those ``among`` whom devices are taken, in an order of all."""
    found: NDArray = order[np.isin(order, among)][:many]
    return found


#: Rules by the name of a policy's ``presence``.
SCHEDULES: dict[str, Schedule] = {"random": random, "round-robin": round_robin, "proportional-fair": proportional_fair}


def scheduled(rule: str, w: World, gains: Gains, number: int, share: float, able: NDArray) -> NDArray:
    """Who takes part (K,) by a rule: ``share`` of the devices, rounded up, but one at least; ``number`` counts the decisions.

    They are among those who are ``able`` (K,), all of these if they are fewer; where nobody is, among all.
    """
    among = np.flatnonzero(able if able.any() else ~able)
    many = min(max(1, math.ceil(share * len(able) - 1e-9)), len(among))
    who = np.zeros(len(able), bool)
    who[SCHEDULES[rule](w, gains, number, many, among)] = True
    return who
