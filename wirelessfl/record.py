"""What a simulation yields, round by round, and the tables made of it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from learning.crossing import Compression
from optim.allocation import Allocation, Status
from wirelessfl.fate import Fate
from wirelessfl.options import FIELDS


class Wall(NamedTuple):
    """What a round took of this computer's time [s]: not part of what is simulated, and never twice the same.

    Measuring anew (``decision.recalibrate``) counts as deciding.
    """

    deciding: float
    training: float
    testing: float


class Watch:
    """Takes this computer's time, lap by lap [s]."""

    def __init__(self) -> None:
        self.laps: list[float] = []
        self._last = time.perf_counter()

    def lap(self) -> None:
        now = time.perf_counter()
        self.laps.append(now - self._last)
        self._last = now


@dataclass(frozen=True)
class Record:
    """One round of one run.

    Attributes
    ----------
    accuracy, test_loss : float
        On the test data after the round, of the one model or the mean over the devices' models [1], [nat]; NaN, as
        ``own_accuracy`` is, after a round in which no model was tested.
    own_accuracy : float
        Mean over the devices of the test accuracy on classes mixed as in their own data [1].
    train_loss : float
        Mean over the devices [nat].
    latency, elapsed : float
        Time that the round took, and since the start [s].
    energy, spent : float
        Energy that all devices spent in the round, and since the start [J].
    uplink_bits, downlink_bits : float
        Traffic in the round of all devices that got through, each bit once, counted from the tensors [bit].
    cut, gain, speed : (K,) array
        Blocks on each device; its uplink's true power gain [1] and computing speed [FLOP/s].
    allocation : Allocation
        What was planned, with zeros for devices that were left out.
    who : (K,) bool array
        Devices that were not left out, and did not sit out.
    absence : float
        What the others' absence loses of the round's progress [1].
    fate : Fate
        What became of the plan.
    compression : (K,) sequence of Compression
        Of what each device sends.
    interval : int
        Rounds from one averaging of client sides to the next.
    wall : Wall
        Where the time of this computer went.
    advice : str
        What stood in the way, where the round is infeasible.
    """

    policy: str
    seed: int
    round: int
    accuracy: float
    test_loss: float
    own_accuracy: float
    train_loss: float
    uplink_bits: float
    downlink_bits: float
    latency: float
    elapsed: float
    energy: float
    spent: float
    cut: NDArray
    gain: NDArray
    speed: NDArray
    allocation: Allocation
    who: NDArray
    absence: float
    fate: Fate
    compression: Sequence[Compression]
    interval: int
    wall: Wall
    advice: str = ""

    @property
    def progress_lost(self) -> float:
        """What the round loses by the bound, with what the absent would have brought [1]."""
        return float(self.allocation.objective) + self.absence

    @property
    def status(self) -> Status:
        status: Status = self.allocation.status
        return status


def rounds_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a round: policy, seed, round, and the numbers of the round in SI units."""
    return pd.DataFrame([{
        "policy": r.policy, "seed": r.seed, "round": r.round, "accuracy": r.accuracy, "test_loss": r.test_loss,
        "own_accuracy": r.own_accuracy, "train_loss": r.train_loss, "planned_s": float(r.allocation.latency.max()),
        "latency_s": r.latency, "elapsed_s": r.elapsed, "energy_j": r.energy, "spent_j": r.spent,
        "uplink_bits": r.uplink_bits, "downlink_bits": r.downlink_bits, "interval": r.interval, **_counts(r),
        "progress_lost": r.progress_lost, "gap": float(r.allocation.gap),
        "price_per_hz": float(r.allocation.price), "status": r.status.name.lower()} for r in records])


def _counts(r: Record) -> dict[str, int]:
    """How many devices there were, and what became of them."""
    f, ran = r.fate, r.fate.latency > 0
    return {"devices": len(r.who)} | {name: int(which.sum()) for name, which in zip(
        SHARES, (~r.who, ran & ~f.arrived, f.late, f.uplink_outage, f.downlink_outage), strict=True)}


def allocations_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a round and device: what it was given, and what it was like."""
    return pd.concat([allocation_table(r.allocation, r.cut, r.gain, r.speed).assign(
        **_sent(r), took_s=r.fate.latency, download_s=r.fate.download, computing_s=r.fate.computing, serving_s=r.fate.serving,
        upload_s=r.fate.upload, spent_j=r.fate.energy, arrived=r.fate.arrived, outage=r.fate.outage, late=r.fate.late,
        policy=r.policy, seed=r.seed, round=r.round) for r in records], ignore_index=True).pipe(
        lambda t: t[["policy", "seed", "round", *(c for c in t.columns if c not in ("policy", "seed", "round"))]])


