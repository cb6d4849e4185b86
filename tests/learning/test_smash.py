"""Dropout of smashed data: who is sent, how often, and that the mean stays."""

from statistics import NormalDist

import pytest
import torch
from torch.testing import assert_close

from learning.smash import EVEN, KINDS, drop, dropout_mask, keep_probability, sent_of

torch.set_num_threads(1)
ALARM = 1e-6             # chance that a test of a mean fails though all is well


def smashed(shape=(8, 3, 2, 2), seed=0):
    """Features of very different spreads; one is constant, one is zero."""
    v = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).flatten(1)
    v = v * torch.linspace(0.1, 2, v.shape[1]) + 1
    v[:, 4], v[:, 5] = 3.0, 0.0
    return v.view(shape)


def draw(seed=1):
    return torch.Generator().manual_seed(seed)


def deviations(tests):
    """So many standard deviations are passed by one of ``tests`` normal variables with the chance ALARM."""
    return NormalDist().inv_cdf(1 - ALARM / (2 * tests))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_dropout_is_unbiased_and_has_its_variance(kind, rate):
    """An entry kept with probability q and divided by it has the mean one and the variance 1/q - 1."""
    v, source, draws = smashed(), draw(), 4000
    q = keep_probability(v.flatten(1), rate).view(1, 3, 2, 2) if kind == "feature" else v.new_tensor(sent_of(12, rate) / 12)
    q = q.expand(v.shape)
    masks = torch.stack([drop(v, rate, kind, source).mask for _ in range(draws)])
    # the number of times that an entry is kept is binomial
    kept = (masks > 0).double().mean(0)
    assert torch.all((kept - q).abs() <= deviations(v.numel()) * (q * (1 - q) / draws).sqrt())
    assert_close(masks.amax(0)[kept > 0], (1 / q)[kept > 0], rtol=1e-12, atol=0)
    mean = (masks * v).mean(0)
    assert torch.all((mean - v).abs() <= deviations(v.numel()) * v.abs() * ((1 / q - 1) / draws).sqrt() + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_through_the_mask_is_the_mask(kind):
    """Multiplied by the same mask on its way back, the gradient of the server's loss is that of the device's input."""
    v = smashed().requires_grad_()
    sent = drop(v, 0.5, kind, draw())
    assert not sent.mask.requires_grad
    (grad,) = torch.autograd.grad(((v * sent.mask) ** 2).sum(), v)
    received = (v * sent.mask).detach()
    assert_close(grad, 2 * received * sent.mask)
    assert torch.all(grad[sent.mask == 0] == 0)


def test_random_entries_are_counted_by_hand():
    sent = drop(smashed(), 0.25, "random", draw())
    assert (sent.entries, sent.side_bits) == (8 * 9, 0.0)
    assert torch.all((sent.mask.flatten(1) > 0).sum(1) == 9)


def test_whole_features_are_dropped_and_named_by_one_bit_each():
    sent = drop(smashed(), 0.5, "feature", draw())
    columns = (sent.mask.flatten(1) > 0)
    assert torch.all(columns == columns[0])
    assert sent.entries == 8 * int(columns[0].sum())
    assert sent.side_bits == 12.0
    assert sent.mask.shape == (8, 3, 2, 2)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.9, 0.99])
def test_probabilities_of_columns_sum_to_what_is_asked(rate):
    for seed in range(10):
        q = keep_probability(smashed(seed=seed).flatten(1), rate)
        assert_close(q.sum(), q.new_tensor(12 * (1 - rate)), rtol=1e-12, atol=0)
        assert torch.all((q >= EVEN * (1 - rate) * (1 - 1e-12)) & (q <= 1))


def test_columns_are_kept_in_the_order_of_their_deviations():
    v = smashed(shape=(64, 12)).flatten(1)
    for rate in (0.1, 0.5, 0.9):
        q = keep_probability(v, rate)
        assert torch.all(q[v.std(0).argsort()].diff() >= -1e-15)


def test_where_few_are_kept_the_probability_follows_the_deviation():
    """Without a cap (C = 0) q = (1 - rate) (EVEN + (1 - EVEN) sigma / mean sigma)."""
    v = torch.tensor([[0.0, 0.0, 5.0], [2.0, 6.0, 5.0]]).double()            # deviations 1, 3, 0
    assert_close(keep_probability(v, 0.7), 0.3 * (EVEN + (1 - EVEN) * torch.tensor([0.75, 2.25, 0.0]).double()))


def test_a_column_that_is_always_kept_by_the_rule_is_nearly_always_sent():
    """At the cap the largest deviation has (1) q = 1, less the even tenth's share of what is dropped."""
    v = torch.tensor([[0.0] * 10, [1.0] + [0.01] * 9]).double()
    q = keep_probability(v, 0.5)
    assert_close(q[0], torch.tensor(1 - EVEN * 0.5).double())


@pytest.mark.parametrize("shape", [(1, 10), (6, 10)])
def test_columns_that_do_not_vary_are_kept_alike(shape):
    """One sample has no spread; nor has a batch of equal ones."""
    assert_close(keep_probability(torch.ones(shape), 0.3), torch.full((10,), 0.7))


@pytest.mark.parametrize("kind", KINDS)
def test_no_dropout_sends_all(kind):
    sent = drop(smashed(), 0.0, kind, draw())
    assert torch.equal(sent.mask, torch.ones(8, 3, 2, 2).double())
    assert sent.entries == 96


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_mask(kind):
    one, again, other = (drop(smashed(), 0.5, kind, draw(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.mask, again.mask)
    assert not torch.equal(one.mask, other.mask)


@pytest.mark.parametrize(("rate", "zeros"), [(0.25, 3), (0.5, 6), (0.75, 9), (0.9, 11)])
def test_a_dropout_mask_has_a_mean_of_one_and_its_zeros_in_each_row(rate, zeros):
    mask = dropout_mask(torch.Size((300, 3, 2, 2)), rate, draw(), torch.float64)
    assert mask.shape == (300, 3, 2, 2)
    rows = mask.reshape(300, 12)
    assert torch.all((rows == 0).sum(1) == zeros)
    assert torch.all(rows[rows > 0] == 12 / (12 - zeros))
    assert_close(rows.mean(1), torch.ones(300, dtype=torch.float64), rtol=0, atol=1e-15)


def test_however_much_is_dropped_at_random_something_is_sent():
    mask = dropout_mask(torch.Size((5, 10)), 0.96, draw(), torch.float64)
    assert torch.all((mask > 0).sum(1) == 1)
    assert torch.all(mask.sum(1) == 10)


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: drop(smashed(), 1.0, "random", draw()), r"rate of dropout must be within \[0, 1\) \[1\], got 1.0"),
    (lambda: drop(smashed(), float("nan"), "feature", draw()), "rate of dropout"),
    (lambda: drop(smashed(), 0.5, "channel", draw()), "kind of dropout must be one of random, feature, got 'channel'"),
    (lambda: drop(torch.ones(3), 0.5, "feature", draw()), r"smashed must have the shape \(samples, ...\), got \(3,\)"),
])
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
