"""Does a device's work fall as its pruned weights do? ``python -m benchmarks.pruning`` prints a table and one JSON line.

The latency model says that the device's work is x = 1 - ratio of the full network's. For the first blocks of a network this
counts and measures what is really left of the weights (of two axes or more), of the FLOPs of a forward and backward pass
(torch's counter), and of the processor's time for it, relative to the full network:

- masked: zeros in full tensors, the smallest weights of each layer;
- shrunk: whole channels taken out, the share of channels being that which leaves the share x of the weights;
- shrunk by 16: the same in multiples of 16 channels, the 32-bit numbers of a vector of 512 bits.

All variants of a network take turns on one thread; times are medians over the repeats, of the time that this process really had
the processor.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.turns import seconds
from learning import params
from learning.models import build, cnn, resnet18, resnet18_cifar, vgg11
from learning.params import Params
from learning.profile import profile
from learning.pruning import keep_mask
from learning.structured import Shrunk, shrink
from learning.threads import one_thread

RATIOS = (0.0, 0.2, 0.4, 0.6, 0.8)
CLASSES = 10


class Case(NamedTuple):
    """A network, what the device holds of it, and a batch."""

    make: Callable[..., nn.Sequential]
    shape: tuple[int, ...]
    blocks: int
    batch: int


CASES = {"cnn": Case(cnn, (1, 28, 28), 3, 32), "resnet18": Case(resnet18, (3, 32, 32), 5, 16),
         "resnet18_cifar": Case(resnet18_cifar, (3, 32, 32), 5, 4), "vgg11": Case(vgg11, (3, 32, 32), 4, 4)}


@dataclass(frozen=True)
class Row:
    """What is left of a device's part, relative to the full one [1]."""

    network: str
    variant: str
    asked: float         # x = 1 - ratio
    weights: float       # what is left of them: the work that the model claims
    flops: float
    seconds: float


class Variant(NamedTuple):
    """A network to run: its blocks, their tensors, and how much they hold."""

    name: str
    asked: float
    net: nn.Sequential
    weights: Params
    held: int


def shrunk_to(case: Case, net: nn.Sequential, weights: Params, share: float, multiple: int) -> Shrunk:
    """What is left without so many channels that it is nearest to ``share`` of the weights; by bisection."""
    low, high, full, tried = 0.0, 1.0 - 1e-9, entries(weights, case.blocks), []
    for _ in range(10):
        ratio = (low + high) / 2
        small = shrink(net, weights, case.blocks, ratio, case.shape, multiple)
        left = entries(small.weights, case.blocks) / full
        tried.append((abs(left - share), small))
        low, high = (ratio, high) if left > share else (low, ratio)
    return min(tried, key=lambda one: one[0])[1]


def entries(weights: Params, blocks: int) -> int:
    """Weights of two axes or more that are not zero."""
    return sum(int(p.count_nonzero()) for p in params.front(weights, blocks).values() if p.dim() > 1)


def variants(case: Case) -> list[Variant]:
    """The full network first."""
    net = build(case.make, case.shape, CLASSES, 0)
    weights, found = params.values(net), []
    for ratio in RATIOS:
        mask = keep_mask(params.front(weights, case.blocks), ratio)
        zeros = {**weights, **{name: m * weights[name] for name, m in mask.items()}}
        found.append(Variant("masked", 1 - ratio, net, zeros, entries(zeros, case.blocks)))
        for name, multiple in (("shrunk", 1), ("shrunk by 16", 16)) if ratio else ():
            small = shrunk_to(case, net, weights, 1 - ratio, multiple)
            held = entries(small.weights, case.blocks)
            if held < found[0].held:                                       # few channels may have nothing to lose
                found.append(Variant(name, 1 - ratio, small.net, small.weights, held))
    return found


def passing(case: Case, variant: Variant) -> Callable[[], None]:
    """A forward and backward pass of the device's part, on a batch and the gradients of its output."""
    source = torch.Generator().manual_seed(0)
    front, x = variant.net[:case.blocks], torch.randn(case.batch, *case.shape, generator=source)
    names = [name for name, _ in front.named_parameters()]
    held = params.front(variant.weights, case.blocks)
    leaves = {name: held[name].clone().requires_grad_(name in names) for name in held}
    slope = torch.randn(functional_call(front, leaves, (x,)).shape, generator=source)

    def once() -> None:
        out: Tensor = functional_call(front, leaves, (x,))
        torch.autograd.grad(out, [leaves[name] for name in names], slope)

    return once


def measure(network: str, repeats: int) -> list[Row]:
    """One row a variant."""
    case = CASES[network]
    each = variants(case)
    flops = [profile(v.net, case.shape, CLASSES).flops(0, case.blocks) for v in each]
    times = seconds([passing(case, v) for v in each], repeats)
    left = [(v.asked, v.held / each[0].held, f / flops[0], t / times[0])
            for v, f, t in zip(each, flops, times, strict=True)]
    return [Row(network, v.name, *(round(float(share), 4) for share in shares)) for v, shares in zip(each, left, strict=True)]


def markdown(rows: Sequence[Row]) -> str:
    """The table as a person reads it."""
    heads = ["network", "variant", "asked", "weights", "FLOPs", "time", "FLOPs / weights", "time / weights"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for r in rows:
        shares = (r.asked, r.weights, r.flops, r.seconds, r.flops / r.weights, r.seconds / r.weights)
        lines.append(f"| {r.network} | {r.variant} | " + " | ".join(f"{share:.2f}" for share in shares) + " |")
    return "\n".join(lines)


def off(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """For each variant the largest ratios of FLOPs and of time to the weights, which are what the model claims."""
    return {name: (max(r.flops / r.weights for r in rows if r.variant == name),
                   max(r.seconds / r.weights for r in rows if r.variant == name)) for name in {r.variant: 0 for r in rows}}


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="what pruning leaves of a device's weights, FLOPs and time")
    options.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument("--repeats", type=int, default=21)
    chosen = options.parse_args()
    with one_thread():
        rows = [row for network in chosen.networks for row in measure(network, chosen.repeats)]
    print(markdown(rows))
    print(json.dumps({"benchmark": "pruning", "repeats": chosen.repeats, "most_flops_and_time_over_weights": off(rows),
                      "rows": [asdict(r) for r in rows]}))


if __name__ == "__main__":
    main()
