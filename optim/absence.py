r"""What a round loses because not all devices are in it, and what later rounds make up for.

Absent devices leave a bias: the mean gradient of those who are there is not that of all. Round by round that is (1). But what one
round misses the next ones may bring. Let m be the mean of what shares were off in the last rounds,

.. math:: m_{t+1} = (1 - 1/H)\, m_t + (\omega'_t - \omega) / H.                                                       \tag{2}

While gradients stay as they are, w + eta H sum_k m_k grad F_k goes down by grad F(w) + sum_k m_k grad F_k: its bias is that of
the mean, not of the round (``docs/theory.md``, 1.7, which also says what the bound asks for that). A round is to be weighed by
what it adds to kappa(m) in all rounds that remember it, :func:`absence_added`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import bisect

from optim.bound import Constants
from optim.problem import check
from optim.worth import progress


def absence(known: Constants, weights: NDArray, who: NDArray, missed: ArrayLike = 0.0, memory: float = 1.0) -> float:
    r"""What a round loses because only ``who`` (K,) is in it, to be added to (3) of ``optim.bound`` [1].

    The server averages over them by their data ``weights`` (K,), scaled to the shares omega' that sum to one, and misses the
    mean gradient. Where who is absent has nothing to do with what data it has, this adds in the mean over who it may be

    .. math:: \Phi = (1 + r)\,\kappa(\omega' - \omega) + r\,(\|\omega'\|^2 / \|\omega\|^2 - 1),\qquad
              \kappa(d) = (B^2 - 1)\,\|d\|^2 / (1 - \|\omega\|^2)                                                 \tag{1}

    the second part being the noise of fewer mini-batches. For n of K equal shares kappa is (B^2 - 1) (K - n) / (n (K - 1)). If
    nobody is there all is lost.

    With a ``memory`` of H > 1 rounds, what counts is what is missing in the mean of about so many, m, which is :func:`missing`
    now and was ``missed`` (K,) before: kappa(m) in the place of kappa(omega' - omega), and the noise over H (underived).
    """
    m = missing(weights, who, missed, memory)
    return _absence(known, weights, who, float(m @ m), memory)


def absence_added(known: Constants, weights: NDArray, who: NDArray, missed: ArrayLike = 0.0, memory: float = 1.0,
                  stands: int = 1) -> float:
    """What a round with ``who`` adds to :func:`absence` of all rounds that remember it, if those are not off in the mean [1].

    Summed over a run it is what is lost in it. It is what choosing who takes part has to weigh; for a memory of one round the
    two are the same. A choice that ``stands`` for several rounds is remembered as one: by what it leaves at their end, which
    in the mean over a run is more than what they lose on their way there.
    """
    whole = _as_one(memory, stands)
    m, left = missing(weights, who, missed, whole), (1 - 1 / whole) * np.broadcast_to(np.asarray(missed, float), weights.shape)
    return _absence(known, weights, who, float(m @ m - left @ left) * whole**2 / (2 * whole - 1), memory)


def made_up(known: Constants, weights: NDArray, missed: NDArray, memory: float, stands: int = 1) -> NDArray:
    """What devices (K,) take off :func:`absence_added` for a unit of share in the round, by what was ``missed`` of them [1]."""
    whole = _as_one(memory, stands)
    grip = 2 * (whole - 1) / (2 * whole - 1) * (1 + known.sampling_share(weights)) * _unlike(known, weights)
    return -grip * missed


def missing(weights: NDArray, who: NDArray, missed: ArrayLike = 0.0, memory: float = 1.0) -> NDArray:
    """By how much shares in the mean of the last rounds are off the ``weights`` (K,), after a round with ``who`` (K,).

    Of what was ``missed`` before (K,), 1 - 1 / memory is left, and the round's own omega' - omega is the rest [1].
    """
    before = np.asarray(missed, float)
    return before + (_shares(weights, who) - weights - before) / memory


def absence_of_rounds(known: Constants, weights: NDArray, who: NDArray, memory: float = 1.0) -> NDArray:
    """:func:`absence` of each of the rounds with ``who`` (R, K), from the first one on (R,) [1]."""
    missed, lost = np.zeros(weights.shape), []
    for there in who:
        lost.append(absence(known, weights, there, missed, memory))
        missed = missing(weights, there, missed, memory)
    return np.array(lost)


def slower(lost: NDArray, exponent: float = 1.0) -> float:
    """How many times the rounds it takes if they lose Phi (R,), 1 / mean (1 - Phi)^gamma [1]; ``inf`` if none makes progress."""
    made = float(progress(lost, exponent).mean())
    return 1 / made if made > 0 else np.inf


def fit_memory(known: Constants, weights: NDArray, sets: Sequence[NDArray], ratio: ArrayLike, most: float,
               exponent: float = 1.0) -> float:
    """The memory H with which :func:`slower` is right about some trainings, in the mean of the logarithms [rounds].

    Parameters
    ----------
    sets : (N,) sequence of (R, K) bool array
        Who was in each round of each training.
    ratio : (N,) array
        Rounds that it took over those of a training with everybody, positive; ``inf`` if it never arrived [1].
    most : float
        H is no more than that, 1 or more [rounds].
    exponent : float
        gamma, of the progress (1 - Phi)^gamma [1].

    Returns
    -------
    float
        1 where no memory is needed, or a training never arrived; ``most`` where even that is too little.
    """
    took = np.atleast_1d(np.asarray(ratio, float))
    check("ratio", took, "1", 0.0, np.inf, positive=True, closed=True)
    check("most", most, "rounds", 1.0, np.inf)
    if len(sets) != len(took) or not len(took):
        raise ValueError(f"sets and ratio must be one a training each, of one training or more, got {len(sets)} and {len(took)}")

    def late(log_memory: float) -> float:
        """How much longer trainings took than expected, in the mean of the logarithms."""
        expected = [slower(absence_of_rounds(known, weights, who, np.exp(log_memory)), exponent) for who in sets]
        return float(np.mean(np.log(took) - np.log(expected)))

    if np.isinf(took).any() or late(0.0) >= 0:
        return 1.0
    return most if late(np.log(most)) <= 0 else float(np.exp(bisect(late, 0.0, np.log(most), xtol=1e-3)))


def _as_one(memory: float, stands: int) -> float:
    """The memory in units of a choice that stands for so many rounds: after it 1 - 1 / H of what was before is left."""
    return float(1 / (1 - (1 - 1 / memory) ** stands))


def _shares(weights: NDArray, who: NDArray) -> NDArray:
    """omega': the weights (K,) of those who are there, scaled to sum to one; none where nobody is."""
    if who.all() or not who.any():
        return weights * who
    there: NDArray = np.where(who, weights, 0.0)
    return there / there.sum()


def _absence(known: Constants, weights: NDArray, who: NDArray, off: float, memory: float) -> float:
    """(1) where the shares are ``off`` by so much, squared."""
    if not who.any():
        return 1.0
    share, noise = known.sampling_share(weights), np.sum(_shares(weights, who) ** 2) / np.sum(weights**2) - 1
    return float((1 + share) * _unlike(known, weights) * off + share * noise / memory)


def _unlike(known: Constants, weights: NDArray) -> float:
    rest = 1 - float(np.sum(weights**2))
    return (known.dissimilarity - 1) / rest if rest > 0 else 0.0
