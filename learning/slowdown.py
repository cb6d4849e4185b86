r"""How many rounds more a biased gradient really takes: what the exponent gamma of R / R_0 = (1 - Phi)^-gamma is fitted to.

Short trainings from the same start, on the same mini-batches: one as it is, and some that all devices prune so much that the
measured curve has a given relative bias kappa. R is the number of rounds until the training loss, the mean over devices and over
the last few rounds, is as low as the unpruned training gets, and R_0 the number that that took. For Phi = (1 + r) kappa see
``optim.bound``.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from learning.algorithm import Algorithm, Plan, Plans, Round, Shard, State, Streams
from learning.calibrate import pilot_of
from learning.calibration import Calibration
from learning.precision import precision as computing_in

BIASES = (0.25, 0.5, 0.7)
SMOOTHING = 10          # rounds over which the training loss is averaged
PATIENCE = 1.5          # a training may take so many times what the bound allows it, R_0 / (1 - kappa)


@dataclass(frozen=True)
class Slowdowns:
    """Pruned trainings beside the unpruned one, as plain data; (n,) for n of them.

    Attributes
    ----------
    cut, ratio : (n,)
        How they were pruned [blocks], [1].
    bias : (n,)
        kappa by the fitted curve [1].
    rounds : (n,)
        R / R_0; infinite where the loss was not reached in ``PATIENCE`` times the rounds that the bound allows [1].
    pilot : int
        R_0.
    goal : float
        The loss that was to be reached [nat].
    """

    cut: tuple[int, ...]
    ratio: tuple[float, ...]
    bias: tuple[float, ...]
    rounds: tuple[float, ...]
    pilot: int
    goal: float


def slowdowns(algorithm: Algorithm, shards: Sequence[Shard], measured: Calibration, *, rounds: int,
              biases: Sequence[float] = BIASES, cuts: Sequence[int] = (), seed: int = 0, precision: str = "float32") -> Slowdowns:
    """Train without pruning for ``rounds`` rounds, and pruned until the loss is as low.

    Parameters
    ----------
    biases : sequence of float
        Relative biases kappa that are wanted [1]; left out are those that a cut's curve does not have where it was fitted.
    cuts : sequence of int
        Of the measured ones; without them, the first, the middle and the last.

    Raises
    ------
    ValueError
        Where the algorithm does not prune, or no curve has a bias that is wanted.
    """
    if not algorithm.prunes:
        raise ValueError(f"the exponent is fitted to pruned trainings, and {type(algorithm).__name__} does not prune")
    some = cuts or sorted({measured.cuts[i] for i in (0, (len(measured.cuts) - 1) // 2, -1)})
    ways = [(cut, found, kappa) for cut in some for kappa in biases if (found := pruned_to(measured, cut, kappa)) is not None]
    if not ways:
        raise ValueError(f"no measured curve has a relative bias among {list(biases)} [1] where it was fitted, up to the ratios "
                         f"{[round(ratio, 3) for ratio in measured.ratio_max]} [1] of the cuts {list(measured.cuts)}")
    pilot, streams = pilot_of(algorithm), Streams(*np.random.SeedSequence((seed, 1)).generate_state(2).tolist())

    sizes = np.array([len(s) for s in shards], float)
    held, share = sizes > 0, sizes / sizes.sum()

    def losses(plan: Plan, most: int) -> Iterator[float]:
        """The training loss after each round [nat]: the mean over the data and the last rounds."""
        ran = trained(pilot, shards, itertools.repeat([plan] * len(shards), most), streams, precision)
        return smoothed((float(share[held] @ np.array(report.loss)[held]) for _, report in ran), SMOOTHING)

    unpruned = list(losses(Plan(some[0]), rounds))
    goal = min(unpruned)
    first = unpruned.index(goal) + 1
    taken = [_reached(losses(Plan(cut, ratio), math.ceil(PATIENCE * first / (1 - kappa))), goal) for cut, ratio, kappa in ways]
    at, ratios, kappas = zip(*ways, strict=True)
    return Slowdowns(at, ratios, kappas, tuple(number / first for number in taken), first, goal)


def pruned_to(measured: Calibration, cut: int, bias: float) -> float | None:
    """The ratio at which the fitted curve of a cut has the relative bias [1]; None where it was not fitted so far."""
    at = measured.cut_number(cut)
    ratio = (bias / measured.scale[at]) ** (1 / measured.exponent[at])
    return float(ratio) if ratio <= measured.ratio_max[at] else None


def trained(algorithm: Algorithm, shards: Sequence[Shard], plans: Iterable[Plans], streams: Streams,
            precision: str) -> Iterator[tuple[State, Round]]:
    """The state after each round and its report, for as many rounds as there are ``plans``."""
    state = algorithm.init(len(shards))
    for each in plans:
        with computing_in(precision, shards[0].x.device):
            state, report = algorithm.step(state, shards, each, streams)
        yield state, report


def smoothed(losses: Iterable[float], rounds: int) -> Iterator[float]:
    """The mean of each loss and of those of the last ``rounds`` with it."""
    last = deque[float](maxlen=rounds)
    for loss in losses:
        last.append(loss)
        yield float(np.mean(last))


def _reached(losses: Iterable[float], goal: float) -> float:
    """Number of the first loss that is as low [rounds]; infinite if none is."""
    return next((number for number, loss in enumerate(losses, 1) if loss <= goal), math.inf)
