r"""A random field over the plane: what is random about a place, whoever asks for it, whenever, in whatever order.

The field is standard normal at every place and its correlation between two places falls with their distance r,

.. math:: \mathrm{E}\, z(x) z(x + r) = e^{-r / d_0},                                                          \tag{1}

Gudmundson's model, which 3GPP TR 38.901 takes for shadowing. It is a sum of W plane waves of random amplitude, phase and
direction,

.. math:: z(x) = W^{-1/2} \sum_i a_i \cos(k_i \cdot x + \varphi_i), \qquad a_i \sim \text{Rayleigh}(1),            \tag{2}

with wave numbers from the spectral density of (1) in two dimensions, of which the distribution function is
:math:`1 - (1 + |k|^2 d_0^2)^{-1/2}`. Over draws of the field, the value at a place is exactly normal and (1) is exact, for any W.
One field is as good as its waves: over its plane, mean square and correlation stray from (1) by :math:`W^{-1/2}`, which is 4 % by
default, and below a distance of about d_0 / W it is smooth.

(E. Gudmundson, Electronics Letters 27(23), 1991; sums of waves: X. Cai and G. Giannakis, IEEE Trans. Veh. Technol. 52(6), 2003.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

_AT_ONCE = 4096                                     # places, so that a map does not fill the memory


@dataclass(frozen=True)
class Field:
    """A standard normal random field over the plane.

    Attributes
    ----------
    waves : (W, 2) array
        Wave vectors k [1/m].
    amplitude, phase : (W,) arrays
        a / sqrt(W) [1] and phi [rad] of each wave.
    """

    waves: NDArray
    amplitude: NDArray
    phase: NDArray

    @classmethod
    def draw(cls, rng: np.random.Generator, decorrelation: float, waves: int = 512) -> "Field":
        """A field whose correlation falls to 1/e over ``decorrelation`` [m], as a sum of so many waves."""
        if not 0 < decorrelation < np.inf:
            raise ValueError(f"decorrelation must be positive and finite [m], got {decorrelation:g}")
        if not (waves >= 1 and waves == int(waves)):
            raise ValueError(f"waves must be a whole number of one or more [1], got {waves}")
        beyond = 1 - rng.random(waves)                                              # in (0, 1]: 1 / sqrt(1 + (k d0)^2)
        number = np.sqrt((1 - beyond) * (1 + beyond)) / beyond / decorrelation
        direction = rng.uniform(0, 2 * np.pi, waves)
        vectors = number[:, None] * np.stack([np.cos(direction), np.sin(direction)], -1)
        amplitude = np.sqrt(2 * rng.standard_exponential(waves) / waves)
        return cls(vectors, amplitude, rng.uniform(0, 2 * np.pi, waves))

    def __call__(self, position: ArrayLike) -> NDArray:
        """Values [1] at places (..., 2) [m], standard normal; the same place has the same value, bit for bit."""
        places = np.asarray(position, float)
        if places.shape[-1:] != (2,):
            raise ValueError(f"position must be places (..., 2) [m], got an array of shape {places.shape}")
        flat = places.reshape(-1, 2)
        parts = [self._values(flat[start:start + _AT_ONCE]) for start in range(0, len(flat), _AT_ONCE)]
        return np.concatenate([*parts, np.zeros(0)]).reshape(places.shape[:-1])

    def uniform(self, position: ArrayLike) -> NDArray:
        """The same field seen as a uniform one in (0, 1): a place is in the line of sight where it is below the probability."""
        return ndtr(self(position))

    def _values(self, places: NDArray) -> NDArray:
        """The sum (2) at places (n, 2); without products of matrices, whose last bits depend on n."""
        angle = places[:, :1] * self.waves[:, 0] + places[:, 1:] * self.waves[:, 1] + self.phase
        return (np.cos(angle) * self.amplitude).sum(-1)
