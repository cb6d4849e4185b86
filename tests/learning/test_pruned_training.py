"""What pruning does to training, whoever trains."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_task import SEEDS, SMALL, descended, gradient, network, plain, plans, reports, run, shards
from torch.testing import assert_close

from learning import params
from learning.algorithm import Plan, Streams
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.personalised import Personalised
from learning.calibrate import calibrate
from learning.crossing import PLAIN
from learning.masking import Pruning
from learning.pruning import average_kept, keep_mask, score

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-10, "atol": 1e-12}
THREE = [FedAvg, LightFedSL, lambda net, training, **settings: Personalised(net, training, personal=0, **settings)]
every = pytest.mark.parametrize("algorithm", THREE, ids=["FedAvg", "LightFedSL", "Personalised"])


def pruned(weights, mask):
    return {name: w * mask[name] if name in mask else w for name, w in weights.items()}


def kept_step(net, weights, data, mask, lr=0.1):
    """A step at the pruned weights, on those that were kept."""
    begin = pruned(weights, mask)
    return descended(begin, pruned(gradient(net, begin, data), mask), lr)


@every
@pytest.mark.parametrize("compression", [PLAIN, SMALL])
def test_pruned_weights_get_no_update(rng, algorithm, compression):
    states = run(algorithm(network(), plain(steps=3), compression=compression), shards(rng, 40), plans(3, ratio=0.5), 1)
    start, end = (state.model for state in states)
    for name, kept in keep_mask(start, 0.5).items():
        assert_close(end[name][kept == 0], start[name][kept == 0], **EXACT)
    assert not torch.equal(end["0.0.weight"], start["0.0.weight"])


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("compression", [PLAIN, SMALL])
@pytest.mark.parametrize("interval", [1, 2])
def test_pruned_weights_of_a_client_side_get_no_update(rng, cut, compression, interval):
    algorithm = LightFedSL(network(), plain(steps=3), interval, compression)
    states = run(algorithm, shards(rng, 40), plans(cut, ratio=0.5), interval)
    start, end = states[0].model, states[-1].model
    for name, kept in keep_mask(params.front(start, cut), 0.5).items():
        assert_close(end[name][kept == 0], start[name][kept == 0], **EXACT)
    assert not torch.equal(end["0.0.weight"], start["0.0.weight"])


@pytest.mark.parametrize("algorithm", THREE[:2], ids=["FedAvg", "LightFedSL"])
def test_a_pruned_weight_is_a_zero_in_the_average(rng, algorithm):
    net, data = network(), shards(rng, 6, 12)
    start, end = (state.model for state in run(algorithm(net, plain()), data, [Plan(3, 0.5), Plan(3)], 1))
    only_second = descended(start, gradient(net, start, data[1]), 0.1 * 2 / 3)
    for name, kept in keep_mask(start, 0.5).items():
        assert_close(end[name][kept == 0], only_second[name][kept == 0], **CLOSE)


@every
def test_or_the_mean_is_over_those_that_kept_it(rng, algorithm):
    """Entry by entry; what nobody kept stays."""
    net, data = network(), shards(rng, 6, 12)
    decided, pruning = [Plan(3, 0.75), Plan(3, 0.25)], Pruning(kept_only=True)
    start, end = (state.model for state in run(algorithm(net, plain(), pruning=pruning), data, decided, 1))
    masks = [keep_mask(start, plan.ratio) for plan in decided]
    ends = [kept_step(net, start, d, mask) for d, mask in zip(data, masks, strict=True)]
    assert_close(end, average_kept(ends, masks, [6, 12], start), **CLOSE)
    nobody = (masks[0]["1.1.weight"] + masks[1]["1.1.weight"]) == 0
    assert nobody.sum() == 32                                                      # a quarter of 128
    assert_close(end["1.1.weight"][nobody], start["1.1.weight"][nobody], **EXACT)


@every
def test_a_device_computes_at_its_pruned_weights(rng, algorithm):
    net, data = network(), shards(rng, 6)
    start, end = (state.model for state in run(algorithm(net, plain()), data, plans(3, ratio=0.5), 1))
    mask = keep_mask(start, 0.5)
    moved = params.combine(torch.sub, kept_step(net, start, data[0], mask), pruned(start, mask))
    assert_close(end, params.combine(torch.add, start, moved), **CLOSE)


def test_the_server_is_not_pruned(rng):
    net, data = network(), shards(rng, 6)
    start, end = (state.model for state in run(LightFedSL(net, plain()), data, plans(1, ratio=0.5), 1))
    mask = keep_mask(params.front(start, 1), 0.5)
    moved = params.combine(torch.sub, kept_step(net, start, data[0], mask), pruned(start, mask))
    assert_close(end, params.combine(torch.add, start, moved), **CLOSE)


@pytest.mark.parametrize("algorithm", THREE[:2], ids=["FedAvg", "LightFedSL"])
def test_masks_follow_the_averaged_model(rng, algorithm):
    """Dynamic pruning: each round's mask is that of the weights of the round before, not that of the start."""
    net, data = network(), shards(rng, 6, 9)
    states = [state.model for state in run(algorithm(net, plain(1.0, steps=3)), data, plans(3, 3, ratio=0.5), 4)]
    for here, there in pairwise(states):
        for name, kept in keep_mask(here, 0.5).items():
            assert_close(there[name][kept == 0], here[name][kept == 0], **EXACT)
    first, last = (keep_mask(states[i], 0.5)["1.1.weight"] for i in (0, 3))
    assert not torch.equal(first, last)


