r"""Where devices are, as a function of time: the server stands at the origin, devices in the ring nearest <= \|x\| <= radius.

A motion answers for any time, in any order and as often as one likes, always the same: what is random about it hangs on one
seed of each device, drawn at its start. So a device's way depends on where and with what seed it starts, and not on how often one
looks. (Where devices start is drawn for all of them together: a cell with another number of devices is another cell.)
Devices do not meet the inner disc: straight lines are reflected at its edge, random waypoints (``channels/waypoint.py``) lead
around it. All of it holds up to the rounding of doubles.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ring = tuple[float, float]                              # (nearest, radius): distances from the server [m]
State = tuple[NDArray, NDArray, NDArray]                # position (K, 2) [m], velocity (K, 2) [m/s], travelled (K,) [m]


class Motion(Protocol):
    """The ways of K devices."""

    def at(self, time: float) -> State:
        """Position (K, 2) [m], velocity (K, 2) [m/s] and the length of way since time 0 (K,) [m], at ``time`` [s] >= 0."""


class Mobility(Protocol):
    """A law of motion."""

    def start(self, rng: np.random.Generator, position: ArrayLike, ring: Ring) -> Motion:
        """Set devices at ``position`` (K, 2) [m], inside the ``ring`` (nearest, radius) [m], going at time 0."""

    def settled(self, rng: np.random.Generator, devices: int, ring: Ring) -> Motion:
        """The law's steady state: ``devices`` where it leaves them at late times, so that nothing drifts from time 0 on."""


@dataclass(frozen=True)
class Still:
    """Nobody moves; in the steady state, as good as any, devices stand uniformly in the ring."""

    def start(self, rng: np.random.Generator, position: ArrayLike, ring: Ring) -> "Standing":
        del rng
        return Standing(inside(position, ring))

    def settled(self, rng: np.random.Generator, devices: int, ring: Ring) -> "Standing":
        return self.start(rng, uniform_places(rng, devices, ring), ring)


@dataclass(frozen=True, eq=False)
class Standing:
    """The motion of devices that stay at ``position`` (K, 2) [m]."""

    position: NDArray

    def at(self, time: float) -> State:
        checked_time(time)
        return self.position.copy(), np.zeros_like(self.position), np.zeros(len(self.position))


@dataclass(frozen=True)
class Straight:
    """Straight lines in uniform directions, reflected at both edges of the ring like light at a mirror.

    Each device keeps one speed, uniform between ``slowest`` and ``fastest`` [m/s]. Devices that stand uniformly in the ring at
    time 0 do so at all times, since lines and reflections keep areas.
    """

    slowest: float = 1.0
    fastest: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.slowest <= self.fastest < np.inf:
            raise ValueError("slowest and fastest must be 0 <= slowest <= fastest, finite [m/s], "
                             f"got {self.slowest} and {self.fastest}")

    def start(self, rng: np.random.Generator, position: ArrayLike, ring: Ring) -> "Reflected":
        place = inside(position, ring)
        turn, share = uniforms(seeds(rng, len(place)), 0, 2).T
        return Reflected(ring, place, 2 * np.pi * turn, self.slowest + (self.fastest - self.slowest) * share)

    def settled(self, rng: np.random.Generator, devices: int, ring: Ring) -> "Reflected":
        return self.start(rng, uniform_places(rng, devices, ring), ring)


@dataclass(frozen=True, eq=False)
class Reflected:
    r"""Straight lines between two mirrors, circles around the origin, in closed form.

    Such a mirror keeps a line's distance b from the origin, so all lines of a device are one line, turned. At s along it, from
    the point next to the origin, the device is at the distance sqrt(b^2 + s^2) and the angle atan(s / b). It goes out from
    s = c to s = S = sqrt(radius^2 - b^2), is reflected, goes in from -S to -c, and so on; c = sqrt(nearest^2 - b^2) where the
    line would meet the inner circle, and 0 where it passes.                                                              (1)

    Attributes
    ----------
    place : (K, 2) array
        Position at time 0 [m].
    direction, speed : (K,) array
        Angle of the way against the first axis at time 0 [rad], and its speed [m/s].
    """

    ring: Ring
    place: NDArray
    direction: NDArray
    speed: NDArray

    def at(self, time: float) -> State:
        nearest, radius = self.ring
        travelled = self.speed * checked_time(time)
        ahead = np.stack([np.cos(self.direction), np.sin(self.direction)], -1)
        s0, moment = np.sum(self.place * ahead, -1), cross(self.place, ahead)
        b, side = np.abs(moment), np.where(moment < 0, -1.0, 1.0)                         # side: which way round it turns
        c = np.sqrt(np.maximum(nearest**2 - b**2, 0))
        most = np.sqrt(np.maximum(radius**2 - b**2, (1e-9 * radius) ** 2))                # S; along the edge it creeps
        half = most - c
        gone = np.where(s0 >= 0, np.clip(s0 - c, 0, half), np.clip(half + s0 + most, half, 2 * half))
        tours, left = np.divmod(gone + travelled, 2 * half)
        s, turned = _on_tour(left, b, c, most)
        tour = 2 * (np.arctan2(most, b) - np.arctan2(c, b))                               # angle of one way out and in
        angle = np.arctan2(self.place[:, 1], self.place[:, 0]) + side * (tours * tour + turned - _on_tour(gone, b, c, most)[1])
        distance, out = np.hypot(b, s), np.stack([np.cos(angle), np.sin(angle)], -1)
        velocity = (self.speed / distance)[:, None] * (s[:, None] * out + (side * b)[:, None] * left_of(out))
        return distance[:, None] * out, velocity, travelled


