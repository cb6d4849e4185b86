"""Bounds and the optimum of the deadline problem of subchannels, one numpy problem at a time, by HiGHS and Clarabel.

``solve_exact`` is outer approximation (Duran and Grossmann 1986): solve the mixed-integer program of tangents
(``optim.subchannels_program``), add the tangents that make it exact for the assignment that it proposes, and again until that
assignment is as good as the program promised. Three relaxations bound the loss without branching:

- ``relaxed_bound``: shares, choices of options and powers that need not be whole, by tangents and HiGHS;
- ``joint_bound``: the same for one option, stated as a conic program for Clarabel: the yardstick of the other two bounds;
- ``lp_bound``: shares at fixed powers, for the problem in which a device radiates those powers where it holds a subchannel.
"""

import contextlib
import time
import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from optim.subchannels import Subchannels, filled, hopeless
from optim.subchannels_answer import FREE, SubchannelAllocation, evaluate
from optim.subchannels_bound import ascend, dual_value
from optim.subchannels_greedy import solve_greedy
from optim.subchannels_program import Program
from optim.water_filling import LN2

ROUNDS = 50                                         # programs that are solved at most
FIRST_POWERS = 0.05, 1.0                            # of peak power, where the first tangents are, beside those of the dual
FIRST_RATES = np.linspace(0.0, 1.0, 9)              # the same for the rates, as a share of the range of each option


def solve_exact(cells: Subchannels, *, seconds: float = 60.0, gap: float = 1e-4) -> SubchannelAllocation:
    """Solve one problem to a relative ``gap`` by mixed-integer programming, or as near as ``seconds`` allow.

    Returns
    -------
    SubchannelAllocation
        ``lower_bound`` is the program's own, to HiGHS's tolerances (1e-6, relative), or that of the greedy start if it is higher:
        an honest one however early the time is over.

    Raises
    ------
    ValueError
        For a batch, or seconds or a gap that are not positive.
    """
    if not (seconds > 0 and gap > 0):
        raise ValueError(f"seconds [s] and gap [1] must be positive, got {seconds} and {gap}")
    _single("solve_exact", cells)
    end, best = time.monotonic() + seconds, solve_greedy(cells)
    if bool(hopeless(cells)):
        return best
    bound, tried = float(best.lower_bound), set()
    program = _relax(cells, best.objective, rounds=8)[0]
    if np.isfinite(best.objective):
        program.bend_for(best.assignment)
    for _ in range(ROUNDS):
        left = end - time.monotonic()
        if left <= 0 or _near(best, bound, gap):
            break
        found, point = program.solve(True, left, gap / 2)
        proven = -np.inf if found.mip_dual_bound is None else found.mip_dual_bound * program.scale
        bound = np.inf if found.status == 2 else max(bound, proven)
        if point is None:
            break
        proposal = np.where(point.share.max(0) > 0.5, point.share.argmax(0), FREE)
        best = min(best, evaluate(cells, proposal), key=lambda answer: float(answer.objective))
        if proposal.tobytes() in tried:                                 # HiGHS cannot tell better: its tolerance is reached
            break
        tried.add(proposal.tobytes())
        program.bend_for(proposal)
        program.bend_at(point)
    return replace(best, lower_bound=np.array(min(bound, float(best.objective)) if np.isfinite(best.objective) else bound))


def relaxed_bound(cells: Subchannels, *, rounds: int = 30, rtol: float = 1e-6) -> float:
    """Least loss with shared subchannels and mixed options [1], to ``rtol`` from below; ``inf`` where even that is infeasible."""
    _single("relaxed_bound", cells)
    return np.inf if hopeless(cells) else _relax(cells, np.array(np.inf), rounds, rtol)[1]


def lp_bound(cells: Subchannels, power: NDArray | None = None, *, rounds: int = 30, rtol: float = 1e-6) -> float:
    """Least loss with shared subchannels at fixed powers (K, M) [W].

    With peak power on every subchannel, the default, it bounds the problem of ``optim.subchannels`` (loosely). With less, such as
    P / M, it bounds the problem in which a device radiates that and no more on each subchannel that it holds, and is no bound
    where devices may gather their power on a few subchannels.
    """
    _single("lp_bound", cells)
    program = Program(cells)
    program.fix_powers(np.broadcast_to(cells.peak_power[:, None], cells.shape) if power is None else power)
    return _descend(program, rounds, rtol, rates=False)