def largest(worth, weight):
    """Ones at the half of largest worth, and of equals at the larger weights: those that were pruned have no worth at all."""
    mask = torch.zeros(weight.numel(), dtype=weight.dtype)
    order = np.lexsort((weight.abs().flatten().numpy(), worth.flatten().numpy()))
    mask[order[round(0.5 * weight.numel()):].copy()] = 1
    return mask.view_as(weight)


@every
def test_weights_of_least_gain_are_pruned_by_the_last_move_of_the_model(rng, algorithm):
    """By magnitude in the first round, and then by |w g|, g what the averaged model moved by."""
    net, data = network(), shards(rng, 6)
    states = run(algorithm(net, plain(1.0), pruning=Pruning("gradient")), data, plans(3, ratio=0.5), 2)
    first, second, third = (state.model for state in states)
    gain = score("gradient", second, grads=params.combine(torch.sub, second, first))
    best = {name: largest(gain[name], w) if w.dim() > 1 else torch.ones_like(w) for name, w in second.items()}
    masks = [keep_mask(first, 0.5), best]
    for mask, here, there in zip(masks, (first, second), (second, third), strict=True):
        moved = params.combine(torch.sub, kept_step(net, here, data[0], mask, 1.0), pruned(here, mask))
        assert_close(there, params.combine(torch.add, here, moved), **CLOSE)


@every
def test_weights_of_least_difference_are_pruned_device_by_device(rng, algorithm):
    """Between the averaged model and what the device last ended a round with; of three, for two differ alike from their mean."""
    net, data, share = network(), shards(rng, 6, 12, 6), [1 / 4, 1 / 2, 1 / 4]
    whole, start = algorithm(net, plain(), pruning=Pruning("difference")), params.values(net)
    state = run(whole, data, plans(3, 3, 3), 1)[-1]
    ends = [descended(start, gradient(net, start, d)) for d in data]
    assert_close(state.trace.last, tuple(ends), **CLOSE)
    masks = [keep_mask(state.model, 0.5, score("difference", state.model, reference=last)) for last in state.trace.last]
    moved = [params.combine(torch.sub, kept_step(net, state.model, d, mask), pruned(state.model, mask))
             for d, mask in zip(data, masks, strict=True)]
    end = whole.step(state, data, plans(3, 3, 3, ratio=0.5), SEEDS)[0].model
    assert_close(end, params.combine(torch.add, state.model, params.weighted_sum(moved, share)), **CLOSE)
    assert not torch.equal(masks[0]["1.1.weight"], masks[1]["1.1.weight"])


@every
def test_random_masks_are_drawn_anew_for_each_round_and_device(rng, algorithm):
    """From the stream of the compression, of the right size."""
    net, data = network(), shards(rng, 6)
    moved = []
    for streams in (Streams(0, 0), Streams(0, 0), Streams(0, 1)):
        states = run(algorithm(net, plain(), pruning=Pruning("random")), data, plans(3, ratio=0.5), 2, streams)
        moved.append([there.model["1.1.weight"] != here.model["1.1.weight"]
                      for here, there in pairwise(states)])
        assert all(int(m.sum()) <= 64 for m in moved[-1])
    assert torch.equal(moved[0][0], moved[1][0])
    assert not torch.equal(moved[0][0], moved[2][0])
    assert not torch.equal(moved[0][0], moved[0][1])


@every
@pytest.mark.parametrize("refresh", [2, 3])
def test_masks_stand_until_they_are_refreshed(rng, algorithm, refresh):
    """What is left out does not move before the next draw; random draws differ."""
    whole = algorithm(network(), plain(), pruning=Pruning("random", refresh=refresh))
    states = run(whole, shards(rng, 9), plans(3, ratio=0.5), 6)
    masks = [state.trace.kept[0].mask["1.1.weight"] for state in states[1:]]
    for mask, (here, there) in zip(masks, pairwise(states), strict=True):
        assert torch.equal(there.model["1.1.weight"][mask == 0], here.model["1.1.weight"][mask == 0])
    same = [torch.equal(one, other) for one, other in pairwise(masks)]
    assert same == [number % refresh > 0 for number in range(1, 6)]


