"""Random waypoints: to a place drawn uniformly in the ring, there a pause, and so on, from the steady state on."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.mobility import Ring, State, checked_ring, checked_time, cross, inside, left_of, seeds, uniform_in, uniforms


@dataclass(frozen=True)
class RandomWaypoint:
    """To a place drawn uniformly in the ring, at a speed drawn uniformly, there a pause; and so on.

    The way is the shortest one in the ring: a straight line, or one that bends around the inner circle.

    This law does not keep the uniform density: in the steady state the middle is denser. And slow legs last longer, so that the
    mean speed while moving is not (slowest + fastest) / 2, but falls towards (fastest - slowest) / ln(fastest / slowest); with
    ``slowest`` = 0 it would fall to nothing, which is refused. :meth:`settled` draws places and legs of the steady state, from
    which no statistic drifts. :meth:`start` takes places from elsewhere: while the first legs last, devices drift to the middle
    and pauses come in waves; only the speeds of the first legs are those of the steady state from time 0 on.

    Attributes
    ----------
    slowest, fastest : float
        Range of the speeds [m/s], 0 < slowest <= fastest.
    pause : float
        Time at each target [s].

    References
    ----------
    W. Navidi, T. Camp, "Stationary distributions for the random waypoint mobility model", IEEE Trans. Mobile Comput., 2004.
    """

    slowest: float = 0.5
    fastest: float = 1.5
    pause: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.slowest <= self.fastest < np.inf:
            raise ValueError("slowest and fastest must be 0 < slowest <= fastest, finite [m/s] (from 0 on the mean speed would "
                             f"fall to nothing), got {self.slowest} and {self.fastest}")
        if not 0 <= self.pause < np.inf:
            raise ValueError(f"pause must be zero or more and finite [s], got {self.pause}")

    def start(self, rng: np.random.Generator, position: ArrayLike, ring: Ring) -> "Waypoints":
        """Every device begins a leg at its ``position`` (K, 2) [m] at time 0."""
        place = inside(position, ring)
        each = seeds(rng, len(place))
        draws = uniforms(each, 0, 3)
        return Waypoints(self, ring, each, Legs(place, uniform_in(ring, draws[:, :2]), self._lasting(draws[:, 2])),
                         np.zeros(len(place)))

    def settled(self, rng: np.random.Generator, devices: int, ring: Ring) -> "Waypoints":
        """Places, targets and speeds of ``devices`` as they are at a late time."""
        nearest, radius = checked_ring(ring)
        longest = way_length(np.array([radius, 0.0]), np.array([-radius, 0.0]), nearest)
        each = seeds(rng, devices)
        found = np.array([self._found(int(seed), ring, float(longest)) for seed in each]).reshape(devices, 6)
        return Waypoints(self, ring, each, Legs(found[:, :2], found[:, 2:4], found[:, 4]), found[:, 5])

    def _found(self, seed: int, ring: Ring, longest: float) -> NDArray:
        """A leg that is under way at a late time, (6,): its start and end [m], speed [m/s], and how long it has lasted [s].

        At such a time a leg is found in proportion to the time that it takes, L / v + pause: speeds are drawn from the density
        1 / v, and of these legs each is kept in proportion to L + v pause.
        """
        source = np.random.default_rng([seed, 0])
        while True:
            draws = source.random((16, 7))
            start, end, v = uniform_in(ring, draws[:, :2]), uniform_in(ring, draws[:, 2:4]), self._lasting(draws[:, 4])
            weight = way_length(start, end, ring[0]) + v * self.pause
            kept = np.flatnonzero(draws[:, 5] * (longest + self.fastest * self.pause) < weight)[:1]
            if len(kept):
                return np.concatenate([start[kept], end[kept], v[kept, None], (draws[:, 6:] * (weight / v)[:, None])[kept]], 1)[0]

    def _lasting(self, draws: NDArray) -> NDArray:
        """Speeds of the density 1 / v [m/s]."""
        return self.slowest * (self.fastest / self.slowest) ** draws


class Legs(NamedTuple):
    """Ways from start to end, (K,) of them or (J, K) one after the other."""

    start: NDArray       # (..., 2) [m]
    end: NDArray         # (..., 2) [m]
    speed: NDArray       # (...) [m/s]


class _Table(NamedTuple):
    """The first J legs of K devices."""

    legs: Legs
    length: NDArray      # (J, K) [m]
    begun: NDArray       # (J, K) time since the first of them began [s]
    walked: NDArray      # (J, K) length of way before the leg [m]


@dataclass(frozen=True, eq=False)
class Waypoints:
    """The motion of :class:`RandomWaypoint`: legs are drawn when somebody asks for a time that late, always the same ones.

    Attributes
    ----------
    seeds : (K,) array of int
        What all further legs of a device hang on.
    first : Legs
        The leg of each device at time 0.
    lasted : (K,) array
        How long that leg has lasted by then [s].
    """

    law: RandomWaypoint
    ring: Ring
    seeds: NDArray
    first: Legs
    lasted: NDArray
    _tables: list[_Table] = field(default_factory=list, init=False, repr=False)      # what has been drawn, the last one is all

    def at(self, time: float) -> State:
        clock = checked_time(time) + self.lasted
        while not self._tables or np.any(self._tables[-1].begun[-1] <= clock):
            self._tables.append(self._longer())
        legs, length, begun, walked = self._tables[-1]
        j, k = np.sum(begun <= clock, axis=0) - 1, np.arange(len(clock))
        start, end, speed = (of[j, k] for of in legs)
        gone = np.minimum(speed * (clock - begun[j, k]), length[j, k])
        position, heading = way_at(start, end, self.ring[0], gone)
        moving = np.where(gone < length[j, k], speed, 0.0)
        before = np.minimum(self.first.speed * self.lasted, length[0])
        return position, moving[:, None] * heading, walked[j, k] + gone - before

    def _longer(self) -> _Table:
        """The table with more legs: one, then 16, 32, 64, ... more."""
        if not self._tables:
            return self._table(Legs(*(of[None] for of in self.first)))
        known, chapter = self._tables[-1].legs, len(self._tables)
        draws = np.moveaxis(uniforms(self.seeds, chapter, 8 * 2**chapter, 3), 0, 1)
        end = uniform_in(self.ring, draws[..., :2])
        start = np.concatenate([known.end[-1:], end[:-1]])
        speed = self.law.slowest + (self.law.fastest - self.law.slowest) * draws[..., 2]
        return self._table(Legs(*(np.concatenate(pair) for pair in zip(known, (start, end, speed), strict=True))))

    def _table(self, legs: Legs) -> _Table:
        length = way_length(legs.start, legs.end, self.ring[0])
        until = [np.cumsum(one, axis=0) for one in (length / legs.speed + self.law.pause, length)]
        begun, walked = (np.concatenate([np.zeros_like(one[:1]), one[:-1]]) for one in until)
        return _Table(legs, length, begun, walked)


def way_length(start: NDArray, end: NDArray, nearest: float) -> NDArray:
    """Length of the shortest way (...) [m] between places (..., 2) [m] outside the circle of radius ``nearest`` [m]."""
    _, arc, tangents, _ = _bend(start, end, nearest)
    straight = np.hypot(*np.moveaxis(end - start, -1, 0))
    return np.where(arc > 0, sum(tangents) + nearest * arc, straight)


def way_at(start: NDArray, end: NDArray, nearest: float, gone: NDArray) -> tuple[NDArray, NDArray]:
    """Place (..., 2) [m] and direction (..., 2) [1] on the shortest way, ``gone`` (...) [m] after its start.

    Where the line would cut the circle, the way is a tangent, an arc and a tangent: on both tangents the direction is that of
    the circle where they touch it.
    """
    angle, arc, (to_arc, _), side = _bend(start, end, nearest)
    on_arc = np.clip(gone - to_arc, 0, nearest * arc)
    angle = angle + side * on_arc / nearest
    out = np.stack([np.cos(angle), np.sin(angle)], -1)
    along = side[..., None] * left_of(out)
    line = end - start
    line = line / np.maximum(np.hypot(line[..., 0], line[..., 1]), 1e-300)[..., None]
    bends = (arc > 0)[..., None]
    place = np.where(bends, nearest * out + (gone - to_arc - on_arc)[..., None] * along, start + gone[..., None] * line)
    return place, np.where(bends, along, line)


def _bend(start: NDArray, end: NDArray, nearest: float) -> tuple[NDArray, NDArray, tuple[NDArray, NDArray], NDArray]:
    """Where the first tangent touches [rad], the arc [rad], 0 for a straight way, the tangents [m], and the turn (1 is left)."""
    far = [np.hypot(place[..., 0], place[..., 1]) for place in (start, end)]
    between = np.arctan2(cross(start, end), np.sum(start * end, -1))
    side = np.where(between < 0, -1.0, 1.0)
    before, after = (np.arccos(np.minimum(nearest / one, 1.0)) for one in far)
    tangents = [np.sqrt(np.maximum(one**2 - nearest**2, 0)) for one in far]
    angle = np.arctan2(start[..., 1], start[..., 0]) + side * before
    return angle, np.maximum(np.abs(between) - before - after, 0), (tangents[0], tangents[1]), side
