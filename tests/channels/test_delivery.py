import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from channels.delivery import Packets

BITS, RATE = np.array([120_000.0, 12_000.0, 0.0]), np.array([1e6, 2e5, 3e5])


def test_without_losses_bits_take_bits_over_rate(rng):
    done = Packets().send(rng, BITS, RATE, 2 * RATE)
    assert_array_equal(done.time, BITS / RATE)
    assert np.all(done.arrived)
    assert not np.any(done.outage)


def test_after_an_outage_everything_is_sent_again_at_the_rate_that_the_link_carries(rng):
    done = Packets(attempts=2).send(rng, BITS, RATE, RATE / 4)
    assert_allclose(done.time, BITS / RATE * 5)
    assert_array_equal(done.outage, [True, True, False])           # nothing sent, nothing lost
    assert np.all(done.arrived)


def test_who_never_repeats_loses_what_the_link_did_not_carry(rng):
    done = Packets(attempts=1).send(rng, BITS, RATE, RATE / 4)
    assert_array_equal(done.time, BITS / RATE)
    assert_array_equal(done.arrived, [False, False, True])


def test_a_dead_link_takes_for_ever_and_says_so_without_a_nan(rng):
    done = Packets().send(rng, BITS, RATE, np.zeros(3))
    assert_array_equal(done.time, [np.inf, np.inf, 0.0])
    assert_array_equal(done.outage, [True, True, False])


@pytest.mark.parametrize(("error", "attempts"), [(0.1, 8), (0.5, 3), (0.3, 1)])
def test_time_and_arrivals_are_what_the_mean_says(rng, error, attempts):
    """Each packet is sent (1 - q^A) / (1 - q) times in the mean, and gets through with probability 1 - q^A."""
    packets, many = Packets(1000.0, error, attempts), 20_000
    one = packets.send(rng, np.full(many, 1000.0), np.full(many, 1e3), np.full(many, 1e3))
    assert abs(np.mean(one.arrived) - (1 - error**attempts)) < 4.5 * 0.5 / np.sqrt(many)
    assert abs(np.mean(one.time) - packets.transmissions) < 4.5 * attempts / 2 / np.sqrt(many)
    assert_allclose(packets.transmissions, sum(error**i for i in range(attempts)))


def test_a_long_message_needs_all_its_packets(rng):
    """20 packets that are never repeated: 0.9^20 of the messages are whole."""
    many = 20_000
    done = Packets(1000.0, 0.1, 1).send(rng, np.full(many, 20_000.0), np.full(many, 1e4), np.full(many, 1e4))
    assert abs(np.mean(done.arrived) - 0.9**20) < 4.5 * 0.5 / np.sqrt(many)
    assert_allclose(done.time, 2.0)


def test_a_rate_that_is_met_but_for_rounding_is_met(rng):
    assert not np.any(Packets().send(rng, BITS, RATE, RATE * (1 - 1e-12)).outage)


@pytest.mark.parametrize(("fields", "words"), [
    ({"size": 0.0}, r"size must be positive and finite \[bit\], got 0.0"),
    ({"error": 1.0}, r"error must be a probability within \[0, 1\) \[1\], got 1.0"),
    ({"attempts": 0}, r"attempts must be a whole number of 1 or more, got 0"),
])
def test_what_cannot_be_gets_a_sentence(fields, words):
    with pytest.raises(ValueError, match=words):
        Packets(**fields)
