"""Split federated learning over wireless links: decide splits, pruning, bandwidth and power from a bound, then train.

>>> import wirelessfl as wfl
>>> scenario = wfl.load_scenario(overrides=["cell.devices=4", "decision.pilot_rounds=4"])
>>> world = wfl.world(scenario, seed=0)
>>> problem = wfl.problem(world, wfl.measure(world), gain=world.air.mean_gain)
>>> print(wfl.solve_kkt(problem).status.value)
optimal
"""

from importlib import metadata

from channels.cell import Cell
from channels.rates import bandwidth_for, rate
from learning.calibration import Calibration
from optim.advice import advice
from optim.allocation import Allocation, Residual, Status
from optim.baselines import BASELINES
from optim.costs import RoundCosts
from optim.deadline import residual, solve_kkt
from optim.deadline_cvxpy import solve_cvxpy
from optim.fastest import least_deadline
from optim.fastest_round import FastestRound, solve_fastest
from optim.least_energy import LeastEnergy, solve_energy
from optim.multipliers import Multipliers, multipliers
from optim.problem import Deadline
from optim.pruning_cost import PiecewiseLinear, PowerLaw
from optim.time_to_accuracy import time_to_accuracy
from wirelessfl.config import load as load_scenario
from wirelessfl.experiment import resume, run
from wirelessfl.pricing import problem
from wirelessfl.record import Record
from wirelessfl.settings import Scenario
from wirelessfl.simulate import simulate
from wirelessfl.sweep import sweep
from wirelessfl.sweep_file import read_sweep
from wirelessfl.world import measure, world

try:
    __version__ = metadata.version("wirelessfl")
except metadata.PackageNotFoundError:      # a source tree that was never installed
    __version__ = "0+source"

__all__ = [
    "BASELINES", "Allocation", "Calibration", "Cell", "Deadline", "FastestRound", "LeastEnergy", "Multipliers",
    "PiecewiseLinear", "PowerLaw", "Record", "Residual", "RoundCosts", "Scenario", "Status", "advice", "bandwidth_for",
    "least_deadline", "load_scenario", "measure", "multipliers", "problem", "rate", "read_sweep", "residual", "resume", "run",
    "simulate", "solve_cvxpy", "solve_energy", "solve_fastest", "solve_kkt", "sweep", "time_to_accuracy", "world",
]
