"""Small-scale fading: random power gains around a mean of one, constant over a block."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Fading(Protocol):
    """Draws power gains |h|^2 [1], independent over ``shape``, with unit mean."""

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray: ...


@dataclass(frozen=True)
class Rayleigh:
    """h ~ CN(0, 1), many paths and none dominant, so |h|^2 is exponential with mean one."""

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
        return rng.standard_exponential(shape)


@dataclass(frozen=True)
class NoFading:
    """Every gain is its mean: for tests, and for a line of sight."""

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray:
        del rng
        return np.ones(shape)
