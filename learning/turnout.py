"""How many rounds more a training takes with few of the devices in each round: what the memory of ``optim.absence`` is fitted to.

Short trainings from the same start: one with all devices in every round, and some with devices drawn at random anew in each. R
and R_0 are the rounds until the loss of the averaged model, on some samples of all devices' data, is as low as the training with
all of them is at each of the rounds of its second half; R / R_0 is the geometric mean over these.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from learning import average
from learning.algorithm import Algorithm, Plan, Shard, Streams
from learning.calibrate import pilot_of
from learning.evaluate import evaluate
from learning.slowdown import smoothed, trained

SMOOTHING = 5       # rounds over which the loss is averaged
MOST = 4            # a training is given up after so many times the rounds of the one with all devices


@dataclass(frozen=True)
class Turnouts:
    """Trainings with few devices a round beside one with all, as plain data; (n,) for n of them.

    Attributes
    ----------
    number : (n,)
        Devices in each round, in the mean.
    rounds : (n,)
        R / R_0; infinite where not all losses were reached in ``MOST`` times the rounds [1].
    ran : (n,)
        How many rounds each took.
    pilot : int
        Rounds of the training with all devices.
    goal : float
        Its lowest loss [nat].
    """

    number: tuple[float, ...]
    rounds: tuple[float, ...]
    ran: tuple[int, ...]
    pilot: int
    goal: float


def drawn(held: NDArray, number: int, rounds: int, rng: np.random.Generator) -> NDArray:
    """Who is in each round (R, K): ``number`` of the devices that have data, ``held`` (K,), drawn anew in each."""
    order = rng.permuted(np.tile(np.flatnonzero(held), (rounds, 1)), axis=1)
    who = np.zeros((rounds, len(held)), bool)
    np.put_along_axis(who, order[:, :number], True, axis=1)
    return who


def turnouts(algorithm: Algorithm, net: nn.Sequential, shards: Sequence[Shard], sets: Sequence[NDArray], *, rounds: int,
             samples: int = 64, seed: int = 0, precision: str = "float32") -> Turnouts:
    """Train with all devices for ``rounds`` rounds, and with few until the losses are as low, without pruning or compression.

    Parameters
    ----------
    sets : (n,) sequence of (R, K) bool array
        Who is in each round of each training; it is given up after R rounds.
    samples : int
        Samples whose loss is looked at, a device; they are drawn from all data together.
    """
    streams = Streams(*np.random.SeedSequence((seed, 2)).generate_state(2).tolist())
    x, y = torch.cat([s.x for s in shards]), torch.cat([s.y for s in shards])
    some = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))[:samples * len(shards)].to(y.device)
    pilot, sample = pilot_of(algorithm), Shard(x[some], y[some])

    def losses(who: NDArray) -> Iterator[float]:
        """The loss of the averaged model after each round, the mean over the last ones [nat]."""
        plan = Plan(pilot.cuts()[0])
        ran = trained(pilot, shards, ([plan if each else None for each in there] for there in who), streams, precision)
        middles = (average.middle(pilot.models(state)) for state, _ in ran)
        return smoothed((evaluate(net, middle, sample.x, sample.y).loss for middle in middles), SMOOTHING)

    goals = np.minimum.accumulate(list(losses(np.ones((rounds, len(shards)), bool))))
    ran = [_until(losses(who), goals[-1]) for who in sets]
    return Turnouts(tuple(float(who.sum(axis=1).mean()) for who in sets), tuple(_slower(goals, each) for each in ran),
                    tuple(map(len, ran)), rounds, float(goals[-1]))


def _until(losses: Iterator[float], goal: float) -> list[float]:
    """Losses up to the first that is as low."""
    seen = []
    for loss in losses:
        seen.append(loss)
        if loss <= goal:
            break
    return seen


def _slower(goals: NDArray, losses: Sequence[float]) -> float:
    """R / R_0, the geometric mean over the second half of the falling ``goals`` (R_0,); infinite where one is not reached."""
    wanted = goals[len(goals) // 2:]
    falling = np.minimum.accumulate(np.nan_to_num(losses, nan=np.inf))
    first, taken = (1 + np.searchsorted(-each, -wanted) for each in (goals, falling))
    return math.inf if taken.max() > len(losses) else float(np.exp(np.mean(np.log(taken / first))))
