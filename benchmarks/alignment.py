"""What does FSL-SAGE's alignment cost, and what is spared by ending it early? ``python -m benchmarks.alignment [study ...]``.

Without a study: processor time and peak memory of an alignment as published (of its hundred steps twenty are taken), ours beside
a plain loop over ``nn.Module`` (``benchmarks.training_guided``), and ours with steps on 128 samples in turn; random data, one
thread, all in turns, and in fresh processes for memory (Linux). The server's pass counts for twenty steps, not for a hundred, and
so too much.

With studies: FSL-SAGE on real data, 10 devices, Dirichlet(1), the cnn, an alignment every five rounds, by the published schedule,
with ``align_stop``, with ``align_batch``, and with a single step, which is next to none. Accuracy is the mean of the last five
rounds; differences are paired by seed. Fashion-MNIST is looked for in the folder that WIRELESSFL_DATA names.
"""

import argparse
import copy
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.training_guided import align as plain_align
from benchmarks.training_memory import peak
from benchmarks.turns import Loop, seconds
from learning import params
from learning.algorithm import Plan
from learning.algorithms import fsl_sage
from learning.estimate import Aligned, Auxiliaries, Samples, align, aligning
from learning.evaluate import evaluate_all
from learning.models import build, cnn, resnet18, smashed_shape
from learning.optimiser import adam
from learning.threads import one_thread
from wirelessfl.config import load
from wirelessfl.world import world

CLASSES, STEPS, FULL, PART, AVERAGED = 10, 20, 100, 128, 5


class Case(NamedTuple):
    """A network, the shape of its input, where it is cut, and how many samples the server keeps."""

    make: Callable[..., nn.Sequential]
    shape: tuple[int, ...]
    cut: int
    kept: int


def grouped(shape: Sequence[int], classes: int) -> nn.Sequential:
    """ResNet-18 with group norm, whose samples know nothing of each other."""
    return resnet18(shape, classes, "group")


CASES = {"cnn, 8x8": Case(cnn, (1, 8, 8), 2, 1000), "cnn, 28x28": Case(cnn, (1, 28, 28), 2, 1000),
         "resnet18, batch norm": Case(resnet18, (3, 32, 32), 5, 500), "resnet18, group norm": Case(grouped, (3, 32, 32), 5, 500)}
COMMON = ("training.algorithm=fsl-sage", "training.model=cnn", "training.optimiser=adam", "training.lr=1e-3", "training.batch=32",
          "training.local_steps=0", "training.every=2", "training.align_every=5", "data.partition=dirichlet",
          "data.concentration=1")
STUDIES = {     # settings, cut, rounds
    "digits": (("data.dataset=digits",), 2, 26),
    "fashion-mnist": (("data.dataset=fashion-mnist", "data.train=4000", "data.test=2000"), 3, 16),
}
ARMS: dict[str, dict[str, Any]] = {
    "published": {}, "stop 0.01": {"align_stop": 0.01}, "stop 0.03": {"align_stop": 0.03}, "batch 128": {"align_batch": PART},
    "batch 128, stop 0.01": {"align_batch": PART, "align_stop": 0.01}, "one step": {"align_steps": 1},
}


@dataclass(frozen=True)
class Row:
    """An alignment of a hundred steps: processor time [s], and memory beyond what was there before [byte]."""

    case: str
    kept: int
    plain: float
    ours: float
    part: float                  # ours, with steps on a part of the samples
    plain_peak: int
    ours_peak: int
    part_peak: int


def sides(name: str) -> tuple[Loop, Loop, Loop]:
    """A few steps of an alignment: plain, ours, and ours with ``PART`` samples a step."""
    case, source = CASES[name], torch.Generator().manual_seed(0)
    net = build(case.make, case.shape, CLASSES, 0)
    helpers, server = Auxiliaries(net, case.shape, CLASSES, "stage", 1), net[case.cut:]
    smashed = torch.randn(case.kept, *smashed_shape(net, case.cut, case.shape), generator=source).relu()
    y = torch.randint(CLASSES, (case.kept,), generator=source)
    part, start, truth = helpers.at(case.cut), helpers.start(case.cut), params.values(server)
    given, common = (part, start, server, truth, Samples(smashed, y)), {"steps": STEPS, "optimiser": adam(1e-3)}
    return (lambda: plain_align(copy.deepcopy(part), server, (smashed, y), STEPS),
            lambda: align(*given, **common), lambda: align(*given, **common, batch=PART))          # type: ignore[arg-type]


def held(name: str, side: int) -> int:
    """Peak memory of one side [byte]."""
    return peak(sides(name)[side])


