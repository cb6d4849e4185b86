"""Mini-batches are passes over the data, in an order that the seed alone decides."""

from itertools import pairwise

import pytest
import torch
from tiny_task import shard, shards

from learning.algorithm import Shard, Streams
from learning.augment import Augment
from learning.training import Training


def numbered(size):
    """Samples that tell their numbers."""
    return Shard(torch.arange(size).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).double(), torch.arange(size))


def picks(training, size, number=0, device=0, seed=0):
    """Numbers of the samples of each batch, as lists."""
    batches = training.batches(numbered(size), Streams(seed).draws(number, device))
    return [y.tolist() for _, y in batches]


@pytest.mark.parametrize(("batch", "steps", "samples", "sizes"), [
    (4, 0, 10, [4, 4, 2]), (4, 0, 8, [4, 4]), (4, 0, 3, [3]), (100, 0, 10, [10]), (1, 0, 3, [1, 1, 1]),
    (4, 1, 10, [4]), (4, 3, 10, [4, 4, 2]), (4, 5, 10, [4, 4, 2, 4, 4]), (4, 3, 2, [2, 2, 2]), (4, 2, 1, [1, 1]),
    (4, 0, 0, []), (4, 3, 0, [])])
def test_sizes_are_counted_by_hand_and_are_those_of_the_batches(batch, steps, samples, sizes):
    training = Training(batch, steps)
    assert training.sizes(samples) == sizes
    assert [len(pick) for pick in picks(training, samples)] == sizes


@pytest.mark.parametrize("size", [1, 7, 8, 23])
@pytest.mark.parametrize("passes", [1, 2, 3])
def test_every_sample_comes_once_in_a_pass(size, passes):
    training = Training(4, passes * len(Training(4, 0).sizes(size)))
    seen = [i for pick in picks(training, size) for i in pick]
    for start in range(0, passes * size, size):
        assert sorted(seen[start:start + size]) == list(range(size))


def test_a_pass_that_was_begun_is_not_taken_up_again():
    """The next round shuffles anew, so the first batches of many rounds come upon every sample."""
    first = [picks(Training(4, 1), 23, number)[0] for number in range(40)]
    assert {i for pick in first for i in pick} == set(range(23))


def test_the_order_is_random_and_each_pass_has_its_own():
    first, second = (lambda p: (p[:3], p[3:]))(picks(Training(8, 6), 23))
    assert first != second
    assert [i for pick in first for i in pick] != list(range(23))


def test_every_sample_is_as_likely_to_come_first():
    """Of 1600 orders of five, each starts a fifth: within five standard deviations."""
    starts = [picks(Training(1, 1), 5, number)[0][0] for number in range(1600)]
    for i in range(5):
        assert abs(starts.count(i) - 320) < 5 * (1600 * 0.2 * 0.8) ** 0.5


def test_seed_round_and_device_decide_and_nothing_else():
    training = Training(8, 3)
    assert picks(training, 23, 2, 1, 5) == picks(training, 23, 2, 1, 5)
    others = [picks(training, 23, *other) for other in [(3, 1, 5), (2, 0, 5), (2, 1, 6), (2, 1, 5)]]
    assert len({str(pick) for pick in others}) == 4


def test_inputs_and_labels_stay_together(rng):
    data = shard(rng, 9)
    for x, y in Training(4, 0).batches(data, Streams().draws(0, 0)):
        for one, label in zip(x, y, strict=True):
            (where,) = (data.x == one).flatten(1).all(1).nonzero()
            assert data.y[where] == label


def test_augmentation_leaves_the_order_and_the_labels_alone():
    bare, shifted = (Training(4, 5, augment=augment) for augment in (Augment(), Augment(flip=True, crop=2)))
    assert picks(bare, 10) == picks(shifted, 10)
    batches = [[x for x, _ in t.batches(numbered(10), Streams().draws(0, 0))] for t in (bare, shifted)]
    assert all(one.shape == other.shape for one, other in zip(*batches, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_devices_in_step_get_the_batches_that_they_get_alone(rng, steps):
    """In their order, all in the first step, and spread over the steps as evenly as can be."""
    training, data = Training(4, steps), shards(rng, 10, 3, 0, 17)
    draws = {k: Streams(3).draws(5, k) for k in (3, 0, 1)}
    rows = [step.batches for step in training.in_step(data, draws, dict.fromkeys(draws, 1 / 3))]
    assert len(rows) == max(len(training.sizes(len(d))) for d in data)
    for k in draws:
        alone = list(training.batches(data[k], Streams(3).draws(5, k)))
        together = [row[k] for row in rows if k in row]
        when = [number for number, row in enumerate(rows) if k in row]
        assert when[0] == 0
        assert {after - before for before, after in pairwise([*when, len(rows)])} <= {
            len(rows) // len(alone), -(-len(rows) // len(alone))}
        assert all(torch.equal(a, b) for one, other in zip(alone, together, strict=True) for a, b in zip(one, other, strict=True))
    assert all(list(row) == [k for k in draws if k in row] for row in rows)


def test_in_one_pass_every_sample_weighs_the_same(rng):
    data = shards(rng, 10, 3, 17)
    draws, share = {k: Streams().draws(0, k) for k in range(3)}, {0: 10 / 30, 1: 3 / 30, 2: 17 / 30}
    for batches, weight in Training(4, 0).in_step(data, draws, share):
        assert weight == pytest.approx({k: len(y) / 30 for k, (_, y) in batches.items()})


def test_with_as_many_steps_for_all_devices_weigh_as_their_data(rng):
    data, share = shards(rng, 12, 4, 20), {0: 12 / 36, 1: 4 / 36, 2: 20 / 36}
    for batches, weight in Training(4, 3).in_step(data, {k: Streams().draws(0, k) for k in range(3)}, share):
        assert batches.keys() == share.keys()
        assert weight == pytest.approx({k: w / 3 for k, w in share.items()})


def test_nobody_in_step_makes_no_rows():
    assert list(Training().in_step([], {}, {})) == []


@pytest.mark.parametrize("settings", [{"batch": 0}, {"batch": -2}, {"steps": -1}])
def test_bad_settings_get_a_sentence(settings):
    with pytest.raises(ValueError, match=r"batch must be 1 or more \[samples\] and steps 0 \(one pass over the data\) or more"):
        Training(**settings)


def test_causes_of_equal_seeds_draw_different_numbers():
    draws = Streams(7, 7).draws(0, 0)
    assert len({torch.rand(1, generator=rng).item() for rng in draws}) == 3
