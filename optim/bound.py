r"""What a decision does to learning: the convergence bound, turned into the costs that the solvers weigh.

One round w+ = w - eta sum_k omega_k g_k, device k computing at its pruned weights, h_k = E g_k. The descent lemma
(eta <= 1 / beta) splits everything that a decision does into a bias and a noise:

.. math::

    E F(w^+) \le F(w) - \tfrac{\eta}{2}\|\nabla F\|^2 + \tfrac{\eta}{2}\|\nabla F - \textstyle\sum_k\omega_k h_k\|^2
               + \tfrac{\beta\eta^2}{2} \textstyle\sum_k \omega_k^2 (\sigma^2 + \Omega_k)                      \tag{1}

With R_0 rounds planned without pruning, u = 2 theta / (eta R_0) and theta = F(w_0) - F*, either form below gives

.. math:: R = R_0 / (1 - \Phi),\qquad \Phi = \textstyle\sum_k [\varphi_k(o_k) + c_{k,o_k}(\rho_k)].          \tag{2}

*Relative* (ours): the bias is measured relative to the gradient, as the ratio of their sums along a pilot run (which is what
summing (1) asks for), kappa(rho) = scale rho^exponent for each split, with all devices alike; devices that decide
differently are joined by Jensen's inequality. r = eta mean(beta sigma^2) sum omega^2 / u is the share of sampling noise:

.. math:: c_k = (1 + r)\, \omega_k \kappa(\rho_k),\quad
          \varphi_k = (1 + r)\, \omega_k \kappa_0 + \eta\,\omega_k^2\, \overline{\beta\Omega} / u                    \tag{3}

with kappa_0 the relative bias of the compression (dropout is unbiased, what lies behind it is not).

*Constants* (the literature's form, reconstructed): E|gradient of block j|^2 <= G_j^2, |w_j|^2 <= W_j^2, magnitude pruning
removes at most the share rho of both, and averaging every I rounds drifts by at most 4 eta^2 I^2 G_c^2:

.. math:: c_k = 3 \omega_k (\beta^2 W_c^2 + G_c^2) \rho_k / u,\quad
          \varphi_k = [\eta\,\omega_k^2\, \overline{\beta\Omega} + 12 \beta^2\eta^2 I^2 1\{I > 1\}\,\omega_k G_c^2] / u   \tag{4}

With measured constants (4) dwarfs u, and its answer is "never prune"; that is why (3) is the default.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optim.pruning_cost import PowerLaw


@dataclass(frozen=True)
class Constants:
    """What the bound knows of a learning task, for O split options; measured by a pilot run.

    Attributes
    ----------
    step : float
        Learning rate eta [1].
    rounds : float
        R_0, rounds planned without pruning [1].
    start : float
        theta = F(w_0) - F*, loss to be gained [1].
    smoothness : float
        beta, the largest along the pilot [1].
    sampling : float
        Mean along the pilot of beta sigma^2, with sigma^2 the variance of a device's mini-batch gradient.
    scale, exponent : (O,) array
        The relative bias of pruning, kappa(rho) = scale rho^exponent [1].
    bias : (O,) array
        kappa_0, relative bias of the compression at the split [1].
    noise : (O,) array
        Mean along the pilot of beta Omega, with Omega the variance that the compression adds to a device's gradient.
    gradient, weight : (O,) array
        G_c^2 and W_c^2, squared norms of the client side's gradient and weights.
    """

    step: float
    rounds: float
    start: float
    smoothness: float
    sampling: float
    scale: NDArray
    exponent: NDArray
    bias: NDArray
    noise: NDArray
    gradient: NDArray
    weight: NDArray

    @property
    def unit(self) -> float:
        """u = 2 theta / (eta R_0): the mean squared gradient norm that R_0 rounds reach without noise."""
        return 2 * self.start / (self.step * self.rounds)

    def sampling_share(self, weights: NDArray) -> float:
        """r: sampling noise in units of u, for devices of data ``weights`` (K,) [1]."""
        return float(self.step * np.sum(weights**2) * self.sampling / self.unit)


def relative(known: Constants, weights: NDArray) -> tuple[NDArray, PowerLaw]:
    """Form (3): phi (K, O) and the pruning cost c, for devices of data ``weights`` (K,) that sum to one [1]."""
    w = weights[:, None]
    grip = (1 + known.sampling_share(weights)) * w
    return grip * known.bias + _added_noise(known, w), PowerLaw(grip * known.scale, known.exponent)


def constants(known: Constants, weights: NDArray, interval: int = 1) -> tuple[NDArray, PowerLaw]:
    """Form (4): phi (K, O) and the linear pruning cost c, with client models averaged every ``interval`` rounds."""
    w = weights[:, None]
    drift = 12 * (known.smoothness * known.step * interval) ** 2 * known.gradient * w / known.unit if interval > 1 else 0.0
    slope = 3 * w * (known.smoothness**2 * known.weight + known.gradient) / known.unit
    return _added_noise(known, w) + drift, PowerLaw(slope)


def _added_noise(known: Constants, w: NDArray) -> NDArray:
    return known.step * w**2 * known.noise / known.unit
