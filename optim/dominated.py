r"""Options that no best decision needs: some other one is as good in everything.

Option i *dominates* j for a device if each of its costs T0, C, alpha, D, E0, E1 and phi is no higher, its pruning cost no higher
at any ratio, and its range of ratios no narrower. A decision that uses j then stays feasible with i at the same ratio, band and
power, and loses no more: without j the optimum is the same. Of equals the first is kept.
"""

from array_api_compat import device
from numpy.typing import NDArray

from channels.arrays import namespace
from optim.problem import Deadline
from optim.pruning_cost import PiecewiseLinear, PowerLaw


def undominated(problem: Deadline) -> Deadline:
    """The problem without the options that are dominated for every device in every row; itself if there are none.

    Options are then counted anew. Where pruning costs something else than a power law or a polygon, nothing is left out.
    """
    amounts, xp = _amounts(problem), namespace(problem.gain)
    if problem.shape[-1] == 1 or amounts is None:
        return problem
    keep = xp.nonzero(_needed(amounts, problem.shape[-1]))[0]
    if keep.shape[0] == problem.shape[-1]:
        return problem
    return problem.change(_same, _same, lambda v: v if v.ndim == 0 or v.shape[-1] == 1 else v[..., keep])


def _amounts(problem: Deadline) -> list[NDArray] | None:
    """Everything of which an option should have little, each broadcasting to (..., K, O)."""
    cost = problem.pruning
    if isinstance(cost, PowerLaw):
        own = [cost.scale, -cost.exponent]              # rho^p falls with p, as rho <= 1
    elif isinstance(cost, PiecewiseLinear):
        own = [cost.heights[..., j] for j in range(len(cost.knots))]
    else:
        return None
    return [*vars(problem.costs).values(), problem.noise, problem.prune_min, -problem.prune_max, *own]


def _needed(amounts: list[NDArray], options: int) -> NDArray:
    """Options (O,) that some device in some row may need."""
    xp, number = namespace(*amounts), namespace(*amounts).arange(options, device=device(amounts[0]))
    first = number[:, None] < number[None, :]
    better = worse = first & ~first
    for v in amounts:
        if v.ndim and v.shape[-1] > 1:
            mine, other = v[..., :, None], v[..., None, :]                       # of i, and of j
            better, worse = better | (mine < other), worse | (mine > other)
    dominated = ~worse & (better | first)
    found: NDArray = ~xp.all(xp.reshape(xp.any(dominated, axis=-2), (-1, options)), axis=0)
    return found


def _same(values: NDArray) -> NDArray:
    return values
