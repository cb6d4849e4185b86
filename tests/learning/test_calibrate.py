import importlib
import json
from dataclasses import asdict, replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from tiny_task import SMALL, descended, gradient, network, normed_blocks, plain, shard, shards, three_blocks, union
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from learning import params
from learning.algorithm import Shard
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.psl import PSL
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.calibrate import RATIOS, GradientLost, calibrate
from learning.crossing import PLAIN, Compression
from learning.distortion import Distortion
from learning.masking import Pruning

LR, CUTS = 0.2, (1, 2)


def measured(net, data, compression=PLAIN, **settings):
    """A pilot of full batches, so that its path is that of gradient descent on all samples."""
    settings = {"rounds": 1, "checkpoints": 1, "cuts": CUTS, "batch": 2, "lr": LR, **settings}
    return calibrate(LightFedSL(net, plain(LR), compression=compression), net, data, **settings)


def path(net, data, rounds):
    """Weights at the start of each round, and the gradients there."""
    weights, seen = params.values(net), []
    for _ in range(rounds):
        slope = gradient(net, weights, union(data))
        seen.append((weights, slope))
        weights = descended(weights, slope, LR)
    return seen


def distance(one, other):
    """Square of the distance between two gradients."""
    return params.squared_norm(params.combine(torch.sub, one, other))


def kept(name, weight, cut, ratio):
    """Zeros at the smallest of the client side's weights."""
    mask = torch.ones(weight.numel(), dtype=weight.dtype)
    if int(name[0]) < cut and weight.dim() > 1:
        mask[weight.abs().flatten().argsort()[:round(ratio * weight.numel())]] = 0
    return mask.view_as(weight)


def missed(net, data, weights, slope, cut, ratio):
    """Squared distance of the gradient from what comes back from devices that all prune alike."""
    masks = {name: kept(name, w, cut, ratio) for name, w in weights.items()}
    pruned = gradient(net, params.combine(torch.mul, weights, masks), union(data))
    return distance(slope, params.combine(torch.mul, pruned, masks))


@pytest.mark.parametrize(("rounds", "checkpoints", "seen"), [(1, 1, [0]), (4, 4, [0, 1, 2, 3]), (5, 3, [0, 2, 4])])
def test_the_bias_is_a_ratio_of_sums_along_the_pilot(rng, rounds, checkpoints, seen):
    net, data = network(), shards(rng, 12, 30)
    found = measured(net, data, rounds=rounds, checkpoints=checkpoints)
    stops = [path(net, data, rounds)[i] for i in seen]
    whole = sum(params.squared_norm(slope) for _, slope in stops)
    expected = [[sum(missed(net, data, *stop, cut, ratio) for stop in stops) / whole for ratio in RATIOS] for cut in CUTS]
    np.testing.assert_allclose(found.bias, expected, rtol=1e-9)
    assert (found.cuts, found.ratios, found.rounds) == (CUTS, RATIOS, rounds)


def test_the_bias_vanishes_with_the_ratio_and_grows_with_it_on_average(rng):
    bias = np.mean([measured(network(seed), shards(rng, 40, 40)).bias for seed in range(10)], axis=0)
    assert np.all(bias[:, 0] < 0.15)
    assert np.all(np.diff(bias, axis=1) > 0)
    assert np.all(bias[:, -1] > 0.3)


def test_constants_along_the_pilot_are_those_of_plain_autograd(rng):
    net, data = network(), shards(rng, 12, 30)
    found, stops = measured(net, data, rounds=4, checkpoints=4), path(net, data, 5)
    bends = [distance(here[1], there[1]) ** 0.5 / (LR * params.squared_norm(here[1]) ** 0.5)
             for here, there in pairwise(stops)]
    losses = [cross_entropy(torch.func.functional_call(net, w, (union(data).x,)), union(data).y).item() for w, _ in stops[:4]]
    each = [[params.squared_norm(gradient(net, w, d)) for d in data] for w, _ in stops[:4]]
    assert found.smoothness == pytest.approx(max(bends), rel=1e-9)
    assert found.start == pytest.approx(losses[0] - min(losses), rel=1e-9)
    assert found.dissimilarity == pytest.approx(
        np.sum(each @ np.array([12, 30]) / 42) / sum(params.squared_norm(g) for _, g in stops[:4]), rel=1e-9)
    assert found.weight == pytest.approx(
        [max(params.squared_norm({n: v for n, v in w.items() if n[0] == block}) for w, _ in stops[:4]) for block in "012"])


def scatter(net, data, batch):
    """Variance of the gradient of a mini-batch that is drawn without replacement: the mean over all that there are."""
    start = params.values(net)
    picks = map(list, combinations(range(len(data)), batch))
    return np.mean([distance(gradient(net, start, Shard(data.x[i], data.y[i])), gradient(net, start, data)) for i in picks])


