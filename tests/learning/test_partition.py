import numpy as np
import pytest

from learning.partition import dirichlet, iid

LABELS = np.repeat(np.arange(10), 60)
WAYS = [iid, dirichlet, lambda labels, devices, rng: dirichlet(labels, devices, rng, 0.01)]


@pytest.mark.parametrize("divide", WAYS)
@pytest.mark.parametrize("devices", [1, 2, 7, 100, 600])
def test_every_sample_has_one_owner_and_every_device_a_sample(rng, divide, devices):
    shares = divide(rng.permutation(LABELS), devices, rng)
    assert len(shares) == devices
    assert min(map(len, shares)) > 0
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(len(LABELS)))


@pytest.mark.parametrize("devices", [7, 11, 599])
def test_equal_shares_differ_by_at_most_one(rng, devices):
    sizes = [len(share) for share in iid(LABELS, devices, rng)]
    assert max(sizes) - min(sizes) <= 1


def test_equal_shares_are_random(rng):
    once, again = iid(LABELS, 2, rng), iid(LABELS, 2, rng)
    assert not np.array_equal(once[0], again[0])
    ones = np.bincount(LABELS[once[0]], minlength=10)
    assert np.all(np.abs(ones - 30) < 5 * np.sqrt(60) / 2)           # half of each class, as with coins


def skew(shares):
    """Mean share of its own most frequent class in a device's data: 0.1 with ten classes in balance, 1 with one class."""
    counts = [np.bincount(LABELS[share], minlength=10) for share in shares]
    return np.mean([count.max() / count.sum() for count in counts])


def test_a_small_concentration_is_more_skewed_than_a_large_one(rng):
    skews = [np.mean([skew(dirichlet(LABELS, 10, rng, c)) for _ in range(20)]) for c in (1e-2, 0.3, 10.0, 1e4)]
    assert skews == sorted(skews, reverse=True)
    assert skews[0] > 0.8
    assert skews[-1] < 0.12


def test_the_share_of_a_class_has_the_mean_and_the_spread_of_its_dirichlet_law(rng):
    """With K devices at concentration c a share has mean 1/K and variance (K - 1) / K^2 (K c + 1)."""
    labels, devices, concentration, draws = np.zeros(1000, int), 4, 2.0, 2000
    share = np.array([len(dirichlet(labels, devices, rng, concentration)[1]) / 1000 for _ in range(draws)])
    variance = (devices - 1) / (devices**2 * (devices * concentration + 1))
    assert abs(share.mean() - 1 / devices) < 5 * np.sqrt(variance / draws)
    assert share.var() == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("divide", WAYS)
@pytest.mark.parametrize("devices", [0, -1, 601])
def test_too_many_devices_are_named(rng, divide, devices):
    with pytest.raises(ValueError, match=f"devices must be between 1 and the 600 samples, got {devices}"):
        divide(LABELS, devices, rng)


@pytest.mark.parametrize("concentration", [0.0, -1.0, np.nan, np.inf])
def test_a_bad_concentration_is_named(rng, concentration):
    with pytest.raises(ValueError, match=r"concentration must be positive and finite \[1\], got"):
        dirichlet(LABELS, 5, rng, concentration)


@pytest.mark.parametrize("divide", WAYS)
def test_the_same_seed_gives_the_same_shares(divide):
    once, again, other = (divide(LABELS, 5, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(once, other, strict=True))
