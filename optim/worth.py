r"""What a round's progress is worth in time, and what is to be least then.

Over fading rounds the time to the target is R_0 E[T] / E[(1 - Phi)^gamma] (``optim.time_to_accuracy``), least for the policy
that minimises T - mu (1 - Phi)^gamma in each round, with mu the ratio that it attains itself. Found as the rounds go by, mu is
the ratio of the sums of T and (1 - Phi)^gamma so far: where it is too high rounds come out long and bring it down, and the
other way round. On independent fades it goes to the least ratio of means (tested); in a window it comes near it sooner, and
stays about there.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace


def progress(loss: NDArray, exponent: float) -> NDArray:
    """(1 - Phi)^gamma of a loss Phi [1]; 0 where all is lost."""
    found: NDArray = namespace(loss).clip(1 - loss, 0.0, 1.0) ** exponent
    return found


@dataclass(frozen=True)
class Worth:
    """Sums of times and progress so far; a prior is a sum of some rounds that might have been.

    Attributes
    ----------
    time : float
        Of rounds so far [s].
    progress : float
        Of rounds so far, (1 - Phi)^gamma each [1].
    exponent : float
        gamma [1].
    window : float
        Rounds over which sums are kept: each takes this part of them off; 1 or more [1].
    """

    time: float
    progress: float
    exponent: float = 1.0
    window: float = np.inf

    def __post_init__(self) -> None:
        for name, unit in (("time", "s"), ("progress", "1")):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} of a worth must be positive and finite [{unit}], got {value}; a round will do")
        if not self.window >= 1:
            raise ValueError(f"window of a worth must be 1 or more [rounds], got {self.window}")

    @classmethod
    def prior(cls, price: float, rounds: float = 5.0, exponent: float = 1.0, window: float = np.inf) -> "Worth":
        """As if so many full ``rounds`` had gone by, each at a ``price`` of its progress [s]."""
        return cls(price * rounds, rounds, exponent, window)

    @property
    def price(self) -> float:
        """mu, what a full round's progress takes on average [s]."""
        return self.time / self.progress

    def after(self, time: float, loss: float) -> "Worth":
        """With one more round of so much ``time`` [s] that lost so much progress, Phi [1]."""
        kept, made = 1 - 1 / self.window, float(progress(np.array(loss), self.exponent))
        return replace(self, time=kept * self.time + time, progress=max(kept * self.progress + made, 1e-100))


class Goal(NamedTuple):
    """What the choice of a deadline makes least: T / (1 - Phi)^gamma, or T - worth (1 - Phi)^gamma where a ``worth`` is given."""

    worth: float | None
    exponent: float

    def score(self, deadline: NDArray, loss: NDArray) -> NDArray:
        """What is to be least [s]; ``inf`` where all progress is lost."""
        xp, gained = namespace(loss), progress(loss, self.exponent)
        if self.worth is None:
            score = deadline / xp.where(loss < 1, gained, 1.0)
        else:
            score = deadline - self.worth * gained if np.isfinite(self.worth) else -gained
        found: NDArray = xp.where(loss < 1, score, xp.inf)
        return found

    def best(self, deadline: NDArray, loss: NDArray) -> NDArray:
        """Index (...,) of the best of so many (J, ...)."""
        found: NDArray = namespace(loss).argmin(self.score(deadline, loss), axis=0)
        return found
