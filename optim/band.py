r"""The least bandwidth that lets a device meet its deadline, peak power and energy budget, as a function of pruning.

With slack t = T - T0 - xC, load U = alpha + xD, gain over noise density G = g / N0 and keep ratio x = 1 - rho, a device
may radiate at most P t by its amplifier and what is left of its budget, so over the noise at most

.. math:: Y(x) = \min\{ P G\, t,\; (\bar E - E_0 - x E_1)\, G \}                               \tag{1}

can be received. The power that just meets the deadline in the band b is p = (b / G)(2^{U / tb} - 1), and p t G <= Y bounds b:

.. math:: b_{min}(x) = \frac{Y}{z\,t}, \qquad \log(1 + z) = \frac{U \ln 2}{Y}\, z,                  \tag{2}

z the SNR. It is convex and increasing in x. For the amplifier alone, p(x, b) is jointly convex. For the budget, write
h(U, s) = s (e^{U/s} - 1), s = t b, w = U / s: the Hessian of h(U(x), s(x, b)) has determinant
C psi (2 (e^w / s) t w (D + C b w) - C psi), psi = 1 - e^w + w e^w, and psi <= w^2 e^w / 2 makes it at least
(3/2) C^2 psi w^2 e^w >= 0, though s is bilinear. The minimum in (1) is the larger of the two bands.

With sigma = z/(1+z), psi = log(1+z) - sigma, m = log(1+z) / psi and q = D/U - Y'/Y all derivatives in x are closed, z given:

.. math:: \frac{b'}{b} = m q + \frac{Y'}{Y} + \frac{C}{t}, \quad (\log z)' = -m q, \quad
          \frac{dm}{d\log z} = \frac{\sigma (1 - m \sigma)}{\psi}.                             \tag{3}
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace
from channels.rates import LN2, snr_within
from optim.problem import Deadline

TINY = 1e-100
CROWDED = 1 - 1e-13       # share of the wide-band limit from which no band is enough: a SNR of -97 dB


class Least(NamedTuple):
    """Least band and its derivatives, (..., K, O)."""

    band: NDArray       # b_min [Hz]
    relief: NDArray     # -d b_min / d ratio [Hz]
    growth: NDArray     # -d log(relief) / d ratio [1]


class LeastBand(NamedTuple):
    """(1), (2) of one problem, its constants gathered for solvers that ask often; all broadcast to (..., K, O)."""

    time: NDArray                 # T - T0 [s]
    kept_time: NDArray            # C [s]
    nats: NDArray                 # alpha ln2
    kept_nats: NDArray            # D ln2
    reach: NDArray                # P G [Hz]
    spare: NDArray | None         # (E budget - E0) G, None where nobody has a budget [Hz s]
    kept_spare: NDArray | None    # E1 G [Hz s]

    @classmethod
    def of(cls, problem: Deadline) -> "LeastBand":
        """The constants of (1) and (2)."""
        xp, costs, quality = namespace(problem.gain), problem.costs, problem.gain[..., None]
        spare = kept_spare = None
        if bool(xp.any(xp.isfinite(problem.energy_budget))):
            heard = xp.where(quality > 0, quality, TINY)
            spare = (problem.energy_budget[..., None] - costs.fixed_energy) * heard
            kept_spare = costs.kept_energy * heard
        nats = xp.maximum(costs.fixed_bits * LN2, TINY)
        return cls(problem.deadline[..., None, None] - costs.fixed_time, costs.kept_time, nats,
                   costs.kept_bits * LN2, problem.peak_power[..., None] * quality, spare, kept_spare)

    def amounts(self, keep: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray | None]:
        """At a keep ratio x: slack t [s], load [nat], and what can be received over the noise, by (1)'s amplifier and budget."""
        time = self.time - keep * self.kept_time
        spare = None if self.spare is None or self.kept_spare is None else self.spare - keep * self.kept_spare
        return time, self.nats + keep * self.kept_nats, self.reach * time, spare

    def band(self, ratio: NDArray) -> NDArray:
        """The band alone [Hz], where some is enough; elsewhere anything."""
        xp, (time, load, energy, spare) = namespace(ratio), self.amounts(1 - ratio)
        energy = energy if spare is None else xp.minimum(energy, spare)
        snr = snr_within(xp, xp.minimum(load / energy, CROWDED))
        found: NDArray = energy / (snr * time)
        return found

    def at(self, ratio: NDArray) -> Least:
        """Values where some band is enough; elsewhere anything."""
        xp, (time, load, energy, spare) = namespace(ratio), self.amounts(1 - ratio)
        d, f = self.kept_nats / load, self.kept_time / time
        e = f                                                                                     # -Y'/Y
        if spare is not None:
            e = xp.where(spare < energy, self.kept_spare / spare, f)
            energy = xp.minimum(energy, spare)
        crowding = xp.minimum(load / energy, CROWDED)
        snr = snr_within(xp, crowding)
        crowding *= snr                                                                           # log(1 + z)
        part = snr / (1 + snr)
        psi = crowding - part
        m, q = crowding / psi, d + e
        rise = m * q                                                                              # (3)
        bend = m * part                                                                           # of rise, over m q at first
        bend -= 1
        bend *= part
        bend /= psi
        bend *= q
        bend += e - d
        bend *= rise
        if e is not f:
            rise += f - e
            bend += (f - e) * (f + e)
        rise += TINY
        snr *= time
        band = energy / snr
        bend /= rise
        bend += rise
        return Least(band, band * rise, bend)

    def kinks(self) -> tuple[NDArray, ...]:
        """Pruning ratios at which amplifier and budget in (1) take turns, where anybody has a budget."""
        if self.spare is None or self.kept_spare is None:
            return ()
        xp = namespace(self.spare)
        falls = self.kept_spare - self.reach * self.kept_time
        room = xp.where(xp.isfinite(self.spare), self.spare, 0.0) - self.reach * self.time
        return (1 - xp.where(falls != 0, room / xp.where(falls != 0, falls, 1.0), xp.inf),)