def test_the_sampling_noise_is_that_of_all_mini_batches_that_may_be_drawn(rng):
    net, data = network(), shards(rng, 3, 3)
    found = measured(net, data, batch=2)
    noise = np.mean([scatter(net, d, 2) for d in data])
    assert sum(found.sampling) == pytest.approx(noise, rel=1e-9)
    assert found.sampling_noise == pytest.approx(found.smoothness * noise, rel=1e-9)
    squares = [params.squared_norm(gradient(net, params.values(net), d)) for d in data]
    assert sum(found.gradient) == pytest.approx(noise + np.mean(squares), rel=1e-9)


def test_devices_with_more_data_weigh_as_much_in_the_sampling_noise_as_in_that_of_the_mean(rng):
    """One of three samples and one of two, of whose noise a mean by shares has the squares of these."""
    net, data = network(), shards(rng, 3, 2)
    found, each, share = measured(net, data, batch=1), [scatter(net, d, 1) for d in data], np.array([3, 2]) / 5
    assert sum(found.sampling) * (share @ share) == pytest.approx(share**2 @ each, rel=1e-9)


def test_a_few_samples_at_a_time_tell_the_scatter_of_single_ones(rng):
    """Of 40 samples, eight at a time; the mean over many draws."""
    net, data = network(), [shard(rng, 40)]
    found = np.mean([sum(measured(net, data, batch=1, seed=seed).sampling) for seed in range(60)])
    assert found == pytest.approx(scatter(net, data[0], 1), rel=0.03)


def test_a_device_whose_data_are_one_mini_batch_makes_no_sampling_noise(rng):
    net, data = network(), shards(rng, 5, 9)
    few, many = (measured(net, data, batch=batch, samples=samples) for batch, samples in ((100, 64), (100, 4)))
    assert sum(few.sampling) == sum(many.sampling) == few.sampling_noise == 0
    assert 0 < sum(measured(net, data, batch=5).sampling) < np.inf


def test_measuring_on_fewer_samples_leaves_the_noise_of_a_large_batch_small(rng):
    """A batch of 64 is a batch of 64, also where gradients are measured on 16 samples."""
    net, data = network(), shards(rng, 80, 80)
    small, large = (measured(net, data, batch=batch, samples=16).sampling_noise for batch in (16, 64))
    assert large == pytest.approx(small * (1 / 64 - 1 / 80) / (1 / 16 - 1 / 80), rel=1e-9)


def test_samples_that_are_all_alike_make_no_sampling_noise(rng):
    one = shard(rng, 1)
    alike = Shard(one.x.repeat(9, 1, 1, 1), one.y.repeat(9))
    assert measured(network(), [alike, alike]).sampling_noise == pytest.approx(0, abs=1e-20)


def test_devices_with_the_same_data_are_not_dissimilar(rng):
    data = shard(rng, 10)
    assert measured(network(), [data, data, data]).dissimilarity == pytest.approx(1, rel=1e-12)
    assert measured(network(), shards(rng, 3, 20)).dissimilarity > 1


def test_without_compression_there_is_nothing_of_it(rng):
    found = measured(network(), shards(rng, 10, 10), rounds=3, checkpoints=3)
    assert found.compression_bias == found.compression_noise == ((0.0,), (0.0,))
    assert found.compressions == (asdict(PLAIN),)


def test_dropout_adds_noise_where_something_crosses(rng):
    found = measured(network(), shards(rng, 10, 10), Compression(dropout=0.5), cuts=(1, 2, 3))
    assert found.compression_noise[0] > (0,)
    assert found.compression_noise[1] > (0,)
    assert found.compression_noise[2] == found.compression_bias[2] == (0,)       # behind the last block nothing does


def test_rounded_updates_add_the_noise_of_their_coins(rng, monkeypatch):
    """Each entry has the variance of a coin between its two levels, and no draw is needed to know it; the curvature is one."""
    monkeypatch.setattr(Distortion, "_bends", lambda self, rounded: 1.0)
    net, data, share = network(), shards(rng, 5, 10, 5, 10, 5), np.array([5, 10, 5, 10, 5]) / 35
    found = measured(net, data, Compression(update_bits=6), cuts=(1, 2, 3), batch=10)
    for cut, (noise,) in zip(found.cuts, found.compression_noise, strict=True):
        coins = []
        for d in data:
            slopes = params.front(gradient(net, params.values(net), d), cut).values()
            levels = [(g, g.abs().max() / 31) for g in slopes]
            chances = [(level, g / level - (g / level).floor()) for g, level in levels if level > 0]
            coins.append(sum(float((level**2 * c * (1 - c)).sum()) for level, c in chances))
        assert noise == pytest.approx(share**2 @ coins / (share @ share), rel=1e-9)
    assert found.compression_bias == ((0,), (0,), (0,))


def test_the_pilot_itself_is_neither_pruned_nor_compressed(rng):
    net, data = network(), shards(rng, 10, 20)
    plain, small = (measured(net, data, c, rounds=4, checkpoints=3) for c in (PLAIN, SMALL))
    own = ("compressions", "compression_bias", "compression_noise", "errors")
    assert replace(plain, **{name: getattr(small, name) for name in own}) == small
    assert min(small.compression_noise) > (0,)


