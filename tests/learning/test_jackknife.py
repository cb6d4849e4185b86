"""Intervals of what is measured at a few checkpoints."""

import json
from dataclasses import asdict, fields

import numpy as np
import pytest
from scipy.stats import t
from tiny_task import network, normed_blocks, plain, shards

from learning import params
from learning.algorithms.light_fed_sl import LightFedSL
from learning.calibrate import RATIOS, calibrate
from learning.calibration import Calibration
from learning.crossing import Compression
from learning.jackknife import half_widths
from learning.masking import Pruning
from learning.pruning import keep_mask

LR = 0.2


def measured(net, data, pruning=None, **settings):
    settings = {"rounds": 4, "checkpoints": 4, "cuts": (1, 2), "batch": 2, "lr": LR, **settings}
    algorithm = LightFedSL(net, plain(LR), pruning=pruning or Pruning())
    return calibrate(algorithm, net, data, compressions=(Compression(update_bits=4, dropout=0.5),), intervals=(1, 3), **settings)


def means(seen):
    return {"mean": np.mean(seen)}


def test_the_interval_of_a_mean_is_the_textbooks():
    found = half_widths(means, [1.0, 2.0, 4.0, 9.0])["mean"]
    assert found == pytest.approx(t.ppf(0.975, 3) * np.std([1, 2, 4, 9], ddof=1) / 2, rel=1e-12)


def test_the_interval_of_a_ratio_of_sums_by_hand():
    """Without the first pair of (1, 2), (2, 2) the ratio is 1, without the second 1/2: se^2 = (1/16 + 1/16) / 2."""
    found = half_widths(lambda seen: {"r": sum(a for a, _ in seen) / sum(b for _, b in seen)}, [(1, 2), (2, 2)])["r"]
    assert found == pytest.approx(t.ppf(0.975, 1) / 4, rel=1e-12)


def test_intervals_of_means_cover_the_truth_as_often_as_they_say(rng):
    hits = 0
    for _ in range(2000):
        seen = list(rng.normal(3.0, 2.0, 5))
        hits += abs(np.mean(seen) - 3.0) <= half_widths(means, seen)["mean"]
    assert hits / 2000 == pytest.approx(0.95, abs=0.02)


def test_one_checkpoint_says_nothing_of_itself(rng):
    found = measured(network(), shards(rng, 10, 20), rounds=1, checkpoints=1)
    assert np.all(np.isinf(found.errors["bias"]))
    assert found.errors["smoothness"] == np.inf


def test_errors_have_the_shapes_of_what_they_are_of(rng):
    found = measured(network(), shards(rng, 10, 20))
    assert found.errors.keys() < {field.name for field in fields(Calibration)}
    constants = ("sampling_noise", "square", "dissimilarity", "smoothness", "sampling", "gradient", "weight")
    for name in ("bias", "compression_bias", "compression_noise", "drift", "misalignment", "energy", *constants):
        error = np.array(found.errors[name])
        assert error.shape == np.shape(getattr(found, name))
        assert np.isfinite(error).all()
        assert error.max() > 0
    assert [row[0] for row in found.errors["drift"]] == [0, 0]                       # no drift, and no doubt of it


def test_what_does_not_vary_along_the_path_has_no_interval(rng):
    """At a learning rate of next to nothing all checkpoints are the same."""
    net = network()
    found = calibrate(LightFedSL(net, plain(1e-12)), net, shards(rng, 10, 20), rounds=3, checkpoints=3, cuts=(1,), batch=2, lr=LR)
    np.testing.assert_allclose(found.errors["bias"][0][:3], 0, atol=1e-8)           # pruned harder, units stand on their kink


@pytest.mark.parametrize("make", [None, normed_blocks])
def test_the_energy_that_pruning_takes_is_counted_block_by_block(rng, make):
    net = network() if make is None else network(make=make)
    found = measured(net, shards(rng, 10, 20), rounds=1, checkpoints=1)
    for block, energies in enumerate(found.energy):
        own = {name: p.detach() for name, p in net.named_parameters() if params.block_of(name) == block}
        whole = sum(float((p**2).sum()) for p in own.values())
        for ratio, energy in zip(RATIOS, energies, strict=True):
            lost = [p[keep_mask({"w": p}, ratio)["w"] == 0] for p in own.values() if p.dim() > 1]
            assert energy == pytest.approx(sum(float((p**2).sum()) for p in lost) / whole, rel=1e-9)


def test_pruning_by_magnitude_takes_less_than_its_share_of_the_energy(rng):
    small, random = (np.array(measured(network(), shards(rng, 10, 20), Pruning(kind)).energy) for kind in ("magnitude", "random"))
    rounded = np.array([[round(ratio * n) / n for ratio in RATIOS] for n in (18, 128, 12)])
    assert np.all(small <= rounded + 1e-12)
    assert np.all(small <= random + 1e-12)
    assert np.all(np.diff(small, axis=1) > 0)


def test_plain_data_come_back_from_lists(rng):
    found = measured(network(), shards(rng, 10, 20))
    assert Calibration.of(json.loads(json.dumps(asdict(found)))) == found
