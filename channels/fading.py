r"""Small-scale fading: random power gains around a mean of one for each antenna, constant over a block.

A link to N antennas is a vector h of one dominant wave and many scattered ones w ~ CN(0, 1) (channels/process.py),

.. math:: h_n = \sqrt{\frac{K}{K + 1}}\, e^{j 2 \pi c d} + \sqrt{\frac{1}{K + 1}}\, w_n(d),                  \tag{1}

K being the power of the dominant wave over the power of all scattered ones together, d the way of the device [wavelengths],
and c how much of it is towards where the dominant wave comes from. K = 0 is Rayleigh's law. Maximum-ratio combining collects

.. math:: g = \sum_{n=1}^{N} |h_n|^2, \quad E[g] = N,                                                      \tag{2}

of Gamma's law with shape N if K = 0; else 2 (K + 1) g is noncentral chi-square with 2N degrees of freedom, noncentrality 2NK.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.process import Block, Process, Scatter, Still, Waves, check_count, distances


class Fade(Protocol):
    """The small-scale state of K links: a value. ``gain`` (K,), or (K, M) on subchannels, is the power [1] by (2)."""

    @property
    def gain(self) -> NDArray: ...

    def after(self, rng: np.random.Generator, moved: ArrayLike) -> "Fade":
        """The state after each device moved so far (K,) [wavelengths]; what is drawn does not depend on ``moved``."""
        ...


class Fading(Protocol):
    """A law of unit mean power: gains |h|^2 [1] of one antenna, independent over ``shape``, or a state of links at time 0."""

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray: ...

    def start(self, rng: np.random.Generator, devices: int, antennas: int = 1) -> Fade: ...


@dataclass(frozen=True)
class Rayleigh:
    """h ~ CN(0, 1), many paths and none dominant, so |h|^2 is exponential with mean one.

    Attributes
    ----------
    process : Process
        How it changes while devices move.
    """

    process: Process = field(default_factory=Block)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
        return rng.standard_exponential(shape)

    def start(self, rng: np.random.Generator, devices: int, antennas: int = 1) -> "Multipath":
        return Rician(0.0, self.process).start(rng, devices, antennas)

    def trace(self, rng: np.random.Generator, devices: int, steps: int, moved: ArrayLike, antennas: int = 1) -> NDArray:
        return Rician(0.0, self.process).trace(rng, devices, steps, moved, antennas)


@dataclass(frozen=True)
class Rician:
    """The law (1): one dominant path, such as a line of sight, among many.

    Attributes
    ----------
    factor : float
        K, the power of the dominant path over the power of all scattered ones together [1]: a ratio, no decibels.
    process : Process
        How the scattered waves change while devices move.
    heading : float
        c, cosine of the angle between the movement and the dominant path [1]; at 0 its phase stays.
    """

    factor: float
    process: Process = field(default_factory=Block)
    heading: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.factor < np.inf:
            raise ValueError(f"factor must be a ratio of powers, zero or more and finite [1], got {self.factor}")
        if not -1 <= self.heading <= 1:
            raise ValueError(f"heading must be a cosine within [-1, 1] [1], got {self.heading}")

    @property
    def dominant(self) -> float:
        """Share of the power that the dominant path has [1]."""
        return self.factor / (1 + self.factor)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
        parts = rng.standard_normal((2, *shape)) * np.sqrt((1 - self.dominant) / 2)
        found: NDArray = (np.sqrt(self.dominant) + parts[0]) ** 2 + parts[1] ** 2
        return found

    def start(self, rng: np.random.Generator, devices: int, antennas: int = 1) -> "Multipath":
        shape = link_shape(devices, antennas)
        mean = np.full(shape, np.sqrt(self.dominant), complex)
        return Multipath(self.process.start(rng, shape), mean, np.sqrt(1 - self.dominant), self.heading)

    def trace(self, rng: np.random.Generator, devices: int, steps: int, moved: ArrayLike, antennas: int = 1) -> NDArray:
        """Gains (steps, K) [1] from time 0 on, all at once: from one seed what ``start`` and then ``after`` give, to rounding.

        The devices move at constant speed, ``moved`` (K,) [wavelengths] from one step to the next.
        """
        check_count("steps", steps)
        shape = link_shape(devices, antennas)
        h = self.process.trace(rng, shape, steps, moved)
        if self.factor:
            way = np.arange(steps)[:, None, None] * distances(moved, shape)
            h = along(np.sqrt(self.dominant), self.heading * way) + np.sqrt(1 - self.dominant) * h
        return combined(h)


@dataclass(frozen=True)
class Multipath:
    """The state of (1).

    Attributes
    ----------
    scatter : Scatter
        The scattered waves w (K, N).
    mean : (K, N) complex array
        The dominant part of ``h`` now.
    spread : float
        Amplitude of the scattered part [1].
    heading : float
        c of (1) [1].
    """

    scatter: Scatter
    mean: NDArray
    spread: float
    heading: float = 0.0

    @cached_property
    def h(self) -> NDArray:
        """Complex amplitudes (K, N)."""
        return self.mean + self.spread * self.scatter.w

    @cached_property
    def gain(self) -> NDArray:
        """Power (2) of the links (K,) [1]."""
        return combined(self.h)

    def after(self, rng: np.random.Generator, moved: ArrayLike) -> "Multipath":
        mean = along(self.mean, self.heading * distances(moved, self.mean.shape))
        return Multipath(self.scatter.after(rng, moved), mean, self.spread, self.heading)


@dataclass(frozen=True)
class Nakagami:
    """Gains of Gamma's law with mean one, drawn afresh at every step.

    Attributes
    ----------
    shape : float
        m, the square of the mean gain over its variance [1]; 1 is Rayleigh's law, 0.5 the deepest fades.
    """

    shape: float

    def __post_init__(self) -> None:
        if not 0.5 <= self.shape < np.inf:
            raise ValueError(f"shape must be 0.5 or more and finite [1], got {self.shape}")

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
        return rng.standard_gamma(self.shape, shape) / self.shape

    def start(self, rng: np.random.Generator, devices: int, antennas: int = 1) -> "Drawn":
        return Drawn(self, self.sample(rng, link_shape(devices, antennas)).sum(axis=-1), antennas)


@dataclass(frozen=True)
class Drawn:
    """Gains (K,) [1] over so many antennas of a law that forgets at once."""

    law: Nakagami
    gain: NDArray
    antennas: int

    def after(self, rng: np.random.Generator, moved: ArrayLike) -> "Drawn":
        distances(moved, self.gain.shape)
        return self.law.start(rng, len(self.gain), self.antennas)


@dataclass(frozen=True)
class NoFading:
    """Every gain is its mean: for tests, and for a line of sight."""

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
        del rng
        return np.ones(shape)

    def start(self, rng: np.random.Generator, devices: int, antennas: int = 1) -> Multipath:
        del rng
        one = np.ones(link_shape(devices, antennas), complex)
        return Multipath(Waves(Still(), 0 * one), one, 0.0)


def combined(h: NDArray) -> NDArray:
    """Power (2) [1] of amplitudes (..., N) over the last axis, the antennas."""
    total: NDArray = h.real**2
    total += h.imag**2
    return total[..., 0] if h.shape[-1] == 1 else total.sum(axis=-1)


def along(amplitude: ArrayLike, way: NDArray) -> NDArray:
    """A wave after a way [wavelengths] towards where it comes from."""
    return np.asarray(amplitude) * np.exp(2j * np.pi * way)


def link_shape(devices: int, antennas: int) -> tuple[int, int]:
    """The shape (K, N) of so many links, each 1 or more."""
    check_count("devices", devices)
    check_count("antennas", antennas)
    return devices, antennas
