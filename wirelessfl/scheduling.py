"""Who takes part by a fixed rule, so many in each round: schedules of the literature, to lay beside ``wirelessfl.presence``.

H. H. Yang, Z. Liu, T. Q. S. Quek, H. V. Poor, "Scheduling Policies for Federated Learning in Wireless Networks", IEEE Trans.
Commun. 68(1), 2020, has the three; *random* is also how FedAvg samples its clients. They look at who is there, not at what a part
is worth; all else is decided for those that were drawn as it is for any devices.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wirelessfl.world import World

Schedule = Callable[[World, NDArray, int, int], NDArray]     # world, gains over means, number of the decision, how many: an order


def random(w: World, relative: NDArray, number: int, many: int) -> NDArray:
    """Devices drawn afresh."""
    return w.rng("schedule", number).permutation(len(w.shards))


def round_robin(w: World, relative: NDArray, number: int, many: int) -> NDArray:
    """Those first whose turn it is, by their numbers; the turns of those who are not able go to others at random."""
    order, now = random(w, relative, number, many), (number * many + np.arange(many)) % len(w.shards)
    return np.concatenate([now, order[~np.isin(order, now)]])


def proportional_fair(w: World, relative: NDArray, number: int, many: int) -> NDArray:
    """Those first whose link is best beside its own mean; of equals any."""
    return np.lexsort((random(w, relative, number, many), -relative))


#: Rules by the name of a policy's ``presence``.
SCHEDULES: dict[str, Schedule] = {"random": random, "round-robin": round_robin, "proportional-fair": proportional_fair}


def size(share: float, devices: int) -> int:
    """How many of so many ``devices`` are in a round: ``share`` of them, rounded up, but one at least."""
    return max(1, math.ceil(share * devices - 1e-9))


def scheduled(rule: str, w: World, relative: NDArray, number: int, share: float, able: NDArray) -> NDArray:
    """Who takes part (K,) by a rule: ``share`` of the devices as by :func:`size`; ``number`` counts the decisions.

    ``relative`` (K,) are the gains over their means [1]. Devices are among those who are ``able`` (K,), all of these if they are
    fewer; where nobody is, among all.
    """
    among, many = able if able.any() else ~able, size(share, len(able))
    order = SCHEDULES[rule](w, relative, number, many)
    who = np.zeros(len(able), bool)
    who[order[among[order]][:many]] = True
    return who
