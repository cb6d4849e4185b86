r"""How bent the loss is along each noise: ``python -m benchmarks.bound_curvature [--seeds N]``.

To second order, what a noise e costs is e' H e. The bound weighs noise with the curvature beta along the gradient, but rounded
updates with their own, which is measured. Along unlevered runs on the digits, e' H e / (beta |e|^2) of the averaged noise of
mini-batches, of updates rounded at cut 4 and of dropout at cut 2: one if the noise went the gradient's way, and small if it goes
where the loss is flat. Into docs/bound/curvature.csv.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

from benchmarks.bound_runs import Pull, checkpoints
from learning import params
from learning.algorithm import Shard
from learning.compress import quantise
from learning.crossing import Compression
from learning.params import Params
from learning.probe import Probe, add
from learning.split import split_gradient
from learning.threads import one_thread
from wirelessfl.config import load
from wirelessfl.world import World, world

FOLDER = Path(__file__).parents[1] / "docs" / "bound"
DRAWS = 4
ROUNDED, DROPPED = 4, 2          # cuts


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    with one_thread():
        rows = [row for seed in range(parser.parse_args().seeds) for row in of_seed(seed)]
    table = pd.DataFrame(rows)
    table.to_csv(FOLDER / "curvature.csv", index=False, float_format="%.4g")
    print(table.groupby("noise")["share"].describe().to_string())


def of_seed(seed: int) -> list[dict]:
    """One row a checkpoint and kind of noise."""
    w, rng = world(load(None, []), seed), torch.Generator().manual_seed(seed)
    return [{"seed": seed, "round": number, **row} for number, probe in checkpoints(w, Pull()) for row in at(w, probe, rng)]


def at(w: World, probe: Probe, rng: torch.Generator) -> list[dict]:
    """beta, and what share of it each noise sees, at one model."""
    whole, lr = probe.mean(probe.weights), w.scenario.training.lr
    beta = probe.smoothness(whole, lr)
    drawn: dict[str, list[Params]] = {}
    for _ in range(DRAWS):
        for kind, noise in noises(w, probe, whole, rng).items():
            drawn.setdefault(kind, []).append(noise)
    return [{"beta": beta, "noise": kind, "share": bent(probe, some, lr) / beta} for kind, some in drawn.items()]


def noises(w: World, probe: Probe, whole: Params, rng: torch.Generator) -> dict[str, Params]:
    """A draw of each averaged noise; dropout's has its bias in it."""
    sums: dict[str, Params] = {"mini-batch": {}, "update 2 bit": {}, "dropout 0.5": {}}
    for shard, share in zip(probe.shards, probe.share, strict=True):
        pick = torch.randperm(len(shard), generator=rng)[:w.scenario.training.batch]
        few = Shard(shard.x[pick], shard.y[pick])
        grads = probe.gradient(probe.weights, few)[1]
        front = {name: quantise(g, 2, rng) - g for name, g in params.front(grads, ROUNDED).items()}
        dropped = split_gradient(w.net, probe.weights, DROPPED, few.x, few.y, Compression(dropout=0.5), rng).grads
        add(sums["mini-batch"], grads, share)
        add(sums["update 2 bit"], front, share)
        add(sums["dropout 0.5"], params.combine(torch.sub, dropped, grads), share)
    sums["mini-batch"] = params.combine(torch.sub, sums["mini-batch"], whole)
    return sums


def bent(probe: Probe, some: list[Params], lr: float) -> float:
    """sum e' H e over sum |e|^2, from gradients a step of the noise either way."""
    ahead, size = 0.0, 0.0
    for noise in some:
        ahead += float(probe.bent({name: lr * e for name, e in noise.items()}).sum()) / lr**2
        size += params.squared_norm(noise)
    return ahead / size


if __name__ == "__main__":
    main()
