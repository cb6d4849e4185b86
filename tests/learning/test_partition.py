import numpy as np
import pytest
from scipy.stats import binom

from learning.partition import apportion, by_size, class_counts, dirichlet, dirichlet_equal, iid, shards

LABELS = np.repeat(np.arange(10), 60)


def one_shard(labels, devices, rng):
    return shards(labels, devices, rng, 1)


WAYS = [iid, dirichlet, lambda labels, devices, rng: dirichlet(labels, devices, rng, 0.01),
        dirichlet_equal, lambda labels, devices, rng: dirichlet_equal(labels, devices, rng, 1e-3),
        lambda labels, devices, rng: dirichlet_equal(labels, devices, rng, 1e6), one_shard, by_size,
        lambda labels, devices, rng: by_size(labels, devices, rng, 5.0)]
EQUAL = [iid, dirichlet_equal, one_shard, lambda labels, devices, rng: by_size(labels, devices, rng, 0.0)]


@pytest.mark.parametrize("divide", WAYS)
@pytest.mark.parametrize("devices", [1, 2, 7, 100, 600])
def test_every_sample_has_one_owner_and_every_device_a_sample(rng, divide, devices):
    shares = divide(rng.permutation(LABELS), devices, rng)
    assert len(shares) == devices
    assert min(map(len, shares)) > 0
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(len(LABELS)))


@pytest.mark.parametrize("divide", EQUAL)
@pytest.mark.parametrize("devices", [7, 11, 599])
def test_equal_shares_differ_by_at_most_one(rng, divide, devices):
    sizes = [len(share) for share in divide(LABELS, devices, rng)]
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


def test_equal_sizes_are_more_skewed_at_a_small_concentration_too(rng):
    skews = [np.mean([skew(dirichlet_equal(LABELS, 100, rng, c)) for _ in range(5)]) for c in (1e-2, 1.0, 10.0, 1e3)]
    assert skews == sorted(skews, reverse=True)


def test_at_the_least_concentration_each_device_gets_the_class_it_wants_as_far_as_there_is_enough(rng):
    """100 devices want 6 samples of one random class each; a class has enough for 10 of M ~ Binomial(100, 0.1) devices.

    So a device gets E min(M, 10) / 10 of its samples from that class, and the rest can only add to it.
    """
    draws = [skew(dirichlet_equal(LABELS, 100, rng, 1e-9)) for _ in range(50)]
    served = binom(100, 0.1).expect(lambda m: np.minimum(m, 10)) / 10
    assert np.mean(draws) > served - 5 * np.std(draws) / np.sqrt(50)
    assert served > 0.85


def test_at_the_largest_concentration_every_device_holds_the_classes_of_all_the_data(rng):
    labels = np.repeat([0, 1, 2], [6000, 3000, 1000])
    counts = class_counts(labels, dirichlet_equal(labels, 10, rng, 1e12))
    share = np.array([0.6, 0.3, 0.1])
    assert np.all(np.abs(counts - 1000 * share) < 5 * np.sqrt(1000 * share * (1 - share)))


def test_no_device_is_last_in_line(rng):
    """Devices are exchangeable: first and last hold the same mean share of each class, and are equally skewed (5 sigma)."""
    labels, draws = np.repeat([0, 1, 2], [50, 30, 20]), 2000
    counts = np.array([class_counts(labels, dirichlet_equal(labels, 5, rng, 0.5))[[0, -1]] for _ in range(draws)]) / 20
    error = counts.std(0) / np.sqrt(draws)
    assert np.all(np.abs(counts.mean(0) - [0.5, 0.3, 0.2]) < 5 * error)
    gap = np.subtract(*counts.max(2).T)
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(draws)


def test_one_shard_each_is_one_class_each(rng):
    counts = class_counts(LABELS, shards(LABELS, 10, rng, 1))
    assert np.array_equal(np.sort(counts.argmax(1)), np.arange(10))
    assert np.array_equal(counts.max(1), np.full(10, 60))


def test_two_shards_are_two_classes_or_by_chance_one(rng):
    """Of 20 shards, two of each class, a device's second one is of the class of its first with probability 1/19."""
    draws = 400
    counts = np.array([class_counts(LABELS, shards(LABELS, 10, rng)) for _ in range(draws)])
    classes = (counts > 0).sum(2)
    assert set(np.unique(counts)) == {0, 30, 60}
    assert set(np.unique(classes)) == {1, 2}
    ones = (classes == 1).sum(1)
    assert abs(ones.mean() - 10 / 19) < 5 * ones.std() / np.sqrt(draws)


