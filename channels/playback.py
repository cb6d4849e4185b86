"""Links whose gains were recorded, and are played as they were."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channels.csi import Knowledge
from channels.links import Gains, over_band
from channels.trace import Trace


@dataclass(frozen=True)
class Playback:
    """A recording in place of a cell.

    Attributes
    ----------
    trace : Trace
        Gains of K devices on M subchannels in time, path loss and shadowing included [1].
    """

    trace: Trace

    @property
    def mean_gain(self) -> NDArray:
        """Mean power gain (K,) over time, of a link over all subchannels [1]."""
        return self.trace.mean

    def start(self, rng: np.random.Generator) -> "Playing":
        """The links at the beginning of the recording."""
        del rng
        return Playing(self.trace, 0.0)

    def forecast(self, rng: np.random.Generator, blocks: int, knowledge: Knowledge, outage: float = 0.0) -> Gains:
        """What gains (blocks, K) may be taken for, at random moments of the recording."""
        span = self.trace.duration if np.isfinite(self.trace.duration) else 0.0                    # a single row lasts for ever
        moments = [Playing(self.trace, time) for time in rng.uniform(0, span, blocks)]
        seen = np.array([moment.seen(rng, knowledge, outage).up for moment in moments])
        return Gains(seen, seen)


@dataclass(frozen=True)
class Playing:
    """A recording at a ``time`` [s]."""

    trace: Trace
    time: float

    @property
    def gains(self) -> Gains:
        """Power gains (K,) [1] of links over all subchannels, the same in both directions."""
        now = over_band(self.trace.at(self.time))
        return Gains(now, now)

    @property
    def mean_gain(self) -> NDArray:
        """That of the whole recording (K,) [1]."""
        return self.trace.mean

    def seen(self, rng: np.random.Generator, knowledge: Knowledge, outage: float = 0.0) -> Gains:
        """What the gains are taken for: as they were a delay ago.

        Raises
        ------
        ValueError
            For an error or an outage: a recording does not say how its links are distributed.
        """
        del rng
        if knowledge.error > 0 or outage > 0:
            raise ValueError("a recording of gains has no law to draw errors from: error and outage must be 0 [1], "
                             f"got {knowledge.error} and {outage}")
        return Playing(self.trace, max(self.time - knowledge.delay, 0.0)).gains

    def after(self, rng: np.random.Generator, elapsed: float) -> "Playing":
        """The recording ``elapsed`` seconds later."""
        del rng
        return Playing(self.trace, self.time + elapsed)
