r"""A form of the bound as a value: what each device loses by each cause, and what that makes of the gradient.

With u = 2 theta / (eta R_0), the share r of sampling noise and the relative bias kappa = bias / (1 + r), the mean squared norm of
the gradient over R rounds is by ``optim.bound`` at most

.. math:: u\,[R_0 / R + r + \text{noise}] / (1 - \kappa) \quad\text{(relative)},\qquad
          u\,[R_0 / R + r + \text{noise} + \text{bias}] \quad\text{(constants)},                            \tag{1}

and at R = R_0 / (1 - Phi), Phi = noise + bias, either is (1 + r) u: what R_0 rounds reach without a loss.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optim.costs import pick
from optim.problem import check
from optim.pruning_cost import PowerLaw


@dataclass(frozen=True)
class Loss:
    """Phi, cause by cause, each (...,) [1]: of one decision, or of a batch with leading axes."""

    noise: NDArray
    compression: NDArray
    drift: NDArray
    pruning: NDArray

    @property
    def bias(self) -> NDArray:
        """What is not noise (...,) [1]."""
        return self.compression + self.drift + self.pruning

    @property
    def total(self) -> NDArray:
        """Phi (...,) [1]."""
        return self.noise + self.bias

    def mean(self) -> "Loss":
        """Of a run that decides anew every round, from its rounds (R, ...): the progress 1 - Phi of rounds adds up."""
        return Loss(*(np.mean(values, axis=0) for values in vars(self).values()))


@dataclass(frozen=True)
class SquaredGradient:
    """The bound on the mean squared gradient norm of R rounds, cause by cause, each (...,) [squared norm of the gradient].

    Attributes
    ----------
    gap : array
        2 theta / (eta R): what is left of the way.
    sampling, noise : array
        What mini-batches and compression add as noise.
    compression, drift, pruning : array
        What biases add. By the relative form they are shares of the whole.
    """

    gap: NDArray
    sampling: NDArray
    noise: NDArray
    compression: NDArray
    drift: NDArray
    pruning: NDArray

    @property
    def total(self) -> NDArray:
        """The bound (...,): the sum of all; ``inf`` where a relative bias of one or more leaves none."""
        return self.gap + self.sampling + self.noise + self.compression + self.drift + self.pruning


@dataclass(frozen=True)
class Form:
    """A form of the bound for K devices with O options: what each adds to Phi, cause by cause.

    Attributes
    ----------
    unit, planned, sampling : float
        u [squared norm of the gradient], R_0 and r [1].
    noise, compression, drift : (K, O) array
        Parts of phi, what options cost without pruning [1].
    pruning : PowerLaw
        The cost c of pruning, (K, O) [1].
    relative : bool
        Whether biases are relative to the gradient, or absolute.
    """

    unit: float
    planned: float
    sampling: float
    noise: NDArray
    compression: NDArray
    drift: NDArray
    pruning: PowerLaw
    relative: bool

    @property
    def costs(self) -> tuple[NDArray, PowerLaw]:
        """phi (K, O) and c, as the solvers take them [1]."""
        return self.noise + self.compression + self.drift, self.pruning

    def loss(self, option: NDArray, ratio: NDArray) -> Loss:
        """Phi of the options and pruning ratios (..., K) that devices take."""
        shape = (*np.broadcast_shapes(option.shape, ratio.shape), 1)
        pruned = self.pruning.each(lambda v: pick(v, option)).value(ratio[..., None])
        parts = (*(pick(v, option) for v in (self.noise, self.compression, self.drift)), pruned)
        return Loss(*(np.sum(np.broadcast_to(part, shape)[..., 0], axis=-1) for part in parts))

    def squared_gradient(self, loss: Loss, rounds: ArrayLike) -> SquaredGradient:
        """The bound (1) on the mean of |grad F|^2 over ``rounds`` (...,) [1] that lose ``loss`` each.

        Of rounds that lose different shares it is the mean weighted by 1 - kappa that is bounded (``docs/theory.md``, 1.5).
        """
        check("rounds", rounds, "1", 0.0, np.inf, positive=True)
        unit, share = self.unit, 1 + self.sampling
        random = [unit * self.planned / np.asarray(rounds, float), unit * np.asarray(self.sampling), unit * loss.noise]
        left = 1 - loss.bias / share                                                    # 1 - kappa
        whole = np.where(left > 0, sum(random) / np.where(left > 0, left, 1.0), np.inf)
        bias = [np.where(b > 0, (whole / share if self.relative else unit) * np.where(b > 0, b, 1.0), 0.0)
                for b in (loss.compression, loss.drift, loss.pruning)]
        return SquaredGradient(*np.broadcast_arrays(*random, *bias))
