"""The bound's terms by hand, its identities, and the exponent. Descent on real quadratics is in ``test_bound_on_quadratics``."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from optim import bound
from optim.bound import Constants, constants_form, fit_exponent, relative_form, rounds_needed

SHARES = np.array([0.25, 0.75])
SPLIT = np.array([1, 0])                              # each device's option
FORMS = [pytest.param(relative_form, id="relative"), pytest.param(constants_form, id="constants")]


def known(**changes):
    """Two options; eta R_0 = 10 and theta = 2, so that u = 0.4."""
    values = {"step": 0.1, "rounds": 100, "start": 2.0, "smoothness": 3.0, "sampling": 2.0, "scale": np.array([0.5, 0.8]),
              "exponent": np.array([2.0, 1.0]), "bias": np.array([0.0, 0.1]), "noise": np.array([0.0, 4.0]),
              "gradient": np.array([1.0, 2.0]), "weight": np.array([10.0, 20.0])}
    return Constants(**{**values, **changes})


def small():
    """Losses so small that they are below one by either form."""
    return known(noise=np.array([0.0, 0.4]), gradient=np.array([0.01, 0.02]), weight=np.array([1e-3, 2e-3]))


def test_the_relative_bound_is_added_up_by_hand():
    share = 0.1 * (0.0625 + 0.5625) * 2.0 / 0.4                                  # eta sum w^2 beta sigma^2 / u
    phi, pruning = bound.relative(known(drift=np.array([0.0, 0.05])), SHARES)
    assert_allclose(known().sampling_share(SHARES), share)
    assert_allclose(phi[1], [0.0, (1 + share) * 0.75 * (0.1 + 0.05) + 0.1 * 0.5625 * 4.0 / 0.4])
    assert_allclose(pruning.value(np.full((2, 2), 0.5))[0], (1 + share) * 0.25 * np.array([0.125, 0.4]))


def test_gradients_that_stay_larger_than_the_lemma_allows_are_what_losses_are_measured_against():
    """Ten times u: then noise weighs a tenth, and biases hardly more for the noise beside them; the other form knows only u."""
    long = known(descent=4.0, drift=np.array([0.0, 0.05]))
    share = 0.1 * (0.0625 + 0.5625) * 2.0 / 4.0
    phi, pruning = bound.relative(long, SHARES)
    assert_allclose(long.sampling_share(SHARES), share)
    assert_allclose(phi[1], [0.0, (1 + share) * 0.75 * (0.1 + 0.05) + 0.1 * 0.5625 * 4.0 / 4.0])
    assert_allclose(pruning.value(np.full((2, 2), 0.5))[0], (1 + share) * 0.25 * np.array([0.125, 0.4]))
    assert_allclose(relative_form(known(descent=0.3), SHARES).costs[0], relative_form(known(), SHARES).costs[0])   # below u
    assert_allclose(constants_form(long, SHARES).costs[0], constants_form(known(), SHARES).costs[0])


def test_the_constants_form_is_linear_and_drifts_only_between_averagings():
    weights = np.array([0.5, 0.5])
    phi, pruning = bound.constants(known(), weights)
    drifting, _ = bound.constants(known(), weights, interval=4)
    assert_allclose(pruning.value(np.full((2, 2), 0.5))[0], 3 * 0.5 * 0.5 * (9 * np.array([10, 20]) + np.array([1, 2])) / 0.4)
    assert phi[0, 0] == 0
    assert_allclose((drifting - phi)[0], 12 * (3.0 * 0.1 * 4) ** 2 * 0.5 * np.array([1, 2]) / 0.4)


@pytest.mark.parametrize("form", FORMS)
def test_without_levers_the_planned_rounds_are_needed_and_the_gradient_is_what_they_reach(form):
    plain = form(known(bias=np.zeros(2), noise=np.zeros(2)), SHARES)
    loss = plain.loss(SPLIT, np.zeros(2))
    assert loss.total == 0
    assert rounds_needed(plain.planned, loss.total) == 100
    assert_allclose(plain.squared_gradient(loss, 100).total, (1 + plain.sampling) * 0.4)


@pytest.mark.parametrize("form", FORMS)
def test_the_rounds_that_are_needed_reach_what_the_planned_ones_would_have_reached(form):
    this = form(small(), SHARES)
    loss = this.loss(SPLIT, np.array([[0.1, 0.2], [0.3, 0.5]]))
    assert np.all((loss.total > 0) & (loss.total < 1))
    reached = this.squared_gradient(loss, rounds_needed(this.planned, loss.total))
    assert_allclose(reached.total, (1 + this.sampling) * 0.4, rtol=1e-12)


def test_costs_of_the_solvers_and_causes_of_a_loss_are_one_sum():
    form = constants_form(small(), SHARES, interval=3)
    phi, pruning = form.costs
    ratio = np.array([0.2, 0.4])
    by_hand = sum(phi[k, o] + pruning.value(np.full((2, 2), ratio[k]))[k, o] for k, o in enumerate(SPLIT))
    loss = form.loss(SPLIT, ratio)
    assert_allclose(loss.total, by_hand)
    assert_allclose(loss.noise + loss.compression + loss.drift + loss.pruning, by_hand)


def test_the_gradient_by_the_constants_is_the_sum_of_its_causes_by_hand():
    form = constants_form(small(), SHARES, interval=3)
    parts = form.squared_gradient(form.loss(SPLIT, np.array([0.2, 0.4])), 50)
    assert_allclose(parts.gap, 2 * 2.0 / (0.1 * 50))
    assert_allclose(parts.sampling, 0.1 * (0.0625 + 0.5625) * 2.0)
    assert_allclose(parts.noise, 0.1 * 0.0625 * 0.4)
    assert parts.compression == 0
    assert_allclose(parts.drift, 12 * (3.0 * 0.1 * 3) ** 2 * (0.25 * 0.02 + 0.75 * 0.01))
    assert_allclose(parts.pruning, 3 * (0.25 * 0.2 * (9 * 2e-3 + 0.02) + 0.75 * 0.4 * (9 * 1e-3 + 0.01)))
    assert_allclose(parts.total, sum(vars(parts).values()))


def test_the_gradient_by_relative_biases_is_their_share_of_the_whole():
    form = relative_form(known(drift=0.05, noise=np.array([0.0, 0.4])), SHARES)
    parts = form.squared_gradient(form.loss(SPLIT, np.array([0.2, 0.4])), 50)
    compression, pruning = 0.25 * 0.1, 0.25 * 0.8 * 0.2 + 0.75 * 0.5 * 0.4**2
    assert_allclose(parts.total, (0.8 + 0.125 + 0.0025) / (1 - compression - 0.05 - pruning))
    shares = [parts.compression, parts.drift, parts.pruning] / parts.total
    assert_allclose(shares, [compression, 0.05, pruning])


def test_a_relative_bias_of_one_bounds_nothing():
    form = relative_form(known(scale=np.array([1.0, 1.0]), bias=np.zeros(2)), SHARES)
    loss = form.loss(SPLIT, np.array([[1.0, 1.0], [0.5, 0.5]]))
    total = form.squared_gradient(loss, 10).total
    assert total[0] == np.inf
    assert np.isfinite(total[1])
    assert rounds_needed(100, loss.total)[0] == np.inf


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cause", ["noise", "compression", "drift", "pruning"])
def test_each_lever_makes_the_bound_worse_and_only_its_own_term(form, cause):
    gentle = {"noise": known(), "compression": known(), "drift": known(drift=0.01), "pruning": known()}
    harsh = {"noise": known(noise=np.array([1.0, 5.0])), "compression": known(bias=np.array([0.1, 0.2])),
             "drift": known(drift=0.1), "pruning": known()}
    ratios = np.full(2, 0.2), np.full(2, 0.3 if cause == "pruning" else 0.2)
    intervals = [{}, {}] if form is relative_form or cause != "drift" else [{"interval": 2}, {"interval": 3}]
    less, more = (form(constants[cause], SHARES, **interval) for constants, interval in
                  zip((gentle, harsh), intervals, strict=True))
    losses = [f.loss(SPLIT, ratio) for f, ratio in zip((less, more), ratios, strict=True)]
    changed = {name for name in vars(losses[0]) if getattr(losses[0], name) != getattr(losses[1], name)}
    if form is constants_form and cause == "compression":
        assert changed == set()                                              # the literature's quantisers are unbiased
        return
    assert changed == {cause}
    assert losses[1].total > losses[0].total
    assert more.squared_gradient(losses[1], 50).total > less.squared_gradient(losses[0], 50).total


def test_a_run_that_decides_anew_has_the_mean_loss_of_its_rounds():
    form = relative_form(known(), SHARES)
    rounds = np.array([[0.1, 0.2], [0.5, 0.0], [0.3, 0.3]])
    each = [form.loss(SPLIT, ratio).total for ratio in rounds]
    assert_allclose(form.loss(SPLIT, rounds).mean().total, np.mean(each))


@settings(max_examples=100, deadline=None)
@given(arrays(float, st.integers(1, 40), elements=st.floats(-1e3, 1e3)), st.floats(0, 1))
def test_pruning_by_magnitude_removes_at_most_its_share_of_the_energy(weights, ratio):
    count = int(ratio * len(weights))
    removed = np.sum(np.sort(weights**2)[:count])
    assert removed <= count / len(weights) * np.sum(weights**2) * (1 + 1e-12)


@pytest.mark.parametrize("law", [0.4, 1.0, 2.5])
def test_the_exponent_of_runs_that_follow_a_law_is_the_laws(law):
    loss = np.array([0.0, 0.25, 0.5, 0.7])
    exponent, error = fit_exponent(loss, rounds_needed(100, loss, law) / 100)
    assert_allclose(exponent, law)
    assert_allclose(error, 0, atol=1e-12)


def test_the_standard_error_of_the_exponent_is_its_scatter_over_repetitions(rng):
    loss = np.array([0.25, 0.5, 0.7, 0.25, 0.5, 0.7])
    fits = np.array([fit_exponent(loss, (1 - loss) ** -0.6 * np.exp(rng.normal(0, 0.1, 6))) for _ in range(2000)])
    assert_allclose(fits[:, 0].mean(), 0.6, atol=0.01)
    assert_allclose(np.sqrt(np.mean(fits[:, 1] ** 2)), fits[:, 0].std(), rtol=0.07)


def test_one_run_gives_an_exponent_and_no_idea_of_its_error():
    exponent, error = fit_exponent([0.0, 0.5], [1.0, 2.0])
    assert_allclose(exponent, 1.0)
    assert error == np.inf


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: known(step=0.0), "step must be positive"),
    (lambda: known(drift=np.array([0.0, -0.1])), "drift must be within"),
    (lambda: known(dissimilarity=0.5), "dissimilarity must be within"),
    (lambda: constants_form(known(), SHARES, interval=0), "interval must be within .*rounds"),
    (lambda: fit_exponent([0.5, 1.0], [1.0, 2.0]), "loss must be within"),
    (lambda: fit_exponent([0.5], [0.0]), "ratio must be positive"),
    (lambda: fit_exponent([0.0], [1.0]), "one loss above 0"),
    (lambda: fit_exponent([0.5, 0.2], [1.0]), "one number a run each")])
def test_numbers_that_cannot_be_are_named(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
