import pytest
import torch
from torch.testing import assert_close

from learning.compress import dropout_mask, keep_mask, kept_of, label_bits, quantise, sent_bits

EXACT = {"rtol": 0, "atol": 0}


def normal(size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_rounding_is_unbiased(bits):
    """An entry between two levels is rounded like a coin that makes its mean exact; the spread of the mean is a coin's."""
    v, source, draws = normal(50), draw(), 3000
    mean = torch.stack([quantise(v, bits, source) for _ in range(draws)]).mean(0)
    level = v.abs().max() / (2 ** (bits - 1) - 1)
    chance = v / level - (v / level).floor()
    spread = level * (chance * (1 - chance) / draws).sqrt()
    assert torch.all((mean - v).abs() <= 5 * spread + 1e-12)


@pytest.mark.parametrize("bits", [2, 3, 8, 16, 31])
def test_rounding_misses_by_less_than_a_level(bits):
    v = normal(500)
    level = v.abs().max() / (2 ** (bits - 1) - 1)
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


@pytest.mark.parametrize("bits", [32, 64])
def test_thirty_two_bits_send_the_tensor_as_it_is(bits):
    v, source = normal(20).float(), draw()
    before = source.get_state()
    assert torch.equal(quantise(v, bits, source), v)
    assert torch.equal(source.get_state(), before)


def test_zeros_stay_zero():
    v = normal(1000) * (normal(1000, seed=2) > 0)
    sent = quantise(v, 4, draw())
    assert torch.all(sent[v == 0] == 0)
    assert torch.count_nonzero(sent) > 0
    assert_close(quantise(torch.zeros(5), 4, draw()), torch.zeros(5), **EXACT)


def test_rounding_scales_with_the_tensor_and_leaves_it_alone():
    v = normal(100)
    before = v.clone()
    assert_close(quantise(8 * v, 5, draw()), 8 * quantise(v, 5, draw()), **EXACT)
    assert torch.equal(v, before)


def test_the_largest_weights_are_kept():
    weight = torch.tensor([[0.1, -5.0, 2.0], [-0.3, 0.2, -4.0]])
    for dropped, mask in {0: [[1, 1, 1], [1, 1, 1]], 1: [[0, 1, 1], [1, 1, 1]], 3: [[0, 1, 1], [0, 0, 1]],
                          5: [[0, 1, 0], [0, 0, 0]]}.items():
        assert keep_mask({"w": weight}, dropped / 6)["w"].tolist() == mask


def test_biases_are_kept_whole():
    mask = keep_mask({"0.weight": normal((4, 4)), "0.bias": torch.zeros(4), "1.weight": 1e3 * normal((2, 3, 1, 1))}, 0.5)
    assert {name: int(m.sum()) for name, m in mask.items()} == {"0.weight": 8, "0.bias": 4, "1.weight": 3}     # per tensor


def test_of_equal_weights_the_first_are_kept():
    assert keep_mask({"w": torch.ones(2, 400)}, 0.5)["w"].tolist() == [[1] * 400, [0] * 400]


@pytest.mark.parametrize(("size", "ratio", "kept"), [(10, 0.0, 10), (10, 0.3, 7), (18, 0.5, 9), (7, 0.9, 1), (100, 0.994, 1)])
def test_the_kept_are_the_size_less_the_rounded_share(size, ratio, kept):
    assert kept_of(size, ratio) == kept


@pytest.mark.parametrize(("rate", "zeros"), [(0.25, 3), (0.5, 6), (0.75, 9), (0.9, 11)])
def test_a_dropout_mask_has_a_mean_of_one_and_its_zeros_in_each_row(rate, zeros):
    mask = dropout_mask(torch.Size((300, 3, 2, 2)), rate, draw(), torch.float64)
    assert mask.shape == (300, 3, 2, 2)
    rows = mask.reshape(300, 12)
    assert torch.all((rows == 0).sum(1) == zeros)
    assert torch.all(rows[rows > 0] == 12 / (12 - zeros))
    assert_close(rows.mean(1), torch.ones(300, dtype=torch.float64), rtol=0, atol=1e-15)


def test_every_activation_is_dropped_as_often_as_any():
    dropped = (dropout_mask(torch.Size((4000, 10)), 0.3, draw(), torch.float64) == 0).double().mean(0)
    assert torch.all((dropped - 0.3).abs() < 5 * (0.3 * 0.7 / 4000) ** 0.5)


def test_no_dropout_is_a_mask_of_ones():
    assert torch.equal(dropout_mask(torch.Size((3, 4)), 0.0, draw(), torch.float32), torch.ones(3, 4))


def test_however_much_is_dropped_something_is_sent():
    mask = dropout_mask(torch.Size((5, 10)), 0.96, draw(), torch.float64)
    assert torch.all((mask > 0).sum(1) == 1)
    assert torch.all(mask.sum(1) == 10)


@pytest.mark.parametrize(("classes", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (10, 4), (100, 7)])
def test_a_label_takes_the_bits_of_its_classes(classes, bits):
    assert label_bits(classes) == bits


@pytest.mark.parametrize(("sent", "bits"), [((10, 32), 320), ((10, 32, 3), 320), ((10, 8), 80 + 32), ((10, 8, 3), 80 + 96)])
def test_a_scale_travels_with_each_quantised_tensor(sent, bits):
    assert sent_bits(*sent) == bits
