"""What the figures of lightweight federated split learning share: scene, levers, how they are drawn and compared.

Devices have equal bands and full power, and one split, ratio, compression and interval for all: nothing is decided, so no pilot
runs. Arms of the same seed have the same places, speeds, fading, data, first weights and batches, and are compared seed by seed.
The clock is that of the closed loop (``wirelessfl.simulate``).

Seen of the paper: CIFAR-10, VGG-19, and which levers there are. Reconstructed: everything else, the cell, the speeds, the number
of devices, batch, optimiser and which gradient is quantised among it (``learning.algorithms.light_fed_sl``).
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from wirelessfl import style
from wirelessfl.config import override
from wirelessfl.experiments.figure import Cell, Knobs
from wirelessfl.experiments.runs import simulated

SMALL = {"data": "digits", "train": 300, "test": 200, "standardise": False, "partition": "iid", "devices": 4, "model": "cnn",
         "precision": "float32", "device": "cpu", "batch": 16, "lr": 0.005, "rounds": 20, "tested_every": 10,
         "uplink_mhz": 4.0, "slowest_gflops": 0.03, "fastest_gflops": 1.0, "server_gflops": 50.0, "seeds": 1}
QUICK = SMALL | {"data": "fashion-mnist", "train": 4000, "test": 1000, "devices": 10, "batch": 32, "lr": 0.002, "rounds": 100,
                 "tested_every": 5, "slowest_gflops": 0.3, "fastest_gflops": 3.0, "seeds": 2}
VGG11 = QUICK | {"data": "cifar-10", "test": 500, "standardise": True, "devices": 4, "model": "vgg11", "precision": "bfloat16",
                 "lr": 0.001, "rounds": 80, "uplink_mhz": 20.0, "slowest_gflops": 5.0, "fastest_gflops": 20.0,
                 "server_gflops": 1000.0}
FULL = VGG11 | {"train": 0, "test": 0, "devices": 10, "model": "vgg19", "precision": "float32", "batch": 64, "rounds": 5000,
                "tested_every": 100, "seeds": 3}
NO_LEVERS = {"algorithm": "light-fedsl", "split": 2, "ratio": 0.0, "update_bits": 32, "smashed_bits": 32, "cut_bits": 32,
             "dropout": 0.0, "interval": 1}
LIGHT = NO_LEVERS | {"ratio": 0.4, "update_bits": 8, "smashed_bits": 8, "cut_bits": 8, "dropout": 0.25}

NEAR = 0.95          # the target of a figure is this share of its first arm's final accuracy
FAR = 5.0            # where the longest training takes so many times the shortest, the axis of time is logarithmic

_SCENE = {"data": "data.dataset", "train": "data.train", "test": "data.test", "standardise": "data.standardise",
          "partition": "data.partition", "devices": "cell.devices", "uplink_mhz": "cell.bandwidth_mhz",
          "slowest_gflops": "devices.slowest_gflops", "fastest_gflops": "devices.fastest_gflops",
          "server_gflops": "devices.server_gflops", "model": "training.model",
          "precision": "training.precision", "device": "training.device", "batch": "training.batch", "lr": "training.lr",
          "rounds": "training.rounds", "tested_every": "training.evaluate_every"}
_LEVERS = {"ratio": "decision.fixed_ratio"} | {name: f"training.{name}" for name in NO_LEVERS if name not in ("split", "ratio")}


def arms(knobs: Knobs, named: Sequence[tuple[str, dict[str, Any]]]) -> list[Cell]:
    """A cell each arm and seed; an arm is a label, and the levers that it has in the place of the knobs'."""
    return [{"arm": label, "seed": seed} | {name: knobs[name] for name in NO_LEVERS} | levers | {"scene": scene(knobs)}
            for label, levers in named for seed in range(knobs["seeds"])]


def scene(knobs: Knobs) -> list[str]:
    """Settings of a scenario, but for the levers."""
    return ["training.optimiser=adam", "cell.downlink_mhz=20", *(override(key, knobs[name]) for name, key in _SCENE.items())]


def rows(cell: Cell) -> list[dict[str, Any]]:
    """Tested rounds of a training on the clock of the cell."""
    split = [f"decision.splits=[{cell['split']}]"] if cell["split"] else []
    policy = "light-fixed" if cell["ratio"] else "equal"
    most = [override("decision.prune_max", cell["ratio"])]                        # or else the default would cut large ratios
    return simulated([*cell["scene"], *lever_settings(cell), *split, *most], policy, cell["seed"], pilot=False)


def lever_settings(levers: Knobs) -> list[str]:
    """Settings of a scenario for the levers, but the split."""
    return [override(key, levers[name]) for name, key in _LEVERS.items()]


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """A row each arm: means over the seeds; accuracy less the first arm's, times over its, both seed by seed.

    The target is 0.95 of the first arm's mean final accuracy; the time to it is that of the first tested round that has it.
    Who never has it has no time, and ``reached`` counts the others.
    """
    last = table.groupby(["arm", "seed"], sort=False).last()
    target = NEAR * last.loc[table["arm"].iloc[0], "accuracy"].mean()
    there = table[table["accuracy"] >= target].groupby(["arm", "seed"], sort=False).first()
    each = last[["accuracy"]].assign(round_s=last["time_s"] / last["round"], up_mb=last["up_bytes"] / last["round"] / 1e6,
                                     rounds=there["round"], time_s=there["time_s"])
    first = each.loc[table["arm"].iloc[0]].reindex(each.index.get_level_values("seed")).set_axis(each.index)
    over = (each / first).add_suffix("_over").assign(accuracy_less=each["accuracy"] - first["accuracy"])
    return pd.concat([each, over], axis=1).groupby("arm", sort=False).agg(
        seeds=("accuracy", "size"), final_accuracy=("accuracy", "mean"), std=("accuracy", "std"),
        accuracy_less_first=("accuracy_less", "mean"), up_mb_a_round=("up_mb", "mean"), round_s=("round_s", "mean"),
        round_over_first=("round_s_over", "mean"), reached=("rounds", "count"), rounds_to_target=("rounds", "mean"),
        time_to_target_s=("time_s", "mean"), time_over_first=("time_s_over", "mean")).assign(target=target).round(4).reset_index()


def draw(table: pd.DataFrame, columns: int = 3) -> Any:
    """Accuracy against round and against simulated time."""
    figure, axes = style.panels(1, 2, height=2.1, sharey=True)
    pair(axes[0], table)
    style.legend(figure, axes[0, 0], columns=columns)
    return figure


def pair(axes: Sequence[Any], table: pd.DataFrame) -> None:
    """Lines of all arms, left against rounds, right against the mean time of these rounds over the seeds."""
    for number, (arm, runs) in enumerate(table.groupby("arm", sort=False)):
        style.over_rounds_and_time(axes, runs, "accuracy", label=str(arm), **style.look(number))
    lasting = table.groupby("arm")["time_s"].max()
    axes[0].set(xlabel="round", ylabel="test accuracy [1]")
    axes[1].set(xlabel="simulated time [s]", xscale="log" if lasting.max() > FAR * lasting.min() else "linear")
