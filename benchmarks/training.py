"""What does a round of training cost beside plain loops? ``python -m benchmarks.training`` prints a table and one JSON line.

Rows, on one thread and in the time that this process really had the processor, but for the last; the sides take turns, and times
are medians:

- *a round* of ours, against the plain loops of ``training_plain`` and ``training_guided``, which reach the same averaged models
  (``tests/benchmarks/test_plain_loops.py``); five local steps, batches of 32 digits or 64 noises of CIFAR-10's size;
- *FSL-SAGE* by the published schedule, 100 steps of alignment on 1000 kept samples every tenth round. Measured are a round
  without one, the truth that a device's alignment needs, and its steps, of which a few tell the price of all; a round with its
  tenth of an alignment is the sum. A second row is of a pass over 5000 samples a device (CIFAR-10 on ten devices) a round.
  Both once more where ours takes each step of an alignment on 128 of the samples in turn (``training.align_batch``);
- *a step* of one device, where nothing is copied or averaged (``training_step``);
- *bfloat16* beside float32, both ours, a round of one device under SplitFed-V1;
- *memory*: the most that two rounds of SplitFed-V1 hold, each side in a fresh process (``training_memory``);
- *flat*: a device's share of a round, beside that of one of ten devices;
- *threads*: a round of ours on as many threads as there are processors beside one on one thread, by the clock on the wall: on an
  idle machine.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import NamedTuple

import torch

from benchmarks import training_cases, training_memory, training_step
from benchmarks.training_cases import (
    ALIGN_EVERY,
    ALIGN_STEPS,
    CASES,
    CIFAR,
    KEEP,
    Case,
    auxiliaries,
    network,
    shards,
    shuffled,
    torchs,
)
from benchmarks.training_guided import align as plain_align
from benchmarks.turns import Loop, seconds
from learning import params
from learning.algorithms.fsl_sage import ALIGNER
from learning.estimate import Samples, align
from learning.models import resnet18, resnet18_cifar, smashed_shape
from learning.precision import precision
from learning.threads import at_a_time, one_thread

PASS = 79                        # mini-batches of 64 in 5000 samples
FEW, NEVER = 4, 1 << 30          # steps of an alignment that are measured; rounds to an alignment that does not come
ALIGN_BATCH = 128                # samples of a step of an alignment in batches
COUNTS = (10, 100, 1000)         # devices
BFLOAT16 = {"bfloat16-resnet": (resnet18, 5), "bfloat16-resnet-cifar": (resnet18_cifar, 1)}
MEMORY = {"memory-resnet": "splitfed-v1-resnet", "memory-resnet-sgd": "splitfed-v1-resnet-sgd"}
THREADS = {f"threads-{name}": name for name in ("splitfed-v1-resnet", "cse-fsl-resnet", "fsl-sage-resnet")}
FLAT = {"flat-cnn": "fedavg-cnn-10", "flat-mlp": "fedavg-mlp-100"}
TARGETS = {"fedavg-mlp-100": 5.0, **{name: 2.0 for name in CASES if "cnn" in name},
           **{name: 1.3 for name in CASES if "splitfed" in name and "resnet" in name}, "fsl-sage-resnet": 3.0,
           **dict.fromkeys(BFLOAT16, 1.8), **dict.fromkeys(MEMORY, 2.0)}


class Asked(NamedTuple):
    """What the command line asks for."""

    quick: bool
    repeats: int | None

    def of(self, case: Case) -> Case:
        """The case as it is to be run."""
        small = case._replace(devices=min(case.devices, 2), steps=min(case.steps, 2), turns=1) if self.quick else case
        return small._replace(turns=self.repeats or small.turns)


@dataclass(frozen=True)
class Row:
    """Time [s] or memory [byte] of the other side and of ours; the ratio is how often ours goes into the other's [1]."""

    case: str
    what: str
    unit: str
    other: float
    ours: float
    ratio: float
    target: float | None


def row(case: str, what: str, other: float, ours: float, unit: str = "s") -> Row:
    """A row with its ratio and target."""
    target = TARGETS.get(case) if what.startswith(("a round", "peak")) else None
    return Row(case, what, unit, other, ours, round(other / ours, 3), target)


def beside_plain(case: Case, **schedule: int) -> tuple[float, float]:
    """Time of a round of the plain loop and of ours [s]."""
    data = shards(case)
    sides = [training_cases.plain(case, shuffled(case, data), **schedule), training_cases.ours(case, data, **schedule)]
    other, mine = seconds(sides, case.turns)
    return other, mine


def aligning(case: Case) -> list[float]:
    """A round's share of aligning all devices [s], told from the truth and a few steps of one: plain, ours, ours in batches."""
    net, source = network(case), torch.Generator().manual_seed(1)
    guide, y = auxiliaries(case, net).at(case.cut), torch.randint(10, (KEEP,), generator=source)
    smashed = torch.randn(KEEP, *smashed_shape(net, case.cut, case.shape), generator=source).relu()
    start, truth = params.values(guide), params.values(net)
    given = guide, start, net[case.cut:], truth, Samples(smashed, y)

    def plain(steps: int) -> Loop:
        return lambda: plain_align(torchs(guide), torchs(net)[case.cut:], (smashed, y), steps)

    def ours(steps: int, batch: int = 0) -> Loop:
        return lambda: align(*given, steps=steps, optimiser=ALIGNER, batch=batch)

    pairs = [(plain(0), plain(FEW)), (ours(0), ours(FEW)), (ours(0, ALIGN_BATCH), ours(FEW, ALIGN_BATCH))]
    times = seconds([loop for pair in pairs for loop in pair], case.turns)
    return [case.devices * (none + ALIGN_STEPS * (some - none) / FEW) / ALIGN_EVERY
            for none, some in zip(times[::2], times[1::2], strict=True)]


