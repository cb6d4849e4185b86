r"""The deadline problem of subchannels as a mixed-integer linear program of tangents, for HiGHS.

With whole shares a_km, powers q_km <= P_k a_km and rates s_km of the subchannels, whole choices z_ko of the options and the rate
R_ko that the chosen option uses, losses theta_ko and rates obey the tangents of convex functions

.. math::

    s_{km} &\le f(p)\,a_{km} + f'(p)\,(q_{km} - p\,a_{km}),\qquad f(p) = W \log_2(1 + p G_{km} / W),          \tag{1} \\
    \theta_{ko} &\ge L_{ko}(R)\,z_{ko} + L_{ko}'(R)\,(R_{ko} - R\,z_{ko}),                                    \tag{2}

at any powers p and rates R. Every tangent holds for all assignments, so the program bounds the loss from below whichever it has;
with all of them, and shares that need not be whole, it is the relaxation of ``optim.subchannels_bound`` (options mixed as well).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import csr_array, eye_array, hstack, kron, vstack

from optim.subchannels import ROUNDING, Subchannels, filled, full_rate, held, keep_by, rate_for, slope_of
from optim.water_filling import LN2, water_fill

PART = 1e-7         # a share below this is none


class Point(NamedTuple):
    """A solution of the program: a, q, s, (K, M), and z, R, theta, (K, O), in units of each device's rate and power."""

    share: NDArray
    power: NDArray
    rate: NDArray
    choice: NDArray
    used: NDArray
    loss: NDArray