def test_the_same_seed_gives_the_same_calibration(rng):
    net, data = network(), shards(rng, 20, 30)
    algorithm = FedAvg(net, plain(LR, batch=4, steps=2), SMALL)
    once, again, other = (calibrate(algorithm, net, data, rounds=3, cuts=(3,), batch=4, lr=LR, seed=seed) for seed in (5, 5, 99))
    assert once == again != other
    assert json.loads(json.dumps(asdict(once)))["bias"][0] == list(once.bias[0])


def test_who_trains_without_compression_is_no_matter(rng):
    """A pilot of full batches takes the same path, cut or whole."""
    net, data, settings = network(), shards(rng, 10, 20), {"rounds": 3, "cuts": (3,), "batch": 2, "lr": LR, "checkpoints": 3}
    one, *others = (calibrate(algorithm(net, plain(LR)), net, data, **settings) for algorithm in (FedAvg, LightFedSL, SplitFedV1))
    for other in others:
        assert other.start == pytest.approx(one.start, rel=1e-9)
        np.testing.assert_allclose(other.bias, one.bias, rtol=1e-9)


def test_devices_with_models_of_their_own_are_measured_in_the_middle_of_them(rng):
    """Client sides of PSL that see the same data stay alike, and are their own mean."""
    net, data = network(), shard(rng, 10)
    settings = {"rounds": 3, "cuts": CUTS, "batch": 2, "lr": LR, "checkpoints": 3}
    one, two = (calibrate(algorithm(net, plain(LR)), net, [data, data], **settings) for algorithm in (PSL, FedAvg))
    np.testing.assert_allclose(one.bias, two.bias, rtol=1e-9)


def test_statistics_of_batch_norm_are_neither_pruned_nor_moved_by_a_measurement(rng):
    net, data = network(make=normed_blocks), shards(rng, 10, 20)
    before = params.values(net)
    found = measured(net, data, SMALL, rounds=2, checkpoints=2)
    assert np.isfinite(np.sum(found.bias) + found.smoothness + np.sum(found.compression_noise))
    assert_close(params.values(net), before, rtol=0, atol=0)


@pytest.mark.parametrize("make", [three_blocks, normed_blocks])
def test_masks_by_gradient_are_measured_as_such(rng, make):
    """Also where statistics of batch norm, which have no gradient, lie among the weights."""
    net, data = network(make=make), shards(rng, 10, 20)
    by_size, by_gradient = (calibrate(LightFedSL(net, plain(LR), pruning=Pruning(kind)), net, data, rounds=1, checkpoints=1,
                                      cuts=(2,), batch=2, lr=LR).bias for kind in ("magnitude", "gradient"))
    assert not np.isclose(by_size, by_gradient, rtol=1e-3).any()


def test_a_pilot_that_diverges_gets_a_sentence(rng):
    with pytest.raises(ValueError, match=r"the pilot run diverged: its loss went .* lower training\.lr"):
        calibrate(FedAvg(net := network(), plain(1e6)), net, shards(rng, 10), rounds=4, cuts=(3,), batch=2, lr=1e6)


def test_where_both_parts_are_alike_products_are_squares(rng):
    """Each device has one sample, ten times."""
    net, data = network(), [Shard(d.x.repeat(10, 1, 1, 1), d.y.repeat(10)) for d in shards(rng, 1, 1, 1)]
    one, two = (measured(net, data, rounds=3, checkpoints=3, intervals=(1, 3), parts=parts) for parts in (1, 2))
    for name in ("bias", "drift", "dissimilarity"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), rtol=1e-9, atol=1e-15)


def test_a_gradient_that_is_lost_in_noise_gets_a_sentence(rng):
    """Two samples a device that pull in opposite directions."""
    net, one = network(), shard(rng, 1)
    opposed = Shard(one.x.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="the gradient is lost in the noise of 64 samples a device in 2 parts"):
        measured(net, [opposed], parts=2)


def test_how_much_of_the_gradient_must_be_more_than_noise_is_an_argument(rng):
    """Of a sample that comes ten times all of it is; of different samples less."""
    net, (one, *_), different = network(), shards(rng, 1), shards(rng, 10)
    measured(net, [Shard(one.x.repeat(10, 1, 1, 1), one.y.repeat(10))], parts=2, clear=0.999)
    measured(net, different, parts=2)
    with pytest.raises(GradientLost, match="the gradient is lost in the noise"):
        measured(net, different, parts=2, clear=0.999)


def test_a_checkpoint_without_which_the_gradient_would_be_lost_leaves_wide_intervals_and_finite_ones(rng, monkeypatch):
    """Products of two parts may come out below zero at all checkpoints but one."""
    module, squares = importlib.import_module("learning.calibrate"), iter([1.0, -0.4, -0.4])
    real = module.snapshot
    monkeypatch.setattr(module, "snapshot", lambda *args: replace(real(*args), square=next(squares)))
    errors = measured(network(), shards(rng, 10, 10), rounds=3, checkpoints=3).errors
    assert all(np.all(np.isfinite(v)) for v in errors.values())
    assert errors["dissimilarity"] > 100
