r"""What published schemes decide in a round, as decisions of ours: their own solvers, and then our one table of costs.

Reconstructed, as the solvers are (``optim.epsl_descent``, ``optim.personalised``): what the papers leave to their cells is said
here. Neither scheme knows what a decision costs in progress on the model at hand, so neither stops at a loss of one.

*EPSL*: the uplink band in equal subchannels over which a link is flat, two for each device and twenty at least; power within each
device's peak, with no limit on the sum; what does not depend on these (computing, server, downlink) is one time of the device.

*Pruning and personalisation*: the least pruning, weighted by the sizes of the data, that keeps a threshold of time. Where the
scenario has none (``decision.deadline_ms``) it is half the mean time of an unpruned round in equal shares of the band, for the
paper claims about half, or the shortest that all devices can keep, where that is longer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.arrays import over
from channels.rates import rate
from optim.allocation import Allocation, Status
from optim.costs import energy, latency, slack, uplink_load
from optim.epsl import EpslProblem
from optim.epsl_descent import solve_descent
from optim.fastest import least_deadline
from optim.personalised import Personalised, solve_personalised
from optim.problem import Deadline
from optim.shares import equal_shares
from wirelessfl.config import SettingsError
from wirelessfl.policy import Policy
from wirelessfl.world import World

SUBCHANNELS, EACH = 20, 2          # at least, and at least for each device
SHARE = 0.5                        # of an unpruned round's mean time


@dataclass(frozen=True)
class Scheme:
    """How a scheme decides.

    Attributes
    ----------
    solve : callable
        The decision for a problem (..., K, O), given the scenario's deadline, or 0 for none, and the mean of ``times`` [s].
    times : callable
        Of a batch of problems: the time (...,) that its rounds take, or that its threshold is a share of [s].
    """

    solve: Callable[[Deadline, float, float], Allocation]
    times: Callable[[Deadline], NDArray]


def check(policy: Policy, w: World) -> None:
    """Refuse a scheme that has no meaning in a world, before anything is measured for it.

    Raises
    ------
    SettingsError
        Where decisions stand for several rounds, and as :func:`prune_kkt` does.
    """
    d = w.scenario.decision
    if policy.scheme and (d.when == "once" or d.every > 1 or w.algorithm.interval > 1):
        raise SettingsError(f"policy {policy.scheme} decides all anew in every round: decision.when must be every-round, and "
                            "decision.every and training.interval 1 [rounds]")
    if policy.scheme == "prune-kkt":
        _prunable(*w.work(np.ones((len(w.shards), 2)), len(w.shards))[1])


def _prunable(fixed: NDArray, kept: NDArray) -> None:
    """Refuse uplinks (..., K, O) with a choice of options, or with less bits ``kept``, that pruning shrinks, than ``fixed``."""
    if fixed.shape[-1] > 1 or np.any(fixed > kept):
        raise SettingsError("policy prune-kkt is for algorithms that send models and nothing else, and have no options: take "
                            "training.algorithm=personalised or fedavg, and close decision.update_bits")


def epsl_descent(p: Deadline, deadline: float = 0.0, mean: float = 0.0) -> Allocation:
    """Subchannels, power and one cut for all devices by EPSL's descent; nothing is pruned."""
    del mean
    *rows, devices, options = p.shape
    bands = max(SUBCHANNELS, EACH * devices)
    load = np.broadcast_to(uplink_load(p.costs, 1.0), p.shape).max(-2)              # batches may differ in size: of the largest
    time = p.costs.fixed_time + p.costs.kept_time
    peak = np.broadcast_to(p.peak_power, p.shape[:-1])
    found = solve_descent(EpslProblem(
        device_forward=np.broadcast_to(time, p.shape), device_backward=0.0 * time, server=np.zeros((*rows, options)),
        uplink_bits=load, unicast_bits=np.zeros(options), broadcast_bits=np.zeros(options),
        gain=np.broadcast_to(p.gain[..., None], (*rows, devices, bands)), width=p.band[..., None] / bands, peak_power=peak,
        total_power=peak.sum(-1), downlink_density=1.0))
    owned = found.assignment[..., None, :] == np.arange(devices)[:, None]
    band, power = owned.sum(-1) * p.band[..., None] / bands, np.where(owned, found.power[..., None, :], 0.0).sum(-1)
    option = np.broadcast_to(found.cut[..., None], band.shape)
    return read(p, option, np.zeros(band.shape), band, np.minimum(power, peak), found.status, deadline)


