"""Bits on the air and FLOPs, counted by hand for three blocks on 4 x 4 images.

=====================  =======  ======  =======  =================  =================  =======
block                  weights  biases  tensors  forward            backward           outputs
=====================  =======  ======  =======  =================  =================  =======
Conv2d(1, 2, 3), ReLU  18       2       2        2 x 18 x 16 = 576  576 (no d/d data)  32
Linear(32, 4), ReLU    128      4       2        2 x 128 = 256      2 x 256 = 512      4
Linear(4, 3)           12       3       2        2 x 12 = 24        2 x 24 = 48        3
=====================  =======  ======  =======  =================  =================  =======
"""

import copy

import pytest
import torch
from tiny_task import CLASSES, SHAPE, SMALL, network, plans, shards, streams
from torch.testing import assert_close

from learning.algorithm import Affine, Plan, Traffic, Work
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.split_fed import SplitFed
from learning.profile import Profile, profile
from learning.split import Compression

COUNTS = Profile(weights=(18, 128, 12), biases=(2, 4, 3), tensors=(2, 2, 2), channels=(3, 5, 4), buffers=(0, 0, 0),
                 forward=(576, 256, 24), backward=(576, 512, 48), outputs=(32, 4, 3), classes=3)
COMPRESSIONS = [Compression(), SMALL, Compression(update_bits=8), Compression(cut_bits=4), Compression(dropout=0.5),
                Compression(dropout=0.99)]


def test_a_profile_is_counted_by_hand():
    assert profile(network(), SHAPE, CLASSES) == COUNTS
    assert profile(network().float(), SHAPE, CLASSES) == COUNTS


def test_a_profile_leaves_the_model_as_it_was():
    net = network().train()
    before = copy.deepcopy(net.state_dict())
    profile(net, SHAPE, CLASSES)
    assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert net.training
    assert all(p.grad is None for p in net.parameters())


def test_work_adds_up_over_the_blocks():
    assert COUNTS.flops(0, 1) + COUNTS.flops(1, 3) == COUNTS.flops(0, 3) == 1992
    assert COUNTS.flops(2, 2) == 0
    assert COUNTS.blocks == 3


@pytest.mark.parametrize(("cut", "compression", "expected"), [
    # three batches of four samples; a label of three classes has two bits
    (1, Compression(), Work(Affine(0, 12 * 1152), Affine(12 * 32 * 32 + 12 * 2 + 2 * 32, 18 * 32), Affine(12 * 840),
                            Affine(12 * 32 * 32 + 2 * 32, 18 * 32))),
    (2, Compression(), Work(Affine(0, 12 * 1920), Affine(12 * 4 * 32 + 12 * 2 + 6 * 32, 146 * 32), Affine(12 * 72),
                            Affine(12 * 4 * 32 + 6 * 32, 146 * 32))),
    (3, Compression(), Work(Affine(0, 12 * 1992), Affine(9 * 32, 158 * 32), Affine(0), Affine(9 * 32, 158 * 32))),
    # half of the outputs in 4 bits, with a scale of 32 bits a batch; updates in 8 bits, with a scale a tensor
    (1, SMALL, Work(Affine(0, 12 * 1152), Affine(3 * (4 * 16 * 4 + 32) + 12 * 2 + 2 * 8 + 2 * 32, 18 * 8), Affine(12 * 840),
                    Affine(3 * (4 * 16 * 4 + 32) + 2 * 32, 18 * 32))),
    (3, SMALL, Work(Affine(0, 12 * 1992), Affine(9 * 8 + 6 * 32, 158 * 8), Affine(0), Affine(9 * 32, 158 * 32)))])
def test_the_work_of_split_fed_is_counted_by_hand(cut, compression, expected):
    assert SplitFed(network(), batch=4, steps=3, compression=compression).work(COUNTS, cut, samples=10) == expected


@pytest.mark.parametrize(("compression", "up"), [(Compression(), Affine(9 * 32, 158 * 32)),
                                                 (SMALL, Affine(9 * 8 + 6 * 32, 158 * 8))])
