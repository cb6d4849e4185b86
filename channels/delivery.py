r"""What becomes of bits that are sent: packets that get through, are repeated, or are given up.

A transmission at a rate that the link does not carry is lost as a whole: an *outage*. It tells the rate that the link does
carry, and if packets may be repeated at all, they are, at that rate. Besides, each packet is lost with a probability q of its
own, and repeated until it is through, but at most A times in all:

.. math:: \text{mean transmissions of a packet} = 1 + q + \dots + q^{A-1} = \frac{1 - q^A}{1 - q}                \tag{1}
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channels.arrays import over

EQUAL = 1 - 1e-9       # rates so close are equal: a plan has its own rounding


@dataclass(frozen=True)
class Delivery:
    """What became of a transmission from or to K devices, each (K,).

    Attributes
    ----------
    time : array
        Time on the air, that of packets given up included [s]; ``inf`` where a link carries nothing at all.
    arrived : bool array
        Whether every packet got through.
    outage : bool array
        Whether the rate was more than the link carried.
    """

    time: NDArray
    arrived: NDArray
    outage: NDArray


@dataclass(frozen=True)
class Packets:
    """How bits travel.

    Attributes
    ----------
    size : float
        Length of a packet [bit].
    error : float
        q, probability that a packet is lost on a link that carries its rate [1].
    attempts : int
        A, how often a packet is sent at most; 1 never repeats one.
    """

    size: float = 12_000.0
    error: float = 0.0
    attempts: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.size < np.inf:
            raise ValueError(f"size must be positive and finite [bit], got {self.size}")
        if not 0 <= self.error < 1:
            raise ValueError(f"error must be a probability within [0, 1) [1], got {self.error}")
        if not (self.attempts == int(self.attempts) and self.attempts >= 1):
            raise ValueError(f"attempts must be a whole number of 1 or more, got {self.attempts}")

    @property
    def transmissions(self) -> float:
        """Mean transmissions of a packet (1), by which plans count bits."""
        return (1 - self.error**self.attempts) / (1 - self.error)

    def send(self, rng: np.random.Generator, bits: NDArray, rate: NDArray, carried: NDArray) -> Delivery:
        """Send ``bits`` (K,) at a chosen ``rate`` (K,) [bit/s] over links that would have ``carried`` so much (K,) [bit/s]."""
        packets = np.ceil(bits / self.size)
        outage = (bits > 0) & (carried < rate * EQUAL)
        tries = np.where(outage, self.attempts - 1, self.attempts)
        left, sent = packets, np.zeros(packets.shape)
        for attempt in range(self.attempts):
            now = np.where(attempt < tries, left, 0.0)
            sent, left = sent + now, left - now + rng.binomial(now.astype(int), self.error)
            if not now.any():
                break
        again = over(bits * sent / np.maximum(packets, 1.0), np.where(outage, carried, rate))
        time = np.where(outage, over(bits, rate), 0.0) + again
        return Delivery(time, (left == 0) & np.isfinite(time), outage)