def joint_bound(cells: Subchannels) -> float:
    """The relaxation with powers and shares at once as a conic program, for one option: its dual value at Clarabel's multipliers.

    ``-inf`` where Clarabel finds none.

    Raises
    ------
    ValueError
        For a batch, or several options: fix them with ``problem.of(option)``, or use ``relaxed_bound``.
    """
    import cvxpy as cp

    _single("joint_bound", cells)
    if cells.problem.shape[-1] > 1:
        raise ValueError(f"joint_bound takes one option, got {cells.problem.shape[-1]}; fix them with problem.of(option), "
                         "or use relaxed_bound")
    if hopeless(cells):
        return np.inf
    table, snr = (v[:, 0] for v in cells.table), cells.peak_power[:, None] * cells.gain / cells.width
    room, shrinks, fixed, grows, _, least, most = table
    shares, powers = (cp.Variable(cells.shape, nonneg=True) for _ in range(2))
    ratio, high = cp.Variable(cells.shape[0]), np.maximum(snr, 1.0)      # entries of the cone near one
    nats = cp.sum(cp.multiply(shares, np.log(high)) - cp.rel_entr(shares, cp.multiply(1 / high, shares)
                                                                  + cp.multiply(snr / high, powers)), axis=1)
    spent, rules = cp.sum(powers, axis=1) <= 1, [cp.sum(shares, axis=0) <= 1, powers <= shares, ratio >= least, ratio <= most]
    unit = filled((fixed + grows) / np.abs(room))                        # bit/s, and keep ratio x = 1 - ratio
    carried = []
    for k in range(cells.shape[0]):
        sends, s, c = nats[k] * (cells.width / LN2 / unit[k]), room[k], shrinks[k]
        if c > 0:
            asks = (cp.inv_pos(s - c * (1 - ratio[k])) * (fixed[k] + grows[k] * s / c) - grows[k] / c) / unit[k]
        else:
            asks = (fixed[k] + (1 - ratio[k]) * grows[k]) / (s * unit[k])
        carried.append(sends >= asks)
    scale = float(cells.problem.pruning.value(cells.table.most).sum())
    model = cp.Problem(cp.Minimize(cells.problem.pruning.expression(ratio) / scale), [*rules, spent, *carried])
    for equilibrate in (True, False):                                    # each serves some problems on which the other fails
        with warnings.catch_warnings(), contextlib.suppress(cp.SolverError):
            warnings.simplefilter("ignore", UserWarning)                 # "may be inaccurate": the dual value holds all the same
            model.solve(solver=cp.CLARABEL, equilibrate_enable=equilibrate)
            break
    if model.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
        return np.inf
    if spent.dual_value is None:
        return -np.inf
    worth = np.array([float(rule.dual_value) for rule in carried]) * scale / unit
    price = spent.dual_value * scale / filled(cells.peak_power)
    return float(dual_value(cells, np.maximum(worth, 0.0), np.maximum(price, 0.0)))


def _relax(cells: Subchannels, target: NDArray, rounds: int, rtol: float = 1e-5) -> tuple[Program, float]:
    """The program with tangents where its relaxation needs them, and that one's value: no less than the climb's bound."""
    program, climb, usable = Program(cells), ascend(cells, target), cells.gain > 0
    worth, price, peak = climb.worth[:, None], climb.price[:, None], filled(cells.peak_power)[:, None]
    best = np.clip(worth * cells.width / LN2 / filled(price) - cells.width / filled(cells.gain), 0.0, peak) / peak
    for power in (best, 0.5 * best, np.minimum(2 * best, 1.0), *(0 * best + p for p in FIRST_POWERS)):
        program.bend_rates(power, usable)
    return program, _descend(program, rounds, rtol)


def _descend(program: Program, rounds: int, rtol: float, rates: bool = True) -> float:
    """Value of the relaxed program with tangents added at its solutions until they no longer tell."""
    for share in FIRST_RATES:
        program.bend_losses(program.least + share * (program.most - program.least))
    value = -np.inf
    for _ in range(rounds):
        found, point = program.solve(False, 600.0)
        if point is None:
            return np.inf if found.status == 2 else value
        before, value = value, found.fun * program.scale
        if value - before <= rtol * abs(value):
            break
        program.bend_at(point, rates)
    return float(value)


def _near(best: SubchannelAllocation, bound: float, gap: float) -> bool:
    return bool(np.isfinite(best.objective) and best.objective - bound <= gap * best.objective)


def _single(name: str, cells: Subchannels) -> None:
    if len(cells.shape) > 2:
        raise ValueError(f"{name} takes one problem, got a batch of shape {cells.shape[:-2]}")
