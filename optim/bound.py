r"""What a decision does to learning: the convergence bound, turned into the costs that the solvers weigh.

One round w+ = w - eta sum_k omega_k g_k, device k computing at its pruned weights, h_k = E g_k. The descent lemma
(eta <= 1 / beta) splits everything that a decision does into a bias and a noise:

.. math::

    E F(w^+) \le F(w) - \tfrac{\eta}{2}\|\nabla F\|^2 + \tfrac{\eta}{2}\|\nabla F - \textstyle\sum_k\omega_k h_k\|^2
               + \tfrac{\beta\eta^2}{2} \textstyle\sum_k \omega_k^2 (\sigma^2 + \Omega_k)                      \tag{1}

With R_0 rounds planned without pruning, u = 2 theta / (eta R_0), theta = F(w_0) - F*, and the share r = eta mean(beta sigma^2)
sum omega^2 / u of sampling noise, either form below gives

.. math:: R = R_0 / (1 - \Phi),\qquad \Phi = \textstyle\sum_k [\varphi_k(o_k) + c_{k,o_k}(\rho_k)].          \tag{2}

*Relative* (ours): biases are measured relative to the gradient, as ratios of sums over some rounds of a pilot run (summing
(1) asks for all of them): kappa(rho) = scale rho^exponent by pruning, kappa_0 by compression (dropout is unbiased, what lies
behind it is not), delta by averaging client sides seldom (decisions take in its place what that misses of the descent to first
order, for which nothing is bounded). All devices alike in the pilot; those that decide differently are joined by Jensen's
inequality, and the three are added. With steps longer than 1 / beta, gradients stay larger than (1) allows: u is then what the
pilot's rounds had to lose, mean |grad F|^2 - eta beta sigma^2 sum omega^2, if that is more (``Constants.pace``):

.. math:: c_k = (1 + r)\, \omega_k \kappa(\rho_k),\quad
          \varphi_k = (1 + r)\, \omega_k (\kappa_0 + \delta) + \eta\,\omega_k^2\, \overline{\beta\Omega} / u               \tag{3}

*Constants* (the literature's form, reconstructed): E|gradient of block j|^2 <= G_j^2, |w_j|^2 <= W_j^2, magnitude pruning
removes at most the share rho of both, and averaging every I rounds drifts by at most 4 eta^2 I^2 G_c^2:

.. math:: c_k = 3 \omega_k (\beta^2 W_c^2 + G_c^2) \rho_k / u,\quad
          \varphi_k = [\eta\,\omega_k^2\, \overline{\beta\Omega} + 12 \beta^2\eta^2 I^2 1\{I > 1\}\,\omega_k G_c^2] / u   \tag{4}

With measured constants (4) dwarfs u, and its answer is "never prune"; that is why (3) is the default. Every step is in
``docs/theory.md``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optim.form import Form
from optim.problem import check
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
        kappa_0, relative bias of the option's compression [1].
    noise : (O,) array
        Mean along the pilot of beta Omega, with Omega the variance that the compression adds to a device's gradient (of rounding,
        with the curvature that it sees in the place of beta).
    gradient, weight : (O,) array
        G_c^2 and W_c^2, squared norms of the client side's gradient and weights.
    drift : (O,) array
        delta, what averaging client sides as seldom as the training does costs; zero when it does every round [1]. With the
        relative bias (``learning.drift``) the gradient is bounded, with the misalignment intervals are ranked.
    descent : float
        Mean along the pilot of |grad F|^2 less eta beta sigma^2 sum omega^2: what its rounds had to lose. 0 if it is not known.
    dissimilarity : float
        B^2, the sum of sum omega_k |grad F_k|^2 over that of |grad F|^2; 1 for devices with the same data [1].
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
    drift: ArrayLike = 0.0
    descent: float = 0.0
    dissimilarity: float = 1.0

    def __post_init__(self) -> None:
        for name in ("step", "rounds", "start"):
            check(name, getattr(self, name), "1", 0.0, np.inf, positive=True)
        for name in ("smoothness", "sampling", "bias", "noise", "gradient", "weight", "drift", "descent"):
            check(name, getattr(self, name), "1", 0.0, np.inf)
        check("dissimilarity", self.dissimilarity, "1", 1.0, np.inf)

    @property
    def unit(self) -> float:
        """u = 2 theta / (eta R_0): the mean squared gradient norm that R_0 rounds reach without noise."""
        return 2 * self.start / (self.step * self.rounds)

    @property
    def pace(self) -> float:
        """The larger of u and the pilot's own ``descent``: what biases and noise are measured against in the relative form."""
        return max(self.unit, self.descent)

    def sampling_share(self, weights: NDArray) -> float:
        """r of the relative form: sampling noise in units of the pace, for devices of data ``weights`` (K,) [1]."""
        return averaged_noise(self.step, weights, self.sampling) / self.pace


