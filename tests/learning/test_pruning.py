"""Masks: which weights are kept, and what is averaged of them."""

import pytest
import torch
from torch.testing import assert_close

from learning.pruning import SCORES, average_kept, keep_mask, kept_of, score

torch.set_num_threads(1)
EXACT = {"rtol": 0, "atol": 0}


def normal(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(seed=1):
    return torch.Generator().manual_seed(seed)


def layers(seed=0):
    return {"0.weight": normal((4, 3, 3, 3), seed), "0.bias": normal(4, seed + 1), "1.running_var": torch.ones(4).double(),
            "2.weight": 5 * normal((7, 4), seed + 2)}


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.73, 1.0])
def test_pruning_by_magnitude_loses_at_most_its_share_of_the_squares(ratio, scope):
    """||w - m w||^2 <= ratio ||w||^2, where the ratio is that of the entries that really went."""
    for seed in range(5):
        weights = {name: w for name, w in layers(seed).items() if w.dim() > 1}
        mask = keep_mask(weights, ratio, scope=scope)
        whole = [(w, mask[name]) for name, w in weights.items()]
        if scope == "global":
            whole = [tuple(torch.cat([pair[i].flatten() for pair in whole]) for i in (0, 1))]
        for w, m in whole:
            gone = 1 - m.mean()
            assert ((w - m * w) ** 2).sum() <= gone * (w**2).sum() * (1 + 1e-12)


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.9])
def test_each_score_keeps_exact_counts(kind, ratio):
    weights = layers()
    scores = score(kind, weights, grads=layers(5), reference=layers(6), rng=draw())
    each, together = keep_mask(weights, ratio, scores), keep_mask(weights, ratio, scores, "global")
    assert {name: int(m.sum()) for name, m in each.items()} == {
        "0.weight": 108 - round(108 * ratio), "0.bias": 4, "1.running_var": 4, "2.weight": 28 - round(28 * ratio)}
    assert sum(int(m.sum()) for m in together.values()) == 8 + 136 - round(136 * ratio)


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_what_is_kept_scores_no_less_than_what_is_not(kind, scope):
    weights = layers()
    scores = score(kind, weights, grads=layers(5), reference=layers(6), rng=draw())
    mask = keep_mask(weights, 0.6, scores, scope)
    names = ["0.weight", "2.weight"]
    for group in [[n] for n in names] if scope == "layer" else [names]:
        kept = torch.cat([scores[n][mask[n] == 1] for n in group])
        assert kept.min() >= torch.cat([scores[n][mask[n] == 0] for n in group]).max()


def test_scores_are_what_their_names_say():
    w, g = {"a": torch.tensor([[2.0, -3.0]])}, {"a": torch.tensor([[-4.0, 0.5]])}
    assert score("magnitude", w)["a"].tolist() == [[2.0, 3.0]]
    assert score("gradient", w, grads=g)["a"].tolist() == [[8.0, 1.5]]
    assert score("difference", w, reference=g)["a"].tolist() == [[6.0, 3.5]]


def test_random_scores_come_from_their_generator():
    weights = layers()
    one, again, other = (score("random", weights, rng=draw(seed)) for seed in (1, 1, 2))
    assert_close(one, again, **EXACT)
    assert not torch.equal(one["0.weight"], other["0.weight"])
    assert all(bool(((s >= 0) & (s < 1)).all()) for s in one.values())


def test_a_random_mask_keeps_every_weight_as_often_as_any():
    """Counts of 4000 masks; a false alarm has a chance below 100 x 6e-7 (five deviations of a binomial count)."""
    source, w = draw(), {"w": torch.ones(10, 10)}
    kept = sum(keep_mask(w, 0.3, score("random", w, rng=source))["w"] for _ in range(4000)) / 4000
    assert torch.all((kept - 0.7).abs() < 5 * (0.3 * 0.7 / 4000) ** 0.5)


def test_the_largest_weights_are_kept():
    weight = torch.tensor([[0.1, -5.0, 2.0], [-0.3, 0.2, -4.0]])
    for dropped, mask in {0: [[1, 1, 1], [1, 1, 1]], 1: [[0, 1, 1], [1, 1, 1]], 3: [[0, 1, 1], [0, 0, 1]],
                          5: [[0, 1, 0], [0, 0, 0]]}.items():
        assert keep_mask({"w": weight}, dropped / 6)["w"].tolist() == mask


