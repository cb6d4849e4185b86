"""Peak memory of rounds of training, each side in a fresh process: ``python -m benchmarks.training_memory plain|ours``.

Counted is the most that the process held at any moment of two rounds (so that what a round leaves for the next counts, too)
beyond what it held before them, when libraries, data and first weights were there. Linux only: it is read from ``/proc/self``.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.training_cases import CASES, ours, plain, shards, shuffled
from benchmarks.turns import Loop
from learning.threads import one_thread

ROUNDS, KIBI = 2, 1024


def held(what: str) -> int:
    """Memory of this process: "VmRSS" now, "VmHWM" at most since the peak was forgotten [byte]."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {what}: peak memory can only be read on Linux")
    return KIBI * int(found[1])


def peak(once: Loop) -> int:
    """The most that two rounds hold beyond what was there before them [byte]."""
    Path("/proc/self/clear_refs").write_text("5")                        # forget the peak
    before = held("VmRSS")
    with one_thread():
        for _ in range(ROUNDS):
            once()
    return held("VmHWM") - before


def fresh(name: str, side: str, devices: int) -> int:
    """As :func:`peak`, of one side of a case, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training_memory", side, "--case", name, "--devices", str(devices)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["peak"])


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="peak memory of two rounds of training")
    options.add_argument("side", choices=("plain", "ours"))
    options.add_argument("--case", choices=CASES, default="splitfed-v1-resnet")
    options.add_argument("--devices", type=int, default=10)
    chosen = options.parse_args()
    case = CASES[chosen.case]._replace(devices=chosen.devices, steps=1)              # what a step leaves does not add up
    data = shards(case)
    once: Loop = ours(case, data) if chosen.side == "ours" else plain(case, shuffled(case, data))
    print(json.dumps({"peak": peak(once)}))


if __name__ == "__main__":
    main()
