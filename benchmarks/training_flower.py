"""A round of FedAvg beside Flower's: ``python -m benchmarks.training_flower`` prints a table and one JSON line.

Ten devices, the digits CNN, five steps of SGD a round on batches of 32: the case "fedavg-cnn-10" of ``benchmarks.training``.
Flower runs a device's round as its tutorial does, with ``torch.optim.SGD`` and without evaluation, on its simulation engine
(Ray), as many devices at once as there are processors. A round's time is what the clock says, the median, and what all its
processes really had of the processors together, the mean; the first rounds, in which Ray starts, do not count. Every process
computes on one thread.

Flower is no dependency of this project. In an environment of its own: ``pip install "flwr[simulation]"``.
"""

import argparse
import contextlib
import json
import logging
import os
import statistics
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy

from benchmarks.training_cases import CASES, SIDES, ours, plain, shards, shuffled
from benchmarks.training_cases import network as make_network
from benchmarks.turns import Loop
from learning.threads import one_thread

CASE, EARLY = CASES["fedavg-cnn-10"], 5         # the first rounds do not count
TICK = os.sysconf("SC_CLK_TCK")


class Moment(NamedTuple):
    """The clock, and processor time of this process and all its children so far [s]."""

    clock: float
    processor: float


def now() -> Moment:
    """What /proc says of this process, and of those that it began."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):                              # gone in the meantime
            fields = path.read_text().rpartition(")")[2].split()
            stats[int(path.parent.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK)
    family = {os.getpid()}
    while more := {pid for pid, (parent, _) in stats.items() if parent in family} - family:
        family |= more
    return Moment(perf_counter(), sum(stats[pid][1] for pid in family if pid in stats))


def between(moments: list[Moment]) -> Moment:
    """Median clock time and mean processor time of a round [s]; ticks of the latter are too coarse for single rounds."""
    late = moments[EARLY:]
    clock = statistics.median(b.clock - a.clock for a, b in pairwise(late))
    return Moment(clock, (late[-1].processor - late[0].processor) / (len(late) - 1))


def by_flower(rounds: int) -> Moment:
    """A round of Flower's."""
    os.environ.update(FLWR_TELEMETRY_ENABLED="0", RAY_USAGE_STATS_ENABLED="0")          # nobody is told that we measure
    try:
        from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
        from flwr.clientapp import ClientApp
        from flwr.serverapp import Grid, ServerApp
        from flwr.serverapp.strategy import FedAvg
        from flwr.simulation import run_simulation
    except ImportError as error:
        raise SystemExit(f'this comparison needs Flower ({error}): pip install "flwr[simulation]"') from error
    logging.getLogger("flwr").setLevel(logging.ERROR)
    server, client = ServerApp(), ClientApp()
    moments: list[Moment] = []

    @client.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        data = shuffled(CASE, shards(CASE))
        net = make_network(CASE)
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimiser, losses = SIDES[CASE.optimiser][1](net.parameters()), []
        for x, y in data.batches(int(context.node_config["partition-id"])):
            optimiser.zero_grad()
            loss = cross_entropy(net(x), y)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        metrics = MetricRecord({"loss": sum(losses) / len(losses), "num-examples": data.sizes[0]})
        return Message(RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics}), reply_to=message)

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0)
        strategy.start(grid, ArrayRecord(make_network(CASE).state_dict()), rounds, evaluate_fn=lambda *_: moments.append(now()))

    run_simulation(server, client, CASE.devices, backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}})
    return between(moments)


def by_loop(once: Loop, rounds: int) -> Moment:
    """A round in this process."""
    moments = [now()]
    for _ in range(rounds):
        once()
        moments.append(now())
    return between(moments)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="a round of FedAvg beside Flower's simulation of it")
    options.add_argument("--rounds", type=int, default=50)
    rounds, data = options.parse_args().rounds, shards(CASE)
    flower = by_flower(rounds)
    with one_thread():
        sides = {"Flower's simulation": flower, "plain loop": by_loop(plain(CASE, shuffled(CASE, data)), rounds),
                 "ours": by_loop(ours(CASE, data), rounds)}
    print("| who | clock [ms] | all processors [ms] |\n|---|---|---|")
    for who, taken in sides.items():
        print(f"| {who} | {1e3 * taken.clock:.4g} | {1e3 * taken.processor:.4g} |")
    found = {who: taken._asdict() for who, taken in sides.items()}
    print(json.dumps({"benchmark": "training_flower", "rounds": rounds, "round": found}))


if __name__ == "__main__":
    main()