def test_the_logarithm_of_the_sizes_has_the_spread_that_was_asked_for(rng):
    """The standard deviation of 2000 normal draws is known to spread / sqrt(2 * 2000); each size is rounded by one in 500."""
    sizes = np.array([len(part) for part in by_size(np.zeros(1_000_000, int), 2000, rng, 0.5)])
    assert abs(np.log(sizes).std() - 0.5) < 5 * 0.5 / np.sqrt(4000)


def test_sizes_differ_and_classes_do_not(rng):
    labels = np.repeat([0, 1], [8000, 2000])
    parts = by_size(labels, 10, rng)
    sizes = np.array([len(part) for part in parts])
    assert sizes.max() > 2 * sizes.min()
    assert np.all(np.abs(class_counts(labels, parts)[:, 0] - 0.8 * sizes) < 5 * np.sqrt(0.8 * 0.2 * sizes))


def test_a_class_without_samples_is_no_obstacle(rng):
    """Labels 0 and 5 only: nobody gets anything else."""
    labels = np.repeat([0, 5], 20)
    for divide in WAYS:
        assert np.array_equal(class_counts(labels, divide(labels, 4, rng)).sum(0), [20, 0, 0, 0, 0, 20])


def test_classes_are_counted_by_hand():
    labels = np.array([2, 0, 0, 2, 1])
    assert class_counts(labels, [np.array([0, 3]), np.array([1, 2, 4])]).tolist() == [[0, 0, 2], [2, 1, 0]]


def test_seats_go_to_the_largest_remainders():
    """Of 7: 3.5, 2.1 and 1.4 are 3, 2 and 1 at least, and the seventh goes to the remainder of a half."""
    assert apportion(7, np.array([5.0, 3.0, 2.0])).tolist() == [4, 2, 1]
    assert apportion(0, np.ones(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("total", [1, 5, 999, 10**6])
def test_apportioned_numbers_add_up_and_stay_within_one_of_their_share(rng, total):
    weights = rng.lognormal(sigma=2, size=50)
    found = apportion(total, weights)
    assert found.sum() == total
    assert np.all(np.abs(found - total * weights / weights.sum()) < 1)


@pytest.mark.parametrize("divide", WAYS)
@pytest.mark.parametrize("devices", [0, -1, 601])
def test_too_many_devices_are_named(rng, divide, devices):
    with pytest.raises(ValueError, match=f"devices must be between 1 and the 600 samples, got {devices}"):
        divide(LABELS, devices, rng)


@pytest.mark.parametrize("divide", WAYS)
def test_half_a_device_and_labels_in_a_table_are_named(rng, divide):
    with pytest.raises(ValueError, match=r"devices must be between 1 and the 600 samples, got 2\.5"):
        divide(LABELS, 2.5, rng)
    with pytest.raises(ValueError, match=r"labels must be one whole number a sample \(n,\), got shape \(600, 1\)"):
        divide(LABELS[:, None], 2, rng)


@pytest.mark.parametrize("divide", [dirichlet, dirichlet_equal])
@pytest.mark.parametrize("concentration", [0.0, -1.0, np.nan, np.inf])
def test_a_bad_concentration_is_named(rng, divide, concentration):
    with pytest.raises(ValueError, match=r"concentration must be positive and finite \[1\], got"):
        divide(LABELS, 5, rng, concentration)


@pytest.mark.parametrize("each", [0, -1, 61, 1.5])
def test_an_impossible_number_of_shards_is_named(rng, each):
    with pytest.raises(ValueError, match=rf"between 1 and 60 shards a device \(600 samples, 10 devices\), got {each}"):
        shards(LABELS, 10, rng, each)


@pytest.mark.parametrize("spread", [-0.1, np.nan, np.inf])
def test_a_bad_spread_is_named(rng, spread):
    with pytest.raises(ValueError, match=r"spread must be zero or positive, and finite \[1\], got"):
        by_size(LABELS, 10, rng, spread)


@pytest.mark.parametrize("divide", WAYS)
def test_the_same_seed_gives_the_same_shares(divide):
    once, again, other = (divide(LABELS, 5, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(once, other, strict=True))
