import copy
import math

import pytest
import torch
from tiny_task import network, shard
from torch import nn
from torch.testing import assert_close

from learning import params
from learning.evaluate import evaluate

SCORES = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.0]])
LABELS = torch.tensor([0, 1, 1, 0])
LOSSES = [math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log1p(math.exp(3)), math.log(2)]


def test_accuracy_and_loss_are_those_by_hand():
    """Scores 2 : 0 and 0 : 1 are right, 3 : 0 is wrong, a tie goes to the first."""
    accuracy, loss = evaluate(nn.Sequential(nn.Flatten()), {}, SCORES, LABELS)
    assert accuracy == 3 / 4
    assert loss == pytest.approx(sum(LOSSES) / 4, rel=1e-6)


def test_the_weights_are_those_given_and_not_the_models_own():
    net = nn.Sequential(nn.Linear(2, 2, bias=False))
    nn.init.eye_(net[0].weight)
    swapped = {"0.weight": torch.tensor([[0.0, 1.0], [1.0, 0.0]])}
    own = copy.deepcopy(net.state_dict())
    assert evaluate(net, swapped, SCORES[:3], LABELS[:3])[0] == 1 / 3
    assert_close(net.state_dict(), own, rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 3, 10, 100])
def test_the_batch_is_no_matter(rng, batch):
    net, data = network(), shard(rng, 10)
    accuracy, loss = evaluate(net, params.values(net), data.x, data.y, batch)
    whole = evaluate(net, params.values(net), data.x, data.y)
    assert accuracy == whole[0]
    assert loss == pytest.approx(whole[1], rel=1e-12)
    assert loss == pytest.approx(nn.functional.cross_entropy(net(data.x), data.y).item(), rel=1e-12)


def test_nothing_is_dropped_out_while_evaluating(rng):
    net, data = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)).double(), shard(rng, 50)
    expected = nn.functional.cross_entropy(copy.deepcopy(net).eval()(data.x), data.y).item()
    assert evaluate(net, params.values(net), data.x, data.y)[1] == pytest.approx(expected, rel=1e-12)
    assert net.training