@pytest.mark.parametrize(("interval", "refresh", "drawn"), [(2, 3, [0, 4, 6, 10]), (3, 2, [0, 3, 6, 9]), (5, 3, [0, 5, 10])])
def test_masks_are_drawn_anew_at_the_first_fetch_after_a_refresh_is_due(rng, interval, refresh, drawn):
    """Not only where a fetch and a multiple of the refresh fall together."""
    whole = LightFedSL(network(), plain(), interval, pruning=Pruning("random", refresh=refresh))
    states = run(whole, shards(rng, 9), plans(3, ratio=0.5), 12)
    masks = [(state.held[0] or state.trace.kept[0]).mask["1.1.weight"] for state in states[1:]]
    new = [0] + [number for number in range(1, 12) if not torch.equal(masks[number], masks[number - 1])]
    assert new == drawn


@every
def test_another_ratio_is_another_mask_at_once(rng, algorithm):
    whole, data = algorithm(network(), plain(), pruning=Pruning(refresh=100)), shards(rng, 9)
    state = run(whole, data, plans(3, ratio=0.25), 1)[-1]
    _, report = whole.step(state, data, plans(3, ratio=0.5), SEEDS)
    assert report.traffic[0].down["model"] == 32 * (79 + 9)


@every
@pytest.mark.parametrize(("scope", "counts"), [("layer", [9, 64, 6]), ("global", None)])
def test_half_of_the_weights_stay_in_each_layer_or_in_all_together(rng, algorithm, scope, counts):
    (start, _), (end, report) = reports(algorithm(network(), plain(), pruning=Pruning(scope=scope)), shards(rng, 9),
                                        plans(3, ratio=0.5), 1)
    mask = keep_mask(start.model, 0.5, scope=scope)
    for name, kept in mask.items():
        assert_close(end.model[name][kept == 0], start.model[name][kept == 0], **EXACT)
    found = [int(m.sum()) for m in mask.values() if m.dim() > 1]
    assert sum(found) == 79
    assert (found == counts) == (scope == "layer")
    assert report.traffic[0].down["model"] == 32 * (79 + 9)


def test_a_kind_of_pruning_must_be_known():
    with pytest.raises(ValueError, match=r"pruning is by one of \['magnitude', .* got 'size' and 'layer'"):
        Pruning("size")


@every
def test_the_model_that_serves_has_no_weights_that_nobody_trained(rng, algorithm):
    """What all devices pruned is zero in it, but not in what they go on from; a device that keeps all serves all."""
    net, data = network(), shards(rng, 6, 9)
    method = algorithm(net, plain(), pruning=Pruning("magnitude"))
    start, end = run(method, data, plans(3, 3, ratio=0.5), 1)
    (served,) = method.models(end)
    for name, kept in keep_mask(start.model, 0.5).items():
        assert_close(served[name], end.model[name] * kept, **EXACT)
    assert any(bool((end.model[name][kept == 0] != 0).any()) for name, kept in keep_mask(start.model, 0.5).items())
    mixed = run(method, data, [Plan(3, 0.5), Plan(3)], 1)[-1]
    assert_close(method.models(mixed)[0], mixed.model, **EXACT)


@pytest.mark.parametrize("kind", ["gradient", "difference"])
def test_where_nothing_tells_weights_apart_the_larger_ones_are_kept(rng, kind):
    """One device alone never differs from the average, so its masks are by magnitude; what never moves has no gradient."""
    algorithm, data = FedAvg(network(), plain(), pruning=Pruning(kind)), shards(rng, 6)
    states = run(algorithm, data, plans(3, ratio=0.5), 3)
    for here, there in pairwise(states[1:]):
        kept = keep_mask((states[0] if kind == "gradient" else here).model, 0.5)["1.1.weight"]
        moved = there.model["1.1.weight"] != here.model["1.1.weight"]
        assert not bool((moved & (kept == 0)).any())
        assert moved.any()


def test_random_pruning_is_seen_by_the_calibration(rng):
    """It takes away large weights too, so its bias is larger than that of the same share of small ones."""
    data = shards(rng, 12, 30)
    small, random = (calibrate(FedAvg(net := network(), plain(0.1, batch=100), pruning=Pruning(kind)), net, data, rounds=2,
                               cuts=(3,), batch=8, lr=0.1, checkpoints=1) for kind in ("magnitude", "random"))
    assert np.all(np.array(random.bias)[0, :3] > np.array(small.bias)[0, :3])
