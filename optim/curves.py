r"""What a device answers to a price of the band.

At a price lambda [1/Hz] an option costs a device least at the ratio rho where

.. math:: \log\lambda + g(\rho) = 0,\qquad g(\rho) = \log|b_{min}'(\rho)| - \log c'(\rho),                 \tag{1}

with g falling. Its argument here is the depth, the logarithm of the ratio's share of its range, in which g is nearly linear.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optim.band import least_band, ratio_range
from optim.problem import Deadline
from optim.roots import falling_root

SHALLOWEST = np.log(1e-16)      # depth that counts as the lower end of the range


class Answer(NamedTuple):
    """What each option of each device answers to a price, (..., K, O)."""

    depth: NDArray          # logarithm of the ratio's share of its range: g is nearly linear in it
    pull: NDArray           # g there
    ratio: NDArray
    band: NDArray           # [Hz]
    cost: NDArray           # phi + c(ratio) + price * band [1]; inf where the option is impossible


class Curves:
    """The falling curves g of (1) of one problem, over the depth of pruning."""

    def __init__(self, problem: Deadline, ftol: float = 1e-13) -> None:
        low, high, pole = (np.broadcast_to(v, problem.shape) for v in ratio_range(problem))
        self.problem, self.ftol = problem, ftol
        self.possible = (low < high) | ((low == high) & ~pole)
        self.low, self.pole = np.where(self.possible, low, 0.5), pole
        self.width = np.where(self.possible, high, 0.5) - self.low
        self.shallow, self.deep = (self._end(np.full(problem.shape, d)) for d in (SHALLOWEST, 0.0))

    def ratio(self, depth: NDArray) -> NDArray:
        lowest = (depth <= SHALLOWEST) & ~self.pole
        return np.where(lowest, self.low, self.low + self.width * np.exp(depth))

    def pull(self, depth: NDArray) -> NDArray:
        return self._at(depth)[0]

    def _at(self, depth: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        ratio = self.ratio(depth)
        band, relief = least_band(self.problem, ratio)
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = np.log(relief) - np.log(self.problem.pruning.slope(ratio))
        return np.where(np.isnan(pull), -np.inf, pull), ratio, band

    def _end(self, depth: NDArray) -> Answer:
        return self._priced(depth, np.zeros(self.problem.shape[:-2]))

    def _priced(self, depth: NDArray, price: NDArray) -> Answer:
        pull, ratio, band = self._at(depth)
        rent = np.broadcast_to(price[..., None, None], band.shape)
        cost = self.problem.noise + self.problem.pruning.value(ratio)
        cost = cost + np.multiply(rent, band, where=rent > 0, out=np.zeros(band.shape))
        return Answer(depth, pull, ratio, np.where(self.possible, band, np.inf), np.where(self.possible, cost, np.inf))

    def answer(self, price: NDArray, left: Answer, right: Answer) -> Answer:
        """Solve (1) at ``price`` (...,), between the answers to a lower price (left) and to a higher one (right)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            level = np.log(price)[..., None, None]
            depth = falling_root(lambda d: level + self.pull(d), left.depth, right.depth,
                                 level + left.pull, level + right.pull, ftol=self.ftol)
        return self._priced(depth, price)


def cheapest(problem: Deadline, price: ArrayLike) -> NDArray:
    """Least cost [1] of each option at ``price`` (...,) [1/Hz], its rent of the band included, (..., K, O)."""
    curves = Curves(problem)
    return curves.answer(np.broadcast_to(np.asarray(price, float), problem.shape[:-2]), curves.shallow, curves.deep).cost