def least_band(problem: Deadline, ratio: NDArray) -> NDArray:
    """Least band b_min [Hz] at each pruning ratio, (..., K, O); ``inf`` where no band is enough."""
    return _within(problem, ratio, lambda least, ratio: (least.band(ratio),))[0]


def band_and_relief(problem: Deadline, ratio: NDArray) -> tuple[NDArray, NDArray]:
    """The least band, and the *relief* -d b_min / d ratio [Hz], both (..., K, O); ``inf`` where no band is enough."""
    band, relief = _within(problem, ratio, lambda least, ratio: least.at(ratio)[:2])
    return band, relief


def _within(problem: Deadline, ratio: NDArray, ask: Callable[[LeastBand, NDArray], tuple[NDArray, ...]]) -> list[NDArray]:
    """What is asked for, 0 where there is nothing to send and ``inf`` where no band is enough."""
    xp, least = namespace(problem.gain, ratio), LeastBand.of(problem)
    ratio = xp.minimum(xp.maximum(ratio, 0.0), 1.0)
    with np.errstate(all="ignore"):
        time, load, energy, spare = least.amounts(1 - ratio)
        found = ask(least, ratio)
    silent = load <= TINY
    enough = (time > 0) & (silent | (load < CROWDED * energy))
    if spare is not None:
        enough = enough & ((load < CROWDED * spare) | (silent & (spare >= 0)))
    return [xp.where(enough, xp.where(silent, 0.0, v), xp.inf) for v in found]


class Ratios(NamedTuple):
    """Pruning ratios that some band allows, (..., K, O); where the lowest is above the highest no band helps."""

    low: NDArray
    high: NDArray
    pole: NDArray       # whether the lowest needs infinite band

    @property
    def possible(self) -> NDArray:
        """Options in which some band brings the device through."""
        return (self.low < self.high) | ((self.low == self.high) & ~self.pole)


def ratio_range(problem: Deadline, least: LeastBand | None = None) -> Ratios:
    """The ratios that are possible, by the wide-band limit U ln2 < Y: linear in x."""
    xp, least = namespace(problem.gain), least or LeastBand.of(problem)
    room, per_keep = _power_room(xp, least)
    most = _largest_keep(xp, room, per_keep)
    if least.spare is not None and least.kept_spare is not None:
        most = xp.minimum(most, _largest_keep(xp, least.spare - xp.where(least.nats > TINY, least.nats, 0.0),
                                           least.kept_spare + least.kept_nats))
    limit = 1 - most
    silent = (least.nats <= TINY) & (least.kept_nats == 0)                      # nothing to send: no band just past the limit
    low = xp.maximum(problem.prune_min, limit)
    low = xp.where(silent & (limit >= problem.prune_min), low + 1e-12, low)
    low, high, pole = xp.broadcast_arrays(low, problem.prune_max, (limit >= problem.prune_min) & ~silent)
    return Ratios(low, high, pole)


def _power_room(xp: Any, least: LeastBand) -> tuple[NDArray, NDArray]:
    """Slack in infinite band without what is kept, and what each unit of keep ratio takes of it [s]."""
    with np.errstate(over="ignore", divide="ignore"):
        fixed, kept = (xp.where(nats > TINY, nats / xp.where(nats > TINY, least.reach, 1.0), 0.0)
                       for nats in (least.nats, least.kept_nats))
    return least.time - fixed, least.kept_time + kept


def _largest_keep(xp: Any, room: NDArray, per_keep: NDArray) -> NDArray:
    """Largest x with x per_keep < room: ``inf`` where keeping costs nothing, -``inf`` where there is no room."""
    room, per_keep = xp.broadcast_arrays(room, per_keep)
    some = (per_keep > 0) & (per_keep < xp.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        most = xp.where(some, room / xp.where(some, per_keep, 1.0), xp.where(per_keep > 0, 0.0, xp.inf))
    return xp.where(room > 0, most, -xp.inf)