def averaged_noise(step: float, weights: NDArray, noise: float) -> float:
    """eta sum omega^2 times a ``noise`` beta sigma^2 of each device, of data ``weights`` (K,) [1]: what it adds to |grad F|^2."""
    return float(step * np.sum(weights**2) * noise)


def relative_form(known: Constants, weights: NDArray) -> Form:
    """Form (3), for devices of data ``weights`` (K,) that sum to one [1]."""
    w, share = weights[:, None], known.sampling_share(weights)
    grip = (1 + share) * w
    drift = np.broadcast_to(np.asarray(known.drift, float), known.bias.shape)
    return Form(known.pace, known.rounds, share, _added_noise(known, w, known.pace), grip * known.bias, grip * drift,
                PowerLaw(grip * known.scale, known.exponent), relative=True)


def constants_form(known: Constants, weights: NDArray, interval: int = 1) -> Form:
    """Form (4), with client sides averaged every ``interval`` rounds."""
    check("interval", interval, "rounds", 1, np.inf)
    w, unit = weights[:, None], known.unit
    drift = 12 * (known.smoothness * known.step * interval) ** 2 * known.gradient * w / unit
    slope = 3 * w * (known.smoothness**2 * known.weight + known.gradient) / unit
    share = averaged_noise(known.step, weights, known.sampling) / unit
    return Form(unit, known.rounds, share, _added_noise(known, w, unit), np.zeros_like(drift),
                drift if interval > 1 else np.zeros_like(drift), PowerLaw(slope), relative=False)


def _added_noise(known: Constants, w: NDArray, unit: float) -> NDArray:
    return known.step * w**2 * known.noise / unit


def relative(known: Constants, weights: NDArray) -> tuple[NDArray, PowerLaw]:
    """The costs of form (3): phi (K, O) and the pruning cost c [1]."""
    return relative_form(known, weights).costs


def constants(known: Constants, weights: NDArray, interval: int = 1) -> tuple[NDArray, PowerLaw]:
    """The costs of form (4): phi (K, O) and the linear pruning cost c [1]."""
    return constants_form(known, weights, interval).costs


def rounds_needed(planned: float, loss: ArrayLike, exponent: float = 1.0) -> NDArray:
    """R = R_0 / (1 - Phi)^gamma at losses Phi (...,) of each round [1]; ``inf`` from one on."""
    left = 1 - np.asarray(loss, float)
    return np.where(left > 0, planned / np.where(left > 0, left, 1.0) ** exponent, np.inf)


def fit_exponent(loss: ArrayLike, ratio: ArrayLike) -> tuple[float, float]:
    """gamma of R / R_0 = (1 - Phi)^-gamma by least squares of the logarithms, and its standard error [1].

    Parameters
    ----------
    loss : (N,) array
        Phi of each run, in [0, 1); one of them at least above 0.
    ratio : (N,) array
        Rounds that it needed over those of the run without loss, positive [1].

    Returns
    -------
    tuple of float
        The error counts the scatter of the n runs with a loss about the law, with n - 1 degrees of freedom (``inf`` for
        one); that of the rounds of the run without loss is common to all and not in it.
    """
    lost, needed = np.atleast_1d(np.asarray(loss, float)), np.atleast_1d(np.asarray(ratio, float))
    check("loss", lost, "1", 0.0, 1.0)
    check("ratio", needed, "1", 0.0, np.inf, positive=True)
    if lost.ndim != 1 or lost.shape != needed.shape or not lost.any():
        raise ValueError(f"loss and ratio must be one number a run each, and one loss above 0 [1], got {lost} and {needed}")
    x, y = -np.log1p(-lost[lost > 0]), np.log(needed[lost > 0])
    exponent = float(x @ y / (x @ x))
    spread = np.inf if len(x) == 1 else float(np.sum((y - exponent * x) ** 2) / (len(x) - 1))
    return exponent, float(np.sqrt(spread / (x @ x)))
