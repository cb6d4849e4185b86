import copy
import math

import pytest
import torch
from tiny_task import CLASSES, network, normed_blocks, shard
from torch import nn
from torch.testing import assert_close

from learning import params
from learning.evaluate import Scores, evaluate, evaluate_all

SCORES = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.0]])
LABELS = torch.tensor([0, 1, 1, 0])
LOSSES = [math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log1p(math.exp(3)), math.log(2)]
AS_IT_IS = nn.Sequential(nn.Flatten())


def linear():
    """Scores are two numbers, in the order that the weights say: as they come, or swapped."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    nn.init.eye_(net[0].weight)
    return net, [{"0.weight": torch.eye(2)}, {"0.weight": torch.eye(2).flip(0)}]


def test_accuracy_and_loss_are_those_by_hand():
    """Scores 2 : 0 and 0 : 1 are right, 3 : 0 is wrong, a tie goes to the first."""
    found = evaluate(AS_IT_IS, {}, SCORES, LABELS)
    assert found.accuracy == 3 / 4
    assert found.loss == pytest.approx(sum(LOSSES) / 4, rel=1e-6)
    assert found.by_class.tolist() == [1.0, 0.5]


def test_a_class_without_samples_has_no_accuracy():
    found = evaluate(AS_IT_IS, {}, SCORES[:1], LABELS[:1])
    assert found.by_class[0] == 1
    assert found.by_class[1].isnan()


def test_classes_weighed_by_their_samples_are_all_samples(rng):
    net, data = network(), shard(rng, 50)
    found = evaluate(net, params.values(net), data.x, data.y)
    counts = data.y.bincount(minlength=CLASSES)
    assert float((found.by_class * counts).sum()) / 50 == pytest.approx(found.accuracy, rel=1e-12)


def test_the_weights_are_those_given_and_not_the_models_own():
    net, (_, swapped) = linear()
    own = copy.deepcopy(net.state_dict())
    assert evaluate(net, swapped, SCORES[:3], LABELS[:3]).accuracy == 1 / 3
    assert_close(net.state_dict(), own, rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 3, 10, 100])
@pytest.mark.parametrize("make", [None, normed_blocks])
def test_the_batch_is_no_matter(rng, batch, make):
    """Batch norm takes its running statistics."""
    net, data = network(make=make) if make else network(), shard(rng, 10)
    found, whole = (evaluate(net, params.values(net), data.x, data.y, size) for size in (batch, 2048))
    assert found.accuracy == whole.accuracy
    assert found.loss == pytest.approx(whole.loss, rel=1e-12)
    scores = copy.deepcopy(net).eval()(data.x)
    assert found.loss == pytest.approx(nn.functional.cross_entropy(scores, data.y).item(), rel=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_dropped_out_or_counted_while_evaluating(rng, training):
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3)).double().train(training)
    data, weights = shard(rng, 50), params.values(net)
    before = copy.deepcopy(weights)
    expected = nn.functional.cross_entropy(copy.deepcopy(net).eval()(data.x), data.y).item()
    assert evaluate(net, weights, data.x, data.y).loss == pytest.approx(expected, rel=1e-12)
    assert_close(weights, before, rtol=0, atol=0)
    assert net.training == training


def test_one_model_serves_all_and_each_is_tested_on_its_own_classes():
    """Right are all of class 0 and half of class 1; the first device has only class 0, the second three of class 1 in four."""
    labels = [torch.tensor([0, 0]), torch.tensor([1, 1, 0, 1])]
    found = evaluate_all(AS_IT_IS, [{}], SCORES, LABELS, labels)
    assert found.accuracy == 3 / 4
    assert found.own_accuracy == pytest.approx((1 + (0.25 * 1 + 0.75 * 0.5)) / 2)


def test_a_device_whose_classes_nobody_tests_is_no_part_of_the_mean():
    found = evaluate_all(AS_IT_IS, [{}], SCORES[:1], LABELS[:1], [torch.tensor([0]), torch.tensor([1, 1])])
    assert found.own_accuracy == 1
    assert math.isnan(evaluate_all(AS_IT_IS, [{}], SCORES[:1], LABELS[:1], [torch.tensor([1])]).own_accuracy)


def test_models_of_their_own_are_tested_one_by_one():
    """The second device's model swaps the scores: wrong on both classes but for the third sample."""
    net, models = linear()
    found = evaluate_all(net, models, SCORES[:3], LABELS[:3], [torch.tensor([0]), torch.tensor([1])])
    losses = [sum(LOSSES[:3]) / 3, (math.log1p(math.exp(2)) + math.log1p(math.e) + math.log1p(math.exp(-3))) / 3]
    assert found == Scores(*(pytest.approx(v, rel=1e-6) for v in ((2 / 3 + 1 / 3) / 2, sum(losses) / 2, (1.0 + 0.5) / 2)))


def test_a_device_without_data_has_nothing_of_its_own():
    labels = [torch.tensor([1]), torch.tensor([], dtype=torch.long)]
    assert evaluate_all(AS_IT_IS, [{}], SCORES, LABELS, labels).own_accuracy == 0.5


def test_classes_that_are_not_tested_do_not_count():
    found = evaluate_all(AS_IT_IS, [{}], SCORES[:2], torch.tensor([0, 0]), [torch.tensor([0, 1, 1])])
    assert found.own_accuracy == 0.5
