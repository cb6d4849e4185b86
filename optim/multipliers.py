r"""What the optimum would gain from one more of each scarce thing: the multipliers of the deadline problem.

The price lambda of the band is the solver's. The other limits of a device act through the band that it needs: by the
envelope theorem, with b = b_min(x), Y, z, t of ``optim.band`` and m = log(1+z) / (log(1+z) - z/(1+z)),

.. math::

    -\frac{\partial\Phi^*}{\partial T} = \lambda \sum_k \frac{b_k}{t_k} \cdot
        \begin{cases} m_k & \text{bound by its amplifier} \\ 1 & \text{by its budget} \end{cases},\qquad
    -\frac{\partial\Phi^*}{\partial P_k} = \lambda \frac{b_k (m_k - 1)}{P_k},\quad
    -\frac{\partial\Phi^*}{\partial \bar E_k} = \lambda \frac{b_k (m_k - 1) G_k}{Y_k}              \tag{1}

the last two for those whom the amplifier or the budget binds.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace
from channels.rates import snr_for
from optim.allocation import Allocation
from optim.band import LeastBand
from optim.problem import Deadline


@dataclass(frozen=True)
class Multipliers:
    """Progress that one more unit buys, splits being as they are; zero where a limit does not bind, ``inf`` where no decision is
    feasible.

    Attributes
    ----------
    band : (...,) array
        Of the band [1/Hz].
    deadline : (...,) array
        Of the deadline [1/s].
    peak_power, energy_budget : (..., K) array
        Of each device's amplifier [1/W] and energy budget [1/J].
    """

    band: NDArray
    deadline: NDArray
    peak_power: NDArray
    energy_budget: NDArray


def multipliers(problem: Deadline, found: Allocation) -> Multipliers:
    """Multipliers (1) of an optimal answer; of one problem or of a batch."""
    xp, price, ok = namespace(found.price), found.price[..., None], found.objective < np.inf
    saved = savings(problem.of(found.option), found.ratio)
    second, watt, joule = (price * xp.where((price > 0) & xp.isfinite(v), v, 0.0) for v in saved)
    whole = (xp.where(ok, v, xp.inf) for v in (found.price, xp.sum(second, axis=-1)))
    return Multipliers(*whole, *(xp.where(ok[..., None], v, xp.inf) for v in (watt, joule)))


class Savings(NamedTuple):
    """Band that a device needs less, (..., K), for one more unit of a limit; zero where that does not bind."""

    second: NDArray     # -d b_min / dT [Hz/s]
    watt: NDArray       # -d b_min / dP [Hz/W]
    joule: NDArray      # -d b_min / d budget [Hz/J]


def savings(chosen: Deadline, ratio: NDArray) -> Savings:
    """The factors of lambda in (1), of a problem with one option a device and at ratios (..., K)."""
    xp = namespace(ratio)
    least, keep = LeastBand.of(chosen), 1 - ratio[..., None]
    time, load = least.time - keep * least.kept_time, least.nats + keep * least.kept_nats
    loud = least.reach * time
    spare = xp.inf + 0.0 * loud if least.spare is None or least.kept_spare is None else least.spare - keep * least.kept_spare
    energy = xp.minimum(loud, spare)
    with np.errstate(all="ignore"):
        snr = snr_for(load / energy)
        share = xp.where(snr < xp.inf, snr / (1 + snr), 1.0)
        band = energy / (snr * time)
        m = xp.log1p(snr) / (xp.log1p(snr) - share)
        second = xp.where(loud <= spare, m, 1.0) * band / time
        watt = xp.where(loud <= spare, (m - 1) * band / chosen.peak_power[..., None], 0.0)
        joule = xp.where(loud > spare, (m - 1) * band * chosen.gain[..., None] / energy, 0.0)
    return Savings(*(v[..., 0] for v in (second, watt, joule)))
