r"""What a device answers to two prices when it pays for energy, band and lost progress.

With x = 1 - rho, slack t = T - T0 - xC, load U = alpha + xD, gain over noise density G and w = U ln2 / (t b), the nats that a
symbol carries, a device whose rate just meets the deadline in the band b spends

.. math:: E(x, b) = E_0 + x E_1 + \frac{t b}{G} (e^w - 1),\qquad b \ge b_{min}(x),                        \tag{1}

jointly convex and falling in b (``optim.band``, where b_min is). At a rent lambda of the band [J/Hz] and a worth nu of
progress [J] it takes the option, the ratio and the band of

.. math:: \min_{o, x, b}\; \omega E(x, b) + \lambda b + \nu\,(\varphi + c(1 - x)).                        \tag{2}

The band left free solves (t / G) psi(w) = lambda / omega, psi(w) = 1 - e^w + w e^w, and b is the larger of that and b_min. With
h = max(lambda - omega t psi / G, 0), what b_min holds back, the envelope theorem makes rho the root of the falling

.. math:: \omega E_1 + \frac{\omega}{G} (D e^w \ln 2 + C b\,\psi) + h\,|b_{min}'(\rho)| - \nu c'(\rho).   \tag{3}

As in ``optim.curves``, it is searched for over the logarithm of the ratio's share of its range.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from channels.arrays import namespace
from channels.rates import LN2
from optim.band import Ratios, band_and_relief, ratio_range
from optim.costs import pick, slack, uplink_load
from optim.problem import Deadline
from optim.roots import falling_root
from optim.summit import Probe, Summit, blend, choose, summit

LEAST_RATIO = 1e-150        # a power law's slope has no logarithm at 0
SHALLOWEST = -36.8          # log of the share of its range that counts as the ratio's lowest

PATIENCE = 300              # steps for a root: it may be a jump, at a knot of the pruning cost


class Response(NamedTuple):
    """What each option of each device answers, (..., K, O)."""

    depth: NDArray      # log of the ratio's share of its range
    pull: NDArray       # log of the marginal saving of pruning [J] over the marginal loss of progress [1]
    ratio: NDArray
    band: NDArray       # [Hz]
    energy: NDArray     # weighted [J]
    loss: NDArray       # phi + c(ratio) [1]


class Choice(NamedTuple):
    """The option of each device that costs least, and its answer, (..., K)."""

    option: NDArray
    ratio: NDArray
    band: NDArray
    energy: NDArray
    loss: NDArray
    cost: NDArray       # (2) [J]


class Devices:
    """The devices of one problem, (..., K, O), and the ratios that are possible to them."""

    def __init__(self, problem: Deadline, weights: NDArray) -> None:
        self.xp = xp = namespace(problem.gain)
        ratios = Ratios(*(xp.broadcast_to(v, problem.shape) for v in ratio_range(problem)))
        low, high, self.pole = ratios
        self.problem, self.possible = problem, ratios.possible
        self.low = xp.where(self.possible, low, 0.5)
        self.width = xp.where(self.possible, high, 0.5) - self.low
        self.weights, self.quality = weights[..., None], problem.gain[..., None]
        self.top, self.bottom = xp.zeros_like(self.low), xp.zeros_like(self.low) + SHALLOWEST

    def at(self, rent: NDArray, depth: NDArray) -> Response:
        """Answers at a rent (...,) and at ratios of a given depth: the band of (2), and (3) without its last term."""
        xp, costs, weights, quality = self.xp, self.problem.costs, self.weights, self.quality
        lowest = (depth <= SHALLOWEST) & ~self.pole
        ratio = xp.where(lowest, self.low, self.low + self.width * xp.exp(depth))
        keep, rent = 1 - ratio, rent[..., None, None]
        least, relief = band_and_relief(self.problem, ratio)
        time = slack(costs, keep, self.problem.deadline[..., None, None])
        nats = uplink_load(costs, keep) * LN2
        most = xp.where(nats > 0, nats / (time * least), 0.0)
        free = nats_for(rent * quality / (weights * time))
        carried = xp.where(free < most, free, most)
        band = xp.where(free < most, nats / (time * free), least)
        dear = psi(carried)
        held = xp.where(free < most, 0.0, xp.clip(rent - weights * time * dear / quality, min=0.0))
        per_nat = xp.where(carried > 0, xp.expm1(carried) / carried, 1.0)
        radiated = xp.where(nats > 0, nats / quality * per_nat, 0.0)
        sending = (costs.kept_bits * LN2 * xp.exp(carried) + costs.kept_time * xp.where(dear > 0, band * dear, 0.0)) / quality
        saving = weights * (costs.kept_energy + xp.where(nats > 0, sending, 0.0)) + xp.where(held > 0, held * relief, 0.0)
        pull = xp.log(saving) - self.problem.pruning.log_slope(xp.clip(ratio, LEAST_RATIO, 1.0))
        spent = weights * (costs.fixed_energy + keep * costs.kept_energy + radiated)
        loss = self.problem.noise + self.problem.pruning.value(ratio)
        return Response(depth, xp.where(xp.isnan(pull), -float("inf"), pull), ratio, band, spent, loss)

    def ends(self, rent: NDArray) -> tuple[Response, Response]:
        """Answers with the lowest and with the highest ratios."""
        return self.at(rent, self.bottom), self.at(rent, self.top)

    def answer(self, rent: NDArray, worth: NDArray, left: Response, right: Response) -> Response:
        """The root of (3) for a rent and a worth (...,), between answers to higher (left) and lower (right) worths."""
        xp, level = self.xp, self.xp.log(worth)[..., None, None]

        def gain(pull: NDArray) -> NDArray:
            return xp.where(pull == -float("inf"), pull, pull - level)

        depth = falling_root(lambda d: gain(self.at(rent, d).pull), left.depth, right.depth, gain(left.pull), gain(right.pull),
                             max_iter=PATIENCE)
        return self.at(rent, depth)

    def choice(self, rent: NDArray, worth: NDArray, response: Response) -> Choice:
        """The option of each device that costs least."""
        xp = self.xp
        _, _, ratio, band, spent, loss = response
        rent = rent[..., None, None]
        cost = spent + xp.where(rent > 0, rent * band, 0.0) + worth[..., None, None] * loss
        cost = xp.where(self.possible, cost, float("inf"))
        option = xp.argmin(cost, axis=-1)
        return Choice(option, *(pick(v, option)[..., 0] for v in (ratio, band, spent, loss, cost)))

    def first_prices(self) -> tuple[NDArray, NDArray]:
        """A rent [J/Hz] and a worth of progress [J] to start from (...,): those of equal bands and half the pruning."""
        xp, costs = self.xp, self.problem.costs
        keep = 1 - self.low - 0.5 * self.width
        time = slack(costs, keep, self.problem.deadline[..., None, None])
        band = self.problem.band[..., None, None] / self.low.shape[-2]
        carried = xp.clip(uplink_load(costs, keep) * LN2 / (time * band), min=1e-3, max=50.0)
        rent = self._typical(self.weights * time / self.quality * psi(carried))
        return rent, self._typical(xp.exp(self.at(rent, self.top - 0.7).pull))

    def _typical(self, values: NDArray) -> NDArray:
        """Geometric mean over devices and options where it is known, (...,)."""
        xp = self.xp
        known = self.possible & xp.isfinite(values) & (values > 0)
        logs = xp.where(known, xp.log(xp.where(known, values, 1.0)), 0.0)
        count = xp.clip(xp.sum(xp.astype(known, logs.dtype), axis=(-2, -1)), min=1.0)
        return xp.exp(xp.clip(xp.sum(logs, axis=(-2, -1)) / count, min=-100.0, max=100.0))


def search(devices: Devices, limit: NDArray, settled: NDArray, ceiling: NDArray, rtol: float) -> Summit:
    """The top of the dual value over the rent, and for each rent over the worth of progress: a Summit of Summits of Choices.

    Parameters
    ----------
    limit, ceiling : (...,) array
        Progress that may be lost [1], and an energy above which the dual value [J] is of no interest.
    settled : (...,) bool array
        Rows that are not searched.
    """
    rent, worth = devices.first_prices()

    def at(rent: NDArray) -> Probe:
        nonlocal worth
        inner = _over_loss(devices, rent, worth, limit, settled, ceiling, 0.1 * rtol)
        worth = devices.xp.where(inner.high.price > 0, inner.high.price, worth)
        used, band = devices.xp.sum(blend(inner, lambda end: end.answer.band), axis=-1), devices.problem.band
        return Probe(rent, inner.value, used - band, _log_ratio(devices.xp, used, band), inner.high.scale, inner)

    return summit(at, rent, settled, ceiling, rtol)


def devices_cost(problem: Deadline, weights: NDArray, rent: NDArray, worth: NDArray) -> NDArray:
    """The least of (2) for each device (..., K) [J], at prices (...,)."""
    with np.errstate(all="ignore"):
        devices = Devices(problem, weights)
        return devices.choice(rent, worth, devices.answer(rent, worth, *devices.ends(rent))).cost


def _over_loss(devices: Devices, rent: NDArray, start: NDArray, limit: NDArray, settled: NDArray, ceiling: NDArray,
               rtol: float) -> Summit:
    xp, ends, band = devices.xp, devices.ends(rent), devices.problem.band
    seen: list[tuple[NDArray, Response]] = []

    def at(worth: NDArray) -> Probe:
        left, right = ends
        for other, response in seen:                 # pruning falls as progress gains in worth
            left = choose((other >= worth)[..., None, None] & (response.depth > left.depth), response, left)
            right = choose((other <= worth)[..., None, None] & (response.depth < right.depth), response, right)
        response = devices.answer(rent, worth, left, right)
        seen.append((worth, response))
        choice = devices.choice(rent, worth, response)
        lost, cost = xp.sum(choice.loss, axis=-1), xp.sum(choice.cost, axis=-1)
        value = cost - rent * band - worth * limit
        return Probe(worth, value, lost - limit, _log_ratio(xp, lost, limit), cost + rent * band + worth * limit, choice)

    free = at(0 * rent)
    idle = free.slope <= 1e-12 * limit           # the limit is no limit
    found = summit(at, start, settled | idle, ceiling, rtol)
    return choose(idle, Summit(free, free, 0 * rent, free.value, 0), found)


def _log_ratio(xp: Any, a: NDArray, b: NDArray) -> NDArray:
    return xp.clip(xp.log((a + 1e-30) / (b + 1e-30)), min=-800.0, max=800.0)


def psi(w: NDArray) -> NDArray:
    """1 - e^w + w e^w, by its series where the terms would cancel."""
    xp = namespace(w)
    small = xp.where(w < 0.3, w, 0.0)
    series = 1 / 43545600 + 0 * small
    for term in (1 / 3991680, 1 / 403200, 1 / 45360, 1 / 5760, 1 / 840, 1 / 144, 1 / 30, 1 / 8, 1 / 3, 1 / 2):
        series = series * small + term
    large = xp.where(w < 0.3, 1.0, w)
    return xp.where(w < 0.3, small * small * series, large * xp.exp(large) - xp.expm1(large))


def nats_for(y: NDArray) -> NDArray:
    """The w >= 0 with psi(w) = y, 1 + W0((y - 1) / e) in textbooks: by Newton's method on log psi over log w, from above."""
    xp = namespace(y)
    inside = (y > 1e-290) & (y < 1e290)
    goal = xp.where(inside, y, 1.0)
    w = xp.where(goal < 2.0, xp.sqrt(2 * goal), 1 + xp.log1p(goal))
    for _ in range(5):
        value = psi(w)
        w = w * xp.exp((xp.log(goal) - xp.log(value)) * value / (w * w * xp.exp(w)))
    return xp.where(inside, w, xp.where(y > 1.0, 700.0, 0.0))