def test_the_global_scope_looks_at_all_tensors_at_once():
    weights = {"0.weight": torch.ones(2, 5), "0.bias": torch.zeros(2), "1.weight": 2 * torch.ones(5, 2)}
    assert [int(m.sum()) for m in keep_mask(weights, 0.5, scope="global").values()] == [0, 2, 10]
    assert [int(m.sum()) for m in keep_mask(weights, 0.5).values()] == [5, 2, 5]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_of_equal_weights_the_first_are_kept(scope):
    assert keep_mask({"w": torch.ones(2, 400)}, 0.5, scope=scope)["w"].tolist() == [[1] * 400, [0] * 400]
    partly = torch.tensor([[1.0, 2.0, 1.0, 0.5, 1.0, 1.0]])
    assert keep_mask({"w": partly}, 0.5, scope=scope)["w"].tolist() == [[1, 1, 1, 0, 0, 0]]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_tensors_of_one_axis_alone_are_kept_whole(scope):
    vectors = {"0.bias": normal(4), "1.running_mean": normal(4), "scalar": torch.tensor(1.0)}
    mask = keep_mask(vectors, 0.9, scope=scope)
    assert all(torch.equal(mask[name], torch.ones_like(v)) for name, v in vectors.items())


def test_a_mask_has_the_order_and_types_of_the_weights():
    weights = layers() | {"3.weight": normal((2, 2)).float()}
    mask = keep_mask(weights, 0.5, scope="global")
    assert [(n, m.shape, m.dtype) for n, m in mask.items()] == [(n, w.shape, w.dtype) for n, w in weights.items()]


@pytest.mark.parametrize(("size", "ratio", "kept"), [(10, 0.0, 10), (10, 0.3, 7), (18, 0.5, 9), (7, 0.9, 1), (100, 0.994, 1)])
def test_the_kept_are_the_size_less_the_rounded_share(size, ratio, kept):
    assert kept_of(size, ratio) == kept


W = {"w": torch.ones(2, 2)}


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: keep_mask(W, 1.1), r"ratio must be within \[0, 1\] \[1\], got 1.1"),
    (lambda: keep_mask(W, float("nan")), "ratio must be within"),
    (lambda: keep_mask(W, 0.5, scope="block"), "scope must be one of layer, global, got 'block'"),
    (lambda: keep_mask(W, 0.5, {"w": torch.full((2, 2), torch.nan)}), "score of w must be numbers .* with 4 NaN"),
    (lambda: keep_mask(W, 0.5, {"w": torch.ones(2)}), r"shape \(2, 2\), got shape \(2,\)"),
    (lambda: score("taylor", W), "kind of score must be one of magnitude, random, gradient, difference, got 'taylor'"),
    (lambda: score("gradient", W), "grads must be given for scores of kind 'gradient'"),
    (lambda: score("difference", W), "reference must be given"),
    (lambda: score("random", W), "rng must be given"),
    (lambda: average_kept([W], [], [1.0], W), "one for each device"),
    (lambda: average_kept([W], [W], [-1.0], W), "no weight below 0"),
])
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_each_entry_is_averaged_over_those_who_kept_it():
    """By hand: both kept the first entry, one of them each the next two, nobody the last."""
    values = [{"w": torch.tensor([2.0, 3.0, torch.nan, torch.inf])}, {"w": torch.tensor([6.0, torch.nan, 5.0, torch.nan])}]
    masks = [{"w": torch.tensor([1.0, 1.0, 0.0, 0.0])}, {"w": torch.tensor([1.0, 0.0, 1.0, 0.0])}]
    found = average_kept(values, masks, [3.0, 1.0], {"w": torch.tensor([0.0, 0.0, 0.0, 9.0])})
    assert found["w"].tolist() == [3.0, 3.0, 5.0, 9.0]


def test_where_all_keep_all_it_is_the_weighted_mean():
    models, ones = [layers(seed) for seed in range(3)], [{}, keep_mask(layers(), 0.0), {}]
    found = average_kept(models, ones, [0.1, 0.2, 0.5], layers(9))
    for name, mean in found.items():
        assert_close(mean, (models[0][name] + 2 * models[1][name] + 5 * models[2][name]) / 8, rtol=1e-14, atol=1e-15)


def test_a_block_is_averaged_over_those_who_hold_it():
    otherwise = {"0.w": torch.zeros(1), "1.w": torch.zeros(1), "2.w": torch.ones(1)}
    found = average_kept([{"0.w": torch.ones(1)}, {"0.w": 3 * torch.ones(1), "1.w": torch.ones(1)}], [{}, {}], [1, 1], otherwise)
    assert {name: float(v) for name, v in found.items()} == {"0.w": 2.0, "1.w": 1.0, "2.w": 1.0}


def test_devices_without_weight_change_nothing():
    assert_close(average_kept([layers(1)], [{}], [0.0], layers()), layers(), **EXACT)
    assert_close(average_kept([], [], [], layers()), layers(), **EXACT)


def test_what_one_device_kept_and_trained_replaces_the_global_entry():
    before, after = layers(), layers(3)
    mask = keep_mask(before, 0.5)
    found = average_kept([after], [mask], [7.0], before)
    for name, m in mask.items():
        assert_close(found[name], torch.where(m == 1, after[name], before[name]), rtol=1e-15, atol=0)
