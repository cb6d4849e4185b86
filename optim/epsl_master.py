r"""The relaxation of EPSL's allocation (``optim.epsl``) at one cut that an integer program can hold: tangents only.

Which subchannels a device owns, a_im in {0, 1}, and its power p_i are all that its rate depends on, for by the duality of
water-filling

.. math::

    R_i(a, p) = \max_q \sum_m a_{im} w_m \log_2(1 + q_m G_{im} / a_{im} w_m) = \min_{\nu > 0} \Big\{ \frac{p_i}{\nu \ln 2}
      + \sum_m a_{im} c_{im}(\nu) \Big\},\quad
    c_{im}(\nu) = \frac{w_m}{\ln 2} \Big[\ln(1 + x) - \frac{x}{1 + x}\Big]_{x = [\nu G_{im} - 1]^+}                  \tag{1}

jointly concave, a minimum of functions that are linear in (a, p): each water level nu is a tangent from above, exact where it
is the level of p. No power of a single subchannel is left in the program. With D_i = sum_m a_im d_im, S/R and U/D are convex, and

.. math:: T_1 \ge T_i^F + 2 S / R_0 - (S / R_0^2) R_i,\qquad T_3 \ge T_i^B + 2 U / D_0 - (U / D_0^2) D_i            \tag{2}

are tangents from below, for whatever R_0, D_0. The program minimises T_1 + T_3 under any set of (1), (2), one owner a subchannel,
a subchannel or more to each device with bits, and the power limits: its value never exceeds the optimum, with a relaxed to [0, 1]
(time-sharing) all the more so.

T_1 is at least its value with every device alone in the band, so no device needs more than R_i^max = S / (T_1^min - T_i^F): c is
cut off there, and d likewise, which leaves whole shares as they are and tightens the relaxation. Rates are in units of R^max.

Source: outer approximation, Duran and Grossmann, Mathematical Programming 36, 1986; the projection (1) onto shares and device
powers is derived for this project.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from channels.rates import LN2
from optim.epsl import EpslProblem
from optim.epsl_descent import alone
from optim.water_filling import water_fill

STEEPEST = 1e4      # a tangent (1) may rise by so many R^max within the total power; beyond, power is no object
MISS = 1e-6         # a row must be missed by this much to be worth adding
INFEASIBLE, FAILED = 2, 4                       # of scipy.optimize.milp
FIRST = 8           # tangents (2) that each device starts with, and half of them (1)


@dataclass(frozen=True)
class Point:
    """A point of the master program.

    Attributes
    ----------
    share : (C, M) array
        a [1].
    power : (C,) array
        p [W].
    rate : (C,) array
        R in units of R^max [1].
    ahead, behind : float
        T_1 and T_3 [s].
    """

    share: NDArray
    power: NDArray
    rate: NDArray
    ahead: float
    behind: float


class Master:
    """The tangents collected for one cut of one problem (numpy), and the program that they make.

    Parameters
    ----------
    problem : EpslProblem
    cut : int
    limit : float
        Only solutions with T_1 + T_3 up to this are of interest [s].
    """

    def __init__(self, problem: EpslProblem, cut: int, limit: float) -> None:
        devices, bands, _ = problem.sizes
        ahead, behind = (v[:, cut] for v in alone(problem))
        self.problem, self.first, self.last = problem, ahead.max(), behind.max()
        self.unit = max(self.first + self.last, 1e-9 * limit)                    # times of one and more: HiGHS is absolute
        self.forward, self.backward = problem.device_forward[:, cut], problem.device_backward[:, cut]
        sends, hears = (np.full(devices, bits[cut] > 0) for bits in (problem.uplink_bits, problem.unicast_bits))
        self.quick = np.where(sends, self.first - self.forward, 0.0)             # S / R^max [s]
        self.brief = np.where(hears, self.last - self.backward, 0.0)             # U / D^max [s]
        self.most = np.divide(problem.uplink_bits[cut], self.quick, where=self.quick > 0, out=np.ones(devices))     # R^max
        down = np.divide(problem.unicast_bits[cut], self.brief, where=self.brief > 0, out=np.ones(devices))         # D^max
        self.down = np.minimum(problem.downlink_rates / down[:, None], 1.0)
        self.size = devices * bands + 2 * devices + 2
        one_owner = np.pad(-np.tile(np.eye(bands), devices), ((0, 0), (0, 2 * devices + 2)))
        total = np.pad(-np.ones((1, devices)), ((0, 0), (devices * bands, devices + 2)))
        self.rows, self.least = [one_owner, total], [-np.ones(bands), -np.ones(1)]
        self._add(self._build(share=np.ones((devices, bands)))[sends | hears], np.ones(devices)[sends | hears])
        peak = np.minimum(problem.peak_power, problem.total_power)
        for part in 0.25 ** np.arange(FIRST // 2):
            self._add(*self._levels(np.ones((devices, bands)), part * peak))
        for part in np.linspace(0, 1, FIRST) ** 2:
            self._add(*self._ahead(self.first + part * (limit - self.last - self.first)))
            self._add(*self._behind(self.last + part * (limit - self.first - self.last)))

    def solve(self, limit: float, *, whole: bool, **options: Any) -> tuple[Point | None, float]:
        """The best point and a lower bound on T_1 + T_3 [s]; no point and the bound ``limit`` where none is that good.

        ``whole`` asks for whole shares; options are those of ``scipy.optimize.milp``.
        """
        devices, bands, _ = self.problem.sizes
        owned, peak = (self.problem.gain > 0).reshape(-1), self.problem.peak_power / self.problem.total_power
        low = np.concatenate([np.zeros(self.size - 2), [self.first / self.unit, self.last / self.unit]])
        high = np.concatenate([owned, np.minimum(peak, 1.0), np.ones(devices),
                               [(limit - self.last) / self.unit, (limit - self.first) / self.unit]])
        if np.any(low > high):
            return None, limit
        rules = LinearConstraint(csr_array(np.concatenate(self.rows)), np.concatenate(self.least), np.inf)
        goal, integral = np.zeros(self.size), np.zeros(self.size, int)
        goal[-2:], integral[:devices * bands] = 1.0, whole
        for presolve in (True, False):                   # with it HiGHS is faster, and gives up on one program in thousands
            found: Any = milp(goal, integrality=integral, bounds=Bounds(low, high), constraints=rules,
                              options={**options, "presolve": presolve})
            if found.status != FAILED:
                break
        if found.status == INFEASIBLE:
            return None, limit
        bound = found.mip_dual_bound if whole else found.fun
        bound = -np.inf if bound is None or np.isnan(bound) else float(bound) * self.unit
        return None if found.x is None else self._point(found.x), min(bound, limit)

    def cut_off(self, point: Point) -> int:
        """Add the tangents at ``point`` that it misses; their number."""
        devices = self.problem.sizes[0]
        x = np.concatenate([point.share.reshape(-1), point.power / self.problem.total_power, point.rate,
                            [point.ahead / self.unit, point.behind / self.unit]])
        heard = np.sum(point.share * self.down, axis=-1)
        up, down = (np.divide(time, rate, where=rate > 0, out=np.full(devices, np.inf))
                    for time, rate in ((self.quick, point.rate), (self.brief, heard)))
        tangents = (self._levels(point.share, point.power), self._ahead(point.ahead), self._behind(point.behind),
                    self._ahead(self.forward + up), self._behind(self.backward + down))
        return sum(self._add(*t, missed_by=x) for t in tangents)

    def touch(self, point: Point) -> None:
        """Add the tangents at ``point``, missed or not: an assignment with its best power."""
        for tangents in (self._levels(point.share, point.power), self._ahead(point.ahead), self._behind(point.behind)):
            self._add(*tangents)

    def forget(self, assignment: NDArray) -> None:
        """Leave out one assignment, (M,) int with -1 for nobody, whose best latency is known."""
        devices = self.problem.sizes[0]
        own = assignment == np.arange(devices)[:, None]
        row = np.where(own, -1.0, assignment == -1).reshape(-1)
        self._add(np.pad(row, (0, 2 * devices + 2))[None], np.array([1.0 - own.sum()]))

    def _levels(self, share: NDArray, power: NDArray) -> tuple[NDArray, NDArray]:
        """Tangents (1) at the water levels that ``power`` (C,) [W] has in the owned ``share`` (C, M) of the band."""
        problem, gain = self.problem, self.problem.gain
        width = problem.width * np.maximum(share, MISS)
        filled = water_fill(np.where(share > MISS, gain, 0.0), width, np.maximum(power, 0.0))
        noise = 1 / np.where(gain > 0, gain, 1.0)
        level = np.max(np.where(filled > 0, filled / width + noise, 0.0), axis=-1)
        lowest = np.maximum(1 / np.maximum(gain.max(-1), 1e-300), problem.total_power / (STEEPEST * LN2 * self.most))
        level = np.maximum(level, lowest)
        snr = np.maximum(level[:, None] * gain - 1, 0.0)
        worth = problem.width / LN2 * (np.log1p(snr) - snr / (1 + snr)) / self.most[:, None]
        slope = problem.total_power / (level * LN2 * self.most)
        used = self.quick > 0
        return self._build(share=np.minimum(worth, 1.0), power=slope, rate=-np.ones(len(slope)))[used], np.zeros(used.sum())

    def _ahead(self, time: Any) -> tuple[NDArray, NDArray]:
        """Tangents (2) of the uplink where it ends at ``time`` () or (C,) [s]."""
        spare = np.broadcast_to(time - self.forward, self.quick.shape)
        used = (self.quick > 0) & np.isfinite(spare) & (spare > 0)
        spare, quick = np.where(used, spare, 1.0), np.where(used, self.quick, 1.0)
        rows = self._build(rate=spare**2 / quick / self.unit, ahead=np.ones(len(spare)))
        return rows[used], ((self.forward + 2 * spare) / self.unit)[used]

    def _behind(self, time: Any) -> tuple[NDArray, NDArray]:
        """Tangents (2) of the downlink where it ends at ``time`` () or (C,) [s]."""
        spare = np.broadcast_to(time - self.backward, self.brief.shape)
        used = (self.brief > 0) & np.isfinite(spare) & (spare > 0)
        spare, brief = np.where(used, spare, 1.0), np.where(used, self.brief, 1.0)
        rows = self._build(share=(spare**2 / brief / self.unit)[:, None] * self.down, behind=np.ones(len(spare)))
        return rows[used], ((self.backward + 2 * spare) / self.unit)[used]

    def _build(self, **parts: NDArray) -> NDArray:
        """One row a device, (C, size), from the coefficients of its own share (C, M), power and rate, and of T_1 and T_3 (C,)."""
        devices, bands, _ = self.problem.sizes
        each = np.arange(devices)
        rows = np.zeros((devices, self.size))
        rows[:, :devices * bands].reshape(devices, devices, bands)[each, each] = parts.get("share", 0.0)
        for number, name in enumerate(("power", "rate")):
            rows[each, devices * (bands + number) + each] = parts.get(name, 0.0)
        rows[:, -2], rows[:, -1] = parts.get("ahead", 0.0), parts.get("behind", 0.0)
        return rows

    def _add(self, rows: NDArray, least: NDArray, missed_by: NDArray | None = None) -> int:
        """Add rows @ x >= least, or those that ``missed_by`` misses, scaled to entries of at most one; how many."""
        scale = np.abs(rows).max(axis=1, initial=1.0)
        rows, least = rows / scale[:, None], least / scale
        keep = np.ones(len(rows), bool) if missed_by is None else rows @ missed_by < least - MISS
        self.rows.append(rows[keep])
        self.least.append(least[keep])
        return int(keep.sum())

    def _point(self, x: NDArray) -> Point:
        devices, bands, _ = self.problem.sizes
        share, power, rate = np.split(x[:-2], [devices * bands, devices * (bands + 1)])
        return Point(share.reshape(devices, bands), power * self.problem.total_power, rate, *(x[-2:] * self.unit))
