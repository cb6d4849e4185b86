r"""How scattered waves change while a device moves: complex normal amplitudes w ~ CN(0, 1), of one law at all times.

Waves come in evenly from all sides (Clarke's model). A device that moved d wavelengths (speed x time / wavelength) finds

.. math:: E[w(0)^*\, w(d)] = J_0(2 \pi d).                                                                 \tag{1}

``Jakes`` has (1) at every distance, as a sum of W waves, with uniform phases and u in [0, 1], u the same for all of a link:

.. math:: w(d) = W^{-1/2} \sum_{n=1}^{W} e^{j (\varphi_n + 2 \pi d \cos(\pi (n - u) / W))}.                  \tag{2}

They come from a half circle: the other half has the same cosines. In the long run each link has power one. A sum of W waves
is only nearly normal: fades of 1 % and below are rarer by 1 part in 2W than Rayleigh's, 1.6 % of their probability at W = 32.
``GaussMarkov`` is exactly normal, and has (1) from one step to the next,

.. math:: w' = r w + \sqrt{1 - r^2}\, z, \quad r = J_0(2 \pi d), \quad z \sim CN(0, 1),                     \tag{3}

where the root keeps the power at one. Over several steps their correlations multiply, so it depends on how time is cut.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isqrt
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import j0

COHERENCE = 0.242097595  # wavelengths after which (1) is 1/2; coherence time [s] = this x wavelength [m] / speed [m/s]
LINKS = 32               # links whose waves are summed at once: what they take stays in the cache


class Scatter(Protocol):
    """The scattered waves of links now: ``w`` (K, ...) complex, of mean power 1."""

    @property
    def w(self) -> NDArray: ...

    def after(self, rng: np.random.Generator, moved: ArrayLike) -> "Scatter":
        """Those after each of K devices moved so far (K,) [wavelengths]; what is drawn does not depend on ``moved``."""
        ...


class Process(Protocol):
    """A law of change. ``start`` gives the waves at time 0, ``trace`` those of many times, as ``after`` would one by one."""

    def start(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Scatter: ...

    def trace(self, rng: np.random.Generator, shape: tuple[int, ...], steps: int, moved: ArrayLike) -> NDArray:
        """``w`` (steps, K, ...) from time 0 on, at constant speed: ``moved`` (K,) [wavelengths] from one step to the next."""
        ...


@dataclass(frozen=True)
class Waves:
    """Waves that are known by their amplitudes ``w`` now, and by the process that they follow."""

    process: "Block | Still | GaussMarkov"
    w: NDArray

    def after(self, rng: np.random.Generator, moved: ArrayLike) -> "Waves":
        far = distances(moved, self.w.shape)
        return Waves(self.process, self.process.change(rng, self.w, far))


@dataclass(frozen=True)
class Block:
    """Drawn afresh at every step, however far a device moved: blocks longer than the coherence time."""

    def start(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Waves:
        return Waves(self, normal(rng, shape))

    def change(self, rng: np.random.Generator, w: NDArray, far: NDArray) -> NDArray:
        return normal(rng, w.shape)

    def trace(self, rng: np.random.Generator, shape: tuple[int, ...], steps: int, moved: ArrayLike = 0.0) -> NDArray:
        distances(moved, shape)
        return normal(rng, (steps, *shape))


@dataclass(frozen=True)
class Still:
    """Drawn once: nothing moves."""

    def start(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Waves:
        return Waves(self, normal(rng, shape))

    def change(self, rng: np.random.Generator, w: NDArray, far: NDArray) -> NDArray:
        return w

    def trace(self, rng: np.random.Generator, shape: tuple[int, ...], steps: int, moved: ArrayLike = 0.0) -> NDArray:
        distances(moved, shape)
        return np.broadcast_to(normal(rng, shape), (steps, *shape))


@dataclass(frozen=True)
class GaussMarkov:
    """The process (3): each step remembers the last one alone."""

    def start(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Waves:
        return Waves(self, normal(rng, shape))

    def change(self, rng: np.random.Generator, w: NDArray, far: NDArray) -> NDArray:
        r = j0(2 * np.pi * far)
        return r * w + np.sqrt(1 - r**2) * normal(rng, w.shape)

    def trace(self, rng: np.random.Generator, shape: tuple[int, ...], steps: int, moved: ArrayLike) -> NDArray:
        r = j0(2 * np.pi * distances(moved, shape))
        w = normal(rng, (steps, *shape))
        w[1:] *= np.sqrt(1 - r**2)
        _accumulate(w, r)
        return w


@dataclass(frozen=True)
class Jakes:
    """The process (2), a function of the whole way: ``after`` draws nothing, and two steps are as good as one.

    Attributes
    ----------
    waves : int
        W, how many waves make a link; 8 or more.
    """

    waves: int = 32

    def __post_init__(self) -> None:
        check_count("waves", self.waves, 8)

    def start(self, rng: np.random.Generator, shape: tuple[int, ...]) -> "Sum":
        u = rng.random((*shape, 1 + self.waves))
        cosine = np.cos(np.pi / self.waves * (np.arange(1, 1 + self.waves) - u[..., :1]))
        return Sum(2 * np.pi * u[..., 1:], cosine, np.zeros(shape[0]))

    def trace(self, rng: np.random.Generator, shape: tuple[int, ...], steps: int, moved: ArrayLike) -> NDArray:
        far = np.broadcast_to(distances(moved, shape), shape).reshape(-1, 1)
        start = self.start(rng, shape)
        phase, cosine = start.phase.reshape(-1, self.waves), start.cosine.reshape(-1, self.waves)
        w = np.empty((steps, len(phase)), complex)
        for first in range(0, len(phase), LINKS):
            some = slice(first, first + LINKS)
            w[:, some] = _rotated(phase[some], 2 * np.pi * far[some] * cosine[some], steps).T
        return w.reshape(steps, *shape)


@dataclass(frozen=True)
class Sum:
    """The waves of (2): their phases and the cosines of their directions (K, ..., W), and the way so far (K,) [wavelengths]."""

    phase: NDArray
    cosine: NDArray
    way: NDArray

    @cached_property
    def w(self) -> NDArray:
        angle = self.phase + 2 * np.pi * _per_device(self.way, self.phase.shape) * self.cosine
        return (np.cos(angle).sum(axis=-1) + 1j * np.sin(angle).sum(axis=-1)) / np.sqrt(self.phase.shape[-1])

    def after(self, rng: np.random.Generator, moved: ArrayLike) -> "Sum":
        return Sum(self.phase, self.cosine, self.way + distances(moved, self.way.shape))


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
    """Complex normal numbers CN(0, 1) of a shape."""
    parts = rng.standard_normal((*shape, 2))
    parts *= np.sqrt(0.5)
    return parts.view(complex)[..., 0]


def check_count(name: str, count: int, least: int = 1) -> None:
    """A sentence if a ``count`` is not a whole number of ``least`` or more."""
    if not (isinstance(count, int | np.integer) and count >= least):
        raise ValueError(f"{name} must be a whole number of {least} or more, got {count!r}")


def distances(moved: ArrayLike, shape: tuple[int, ...]) -> NDArray:
    """``moved`` (K,) [wavelengths], or one number for all, as an array (K, 1, ...) that goes with ``shape`` (K, ...)."""
    far = np.asarray(moved, float)
    if far.shape not in ((), shape[:1]) or not (np.isfinite(far) & (far >= 0)).all():
        raise ValueError(f"moved must be zero or more and finite [wavelengths], one number or {shape[0]}, got {moved!r}")
    return _per_device(np.broadcast_to(far, shape[:1]), shape)


def _per_device(values: NDArray, shape: tuple[int, ...]) -> NDArray:
    return values.reshape(-1, *(1 for _ in shape[1:]))


def _accumulate(z: NDArray, r: NDArray) -> None:
    """z[t] += r z[t - 1] for t = 1, 2, ... in place: within all stretches at once, then from each stretch to the next."""
    length = isqrt(len(z))
    whole = len(z) // length * length
    stretches = z[:whole].reshape(-1, length, *z.shape[1:])
    for t in range(1, length):
        stretches[:, t] += r * stretches[:, t - 1]
    powers = r ** np.arange(1, length + 1).reshape(-1, *(1 for _ in z.shape[1:]))
    for last, stretch in pairwise(stretches):
        stretch += powers * last[-1]
    for t in range(whole, len(z)):
        z[t] += r * z[t - 1]


def _rotated(phase: NDArray, angle: NDArray, steps: int) -> NDArray:
    """(2) for phases (L, W) that advance by ``angle`` (L, W) a step: (L, steps), as a product of coarse and fine rotations."""
    fine = isqrt(steps - 1) + 1
    coarse = -(-steps // fine)
    start = np.exp(1j * phase)[:, None] / np.sqrt(phase.shape[-1])
    far = start * _powers(np.exp(1j * fine * angle), coarse)
    return (far @ _powers(np.exp(1j * angle), fine).swapaxes(1, 2)).reshape(len(phase), -1)[:, :steps]


def _powers(x: NDArray, count: int) -> NDArray:
    """x^0, x^1, ... (L, count, W) of x (L, W), by doubling."""
    found = np.ones((len(x), count, x.shape[-1]), complex)
    have = 1
    while have < count:
        more = min(have, count - have)
        np.multiply(found[:, :more], (found[:, have - 1] * x)[:, None], out=found[:, have : have + more])
        have += more
    return found