def compared(name: str, asked: Asked) -> Iterator[Row]:
    """A round of ours beside the plain loop's."""
    case = asked.of(CASES[name])
    if case.algorithm != "FSL-SAGE":
        yield row(name, "a round", *beside_plain(case))
        return
    other, mine = beside_plain(case, align_every=NEVER, align_steps=1)
    yield row(name, "its round without alignment", other, mine)
    published, *prices = aligning(case)
    for kind, price in zip(("", f", aligned on batches of {ALIGN_BATCH}"), prices, strict=True):
        yield row(name, f"its share of an alignment{kind}", published, price)
        for what, times in (("a round", 1.0), ("a round of a pass over 5000 samples", PASS / case.steps)):
            yield row(name, what + kind, times * other + published, times * mine + price)


def stepped(name: str, asked: Asked) -> Iterator[Row]:
    """A step of one device."""
    for kind, plain, ours in training_step.measure(asked.of(training_step.CASES[name])):
        yield row(name, f"a step, {kind}", plain, ours)


def in_bfloat16(name: str, asked: Asked) -> Iterator[Row]:
    """A round of one device, beside the same in float32."""
    make, steps = BFLOAT16[name]
    case = asked.of(Case("SplitFed-V1", make, CIFAR, 1, 64, steps, 5, "Adam", 3))

    def within(kind: str) -> Loop:
        once = training_cases.ours(case, shards(case))

        def inside() -> None:
            with precision(kind):
                once()

        return inside

    single, half = seconds([within("float32"), within("bfloat16")], case.turns)
    yield row(name, "a round, beside float32", single, half)


def remembered(name: str, asked: Asked) -> Iterator[Row]:
    """Peak memory of two rounds."""
    devices = asked.of(CASES[MEMORY[name]]).devices
    plain, ours = (training_memory.fresh(MEMORY[name], side, devices) for side in ("plain", "ours"))
    yield row(name, "peak memory of two rounds", plain, ours, "byte")


def flat(name: str, asked: Asked) -> Iterator[Row]:
    """A device's share of a round, beside its share with the fewest devices."""
    cases = [asked.of(CASES[FLAT[name]]._replace(turns=3))._replace(devices=devices) for devices in COUNTS]
    times = seconds([training_cases.ours(case, shards(case)) for case in cases], cases[0].turns)
    each = [t / devices for t, devices in zip(times, COUNTS, strict=True)]
    for devices, share in zip(COUNTS[1:], each[1:], strict=True):
        yield row(name, f"a device's share of a round, {devices} beside {COUNTS[0]} of them", each[0], share)


def in_threads(name: str, asked: Asked) -> Iterator[Row]:
    """A round on all processors, by the clock; where devices align, also one in which all of them do, by few steps."""
    case, most = asked.of(CASES[THREADS[name]]), os.cpu_count() or 1
    schedules = {"": {"align_every": NEVER}} | ({", all align": {"align_every": 1}} if case.algorithm == "FSL-SAGE" else {})
    for what, schedule in schedules.items():
        def within(threads: int, schedule: dict[str, int] = schedule) -> Loop:
            once = training_cases.ours(case, shards(case), align_steps=FEW, **schedule)

            def inside() -> None:
                with at_a_time(threads):
                    once()

            return inside

        one, several = seconds([within(1), within(most)], case.turns, perf_counter)
        yield row(name, f"a round by the clock{what}, one thread beside {most}", one, several)


JOBS = {**dict.fromkeys(CASES, compared), **dict.fromkeys(training_step.CASES, stepped), **dict.fromkeys(BFLOAT16, in_bfloat16),
        **dict.fromkeys(MEMORY, remembered), **dict.fromkeys(FLAT, flat), **dict.fromkeys(THREADS, in_threads)}


def markdown(r: Row) -> str:
    """A line of the table as a person reads it."""
    other, ours = (f"{v / 1e6:.0f} MB" if r.unit == "byte" else f"{1e3 * v:.4g} ms" for v in (r.other, r.ours))
    return f"| {r.case} | {r.what} | {other} | {ours} | {r.ratio:.2f} | {'' if r.target is None else r.target} |"


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="processor time and memory of a round of training, beside plain loops")
    options.add_argument("--cases", nargs="+", choices=JOBS, default=list(JOBS), metavar="NAME", help=", ".join(JOBS))
    options.add_argument("--repeats", type=int, help="turns that count, for all cases")
    options.add_argument("--quick", action="store_true", help="two devices, two steps, one turn: only to see that all runs")
    chosen = options.parse_args()
    asked = Asked(chosen.quick, chosen.repeats)
    rows: list[Row] = []

    print("| case | what | the other | ours | the other / ours | target |\n|---|---|---|---|---|---|", flush=True)
    with one_thread():
        for name in chosen.cases:
            for found in JOBS[name](name, asked):
                rows.append(found)
                print(markdown(found), flush=True)
    print(json.dumps({"benchmark": "training", "rows": [asdict(r) for r in rows]}))


if __name__ == "__main__":
    main()
