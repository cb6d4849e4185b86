"""What the solvers of EPSL's allocation (``optim.epsl``) return, and how any such answer is graded."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, to_device

from optim.allocation import Status, certified_gap
from optim.epsl import EpslProblem, Stages, latency, owners


@dataclass(frozen=True)
class EpslAnswer:
    """A decision for one round of EPSL, or a batch of them with leading axes (...).

    Where the status is infeasible, cut, assignment and power hold zeros and the latency is ``inf``.

    Attributes
    ----------
    cut : (...,) int array
        Index of the common cut.
    assignment : (..., M) int array
        Owner of each subchannel, -1 for nobody.
    power : (..., M) array
        Uplink power in each subchannel [W].
    stages : Stages
        Duration of each stage [s].
    lower_bound : (...,) array
        No decision is faster [s].
    status : Status, or (...,) array of them
    steps : int
        Rounds of the descent, or programs solved by the exact method.
    """

    cut: Any
    assignment: Any
    power: Any
    stages: Stages
    lower_bound: Any
    status: Any
    steps: int = 0

    @property
    def latency(self) -> Any:
        """Time that the round takes, (...,) [s]."""
        return self.stages.total

    @property
    def gap(self) -> Any:
        """Certified distance from the optimum, (latency - lower_bound) / latency, (...,) [1]; ``inf`` where nothing was found."""
        return certified_gap(self.latency, self.lower_bound)


@dataclass(frozen=True)
class EpslResidual:
    """What an answer violates or misstates, each relative, each (...,), each zero for an honest optimum.

    Attributes
    ----------
    feasibility : array
        Largest violation of a device's or of the total power; ``inf`` for powers below zero or in subchannels of nobody, and
        for a cut or an owner that does not exist.
    clock : array
        Difference between the stages as stated and as the clock has them, over the latency.
    gap : array
        Distance of the latency by the clock from the stated lower bound.
    """

    feasibility: Any
    clock: Any
    gap: Any


def epsl_residual(problem: EpslProblem, found: EpslAnswer) -> EpslResidual:
    """Grade an answer, whoever made it, by the problem alone; an infeasible one has ``inf`` in all three."""
    xp, (devices, _, cuts) = array_namespace(problem.gain), problem.sizes
    owned, power = owners(problem, found.assignment), found.power
    spent = xp.sum(xp.where(owned, power[..., None, :], 0.0), axis=-1)
    excess = xp.max(spent / problem.peak_power, axis=-1) - 1
    excess = xp.clip(xp.maximum(excess, xp.sum(power, axis=-1) / problem.total_power - 1), 0.0, xp.inf)
    nobody = xp.any((power < 0) | ((found.assignment == -1) & (power > 0)), axis=-1)
    stranger = xp.any((found.assignment < -1) | (found.assignment >= devices), axis=-1)
    wrong = nobody | stranger | (found.cut < 0) | (found.cut >= cuts)
    clock = latency(problem, found.cut, found.assignment, xp.clip(power, 0.0, xp.inf))
    ok = xp.isfinite(clock.total) & xp.isfinite(found.latency)
    total = xp.where(ok & (clock.total > 0), clock.total, 1.0)
    pairs = zip(vars(clock).values(), vars(found.stages).values(), strict=True)
    off = sum(xp.abs(xp.where(ok, a, 0.0) - xp.where(ok, b, 0.0)) for a, b in pairs)
    return EpslResidual(xp.where(ok & ~wrong, excess, xp.inf), xp.where(ok, off / total, xp.inf),
                        xp.where(ok, (total - found.lower_bound) / total, xp.inf))


def settle(problem: EpslProblem, cut: Any, assignment: Any, power: Any, lower_bound: Any, steps: int, *,
           rtol: float = np.inf) -> EpslAnswer:
    """The answer that a decision is: its stages, its status, and zeros where a device is left without a link.

    A gap above ``rtol`` is called STALLED.
    """
    xp = array_namespace(problem.gain)
    stages = latency(problem, cut, assignment, power)
    found, dead = xp.isfinite(stages.total), xp.any(xp.all(problem.gain <= 0, axis=-1), axis=-1)
    row = found[..., None]
    answer = EpslAnswer(
        xp.where(found, cut, xp.zeros_like(cut)), xp.where(row, assignment, xp.zeros_like(assignment)), xp.where(row, power, 0.0),
        Stages(*(xp.where(found, v, xp.inf) for v in vars(stages).values())),
        xp.where(found, xp.minimum(lower_bound, stages.total), xp.where(dead, xp.inf, lower_bound)), None, steps)
    which = xp.where(found, xp.where(answer.gap <= rtol, 0, 1), xp.where(dead, 2, 3))
    kinds = np.array([Status.OPTIMAL, Status.STALLED, Status.LINK, Status.BAND], object)
    return replace(answer, status=kinds[np.asarray(to_device(which, "cpu"))])