def _on_tour(gone: NDArray, b: NDArray, c: NDArray, most: NDArray) -> tuple[NDArray, NDArray]:
    """The place s of (1) [m], and the angle turned [rad], so far [m] after the last time at s = c."""
    outward = gone < most - c
    s = np.where(outward, c + gone, gone - 2 * most + c)
    return s, np.arctan2(s, b) - np.arctan2(c, b) + np.where(outward, 0.0, 2 * np.arctan2(most, b))


def seeds(rng: np.random.Generator, devices: int) -> NDArray:
    """A seed for each device (K,); those of the first devices are the same however many there are."""
    return rng.integers(2**63, size=devices)


def uniforms(of: NDArray, chapter: int, *shape: int) -> NDArray:
    """Numbers in [0, 1) of each seed, ``(K, *shape)``, the same each time; each ``chapter`` has its own."""
    found = [np.random.default_rng([int(seed), chapter]).random(shape) for seed in of]
    return np.array(found).reshape(len(of), *shape)


def uniform_places(rng: np.random.Generator, devices: int, ring: Ring) -> NDArray:
    """Places (K, 2) [m] that are uniform in the ring: first all distances are drawn, then all angles."""
    nearest, radius = checked_ring(ring)
    distance, angle = np.sqrt(rng.uniform(nearest**2, radius**2, devices)), rng.uniform(0, 2 * np.pi, devices)
    return distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def uniform_in(ring: Ring, draws: NDArray) -> NDArray:
    """Places (..., 2) [m] that are uniform in the ring, from ``draws`` (..., 2) that are uniform in [0, 1)."""
    nearest, radius = ring
    distance, angle = np.sqrt(nearest**2 + (radius**2 - nearest**2) * draws[..., 0]), 2 * np.pi * draws[..., 1]
    return distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def cross(a: NDArray, b: NDArray) -> NDArray:
    """The third component of the vector product of plane vectors (..., 2)."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def left_of(direction: NDArray) -> NDArray:
    """Plane vectors (..., 2), turned to the left by a right angle."""
    return np.stack([-direction[..., 1], direction[..., 0]], -1)


def checked_ring(ring: Ring) -> Ring:
    """The ring itself, if it is one."""
    nearest, radius = ring
    if not 0 < nearest < radius < np.inf:
        raise ValueError(f"ring must be (nearest, radius) with 0 < nearest < radius [m], got {nearest} and {radius}")
    return ring


def checked_time(time: float) -> float:
    """The time itself, if it is one."""
    if not 0 <= time < np.inf:
        raise ValueError(f"time must be zero or more and finite [s], got {time}")
    return time


def inside(position: ArrayLike, ring: Ring) -> NDArray:
    """Positions as a (K, 2) array [m] of their own, if all are in the ring up to rounding."""
    nearest, radius = checked_ring(ring)
    place = np.array(position, float)
    if place.ndim != 2 or place.shape[1] != 2:
        raise ValueError(f"position must be of the shape (devices, 2) [m], got {place.shape}")
    distance = np.hypot(place[:, 0], place[:, 1])
    outside = ~((distance >= nearest * (1 - 1e-9)) & (distance <= radius * (1 + 1e-9)))
    if np.any(outside):
        k = int(np.argmax(outside))
        raise ValueError(f"position must be {nearest} to {radius} m from the server at the origin, got {distance[k]} m "
                         f"of device {k}")
    return place
