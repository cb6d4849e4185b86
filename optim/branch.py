"""Branching on the one device that stands between two options: what is left of the duality gap, with few devices.

At the best price at most one device, generically, is torn between two options, and the whole gap is its doing. Give it one option
after the other: the least of the children's dual values is a better lower bound, and their answers are better candidates.
Repeated best-first, this is branch and bound, and mostly over after one or two branchings.
"""

import heapq
from itertools import count

import numpy as np

from optim.price import Search, search
from optim.problem import Deadline


def candidates(problem: Deadline, found: Search, rtol: float) -> Search:
    """The search with its options fixed, and the band spent to the end.

    To the options above the price, to those below, and to mixtures: torn devices get the dearer one while it fits, and one more.
    """
    best, torn = found, found.option != found.option_below
    if not torn.any():
        return best
    more = np.where(torn, found.band_below - found.band, np.inf)          # hertz to give each torn device its dearer option
    order = np.argsort(more, axis=-1)
    room = (problem.band - found.band.sum(-1))[..., None]
    rank = np.argsort(order, axis=-1)
    fits = (np.cumsum(np.take_along_axis(more, order, -1), axis=-1) <= room).sum(-1, keepdims=True)
    for given in (np.zeros_like(fits), fits, fits + 1, np.full_like(fits, torn.shape[-1])):
        option = np.where(torn & (rank < given), found.option_below, found.option)
        best = best.better(search(problem.of(option), found.price, rtol), option)
    return best


def branch(problem: Deadline, found: Search, best: Search, *, target: float, most: int, rtol: float) -> tuple[Search, float]:
    """Close the gap of one problem to ``target``, or branch ``most`` times: the best answer, and the lower bound."""
    order = count()
    allowed = np.ones(problem.shape, bool)
    nodes = [(float(found.dual), next(order), allowed, found)]
    for _ in range(most):
        bound, _number, allowed, node = nodes[0]
        torn = np.flatnonzero(node.option != node.option_below)
        if best.objective - bound <= target * best.objective or not torn.size:
            break
        heapq.heappop(nodes)
        for option in np.flatnonzero(allowed[torn[0]]):
            child = allowed.copy()
            child[torn[0]] = np.arange(problem.shape[-1]) == option
            restricted = problem.only(child)
            its = search(restricted, node.price, rtol)
            if its.dual > -np.inf:
                rival = candidates(restricted, its, rtol)
                best = best.better(rival, rival.option)
                heapq.heappush(nodes, (max(bound, float(its.dual)), next(order), child, its))
        if not nodes:
            break
    return best, min(nodes[0][0], float(best.objective)) if nodes else float(best.objective)

