"""The allocation problems in a world: work becomes seconds and joules, a calibration what decisions cost in progress."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.links import Gains
from learning.calibration import Calibration
from optim import bound
from optim.absence import absence as absence_of
from optim.allocation import Allocation
from optim.costs import RoundCosts, latency, round_costs
from optim.problem import Deadline
from optim.problem import check as check_values
from wirelessfl.build import BOUNDS
from wirelessfl.population import Hardware
from wirelessfl.world import World, all_at_once

EVERYTHING, SERVER = (1, 1, 1, 1), (0, 0, 1, 0)


def constants(w: World, measured: Calibration) -> bound.Constants:
    """What the bound takes from a calibration, option by option."""
    cut = [measured.cut_number(option.cut) for option in w.options]
    way = [measured.compression_number(option.compression) for option in w.options]
    total = {name: np.array([sum(getattr(measured, name)[:each]) for each in w.cuts]) for name in ("gradient", "weight")}
    per_cut = {name: np.array(getattr(measured, name))[cut] for name in ("scale", "exponent")}
    lr = w.scenario.training.lr
    descent = measured.square - bound.averaged_noise(lr, w.weights, measured.sampling_noise)
    return bound.Constants(
        step=lr, rounds=measured.rounds, start=measured.start, smoothness=measured.smoothness,
        sampling=measured.sampling_noise, bias=np.array(measured.compression_bias)[cut, way],
        noise=np.array(measured.compression_noise)[cut, way],
        drift=np.array(measured.misalignment)[cut, measured.interval_number(w.algorithm.interval)],
        descent=max(descent, 0.0), dissimilarity=max(measured.dissimilarity, 1.0), **per_cut, **total)


def absence(w: World, measured: Calibration, who: NDArray, missed: ArrayLike = 0.0, memory: float = 1.0) -> float:
    """What a round loses because only ``who`` (K,) is in it, by the relative form, whatever form weighs the rest [1].

    ``missed`` (K,) is what shares in the mean of the rounds before lacked [1], and ``memory`` counts these [rounds].
    """
    return absence_of(constants(w, measured), w.weights, who, missed, memory)


def problem(w: World, measured: Calibration, gain: NDArray, download: float = 1.0, upload: float = 1.0) -> Deadline:
    """The allocation problem of a round with power gains ``gain`` (..., K) [1], the same in both directions.

    A client model's transfers count ``download`` and ``upload`` times.
    """
    if np.shape(gain)[-1:] != (len(w.shards),):
        raise ValueError(f"gain must be (..., {len(w.shards)}) power gains, one a device [1], got shape {np.shape(gain)}")
    check_values("gain", gain, "1", 0.0, 1.0, closed=True)
    return priced(w, measured, Gains(gain, gain), np.tile([download, upload], (len(w.shards), 1)))


def priced(w: World, measured: Calibration, gains: Gains, times: NDArray, who: NDArray | None = None,
           energy: ArrayLike = np.inf, sharing: int | None = None) -> Deadline:
    """The allocation problem of a round among the devices ``who`` (K,), all without, at gains (..., K) [1].

    They share the bands and the server, or as if they were ``sharing`` in number. ``times`` (K, 2) say how often the download and
    the upload of a client model count, and ``energy`` (K,) how much is left in batteries [J].
    """
    s, d = w.scenario, w.scenario.devices
    all_at_once(w)
    who = np.ones(len(w.shards), bool) if who is None else who
    known, shares = constants(w, measured), w.weights[who] / w.weights[who].sum()
    phi, pruning = BOUNDS[s.decision.bound](known, shares, w.algorithm.interval)
    most = np.array(measured.ratio_max)[[measured.cut_number(option.cut) for option in w.options]]
    limit = np.minimum(s.decision.prune_max, most) if w.algorithm.prunes else np.zeros(len(w.options))
    return Deadline(
        costs=costs(w, gains, times, who, sharing=sharing), gain=gains.up[..., who] / w.noise,
        peak_power=w.hardware.peak_power[who], band=np.array(1e6 * s.cell.bandwidth_mhz),
        deadline=np.array(1e-3 * s.decision.deadline_ms or 1.0), pruning=pruning, noise=phi,
        prune_max=np.broadcast_to(limit, phi.shape),
        energy_budget=np.minimum(1e-3 * d.energy_budget_mj or np.inf, np.broadcast_to(energy, who.shape)[who]))


def costs(w: World, gains: Gains, times: NDArray, who: NDArray, counted: Sequence[float] = EVERYTHING,
          sharing: int | None = None) -> RoundCosts:
    """What a round costs the devices ``who`` (K,); parameters as of :func:`priced`.

    The amounts of work of device, uplink, server and downlink are ``counted`` so many times: 0 takes one out.
    """
    has, often = Hardware(*(each[who] for each in w.hardware)), w.packets.transmissions
    devices = sharing or max(int(who.sum()), 1)
    amounts = [(count * fixed[who], count * kept[who])
               for count, (fixed, kept) in zip(np.multiply((1, often, 1, often), counted), w.work(times, devices), strict=True)]
    return round_costs(*amounts, speed=has.speed, joules_per_flop=has.joules_per_flop,
                       server_speed=1e9 * w.scenario.devices.server_gflops / devices,
                       downlink_rate=w.downlink_rate(gains.down[..., who], devices))


def serving(w: World, gains: Gains, times: NDArray, who: NDArray, found: Allocation) -> NDArray:
    """How long the server works for each of the n devices ``who`` under a decision for them (n,) [s]."""
    alone = costs(w, gains, times, who, SERVER).of(found.option)
    time: NDArray = latency(alone, (1 - found.ratio)[:, None], np.array(np.inf))[:, 0]
    return time