def prune_kkt(p: Deadline, deadline: float, mean: float) -> Allocation:
    """Pruning and band by the conditions of optimality of ``optim.personalised``, at full power; ``mean`` is of :func:`unpruned`.

    There, pruning shrinks all that is sent. Biases and norm layers are not pruned here: the ratio that goes with a band is the
    least by our table.

    Raises
    ------
    SettingsError
        Where there is a choice of options, or most of what is sent is nothing that pruning shrinks.
    """
    t = p.costs.each(lambda values: np.broadcast_to(values, p.shape))
    _prunable(t.fixed_bits, t.kept_bits)
    t = t.each(lambda values: values[..., 0])
    reach, most = p.gain * p.peak_power, np.broadcast_to(p.prune_max, p.shape)[..., 0]
    weights = np.broadcast_to(p.pruning.value(np.ones(p.shape)), p.shape)[..., 0]          # as the shares of the data
    whole = replace(p.costs, fixed_bits=np.zeros(()), kept_bits=p.costs.fixed_bits + p.costs.kept_bits)
    shortest = least_deadline(replace(p, costs=whole, energy_budget=np.array(np.inf)))
    limit = np.broadcast_to(deadline, shortest.shape) if deadline else np.maximum(SHARE * mean, shortest * (1 + 1e-6))
    found = solve_personalised(Personalised(t.fixed_time, t.kept_time, t.fixed_bits + t.kept_bits, reach, weights, p.band,
                                            limit, most))
    done = found.feasible[..., None]
    speed = rate(np.where(done, found.bandwidth, 1.0), reach)
    keep = over(slack(t, np.zeros(()), limit[..., None]) - over(t.fixed_bits, speed), t.kept_time + over(t.kept_bits, speed))
    ratio, power = np.where(done, np.clip(1 - keep, 0.0, most), 0.0), np.where(done, p.peak_power, 0.0)
    status = np.where(found.feasible, np.array(Status.OPTIMAL, object), np.array(Status.BAND, object))
    return read(p, np.zeros(ratio.shape, int), ratio, found.bandwidth, power, status, deadline)


def unpruned(p: Deadline) -> NDArray:
    """Time (...,) of a round without pruning in equal shares of the band [s]."""
    return least_deadline(p.unpruned(), equal_shares(p.shape[-2]))


def rounds(p: Deadline) -> NDArray:
    """Time (...,) of the rounds that the descent decides [s]; ``inf`` where it finds none."""
    found = epsl_descent(p)
    return np.where(found.objective < np.inf, found.latency.max(-1), np.inf)


def read(p: Deadline, option: NDArray, ratio: NDArray, band: NDArray, power: NDArray, status: ArrayLike,
         deadline: float = 0.0) -> Allocation:
    """A decision, all (..., K), as an allocation: its times, energies and loss are those of the problem's tables.

    It has no certificate. Where it needs more time than the deadline, or more energy than there is, it is infeasible.
    """
    one, keep = p.of(option), 1 - ratio[..., None]
    speed = rate(band[..., None], power[..., None] * p.gain[..., None])
    took, spent = (v[..., 0] for v in (latency(one.costs, keep, speed), energy(one.costs, keep, power[..., None], speed)))
    lost = np.broadcast_to(one.noise + one.pruning.value(ratio[..., None]), (*ratio.shape, 1)).sum((-2, -1))
    grades = np.asarray(status, object)
    for kind, broken in ((Status.ENERGY, np.any(spent > p.energy_budget * (1 + 1e-9), axis=-1)),
                         (Status.DEADLINE, took.max(-1) > (deadline or np.inf) * (1 + 1e-9))):
        grades = np.where((grades == Status.OPTIMAL) & broken, np.array(kind, object), grades)
    done = grades == Status.OPTIMAL
    ratio, band, power, took, spent = (np.where(done[..., None], v, 0.0) for v in (ratio, band, power, took, spent))
    return Allocation(option, ratio, band, power, took, spent, took.max(-1), np.where(done, lost, np.inf),
                      np.where(done, 0.0, -np.inf), np.zeros(done.shape), grades if grades.ndim else grades.item())


#: Published schemes by name.
SCHEMES = {"epsl-descent": Scheme(epsl_descent, rounds), "prune-kkt": Scheme(prune_kkt, unpruned)}
