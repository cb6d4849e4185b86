"""What was decided for a round, and what it was decided on."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from channels.links import Gains
from optim.allocation import Allocation
from optim.problem import Deadline
from optim.worth import Worth
from wirelessfl.options import Option


@dataclass(frozen=True)
class Decision:
    """What was decided for a round.

    Attributes
    ----------
    who : (K,) bool array
        Devices that take part; all others have no row in ``now``.
    now : Allocation
        The round itself.
    problem : Deadline
        What it is a solution of.
    chosen : (K,) bool array
        Devices that had a part in the decision that stands.
    standing : Allocation
        The decision that stands, whose splits and ratios the next rounds may keep; a row for each of the ``chosen``.
    options : tuple of Option
        What options stand for.
    waited : int
        How many rounds nobody has taken part in, this one included.
    lasts : float
        Planned time of the round; where nobody takes part, how long the server waits [s].
    so_far : Worth or None
        Times and progress of the rounds that were planned, this one included.
    absence : float
        What the round loses because some devices are not in it, to be added to the loss of those that are [1].
    credit : (K,) array
        By how many rounds each device lacks its least share of them [1].
    missed : (K,) array
        By how much each device's share in the mean of the last planned rounds is off its share of the data
        (``optim.absence.missing``) [1].
    advice : str
        What stood in the way, where that ends the run.
    """

    who: NDArray
    now: Allocation
    problem: Deadline
    chosen: NDArray
    standing: Allocation
    options: tuple[Option, ...]
    waited: int = 0
    lasts: float = 0.0
    so_far: Worth | None = None
    absence: float = 0.0
    credit: NDArray = field(default_factory=lambda: np.zeros(0))
    missed: NDArray = field(default_factory=lambda: np.zeros(0))
    advice: str = ""

    @property
    def last(self) -> tuple[Allocation | None, Worth | None]:
        """What the next decision starts from: the round, if there was one, and the times and progress so far."""
        return self.now if self.now.status.feasible else None, self.so_far

    @cached_property
    def plan(self) -> Allocation:
        """The round with a row for every device (K,), of zeros for those that were left out."""
        return self.now.among(self.who)

    @property
    def chosen_options(self) -> list[Option]:
        """The option of each device (K,); of those that were left out, any."""
        return [self.options[number] for number in self.plan.option]

    @property
    def cut(self) -> NDArray:
        """Blocks on each device (K,); 0 for those that were left out."""
        return np.where(self.who, [option.cut for option in self.chosen_options], 0)


@dataclass(frozen=True)
class Scene:
    """What a round is decided on; (K,).

    Attributes
    ----------
    number : int
        Of the round.
    seen : Gains
        What the gains are taken for [1].
    battery : array
        Energy that is left [J].
    holds : bool array
        Whether a device has the client side that it trains, and need not download it.
    mean : array or None
        Mean gains where devices are now, where they are not those of the beginning [1].
    """

    number: int
    seen: Gains
    battery: NDArray
    holds: NDArray
    mean: NDArray | None = None
