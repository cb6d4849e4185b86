"""Accuracy of every algorithm on real data: ``python -m benchmarks.accuracy [study ...] [--minutes M] [--workers N]``.

10 devices, IID and Dirichlet(1), 3 seeds. A cell (study, partition, algorithm, seed) that is in docs/accuracy/STUDY.csv is not
run again, so the study goes on where it stopped; no cell is begun after ``--minutes``. The tables are then made anew from all
cells that there are (docs/accuracy/tables.md), and so are the pictures. One thread a process; results do not depend on how
many.

Data sets other than digits are looked for in the folder that WIRELESSFL_DATA names.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import joblib

from benchmarks.accuracy_report import report
from benchmarks.study import append, chosen, declare, done, revision
from wirelessfl.experiments.runs import trained

SEEDS = (0, 1, 2)
PARTITIONS = ("iid", "dirichlet")
COMMON = ("data.concentration=1", "training.optimiser=adam", "training.lr=1e-3", "training.local_steps=0")
SMALL = ("training.model=cnn", "training.batch=32")
RESNET = ("training.model=resnet18", "training.batch=50", "training.flip=true", "data.standardise=true")
STUDIES = {     # settings, cut of split algorithms, rounds, evaluations
    "digits": (("data.dataset=digits", *SMALL), 2, 40, 10),
    "fashion-mnist": (("data.dataset=fashion-mnist", "data.train=4000", "data.test=2000", *SMALL), 2, 20, 10),
    "cifar-10": (("data.dataset=cifar-10", "data.train=1500", "data.test=1000", "training.crop=4", *RESNET), 5, 12, 4),
    "ham10000": (("data.dataset=ham10000-28", "data.train=1500", "data.test=1000", *RESNET), 5, 12, 4),
}
GUIDED = ("training.every=2", "training.align_every=5", "training.align_steps=25")
LIGHT = ("training.algorithm=light-fedsl", "training.update_bits=8", "training.dropout=0.25")
ALGORITHMS = {  # settings, pruning ratio
    "FedAvg": (("training.algorithm=fedavg",), 0.0),
    "split learning": (("training.algorithm=split-learning",), 0.0),
    "SplitFed-V1": (("training.algorithm=splitfed-v1",), 0.0),
    "SplitFed-V2": (("training.algorithm=splitfed-v2",), 0.0),
    "PSL": (("training.algorithm=psl",), 0.0),
    "EPSL, share 0.5": (("training.algorithm=epsl", "training.share=0.5"), 0.0),
    "EPSL, share 1": (("training.algorithm=epsl", "training.share=1.0"), 0.0),
    "CSE-FSL": (("training.algorithm=cse-fsl", GUIDED[0]), 0.0),
    "FSL-SAGE": (("training.algorithm=fsl-sage", *GUIDED), 0.0),
    "lightweight FedSL": (LIGHT, 0.3),
    "lightweight FedSL, SplitFC's dropout": ((*LIGHT, "training.dropout_kind=feature"), 0.3),
    "personalised, pruned": (("training.algorithm=personalised", "training.personal_steps=0"), 0.3),
}
FOLDER = Path(__file__).parents[1] / "docs" / "accuracy"


def main() -> None:
    """Run what is missing for as long as there is time, and make the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=85.0, help="no cell is begun after so long")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = chosen(parser, STUDIES, "study")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for study in options.studies:
        declare(FOLDER / f"{study}.csv", {"study": STUDIES[study], "common": COMMON, "algorithms": ALGORITHMS, "seeds": SEEDS})
    until = time.time() + 60 * options.minutes
    cells = (cell for cell in missing(options.studies) if time.time() < until)
    pool = joblib.Parallel(n_jobs=options.workers, return_as="generator_unordered", pre_dispatch=options.workers)
    for cell, rows in pool(joblib.delayed(run)(*cell) for cell in cells):
        append(FOLDER / f"{cell[0]}.csv", rows)
        print(*cell, f"accuracy {rows[-1]['accuracy']:.3f}, {rows[-1]['cpu_s']:.0f} s", flush=True)
    summary = report(FOLDER, list(STUDIES), list(ALGORITHMS))
    print(json.dumps(summary))


def missing(studies: list[str]) -> Iterator[tuple[str, str, str, int]]:
    """Cells that are not in the tables yet: all studies for the first seed, then for the next."""
    there = {(study, *cell) for study in studies for cell in done(FOLDER / f"{study}.csv", ("partition", "algorithm", "seed"))}
    every = itertools.product(SEEDS, studies, PARTITIONS, ALGORITHMS)
    yield from (cell for seed, *rest in every if (cell := (*rest, seed)) not in there)


def run(study: str, partition: str, algorithm: str, seed: int) -> tuple[tuple[str, str, str, int], list[dict]]:
    """Train one cell; a row an evaluation: accuracy, mean traffic of a device so far [byte], CPU time [s]."""
    (settings, cut, rounds, evaluations), (own, ratio) = STUDIES[study], ALGORITHMS[algorithm]
    rows = trained([*COMMON, *settings, *own, f"data.partition={partition}"], seed, cut=cut, ratio=ratio, rounds=rounds,
                   tests=evaluations)
    cell = {"partition": partition, "algorithm": algorithm, "seed": seed}
    return (study, partition, algorithm, seed), [
        cell | {"round": row["round"], "accuracy": round(row["accuracy"], 5), "own_accuracy": round(row["own_accuracy"], 5),
                "train_loss": round(row["loss"], 5), "up_bytes": round(row["up_bytes"]), "down_bytes": round(row["down_bytes"]),
                "cpu_s": row["cpu_s"], "commit": revision()} for row in rows]


if __name__ == "__main__":
    main()
