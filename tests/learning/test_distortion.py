"""Variants of compression, each for itself."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from tiny_task import SMALL, network, normed_blocks, plain, shards, smooth_blocks
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import distortion, params
from learning.algorithm import Streams
from learning.algorithms.light_fed_sl import LightFedSL
from learning.calibrate import calibrate
from learning.compress import rounding_variance
from learning.crossing import PLAIN, Compression
from learning.distortion import Distortion, parted
from learning.probe import Probe
from learning.split import learn, split_gradient

CUTS, LR = (1, 2, 3), 0.2
DROPPED, ROUNDED, BOTH = Compression(dropout=0.5), Compression(update_bits=4), Compression(update_bits=4, dropout=0.5)
VARIANTS = (PLAIN, DROPPED, ROUNDED, BOTH, SMALL)


def probe(net, data):
    return Probe(net, params.values(net), data, [len(d) for d in data])


def distortion_of(net, data, batch=100, sent=3, lr=LR, seed=1):
    """With a smoothness of one: what crosses counts with its variance."""
    return Distortion(probe(net, data), batch, lr, 1.0, sent, lambda cut: Streams(seed, seed).draws(0, cut).compression)


def distorted(net, data, variants, batch=100, sent=3, cuts=CUTS):
    return distortion_of(net, data, batch, sent).measure(cuts, variants)


@pytest.fixture
def bent_like_one(monkeypatch):
    """Rounding counts with its variance, too."""
    monkeypatch.setattr(Distortion, "_bends", lambda self, rounded: 1.0)


def measured(net, data, variants, own=PLAIN, **settings):
    settings = {"rounds": 2, "checkpoints": 2, "cuts": CUTS, "batch": 100, "lr": LR, **settings}
    return calibrate(LightFedSL(net, plain(LR), compression=own), net, data, compressions=variants, **settings)


@pytest.mark.parametrize("make", [None, normed_blocks])
def test_what_a_variant_does_does_not_depend_on_the_others(rng, make):
    net, data = network() if make is None else network(make=make), shards(rng, 10, 20)
    together = distorted(net, data, VARIANTS)
    for v, variant in enumerate(VARIANTS):
        np.testing.assert_array_equal(distorted(net, data, [variant])[:, 0], together[:, v])
        np.testing.assert_array_equal(distorted(net, data, [SMALL, variant], cuts=(2,))[0, 1], together[1, v])


def test_the_algorithms_own_compression_is_the_first_and_none_comes_twice(rng):
    found = measured(network(), shards(rng, 10, 20), (DROPPED, ROUNDED, SMALL), own=ROUNDED)
    assert found.compressions == tuple(map(asdict, (ROUNDED, DROPPED, SMALL)))
    assert np.shape(found.compression_bias) == np.shape(found.compression_noise) == (3, 3)
    assert [found.compression_number(c) for c in (ROUNDED, DROPPED, SMALL)] == [0, 1, 2]


def test_what_was_not_measured_is_refused_in_a_sentence(rng):
    found = measured(network(), shards(rng, 10, 20), (), cuts=(1, 2))
    with pytest.raises(ValueError, match=r"the cut 3 \[blocks\] was not measured: the calibration has \[1, 2\]"):
        found.cut_number(3)
    with pytest.raises(ValueError, match=r"the compression .* was not measured"):
        found.compression_number(SMALL)
    with pytest.raises(ValueError, match=r"the interval 5 \[rounds\] was not measured"):
        found.interval_number(5)


def test_behind_the_last_block_only_updates_are_compressed(rng):
    found = distorted(network(), shards(rng, 10, 20), VARIANTS)[2]
    assert found[[0, 1]].tolist() == [[0, 0], [0, 0]]
    np.testing.assert_array_equal(found[2], found[3])


def test_blocks_that_stay_with_the_device_add_no_rounding(rng):
    net, data = network(), shards(rng, 10, 20)
    assert distorted(net, data, [ROUNDED], sent=1)[:, 0, 1] == pytest.approx(distorted(net, data, [ROUNDED])[0, 0, 1], rel=1e-12)


def test_the_work_is_done_once_for_variants_that_are_alike_where_it_matters(rng, monkeypatch):
    """Four draws of two devices for each of two cuts that something crosses, and each kind of crossing."""
    net, data, calls = network(), shards(rng, 10, 20), []
    monkeypatch.setattr(distortion, "split_gradient", lambda *given: calls.append(given[2]) or split_gradient(*given))
    alike = Compression(dropout=0.5, update_bits=2), Compression(dropout=0.5, scales="channel")
    distorted(net, data, [DROPPED, BOTH, *alike, ROUNDED])
    assert sorted(calls) == [1] * 8 + [2] * 8


def test_no_compression_costs_nothing(rng, monkeypatch):
    def never(*given):
        raise AssertionError

    monkeypatch.setattr(Probe, "gradient", never)
    assert not distorted(network(), shards(rng, 10, 20), [PLAIN]).any()


@pytest.mark.usefixtures("bent_like_one")
def test_the_noise_is_that_of_one_device_whatever_their_number(rng):
    """One device, or four with the same data and draws of their own: Omega is the same, up to what four draws see."""
    net, (data,) = network(), shards(rng, 30)
    one, four = (distorted(net, [data] * n, [DROPPED, ROUNDED], cuts=(2,))[0, :, 1] for n in (1, 4))
    assert one[0] == pytest.approx(four[0], rel=0.6)
    assert one[1] == pytest.approx(four[1], rel=1e-9)


def test_dropout_in_a_larger_batch_is_a_smaller_noise_in_proportion(rng):
    """Each sample has a mask of its own, and a gradient is a mean over samples."""
    tasks = [(network(seed), shards(rng, *[64] * 8)) for seed in range(6)]
    small, large = (np.mean([distorted(*task, [DROPPED], batch, cuts=(1,))[0, 0, 1] for task in tasks]) for batch in (4, 64))
    assert small / large == pytest.approx(16, rel=0.5)


@pytest.mark.usefixtures("bent_like_one")
def test_the_rounding_is_of_gradients_of_mini_batches(rng):
    net, (data,) = network(), shards(rng, 8)
    start = params.values(net)
    halves = [learn(net, start, data.x[i:i + 4], data.y[i:i + 4]).grads for i in (0, 4)]
    by_hand = np.mean([sum(float(rounding_variance(g, 4).sum()) for g in params.front(half, 1).values()) for half in halves])
    assert distorted(net, [data], [ROUNDED], batch=4, cuts=(1,))[0, 0] == pytest.approx([0, by_hand], rel=1e-9)


def test_rounding_sees_the_curvature_of_each_weight_that_it_moves(rng):
    """With v the variances by hand and the Hessian by autograd, E e' H e = sum H_ii v_i over the blocks of a client side."""
    net, data = network(make=smooth_blocks), shards(rng, 10, 20)
    start, share = params.values(net), np.array([1, 2]) / 3
    slopes = [learn(net, start, d.x, d.y).grads for d in data]
    spread = {name: sum(w**2 * rounding_variance(g[name], 2) for w, g in zip(share, slopes, strict=True)) for name in slopes[0]}
    curved = {name: torch.func.hessian(lambda value, name=name: loss(net, start | {name: value}, data, share))(start[name])
              for name in start}
    by_hand = {name: float(curved[name].reshape(v.numel(), -1).diagonal() @ v.flatten()) for name, v in spread.items()}
    found = np.mean([distortion_of(net, data, lr=1e-4, seed=seed).measure(CUTS, [Compression(update_bits=2)])[:, 0, 1]
                     for seed in range(150)], axis=0)
    blocks = [sum(v for name, v in by_hand.items() if params.block_of(name) < cut) / (share @ share) for cut in CUTS]
    np.testing.assert_allclose(found, blocks, rtol=0.12)


def loss(net, weights, data, share):
    """F, as devices with these shares of the data have it."""
    each = [cross_entropy(functional_call(net, weights, (d.x,)), d.y) for d in data]
    return sum(w * one for w, one in zip(share, each, strict=True))


def test_errors_are_parted_into_their_mean_and_their_spread():
    """Draws 1 and 3: the product is 3, the mean square 5."""
    bias, noise = parted([{"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}])
    assert (bias, noise) == (3, 2)


def test_over_many_draws_a_bias_and_a_spread_are_found(rng):
    drawn = torch.from_numpy(rng.normal([2.0, 0.0], [1.0, 3.0], (4000, 4, 2)))
    assert np.mean([parted([{"w": v} for v in four]) for four in drawn], axis=0) == pytest.approx([4, 10], rel=0.05)


def test_the_net_is_as_it_was(rng):
    net = network(make=normed_blocks)
    before = params.values(net)
    distorted(net, shards(rng, 10, 20), VARIANTS)
    assert_close(params.values(net), before, rtol=0, atol=0)
