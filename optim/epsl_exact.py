r"""EPSL's allocation (``optim.epsl``) solved exactly: subchannels, power and cut, with a certificate.

For each cut o the relaxation of ``optim.epsl_master`` bounds the latency from below,

.. math:: T \ge L_o = T_s + T^B + \min \{T_1 + T_3 : \text{tangents, one owner a subchannel, power}\},                \tag{1}

and any assignment, with its exact power (``optim.epsl_power``) and its best cut, bounds it from above. So, after the descent
(``optim.epsl_descent``) has given a first answer, and with a tangent added wherever a point of the relaxation is missed,

1. linear programs raise each L_o, subchannels shared in time, until that gains little; the shares, rounded, are tried;
2. the cut with the least L_o gets an integer program; its assignment is tried, and tangents are added where that touches;
3. until min L_o is within ``rtol`` of the best answer, which is never worse than the descent's. A cut whose L_o is that high is
   not opened.

Source: outer approximation, Duran and Grossmann, Mathematical Programming 36, 1986; programs by HiGHS through scipy.
"""

from time import monotonic

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from optim.epsl import EpslProblem, latency
from optim.epsl_answer import EpslAnswer, settle
from optim.epsl_descent import floor, solve_descent
from optim.epsl_master import Master, Point
from optim.epsl_power import best_power

MARGIN = 1e-6       # what the tolerances of HiGHS may add to a bound, relative: taken off again
LINEAR = 30         # linear programs for a cut, at most
GAIN = 1e-5         # relative: what one of them must add to the bound for another to follow


def solve_exact(problem: EpslProblem, *, rtol: float = 1e-4, seconds: float = 60.0) -> EpslAnswer:
    """Solve one problem (numpy) to a certified relative gap.

    Parameters
    ----------
    problem : EpslProblem
        Without leading axes.
    rtol : float
        Gap that is good enough [1]; 1e-5 and below asks for more than the programs' own tolerances give.
    seconds : float
        Time after which no further program is started, and the one in progress stops [s].

    Returns
    -------
    EpslAnswer
        STALLED if the time was over first; its ``lower_bound`` and ``gap`` hold all the same.

    Raises
    ------
    ValueError
        For a batch.
    """
    if problem.gain.ndim != 2:
        raise ValueError(f"solve_exact takes one problem, got a batch of shape {tuple(problem.gain.shape[:-2])}")
    return _Search(problem, rtol, monotonic() + seconds).run()


class _Search:
    """The best decision so far, and what is known of each cut."""

    def __init__(self, problem: EpslProblem, rtol: float, end: float) -> None:
        self.problem, self.rtol, self.end, self.steps = problem, rtol, end, 0
        first = solve_descent(problem)
        self.best, self.decision = float(first.latency), (first.cut, first.assignment, first.power)
        self.constant, self.bound = problem.server + problem.broadcast, np.array(floor(problem))
        self.masters: dict[int, Master] = {}
        if not np.isfinite(self.best):
            self.attempt(_matching(problem))

    @property
    def enough(self) -> float:
        """Bound at which a cut need not be looked at any further [s]."""
        return self.best * (1 - self.rtol)

    def run(self) -> EpslAnswer:
        if np.isfinite(self.best):
            for cut in np.argsort(self.bound):
                self.relax(int(cut))
            while self.bound.min() < self.enough and monotonic() < self.end and self.refine(int(self.bound.argmin())):
                pass
        bound = self.bound.min() if np.isfinite(self.best) else np.inf            # the matching is no heuristic
        return settle(self.problem, *self.decision, np.array(bound), self.steps, rtol=self.rtol)

    def attempt(self, assignment: NDArray) -> None:
        """Try an assignment at every cut, with the exact power of each."""
        cuts = np.arange(self.problem.sizes[2])
        power = best_power(self.problem, cuts, assignment)
        total = latency(self.problem, cuts, assignment, power).total
        if total.min() < self.best:
            cut = total.argmin()
            self.best, self.decision = float(total[cut]), (cut, assignment, power[cut])

    def relax(self, cut: int) -> None:
        """Step 1."""
        if self.bound[cut] >= self.enough:
            return
        master = self.masters[cut] = Master(self.problem, cut, self.best - self.constant[cut])
        for _ in range(LINEAR):
            before, point = self.bound[cut], self.program(cut, whole=False)
            if point is None or self.bound[cut] >= self.enough or monotonic() > self.end:
                return
            self.attempt(point.share.argmax(axis=0))
            if not master.cut_off(point) or self.bound[cut] < before + GAIN * self.best:
                return

    def refine(self, cut: int) -> bool:
        """Step 2; false where the program failed. An assignment that no tangent moves any more is left out: it has been tried."""
        before, point = self.bound[cut], self.program(cut, whole=True)
        if point is None:
            return bool(self.bound[cut] > before)
        assignment = np.where(point.share.sum(0) > 0.5, point.share.argmax(0), -1)
        self.attempt(assignment)
        if not self.masters[cut].cut_off(point):
            self.masters[cut].forget(assignment)
        self.masters[cut].touch(self.exact(cut, assignment))
        return True

    def program(self, cut: int, whole: bool) -> Point | None:
        """Solve the master program of a cut and raise its bound."""
        self.steps += 1
        left = max(self.end - monotonic(), 0.1)
        point, bound = self.masters[cut].solve(self.best - self.constant[cut], whole=whole, time_limit=left,
                                               **({"mip_rel_gap": self.rtol / 4} if whole else {}))
        self.bound[cut] = max(self.bound[cut], min((bound + self.constant[cut]) * (1 - MARGIN), self.best))
        return point

    def exact(self, cut: int, assignment: NDArray) -> Point:
        """The point of an assignment with its best power."""
        power = best_power(self.problem, np.array(cut), assignment)
        stages = latency(self.problem, cut, assignment, power)
        share = (assignment == np.arange(self.problem.sizes[0])[:, None]).astype(float)
        return Point(share, share @ power, np.ones(len(share)), float(stages.uplink), float(stages.downlink))


def _matching(problem: EpslProblem) -> NDArray:
    """An assignment that leaves no device without a usable subchannel, if there is one."""
    partner = maximum_bipartite_matching(csr_array(problem.gain > 0), perm_type="row")
    return np.where(partner >= 0, partner, problem.gain.argmax(axis=0))
