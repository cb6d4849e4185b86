"""Branching on the one device that stands between two options: what is left of the duality gap, with few devices.

At the best price at most one device, generically, is torn between two options, and the whole gap is its doing. Give it the one,
the other, or leave it the rest: the least of the three children's dual values is a better lower bound, and their answers are
better candidates. Repeated best-first, this is branch and bound, and mostly over after one or two branchings.
"""

import heapq
from itertools import count

from array_api_compat import device

from channels.arrays import namespace
from optim.price import Search, search
from optim.problem import Deadline

CLOSED = 1e-9       # a gap, over the objective, that no further candidate is asked to close


def candidates(problem: Deadline, found: Search, rtol: float) -> Search:
    """The search with its options fixed, and the band spent to the end.

    To a mixture first, where torn devices get the option that asks for more band while it fits; where a gap is left, to one
    device more or, if those that fit only seemed to, one less, and to the options above and below the price.
    """
    xp, best, torn = namespace(found.price), found, found.option != found.option_below
    if not bool(xp.any(torn)):
        return best
    more = xp.where(torn, found.band_below - found.band, xp.inf)          # hertz to give each torn device its dearer option
    order = xp.argsort(more, axis=-1)
    rank = xp.argsort(order, axis=-1)
    room = (problem.band - xp.sum(found.band, axis=-1))[..., None]
    held = xp.cumulative_sum(xp.take_along_axis(more, order, axis=-1), axis=-1) <= room
    fits = xp.count_nonzero(held, axis=-1)[..., None]
    for given in (fits, fits + 1, fits - 1, 0 * fits, 0 * fits + torn.shape[-1]):
        if not bool(xp.any(best.objective - best.dual > CLOSED * best.objective)):
            break
        option = xp.where(torn & (rank < given), found.option_below, found.option)
        best = best.better(search(problem.of(option), found.price, rtol), option)
    return best


def branch(problem: Deadline, found: Search, best: Search, *, target: float, most: int, rtol: float) -> tuple[Search, float]:
    """Close the gap of one problem to ``target``, or branch ``most`` times: the best answer, and the lower bound."""
    xp, order, at = namespace(found.price), count(), device(problem.gain)
    allowed = xp.ones(problem.shape, dtype=xp.bool, device=at)
    nodes = [(float(found.dual), next(order), allowed, found)]
    for _ in range(most):
        bound, _number, allowed, node = nodes[0]
        torn = xp.nonzero(node.option != node.option_below)[0]
        if best.objective - bound <= target * best.objective or not torn.shape[0]:
            break
        heapq.heappop(nodes)
        who, options = int(torn[0]), xp.arange(problem.shape[-1], device=at)
        first, second = options == node.option[who], options == node.option_below[who]
        for part in (first, second, allowed[who] & ~first & ~second):
            if not bool(xp.any(part)):
                continue
            child = xp.where((xp.arange(problem.shape[-2], device=at) == who)[:, None], part[None, :], allowed)
            restricted = problem.only(child)
            its = search(restricted, node.price, rtol)
            if float(its.dual) > -float("inf"):
                rival = candidates(restricted, its, rtol)
                best = best.better(rival, rival.option)
                heapq.heappush(nodes, (max(bound, float(its.dual)), next(order), child, its))
        if not nodes:
            break
    return best, min(nodes[0][0], float(best.objective)) if nodes else float(best.objective)
