"""The quantiser: unbiased, of known variance, on its grid; and sizes on the air, counted by hand."""

from statistics import NormalDist

import pytest
import torch
from torch.testing import assert_close

from learning.compress import label_bits, quantise, rounding_variance, scales_of, sent_bits, variance_bound

torch.set_num_threads(1)
EXACT = {"rtol": 0, "atol": 0}
ALARM = 1e-6             # chance that a test of a mean fails though all is well


def normal(size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(seed=1):
    return torch.Generator().manual_seed(seed)


def deviations(tests):
    """So many standard deviations are passed by one of ``tests`` normal variables with the chance ALARM."""
    return NormalDist().inv_cdf(1 - ALARM / (2 * tests))


@pytest.mark.parametrize("per", ["tensor", "channel"])
@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8, 16])
def test_rounding_is_unbiased_and_has_its_variance(bits, per):
    """The mean of each entry within its own spread; the mean squared error of the whole within its observed spread."""
    v, source, draws = normal((5, 10)) * torch.linspace(0.1, 2, 5)[:, None], draw(), 4000
    sent = torch.stack([quantise(v, bits, source, per) for _ in range(draws)])
    variance = rounding_variance(v, bits, per)
    assert torch.all((sent.mean(0) - v).abs() <= deviations(v.numel()) * (variance / draws).sqrt() + 1e-12)
    errors = ((sent - v) ** 2).sum((1, 2))
    assert (errors.mean() - variance.sum()).abs() <= deviations(1) * errors.std() / draws**0.5


def test_the_variance_is_that_of_a_coin():
    """By hand, with the levels 0, 1, 2, 3 of 3 bits: 0.5 is a fair coin between 0 and 1, 2.75 goes to 3 three times of four."""
    v = torch.tensor([3.0, 0.5, 2.75, -1.0, 0.0]).double()
    for bits, variance in {3: [0, 0.25, 0.1875, 0, 0], 1: [0, 8.75, 1.4375, 8, 9], 32: [0] * 5}.items():     # one bit: 9 - v^2
        assert_close(rounding_variance(v, bits), torch.tensor(variance).double(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize("entries", [1, 2, 7, 1000])
def test_the_variance_stays_below_its_bound(bits, entries):
    for seed in range(20):
        v = normal(entries, seed) ** (1 + 2 * (seed % 3))                         # heavier and heavier tails
        assert rounding_variance(v, bits).sum() <= variance_bound(entries, bits) * (v**2).sum() * (1 + 1e-9) + 1e-30


def test_some_tensors_reach_the_bound():
    spike = torch.tensor([1.0] + [0.0] * 9).double()                              # one bit: the zeros become plus or minus one
    assert_close(rounding_variance(spike, 1).sum(), variance_bound(10, 1) * (spike**2).sum())
    assert variance_bound(10, 32) == 0


@pytest.mark.parametrize("bits", [1, 2, 3, 8, 16])
def test_rounding_misses_by_less_than_a_level(bits):
    v = normal(500)
    level = v.abs().max() * (2 if bits == 1 else 1 / (2 ** (bits - 1) - 1))
    assert torch.all((quantise(v, bits, draw()) - v).abs() <= level * (1 + 1e-6))


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_what_is_sent_fits_into_a_sign_and_its_bits(bits):
    v, most = normal(2000), 2 ** (bits - 1) - 1
    levels = quantise(v, bits, draw()) / (v.abs().max() / most)
    assert_close(levels, levels.round(), rtol=0, atol=1e-9)
    assert levels.abs().max().round() == most
    assert len(levels.round().unique()) <= 2**bits


def test_two_bits_send_signs_and_zeros():
    assert set(quantise(torch.tensor([-3.0, -1.0, 0.0, 0.5, 3.0]).repeat(50), 2, draw()).tolist()) == {-3.0, 0.0, 3.0}


def test_one_bit_sends_signs():
    sent = quantise(torch.tensor([-3.0, -1.0, 0.0, 0.5, 3.0]).repeat(50), 1, draw()).view(50, 5)
    assert set(sent.flatten().tolist()) == {-3.0, 3.0}
    assert torch.all(sent[:, 0] == -3)
    assert torch.all(sent[:, 4] == 3)


def test_each_channel_is_rounded_at_its_own_scale():
    v = torch.stack([torch.ones(100), 1e-3 * torch.ones(100), torch.zeros(100)])
    for bits in (1, 2, 8):
        assert_close(quantise(v, bits, draw(), "channel"), v, rtol=1e-6, atol=0)       # all entries are on their grids
        assert not torch.allclose(quantise(v, bits, draw())[1], v[1], rtol=1e-2)
    stack = normal((3, 4, 2, 2))
    for row in range(3):
        alone = rounding_variance(stack[row], 3)
        assert_close(rounding_variance(stack, 3, "channel")[row], alone)


def test_thirty_two_bits_send_the_tensor_as_it_is():
    v, source = normal(20).float(), draw()
    before = source.get_state()
    assert torch.equal(quantise(v, 32, source), v)
    assert torch.equal(source.get_state(), before)


def test_zeros_stay_zero():
    v = normal(1000) * (normal(1000, seed=2) > 0)
    sent = quantise(v, 4, draw())
    assert torch.all(sent[v == 0] == 0)
    assert torch.count_nonzero(sent) > 0
    for bits in (1, 4):
        assert_close(quantise(torch.zeros(5), bits, draw()), torch.zeros(5), **EXACT)
        assert quantise(torch.zeros(0, 3), bits, draw(), "channel").shape == (0, 3)


@pytest.mark.parametrize("bits", [1, 5])
def test_rounding_scales_with_the_tensor_and_leaves_it_alone(bits):
    v = normal(100)
    before = v.clone()
    assert_close(quantise(8 * v, bits, draw()), 8 * quantise(v, bits, draw()), **EXACT)
    assert torch.equal(v, before)


@pytest.mark.parametrize(("classes", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (10, 4), (100, 7)])
def test_a_label_takes_the_bits_of_its_classes(classes, bits):
    assert label_bits(classes) == bits


@pytest.mark.parametrize(("sent", "bits"), [((10, 32), 320), ((10, 32, 3), 320), ((10, 8), 80 + 32), ((10, 8, 3), 80 + 96),
                                            ((10, 1), 10 + 32)])
def test_a_scale_travels_with_what_it_quantises(sent, bits):
    assert sent_bits(*sent) == bits


@pytest.mark.parametrize(("shape", "per", "scales"), [((6, 3, 2, 2), "tensor", 1), ((6, 3, 2, 2), "channel", 6),
                                                      ((6, 3), "channel", 6), ((6,), "channel", 1), ((), "channel", 1)])
def test_scales_are_counted_by_hand(shape, per, scales):
    assert scales_of(shape, per) == scales


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: quantise(torch.ones(2), 0, draw()), r"bits of an entry must be 1 to 16, or 32 for floats \[bit\], got 0"),
    (lambda: quantise(torch.ones(2), 24, draw()), "got 24"),
    (lambda: rounding_variance(torch.ones(2), 2.5), "got 2.5"),
    (lambda: quantise(torch.ones(2), 8, draw(), "row"), "per must be one of tensor, channel, got 'row'"),
])
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
