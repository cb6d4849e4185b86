"""What does a training step cost beside plain torch's? ``python -m benchmarks.training`` prints a table and one JSON line.

Both sides take the same steps on the same kind of batches, one device, Adam fused, one thread:

- whole: a round of FedAvg, against a loop over an ``nn.Module`` with ``torch.optim.Adam``;
- split: a round of SplitFed-V1 at a cut in the middle, against a loop over two modules with an optimiser each, which hand each
  other the smashed data and their gradients.

Ours also makes a new state and counts the traffic, once a round. All take turns; times are medians over the repeats, of the time
that this process really had the processor, and ratios those of the medians.
"""

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from learning.algorithm import Plan, Shard, Streams
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.models import build, cnn, mlp, resnet18
from learning.optimiser import adam
from learning.threads import one_thread
from learning.training import Training

CLASSES, RATE = 10, 1e-3
Loop = Callable[[], object]                       # a round: so many steps


class Case(NamedTuple):
    """A network, its input, and how much of it a round takes."""

    make: Callable[..., nn.Sequential]
    shape: tuple[int, ...]
    batch: int
    steps: int


CASES = {"resnet18, batch 50": Case(resnet18, (3, 32, 32), 50, 8), "resnet18, batch 64": Case(resnet18, (3, 32, 32), 64, 8),
         "cnn": Case(cnn, (1, 8, 8), 32, 40), "mlp": Case(mlp, (1, 28, 28), 32, 40)}


@dataclass(frozen=True)
class Row:
    """Processor time of a step [s], and how much more than plain torch's it is [1]."""

    case: str
    kind: str
    plain: float
    ours: float
    ratio: float


def plain_whole(net: nn.Sequential, data: Shard, batch: int) -> Loop:
    """A loop of the kind that people write."""
    net = copy.deepcopy(net)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)

    def once() -> None:
        for pick in torch.randperm(len(data)).split(batch):
            loss = cross_entropy(net(data.x[pick]), data.y[pick])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()

    return once


def plain_split(net: nn.Sequential, cut: int, data: Shard, batch: int) -> Loop:
    """The same across a cut."""
    sides = [copy.deepcopy(part) for part in (net[:cut], net[cut:])]
    front, back = sides
    optimisers = [torch.optim.Adam(side.parameters(), lr=RATE, fused=True) for side in sides]

    def once() -> None:
        for pick in torch.randperm(len(data)).split(batch):
            smashed = front(data.x[pick])
            received = smashed.detach().requires_grad_()
            loss = cross_entropy(back(received), data.y[pick])
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()
            smashed.backward(received.grad)
            for optimiser in optimisers:
                optimiser.step()
            loss.item()

    return once


def ours(algorithm: FedAvg | SplitFedV1, cut: int, data: Shard) -> Loop:
    """Round after round of one device."""
    state = algorithm.init(1)

    def once() -> None:
        nonlocal state
        state, _ = algorithm.step(state, [data], [Plan(cut)], Streams())         # type: ignore[arg-type]

    return once


def seconds(loops: Sequence[Loop], repeats: int) -> list[float]:
    """Median processor time of each, taking turns [s]; the first turn does not count."""
    times = np.empty((repeats + 1, len(loops)))
    for turn in times:
        for number, once in enumerate(loops):
            start = process_time()
            once()
            turn[number] = process_time() - start
    return [float(t) for t in np.median(times[1:], axis=0)]


def measure(name: str, repeats: int) -> list[Row]:
    """One row a kind of loop."""
    case, source = CASES[name], torch.Generator().manual_seed(0)
    net, samples = build(case.make, case.shape, CLASSES, 0), case.batch * case.steps
    data = Shard(torch.randn(samples, *case.shape, generator=source), torch.randint(CLASSES, (samples,), generator=source))
    training, blocks = Training(case.batch, 0, adam(RATE), adam(RATE)), len(net)
    cut = blocks // 2
    times = seconds([plain_whole(net, data, case.batch), ours(FedAvg(net, training), blocks, data),
                     plain_split(net, cut, data, case.batch), ours(SplitFedV1(net, training), cut, data)], repeats)
    each = [t / case.steps for t in times]
    pairs = {"whole": (each[0], each[1]), "split": (each[2], each[3])}
    return [Row(name, kind, plain, mine, round(mine / plain, 3)) for kind, (plain, mine) in pairs.items()]


def markdown(rows: Sequence[Row]) -> str:
    """The table as a person reads it."""
    lines = ["| network | step | plain torch [ms] | ours [ms] | ours / plain |", "|---|---|---|---|---|"]
    for r in rows:
        lines.append(f"| {r.case} | {r.kind} | {1e3 * r.plain:.3g} | {1e3 * r.ours:.3g} | {r.ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="processor time of a training step, beside plain torch's")
    options.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument("--repeats", type=int, default=11)
    chosen = options.parse_args()
    with one_thread():
        rows = [row for name in chosen.cases for row in measure(name, chosen.repeats)]
    print(markdown(rows))
    print(json.dumps({"benchmark": "training", "repeats": chosen.repeats, "rows": [asdict(r) for r in rows]}))


if __name__ == "__main__":
    main()
