r"""How far to trust numbers that were measured at a few checkpoints.

What is estimated is a function of n checkpoints (a ratio of sums, a mean, a fit). The jackknife leaves each of them out in turn,

.. math:: \mathrm{se}^2 = \frac{n - 1}{n} \sum_i (\theta_{-i} - \bar\theta)^2,                                      \tag{1}

and Student's t with n - 1 degrees of freedom makes of it the half-width of a 95 % interval. For a mean that is the textbook's
interval. It covers that checkpoints, and the samples and draws at each, might have been others *on this path*: not other initial
weights, not other data, and not the same few samples at all checkpoints. As the path has a trend, of which the checkpoints
are no random sample, it is rather too wide for the path's own mean. Of a maximum, (1) says little more than the distance to the
second largest.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

T = TypeVar("T")
LEVEL = 0.95


def half_widths(estimate: Callable[[Sequence[T]], Mapping[str, Any]], seen: Sequence[T]) -> dict[str, NDArray]:
    """Half-widths of the intervals of all that ``estimate`` makes of checkpoints, by name; infinite for a single one."""
    n = len(seen)
    if n < 2:
        return {name: np.full(np.shape(value), np.inf) for name, value in estimate(seen).items()}
    left = [estimate([*seen[:i], *seen[i + 1:]]) for i in range(n)]
    far = student.ppf((1 + LEVEL) / 2, n - 1) * np.sqrt(n - 1)
    return {name: far * np.std([one[name] for one in left], axis=0) for name in left[0]}
