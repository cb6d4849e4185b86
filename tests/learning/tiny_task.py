"""A task small enough to count by hand: three blocks on 4 x 4 images, in double precision."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from learning import params
from learning.algorithm import Plan, Shard, Streams
from learning.models import build
from learning.split import Compression

torch.set_num_threads(1)         # two threads that wait for each other on a busy machine make tiny layers 100 times slower

SHAPE, CLASSES = (1, 4, 4), 3
SMALL = Compression(update_bits=8, cut_bits=4, dropout=0.5)


def three_blocks(shape, classes):
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(32, 4), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 3)),
    )


def network(seed=0):
    return build(three_blocks, SHAPE, CLASSES, seed).double()


def shard(rng, size):
    return Shard(torch.from_numpy(rng.standard_normal((size, *SHAPE))), torch.from_numpy(rng.integers(CLASSES, size=size)))


def shards(rng, *sizes):
    return [shard(rng, size) for size in sizes]


def plans(*cuts, ratio=0.0):
    return [Plan(cut, ratio) for cut in cuts]


def streams(batches=0, compression=0):
    return Streams(torch.Generator().manual_seed(batches), torch.Generator().manual_seed(compression))


def run(algorithm, data, decided, source, rounds):
    """The states of some rounds, the first one included."""
    states = [algorithm.init()]
    for _ in range(rounds):
        states.append(algorithm.step(states[-1], data, decided, source)[0])
    return states


def gradient(net, weights, data):
    """Gradient of the mean loss by the whole model and plain autograd."""
    leaves = params.leaves(weights)
    loss = cross_entropy(torch.func.functional_call(net, leaves, (data.x,)), data.y)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def union(data):
    """All devices' samples in one place."""
    return Shard(torch.cat([d.x for d in data]), torch.cat([d.y for d in data]))
