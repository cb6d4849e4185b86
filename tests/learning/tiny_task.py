"""A task small enough to count by hand: three blocks on 4 x 4 images, in double precision.

=====================  =======  ======  =======  =================  =================  =======
block                  weights  biases  tensors  forward            backward           outputs
=====================  =======  ======  =======  =================  =================  =======
Conv2d(1, 2, 3), ReLU  18       2       2        2 x 18 x 16 = 576  576 (no d/d data)  32
Linear(32, 4), ReLU    128      4       2        2 x 128 = 256      2 x 256 = 512      4
Linear(4, 3)           12       3       2        2 x 12 = 24        2 x 24 = 48        3
=====================  =======  ======  =======  =================  =================  =======

A scale for each channel is one for each row of a weight, and one for a bias: 3, 5 and 4. With batch norm in the place of the
first two biases there are twice as many (scale and shift), as many statistics, and a tensor more.
"""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from learning import params
from learning.algorithm import Plan, Shard, Streams
from learning.crossing import Compression
from learning.estimate import Auxiliaries
from learning.models import build
from learning.optimiser import sgd
from learning.profile import Profile
from learning.training import Training

torch.set_num_threads(1)         # two threads that wait for each other on a busy machine make tiny layers 100 times slower

SHAPE, CLASSES, SEEDS = (1, 4, 4), 3, Streams()
SMALL = Compression(update_bits=8, smashed_bits=4, cut_bits=4, dropout=0.5)


def three_blocks(shape, classes):
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(32, 4), nn.ReLU()),
        nn.Sequential(nn.Linear(4, classes)),
    )


def smooth_blocks(shape, classes):
    """The same without kinks, for whoever looks at second derivatives."""
    conv, hidden, last = three_blocks(shape, classes)
    return nn.Sequential(nn.Sequential(conv[0], nn.Tanh()), nn.Sequential(*hidden[:2], nn.Tanh()), last)


def normed_blocks(shape, classes):
    """The same with batch norm in the first two blocks."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(32, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU()),
        nn.Sequential(nn.Linear(4, classes)),
    )


COUNTS = Profile(weights=(18, 128, 12), biases=(2, 4, 3), tensors=(2, 2, 2), channels=(3, 5, 4), buffers=(0, 0, 0),
                 forward=(576, 256, 24), backward=(576, 512, 48), outputs=(32, 4, 3), classes=3)
NORMED = Profile(weights=(18, 128, 12), biases=(4, 8, 3), tensors=(3, 3, 2), channels=(4, 6, 4), buffers=(4, 8, 0),
                 forward=(576, 256, 24), backward=(576, 512, 48), outputs=(32, 4, 3), classes=3)
NETS = [(three_blocks, COUNTS), (normed_blocks, NORMED)]


def network(seed=0, make=three_blocks):
    return build(make, SHAPE, CLASSES, seed).double()


def auxiliaries(net, kind="linear", seed=0):
    return Auxiliaries(net, SHAPE, CLASSES, kind, seed)


def plain(lr=0.1, batch=100, steps=1):
    """Gradient descent on both sides, on all that a device has unless ``batch`` is less."""
    return Training(batch, steps, client=sgd(lr), server=sgd(lr))


def shard(rng, size):
    return Shard(torch.from_numpy(rng.standard_normal((size, *SHAPE))), torch.from_numpy(rng.integers(CLASSES, size=size)))


def shards(rng, *sizes):
    return [shard(rng, size) for size in sizes]


def plans(*cuts, ratio=0.0):
    return [Plan(cut, ratio) for cut in cuts]


def run(algorithm, data, decided, rounds, streams=SEEDS):
    """The states of some rounds, the first one included."""
    return [state for state, _ in reports(algorithm, data, decided, rounds, streams)]


def reports(algorithm, data, decided, rounds, streams=SEEDS):
    """As ``run``, each state with what the round that led to it did; None for the first."""
    seen = [(algorithm.init(len(data)), None)]
    for _ in range(rounds):
        seen.append(algorithm.step(seen[-1][0], data, decided, streams))
    return seen


def gradient(net, weights, data):
    """Gradient of the mean loss by the whole model and plain autograd."""
    leaves = params.leaves(weights, (name for name, _ in net.named_parameters()))
    buffers = {name: weights[name].clone() for name, _ in net.named_buffers()}
    loss = cross_entropy(functional_call(net, {**leaves, **buffers}, (data.x,)), data.y)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def descended(weights, slope, lr=0.1):
    """One step of gradient descent; what has no gradient stays."""
    return {name: w - lr * slope[name] if name in slope else w for name, w in weights.items()}


def union(data):
    """All devices' samples in one place."""
    return Shard(torch.cat([d.x for d in data]), torch.cat([d.y for d in data]))
