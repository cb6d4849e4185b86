"""Cells to measure on: one server, devices in a ring of 10 to 250 m, 3GPP path loss, Rayleigh fading, shadowing of 8 dB
for each on its own.

Who would be received with less than 15 dB in an equal share of the band, on average, moves until it is, and fades are cut at
-13 dB: there a device would rather wait than make all wait.
"""

from dataclasses import replace

import numpy as np

from channels.cell import Cell
from channels.units import db_to_neper, dbm_to_watt
from optim.costs import RoundCosts
from optim.fastest import least_deadline
from optim.problem import Deadline
from optim.pruning_cost import PowerLaw

HERTZ_PER_DEVICE, POWER = 1e5, float(dbm_to_watt(23.0))
LEAST_SNR, LEAST_FADE = 10**1.5, 0.05
NOISE = dbm_to_watt(-167.0)      # thermal noise and a noise figure of 7 dB [W/Hz]


def cell(seed: int, devices: int, options: int, rows: int = 1, tight: float = 1.2) -> Deadline:
    """The deadline problem of ``rows`` fading blocks (axis 0; none for one block), feasible in each.

    The deadline is ``tight`` times the shortest that all blocks can keep. The costs are those of small devices (tens of
    milliseconds, a megabit), each option having its own; pruning costs the square of its ratio.
    """
    rng = np.random.default_rng(seed)
    place = Cell(shadowing=0.0).place(rng, devices)
    shadowing = np.exp(db_to_neper(8.0) * rng.standard_normal(devices))
    mean = np.maximum(place.mean_gain * shadowing, LEAST_SNR * NOISE * HERTZ_PER_DEVICE / POWER)
    gain = mean * np.maximum(place.draw(rng, blocks=rows) / place.mean_gain, LEAST_FADE) / NOISE
    table = [(0.01, 0.1), (0.01, 0.3), (1e4, 1e6), (1e4, 2e6), (1e-3, 1e-2), (1e-3, 1e-2)]
    costs = RoundCosts(*(rng.uniform(a, b, (devices, options)) for a, b in table))
    problem = Deadline(costs, gain=gain if rows > 1 else gain[0], peak_power=POWER,
                       band=HERTZ_PER_DEVICE * devices, deadline=1.0,
                       pruning=PowerLaw(rng.uniform(0.3, 1.0, (devices, options)) / devices, 2.0),
                       noise=rng.uniform(0.0, 0.02, (devices, options)) / devices)
    return replace(problem, deadline=tight * float(np.max(least_deadline(problem))))
