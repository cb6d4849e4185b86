"""Does bfloat16 cost accuracy? ``python -m benchmarks.bfloat16 [--seeds N] [--rounds N]`` prints a table and one JSON line.

SplitFed-V1 of ResNet-18 (7x7 stem) on a part of CIFAR-10, as the study of accuracies has it (``benchmarks.accuracy``: 10 devices,
IID, Adam, batches of 50), tested on all 10,000 images, once in each precision from the same weights and batches.
WIRELESSFL_DATA names the folder of the data. About four minutes on two cores.
"""

import argparse
import json
import time
from itertools import product

import joblib
import numpy as np

from benchmarks.accuracy import ALGORITHMS, COMMON, STUDIES
from learning.algorithm import Plan
from learning.evaluate import evaluate_all
from learning.precision import PRECISIONS, precision
from learning.threads import one_thread
from wirelessfl.config import load
from wirelessfl.world import world

STUDY, ALGORITHM, TEST = "cifar-10", "SplitFed-V1", "data.test=10000"


def trained(kind: str, seed: int, rounds: int) -> tuple[float, float]:
    """Accuracy [1] after some rounds, and processor time of a round [s]."""
    (settings, cut, *_), (own, _) = STUDIES[STUDY], ALGORITHMS[ALGORITHM]
    w = world(load(None, [*COMMON, *settings, *own, TEST]), seed)
    state, plans, begun = w.algorithm.init(len(w.shards)), [Plan(cut)] * len(w.shards), time.process_time()
    with one_thread():
        for _ in range(rounds):
            with precision(kind):
                state, _ = w.algorithm.step(state, w.shards, plans, w.streams())
        each = (time.process_time() - begun) / rounds
        scores = evaluate_all(w.net, w.algorithm.models(state), w.data.x_test, w.data.y_test, [s.y for s in w.shards])
    return scores.accuracy, each


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="accuracy and time of training in bfloat16, beside float32")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--workers", type=int, default=2, help="processes")
    chosen = options.parse_args()
    cases = list(product(range(chosen.seeds), PRECISIONS))
    ends = joblib.Parallel(chosen.workers)(joblib.delayed(trained)(kind, seed, chosen.rounds) for seed, kind in cases)
    found = np.array(ends).reshape(chosen.seeds, len(PRECISIONS), 2)              # seed, precision, (accuracy, time)
    print("| seed | " + " | ".join(f"{kind}: accuracy | time of a round" for kind in PRECISIONS) + " |\n" + "|---" * 5 + "|")
    for seed, row in enumerate(found):
        print(f"| {seed} | " + " | ".join(f"{accuracy:.4f} | {each:.2f} s" for accuracy, each in row) + " |")
    points = 100 * (found[:, 1, 0] - found[:, 0, 0])
    print(json.dumps({"benchmark": "bfloat16", "rounds": chosen.rounds, "points": [round(float(p), 2) for p in points],
                      "mean_points": round(float(points.mean()), 2),
                      "speedup": round(float(np.mean(found[:, 0, 1] / found[:, 1, 1])), 2)}))


if __name__ == "__main__":
    main()