class Program:
    """The program of one problem, with the tangents so far; rates in units of a device's largest, powers of its peak."""

    def __init__(self, cells: Subchannels) -> None:
        table = cells.table
        self.cells, (self.devices, self.places), self.options = cells, cells.shape, table.slack.shape[-1]
        self.unit = filled(full_rate(cells.gain, cells.width, cells.peak_power))[:, None]
        self.least = rate_for(table, 1 - table.most) / self.unit
        self.possible = self.least <= 1 + ROUNDING
        self.least = np.where(self.possible, np.minimum(self.least, 1.0), 0.0)
        self.most = np.clip(rate_for(table, 1 - table.least) / self.unit, self.least, 1.0)
        self.scale = float(filled(np.max(table.noise + cells.problem.pruning.value(table.most), axis=-1).sum()))
        self.snr = cells.peak_power[:, None] * cells.gain / cells.width
        self._rules: list[tuple[Any, NDArray]] = []
        self._state_rules()

    @property
    def sizes(self) -> dict[str, int]:
        pairs, choices = self.devices * self.places, self.devices * self.options
        return {"a": pairs, "q": pairs, "s": pairs, "z": choices, "R": choices, "theta": choices}

    def rule(self, high: float, **blocks: Any) -> None:
        """Demand that the sum of blocks times their variables is at most ``high``."""
        rows = next(iter(blocks.values())).shape[0]
        parts = [csr_array(blocks[name]) if name in blocks else csr_array((rows, size)) for name, size in self.sizes.items()]
        self._rules.append((hstack(parts, format="csr"), np.full(rows, high)))

    def _state_rules(self) -> None:
        each, pairs, choices = (eye_array(n) for n in (self.devices, self.sizes["a"], self.sizes["z"]))
        of_place = kron(np.ones((1, self.devices)), eye_array(self.places))
        of_device, of_option = kron(each, np.ones((1, self.places))), kron(each, np.ones((1, self.options)))
        self.rule(1.0, a=of_place)
        self.rule(1.0, q=of_device)
        self.rule(0.0, q=pairs, a=-pairs)
        self.rule(0.0, R=of_option, s=-of_device)
        self.rule(1.0, z=of_option)
        self.rule(-1.0, z=-of_option)
        self.rule(0.0, z=_scaled(self.least, choices), R=-choices)
        self.rule(0.0, R=choices, z=_scaled(-self.most, choices))

    def fix_powers(self, power: NDArray) -> None:
        """Let s be at most what fixed powers (K, M) [W] carry, whatever q."""
        pairs = eye_array(self.sizes["a"])
        carries = np.log1p(power * self.cells.gain / self.cells.width) * (self.cells.width / LN2) / self.unit
        self.rule(0.0, s=pairs, a=_scaled(-carries, pairs))

    def bend_rates(self, power: NDArray, where: NDArray) -> None:
        """Add tangents (1) at ``power`` (K, M), over peak power."""
        pairs = eye_array(self.sizes["a"], format="csr")[np.flatnonzero(where)]
        unit = self.cells.width / LN2 / self.unit
        value, slope = unit * np.log1p(power * self.snr), unit * self.snr / (1 + power * self.snr)
        self.rule(0.0, s=pairs, a=_scaled((slope * power - value)[where], pairs), q=_scaled(-slope[where], pairs))

    def bend_losses(self, rate: NDArray, where: NDArray | bool = True) -> None:
        """Add tangents (2) at ``rate`` (K, O), over unit, brought into the range of each option."""
        table, pruning, where = self.cells.table, self.cells.problem.pruning, where & self.possible
        rate = np.clip(rate, self.least, self.most)
        keep = np.clip(keep_by(table, rate * self.unit), 1 - table.most, 1 - table.least)
        grows = filled(table.kept_time * rate * self.unit + table.kept_bits)
        lifts = (table.slack * table.kept_bits + table.fixed_bits * table.kept_time) / grows**2 * self.unit       # dx / dR
        value, slope = pruning.value(1 - keep) / self.scale, -slope_of(self.cells, 1 - keep) * lifts / self.scale
        choices = eye_array(self.sizes["z"], format="csr")[np.flatnonzero(where)]
        self.rule(0.0, theta=-choices, z=_scaled((value - slope * rate)[where], choices), R=_scaled(slope[where], choices))

    def bend_at(self, point: Point, rates: bool = True) -> None:
        """Add the tangents where a solution is, those of the losses and those of the ``rates``."""
        shared, chosen = (point.share > PART) & rates, point.choice > PART
        self.bend_rates(np.clip(point.power / np.where(shared, point.share, 1.0), 0.0, 1.0), shared)
        self.bend_losses(point.used / np.where(chosen, point.choice, 1.0), chosen)

    def bend_for(self, assignment: NDArray) -> None:
        """Add the tangents that make the program exact for an assignment (M,)."""
        cells, gain = self.cells, held(self.cells, assignment)
        self.bend_rates(water_fill(gain, cells.width, cells.peak_power) / filled(cells.peak_power)[:, None], gain > 0)
        self.bend_losses(full_rate(gain, cells.width, cells.peak_power)[:, None] / self.unit + 0 * self.least)

    def solve(self, whole: bool, limit: float, gap: float = 0.0) -> tuple[OptimizeResult, Point | None]:
        """Solve it with shares and choices that are ``whole`` or not, in ``limit`` seconds, to a relative ``gap``."""
        matrix = vstack([rows for rows, _ in self._rules], format="csr"), np.concatenate([high for _, high in self._rules])
        self._rules = [matrix]
        usable, free = np.tile(self.cells.gain.ravel() > 0, 2), np.full(self.sizes["s"], np.inf)
        high = np.concatenate([usable, free, self.possible.ravel(), np.full(2 * self.sizes["z"], np.inf)]).astype(float)
        noise = (self.cells.table.noise / self.scale).ravel()
        cost = np.concatenate([np.zeros(3 * self.sizes["a"]), noise, 0 * noise, 1 + 0 * noise])
        integer = np.concatenate([np.full(size, whole and name in "az") for name, size in self.sizes.items()])
        found = milp(cost, integrality=integer, bounds=Bounds(0.0, high), options={"time_limit": limit, "mip_rel_gap": gap},
                     constraints=LinearConstraint(matrix[0], -np.inf, matrix[1]))
        if found.x is None:
            return found, None
        parts = np.split(found.x, np.cumsum(list(self.sizes.values()))[:-1])
        return found, Point(*(v.reshape(self.devices, -1) for v in parts))


def _scaled(by: NDArray, rows: Any) -> Any:
    return rows.multiply(np.reshape(by, (-1, 1))).tocsr()