def _sent(r: Record) -> dict[str, list]:
    """How small each device made what it sent."""
    return {name: [getattr(each, name) for each in r.compression] for name in FIELDS}


def allocation_table(found: Allocation, cut: NDArray, gain: NDArray, speed: NDArray) -> pd.DataFrame:
    """One row a device, in SI units."""
    return pd.DataFrame({
        "device": np.arange(len(cut)), "split": cut, "pruning_ratio": found.ratio, "bandwidth_hz": found.bandwidth,
        "power_w": found.power, "latency_s": found.latency, "energy_j": found.energy, "gain": gain, "speed_flops": speed})


def timing_table(runs: Iterable[Sequence[Record]]) -> pd.DataFrame:
    """One row a run: what deciding, training and testing took of this computer's time [s]."""
    return pd.DataFrame([{"policy": one[0].policy, "seed": one[0].seed, "rounds": len(one)} | {
        f"{name}_s": sum(getattr(r.wall, name) for r in one) for name in Wall._fields} for one in runs])


SHARES = ("left_out", "lost", "late", "uplink_outages", "downlink_outages")
FEASIBLE = [status.name.lower() for status in Status if status.feasible]


def smoothed(accuracy: pd.Series, smoothing: int) -> pd.Series:
    """Mean over what was tested in the last ``smoothing`` rounds, and over all there are before that."""
    return accuracy.rolling(smoothing, min_periods=1).mean()


def reached(rounds: pd.DataFrame, target: float, smoothing: int) -> pd.DataFrame:
    """One row a run: simulated time, energy and round at which the smoothed accuracy first reaches the target.

    Smoothed is the mean over what was tested in the last ``smoothing`` rounds, and the target is reached in a round that was
    tested. Where nobody could train, the models are those of the round before, and so is their test. A run that never reaches it
    has an infinite time. Also the median time of a round, and how often a device was left out of one [1]; and how often, of those
    that took part, one was lost, later than planned, or had a rate that its link did not carry [1].
    """
    rows = []
    for (policy, seed), run in rounds.groupby(["policy", "seed"], sort=False):
        trained = run["status"].isin(FEASIBLE)
        accuracy = run["accuracy"].groupby(trained.cumsum()).first().loc[1:]            # of each that trained; NaN: not tested
        smooth = smoothed(accuracy, smoothing).where(accuracy.notna())
        there = np.flatnonzero((smooth >= target) & (np.arange(len(smooth)) >= min(smoothing, len(smooth)) - 1))
        at, smooth = run[trained].iloc[there[0]] if there.size else None, smooth.dropna()
        rows.append({"policy": policy, "seed": seed, "rounds": np.inf if at is None else at["round"] + 1,
                     "time_s": np.inf if at is None else at["elapsed_s"], "energy_j": np.inf if at is None else at["spent_j"],
                     "round_s": run["latency_s"].median(),
                     **_shares(run),
                     "final_accuracy": smooth.iloc[-1] if len(smooth) else np.nan, "status": run["status"].iloc[-1]})
    return pd.DataFrame(rows)


def _shares(run: pd.DataFrame) -> dict[str, float]:
    there = run["devices"].sum() - run["left_out"].sum()
    return {name: run[name].sum() / max(run["devices"].sum() if name == "left_out" else there, 1) for name in SHARES}
