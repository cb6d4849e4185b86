r"""Against the gradient or across it: ``python -m benchmarks.bound_across [--seeds N]``.

By docs/theory.md, 1.5, a bias b of the gradient g costs (1 - q) m + q kappa, m = <g, b> / |g|^2 and kappa = |b|^2 / |g|^2, with
a q that no derivation gives. Along unlevered runs on the digits, m and kappa of pruning, dropout and bits of the smashed data, on
all samples, go into docs/bound/across.csv; how well each q ranks the runs of ``benchmarks.bound``, and of the drift by what was
calibrated there, into docs/bound/across.md.
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.bound import STUDIES
from benchmarks.bound_report import CELL, compared, joined, slowed
from benchmarks.bound_runs import Pull, models
from learning import masking, params
from learning.algorithm import Shard
from learning.masking import BY_MAGNITUDE
from learning.params import Params
from learning.probe import Probe, add, inner, product
from learning.split import split_gradient
from learning.threads import one_thread
from wirelessfl.config import load
from wirelessfl.world import World, world

FOLDER = Path(__file__).parents[1] / "docs" / "bound"
WHEN, DRAWS = (0, 15, 30, 45, 59), 4
SHARES = (0.0, 0.25, 0.5, 1.0)                                       # q
STATIC, GOAL = ("pruning", "smashed bits", "dropout"), "accuracy 0.93"
HEADER = ("lever", "q", "runs", "Spearman, settings", "Spearman, runs", "measured / predicted", "error factor",
          "predicted never, arrived")


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    with one_thread():
        rows = [row for seed in range(parser.parse_args().seeds) for row in of_seed(seed)]
    measured = pd.DataFrame(rows)
    measured.to_csv(FOLDER / "across.csv", index=False, float_format="%.5g")
    lines = "\n".join(table(measured)) + "\n"
    (FOLDER / "across.md").write_text(lines, encoding="utf-8")
    print(lines)


def of_seed(seed: int) -> list[dict]:
    """m and kappa of each pull, ratios of sums over the checkpoints."""
    w = world(load(None, list(STUDIES["digits"].settings)), seed)
    pulls = [pull for pull in STUDIES["digits"].pulls if pull.lever in STATIC]
    sums, whole = np.zeros((len(pulls), 2)), 0.0
    for number, (model, _) in enumerate(islice(models(w, Pull()), WHEN[-1] + 1)):
        if number in WHEN:
            probe = Probe(w.net, model, w.shards, [len(s) for s in w.shards])
            slope = probe.mean(model)
            sums += [parts(w, probe, slope, pull, seed) for pull in pulls]
            whole += params.squared_norm(slope)
    return [{**vars(pull), "seed": seed, "against": against / whole, "squared": squared / whole}
            for pull, (against, squared) in zip(pulls, sums, strict=True)]


def parts(w: World, probe: Probe, slope: Params, pull: Pull, seed: int) -> tuple[float, float]:
    """<g, b> and |b|^2 of a pull at one model."""
    if pull.lever == "pruning":
        mask = BY_MAGNITUDE.mask_by(params.front(probe.weights, pull.cut), pull.ratio, {}, torch.Generator())
        drawn = [masking.prune(probe.mean(masking.prune(probe.weights, mask)), mask)]
    else:
        rng = torch.Generator().manual_seed(seed)
        drawn = [averaged(probe, lambda s: split_gradient(w.net, probe.weights, pull.cut, s.x, s.y, pull.compression, rng).grads)
                 for _ in range(DRAWS)]
    missing = [params.combine(torch.sub, slope, sent) for sent in drawn]
    return float(np.mean([inner([slope], [b]) for b in missing])), product(missing)


def averaged(probe: Probe, gradient: Callable[[Shard], Params]) -> Params:
    """Over the devices."""
    mean: Params = {}
    for shard, share in zip(probe.shards, probe.share, strict=True):
        add(mean, gradient(shard), share)
    return mean


def table(measured: pd.DataFrame) -> list[str]:
    """Lines: a row a lever and q, that of the drift from what calibrations say."""
    lines = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    runs = slowed(joined(FOLDER, "digits"), GOAL).merge(measured, on=CELL, suffixes=("_phi", ""))
    kinds = {lever: runs[runs["lever"] == lever] for lever in STATIC}
    apart = slowed(joined(FOLDER, "digits-unlike"), GOAL)
    share = 1 + apart["sampling"]
    kinds["interval, unlike data"] = apart.assign(against=apart["relative_drift"] / share, squared=apart["squared_drift"] / share)
    return lines + [line for name, some in kinds.items() for line in of_lever(name, some)]


def of_lever(name: str, some: pd.DataFrame) -> Sequence[str]:
    """Rows of one lever."""
    rows = []
    for q in SHARES:
        cost = (1 - q) * some["against"] + q * some["squared"].clip(lower=0)
        c = compared(some.assign(relative=(1 + some["sampling"]) * cost + some["relative_noise"]), "relative", 1.0)
        values = (f"{c[key]:.2f}" for key in ("by_setting", "by_run", "over", "factor"))
        rows.append(f"| {name} | {q:g} | {c['runs']} | {' | '.join(values)} | {c['too_cautious']} |")
    return rows


if __name__ == "__main__":
    main()