def measure(name: str, repeats: int) -> Row:
    """One row of the table of costs."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        peaks = [fresh.submit(held, name, side).result() for side in range(3)]
    with one_thread():
        plain, ours, part = (t * FULL / STEPS for t in seconds(sides(name), repeats))
    return Row(name, CASES[name].kept, plain, ours, part, *peaks)


def accuracy(study: str, arm: str, seed: int) -> dict[str, Any]:
    """One run: accuracy, steps of all alignments and how many these were, processor time of them and of the run [s]."""
    settings, cut, rounds = STUDIES[study]
    w, begun = world(load(None, [*COMMON, *settings]), seed), process_time()
    a, steps, spent, scores = replace(w.algorithm, **ARMS[arm]), [], [], []          # type: ignore[type-var]
    plans = [Plan(cut)] * len(w.shards)

    def timed(work: Callable[[], Any]) -> Any:
        start = process_time()
        found = work()
        spent.append(process_time() - start)
        return found

    def watched(*given: Any, **chosen: Any) -> Callable[[], Aligned]:
        fit = timed(lambda: aligning(*given, **chosen))

        def fitted() -> Aligned:
            found: Aligned = timed(fit)
            steps.append(found.steps)
            return found
        return fitted

    fsl_sage.aligning = watched
    with one_thread():
        state = a.init(len(w.shards))
        for number in range(1, rounds + 1):
            state, _ = a.step(state, w.shards, plans, w.streams())
            if number > rounds - AVERAGED:
                found = evaluate_all(w.net, a.models(state), w.data.x_test, w.data.y_test, [s.y for s in w.shards])
                scores.append(found.accuracy)
    return {"study": study, "arm": arm, "seed": seed, "accuracy": float(np.mean(scores)), "alignments": len(steps),
            "steps": sum(steps), "align_s": sum(spent), "run_s": process_time() - begun}


def against(runs: Sequence[dict[str, Any]], study: str) -> str:
    """The arms of a study as a person reads them."""
    lines = [f"| {study} | accuracy | less the published, paired | steps of an alignment | alignments [s] | whole run [s] |",
             "|---|---|---|---|---|---|"]
    by = {arm: [r for r in runs if r["study"] == study and r["arm"] == arm] for arm in ARMS}
    for arm, own in by.items():
        off = [100 * (r["accuracy"] - p["accuracy"]) for r, p in zip(own, by["published"], strict=True)]
        error = float(np.std(off, ddof=1)) / math.sqrt(len(off)) if len(off) > 1 else float("nan")
        mean = {key: float(np.mean([r[key] for r in own])) for key in ("accuracy", "align_s", "run_s")}
        taken = sum(r["steps"] for r in own) / sum(r["alignments"] for r in own)
        lines.append(f"| {arm} | {mean['accuracy']:.4f} | {np.mean(off):+.2f} ± {error:.2f} points | {taken:.1f} | "
                     f"{mean['align_s']:.3g} | {mean['run_s']:.3g} |")
    return "\n".join(lines)


def markdown(rows: Sequence[Row]) -> str:
    """The table of costs as a person reads it."""
    lines = [f"| network | kept | plain [s] | ours [s] | plain / ours | {PART} a step [s] | peak: plain, ours, {PART} [MB] |",
             "|---|---|---|---|---|---|---|"]
    for r in rows:
        peaks = ", ".join(f"{peak / 1e6:.0f}" for peak in (r.plain_peak, r.ours_peak, r.part_peak))
        lines.append(f"| {r.case} | {r.kept} | {r.plain:.3g} | {r.ours:.3g} | {r.plain / r.ours:.2f} | {r.part:.3g} | {peaks} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="cost of FSL-SAGE's alignment, and what ending it early spares")
    options.add_argument("studies", nargs="*", metavar="study", help=", ".join(STUDIES))
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--repeats", type=int, default=3)
    chosen = options.parse_args()
    if unknown := set(chosen.studies) - set(STUDIES):
        options.error(f"no study {sorted(unknown)}; there are {list(STUDIES)}")
    if chosen.studies:
        runs = [accuracy(study, arm, seed) for study in chosen.studies for seed in range(chosen.seeds) for arm in ARMS]
        print(*(against(runs, study) for study in chosen.studies), sep="\n\n")
    else:
        runs = [asdict(row) for row in (measure(name, chosen.repeats) for name in CASES)]
        print(markdown([Row(**r) for r in runs]))
    print(json.dumps({"benchmark": "alignment", "rows": runs}))


if __name__ == "__main__":
    main()
