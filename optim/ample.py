"""Where the band is ample it costs nothing: every device takes what it loses least with, and pays no price.

That needs one look and no search. Of many fades most are of this kind where the deadline is one that the worst can keep.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace
from optim.band import least_band
from optim.market import TIE
from optim.problem import Deadline


class Ample(NamedTuple):
    """What devices take of a band without a price; (...,) and (..., K)."""

    fits: NDArray             # whether there is enough of it, as far as one look tells
    loss: NDArray             # of all devices [1]
    option: NDArray
    ratio: NDArray
    band: NDArray

    @classmethod
    def of(cls, problem: Deadline) -> "Ample":
        """The options that lose least, pruned no more than they must be; of equals the one that asks for least band.

        An option that the deadline forbids so little pruned may yet be best with more: where it may, nothing is said to fit.
        """
        xp, shape = namespace(problem.gain), problem.shape
        band = xp.broadcast_to(least_band(problem, problem.prune_min), shape)
        loss = problem.noise + problem.pruning.value(problem.prune_min)
        loss = xp.broadcast_to(xp.where(problem.prune_min <= problem.prune_max, loss, xp.inf), shape)
        ratio, option = problem.prune_min + xp.zeros_like(band), xp.zeros_like(band[..., 0], dtype=xp.int64)
        sure = xp.ones_like(problem.band, dtype=xp.bool)
        if shape[-1] > 1:
            able = band < xp.inf
            least = xp.min(xp.where(able, loss, xp.inf), axis=-1, keepdims=True)
            sure = xp.all(least[..., 0] <= xp.min(xp.where(able, xp.inf, loss), axis=-1), axis=-1)
            option = xp.argmin(xp.where(loss <= least * (1 + TIE), band, xp.inf), axis=-1)
            band, loss, ratio = (xp.take_along_axis(v, option[..., None], axis=-1) for v in (band, loss, ratio))
        band, loss, ratio = (v[..., 0] for v in (band, loss, ratio))
        total = xp.sum(loss, axis=-1)
        return cls(sure & (xp.sum(band, axis=-1) <= problem.band) & (total < np.inf), total, option, ratio, band)
