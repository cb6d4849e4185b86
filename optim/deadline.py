r"""Solve the deadline problem (``optim.problem``) by its optimality conditions, and grade any answer to it.

Power and band are eliminated through the tight deadline (``optim.band``): device k asks for b_min,k(rho), convex and
falling in rho, and the band's price lambda is all that couples the devices,

.. math:: \lambda \,|b_{min,k}'(\rho_k)| = c_k'(\rho_k)\ \text{(clipped)},\quad
          o_k = \arg\min_o \varphi_k(o) + c_{k,o}(\rho) + \lambda b_{min,k,o}(\rho).               \tag{2}

The dual value q(lambda) = sum_k min_o [...] - lambda B bounds the loss from below, splits included, whatever lambda:
that is the certificate. At most one device, generically, stands between two options at the best price, so the gap falls at
least as 1/K; where devices differ 1/K^2 was seen (``notebooks/allocation.ipynb``): the others make room for the torn one.
"""

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import namespace
from optim.allocation import Allocation, Residual
from optim.answer import answer
from optim.band import least_band
from optim.branch import branch, candidates
from optim.curves import cheapest
from optim.price import search
from optim.problem import Deadline, one

TINY = 1e-12      # a loss of progress below this is none
GAP = 1e-4        # a certified gap that is good enough


def solve_kkt(problem: Deadline, *, price: ArrayLike | None = None, rtol: float = 1e-12, branches: int = 12) -> Allocation:
    """Solve (1) by its KKT conditions: a search for one number, the price of the band.

    Parameters
    ----------
    problem : Deadline
        One problem, or a batch with leading axes.
    price : (...,) array, optional
        Where to start [1/Hz], such as the price of the last round.
    rtol : float
        Relative tolerance on the band that is spent.
    branches : int
        One problem (not a batch) with a duality gap above 0.01 % is branched on at most so often (``optim.branch``).

    Returns
    -------
    Allocation
        With its certificate: ``lower_bound`` holds for every choice of splits, and ``gap`` measures against it.
    """
    found = search(problem, price, rtol)
    xp, best, bound = namespace(found.price), candidates(problem, found, rtol), found.dual
    if len(problem.shape) == 2 and bool(best.objective < np.inf):
        best, least = branch(problem, found, best, target=GAP, most=branches, rtol=rtol)
        bound = xp.zeros_like(bound) + least
    return answer(problem, best, bound)


def residual(problem: Deadline, found: Allocation) -> Residual:
    """How far an answer to one problem, from whatever solver, is from the optimality conditions of (1); ``inf`` in all for an
    infeasible one."""
    one(problem, "residual")
    if not found.status.feasible:
        return Residual(*4 * (np.inf,))
    xp, fixed, price = namespace(found.price), problem.of(found.option), found.price
    ratio = found.ratio[..., None]
    excess = [xp.sum(found.bandwidth) / problem.band - 1, found.latency / problem.deadline - 1,
              found.power / problem.peak_power - 1, found.energy / problem.energy_budget - 1,
              (ratio - fixed.prune_max), (fixed.prune_min - ratio)]
    asked = xp.minimum(least_band(fixed, ratio), found.bandwidth[..., None])
    paid = fixed.noise + fixed.pruning.value(ratio) + price * asked
    objective = float(xp.sum(xp.broadcast_to(fixed.noise + fixed.pruning.value(ratio), paid.shape)))
    best = float(search(problem, price).dual)
    scale = max(objective, TINY)
    return Residual(
        feasibility=max(*(float(xp.max(e)) for e in excess), 0.0),
        stationarity=float(xp.sum(xp.clip(paid - cheapest(fixed, price), 0.0, xp.inf)) / scale),
        complementarity=float(price * xp.abs(problem.band - xp.sum(found.bandwidth)) / scale),
        gap=(objective - best) / scale,
    )