def test_the_work_of_fed_avg_is_counted_by_hand(compression, up):
    found = FedAvg(network(), batch=4, steps=3, compression=compression).work(COUNTS, 3, samples=10)
    assert found == Work(Affine(0, 12 * 1992), up, Affine(0), Affine(9 * 32, 158 * 32))


@pytest.mark.parametrize(("algorithm", "cut", "crossing"), [(SplitFed, 1, 32 * 32 + 2), (SplitFed, 3, 0), (FedAvg, 3, 0)])
def test_a_device_with_few_samples_has_small_batches(algorithm, cut, crossing):
    few, many = (algorithm(network(), batch=4).work(COUNTS, cut, samples) for samples in (3, 4))
    assert few.device_flops.at(0.0) / many.device_flops.at(0.0) == 3 / 4
    assert many.uplink_bits.fixed - few.uplink_bits.fixed == crossing


def test_an_affine_amount_falls_with_the_ratio():
    assert [Affine(2.0, 8.0).at(ratio) for ratio in (0.0, 0.25, 0.5)] == [10.0, 8.0, 6.0]


def predicted(algorithm, data, decided, **transfers):
    """Traffic of each device by the cost table."""
    works = [algorithm.work(COUNTS, plan.cut, len(d), **transfers) for d, plan in zip(data, decided, strict=True)]
    return tuple(Traffic(work.uplink_bits.at(plan.ratio), work.downlink_bits.at(plan.ratio))
                 for work, plan in zip(works, decided, strict=True))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("ratio", [0.0, 0.5])          # half of 18, 128 and 12 weights are whole numbers
def test_bits_on_the_air_are_those_of_the_cost_table(rng, compression, ratio):
    data, decided = shards(rng, 10, 3, 7), plans(1, 2, 3, ratio=ratio)
    split = SplitFed(network(), batch=4, steps=3, compression=compression)
    _, report = split.step(split.init(), data, decided, streams())
    assert report.traffic == predicted(split, data, decided)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_bits_of_fed_avg_are_those_of_the_cost_table(rng, compression, ratio):
    data, decided = shards(rng, 10, 3), plans(3, 3, ratio=ratio)
    whole = FedAvg(network(), batch=4, steps=3, compression=compression)
    _, report = whole.step(whole.init(), data, decided, streams())
    assert report.traffic == predicted(whole, data, decided)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("interval", [2, 3])
def test_an_interval_downloads_first_and_uploads_last(rng, compression, interval):
    data, decided, source = shards(rng, 10, 3, 7), plans(1, 2, 3, ratio=0.5), streams()
    split = SplitFed(network(), batch=4, interval=interval, compression=compression)
    state, total = split.init(), torch.zeros(3, 2)
    for number in range(2 * interval):
        state, report = split.step(state, data, decided, source)
        first, last = number % interval == 0, (number + 1) % interval == 0
        assert report.traffic == predicted(split, data, decided, download=float(first), upload=float(last))
        total += torch.tensor([[t.uplink_bits, t.downlink_bits] for t in report.traffic])
    spread = predicted(split, data, decided, download=1 / interval, upload=1 / interval)
    assert_close(total, 2 * interval * torch.tensor([[t.uplink_bits, t.downlink_bits] for t in spread]))


@pytest.mark.parametrize("interval", [1, 2])
def test_what_moves_has_been_downloaded_and_uploaded(rng, interval):
    """Every entry of the client side that an averaging changes was paid for, both ways."""
    data, source = shards(rng, 20), streams()
    split = SplitFed(network(), batch=4, interval=interval)
    state = start = split.init()
    up = down = 0.0
    for _ in range(interval):
        state, report = split.step(state, data, [Plan(3, 0.5)], source)           # behind the last block only models move
        up, down = up + report.traffic[0].uplink_bits, down + report.traffic[0].downlink_bits
    moved = sum(int((state.model[name] != start.model[name]).sum()) for name in state.model)
    assert 0 < moved * 32 <= min(up, down)
