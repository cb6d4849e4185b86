"""Algorithms that do the same in different places, or that are each other's special cases."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny_algorithms import (
    BLOCKS,
    CLASSES,
    NETWORKS,
    OPTIMISERS,
    SHAPE,
    Renumbered,
    assert_same,
    network,
    plans,
    run,
    shards,
)
from torch.nn.functional import cross_entropy

from learning import params
from learning.algorithm import Streams
from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.epsl import EPSL
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.fsl_sage import FSLSage
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.personalised import Personalised
from learning.algorithms.psl import PSL
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.algorithms.split_fed_v2 import SplitFedV2
from learning.algorithms.split_learning import SplitLearning
from learning.estimate import Auxiliaries
from learning.optimiser import sgd
from learning.training import Training

TIGHT = 1e-10
SIZES, CUTS = (9, 30, 4), [(1, 1, 1), (2, 2, 2), (3, 3, 3), (1, 3, 2)]
REDUCE = {
    "fedavg": FedAvg,
    "split-learning": SplitLearning,
    "splitfed-v1": SplitFedV1,
    "splitfed-v2": SplitFedV2,
    "psl": PSL,
    "epsl, share 0": lambda net, training: EPSL(net, training, 0.0),
    "epsl, share 0.4": lambda net, training: EPSL(net, training, 0.4),
    "epsl, share 1": lambda net, training: EPSL(net, training, 1.0),
    "light-fedsl": LightFedSL,
    "light-fedsl, interval 2": lambda net, training: LightFedSL(net, training, 2),
    "personalised": lambda net, training: Personalised(net, training, personal=0),
}


def both(optimiser, batch=4, steps=0):
    """The same optimiser on both sides; one pass over the data a round unless said."""
    return Training(batch, steps, OPTIMISERS[optimiser], OPTIMISERS[optimiser])


def sgd_on_all_blocks(net, training, data, rounds):
    """The whole module on one machine, by autograd and torch.optim: devices one after another."""
    whole = copy.deepcopy(net)
    descent = training.client.make(whole.parameters(), lr=training.client.lr, **dict(training.client.settings))
    for number in range(rounds):
        for k, shard in enumerate(data):
            for x, y in training.batches(shard, Streams(1, 2).draws(number, k)):
                descent.zero_grad()
                whole.train(len(x) > 1)                  # one sample has no spread for a batch norm to see
                cross_entropy(whole(x), y).backward()
                descent.step()
    return params.values(whole)


SEEN_WHOLE = REDUCE.keys() - {"epsl, share 0.4", "epsl, share 1"}         # in parts, a batch has other statistics
ONE_DEVICE = [(name, kind) for name in REDUCE for kind in NETWORKS if kind == "plain" or name in SEEN_WHOLE]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(("name", "kind"), ONE_DEVICE)
def test_one_device_is_plain_descent_on_the_whole_network(rng, name, kind, optimiser):
    """The cut moves the work, not the mathematics."""
    net, data, training = network(kind), shards(rng, 9), both(optimiser)
    expected = sgd_on_all_blocks(net, training, data, rounds=2)
    algorithm = REDUCE[name](net, training)
    for cut in algorithm.cuts():
        states, _ = run(algorithm, data, plans(cut), rounds=2)
        assert_same(algorithm.models(states[-1])[0], expected, TIGHT)
    assert not torch.allclose(expected["0.0.weight"], net[0][0].weight, atol=1e-3)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("cuts", CUTS)
def test_split_learning_is_descent_on_one_device_after_another(rng, cuts, kind):
    net, data, training = network(kind), shards(rng, *SIZES), both("sgd", batch=8)
    algorithm = SplitLearning(net, training)
    assert_same(run(algorithm, data, plans(*cuts), rounds=2)[0][-1].model, sgd_on_all_blocks(net, training, data, 2), TIGHT)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_split_fed_v1_is_federated_averaging_round_for_round(rng, kind, optimiser, steps):
    """The server keeps a copy of its side for each device, so the two differ in where the work is done alone."""
    net, data, training = network(kind), shards(rng, *SIZES), both(optimiser, 8, steps)
    whole, seen = run(FedAvg(net, training), data, plans(3, 3, 3), rounds=2)
    for cuts in CUTS:
        split, watched = run(SplitFedV1(net, training), data, plans(*cuts), rounds=2)
        for found, expected in zip(split, whole, strict=True):
            assert_same(found.model, expected.model, TIGHT)
        assert_same([report.loss for report in watched], [report.loss for report in seen], TIGHT)


def test_without_moments_the_cuts_may_change_from_round_to_round(rng):
    """What crosses with a block that changes sides is its weights; a momentum would stay where it was."""
    net, data, training = network(), shards(rng, *SIZES), both("sgd")
    split, whole = SplitFedV1(net, training).init(3), FedAvg(net, training).init(3)
    for cuts in CUTS:
        split, _ = SplitFedV1(net, training).step(split, data, plans(*cuts), Streams())
        whole, _ = FedAvg(net, training).step(whole, data, plans(3, 3, 3), Streams())
        assert_same(split.model, whole.model, TIGHT)


@pytest.mark.parametrize(("sharing", "steps"), [(SplitFedV2, 1), (SplitFedV2, 3), (PSL, 3), (LightFedSL, 3)])
def test_with_one_server_model_for_all_it_would_not_be(rng, sharing, steps):
    """Whether devices move it one after another or together, what later steps find there is not what a device made alone."""
    net, data, training = network(), shards(rng, *SIZES), both("sgd", 8, steps)
    expected = run(FedAvg(net, training), data, plans(3, 3, 3))[0][-1].model
    for cuts in CUTS[:2]:
        found = run(sharing(net, training), data, plans(*cuts))[0][-1].model
        apart = max((found[name] - expected[name]).abs().max() for name in params.back(expected, cuts[0]))
        moved = max((expected[name] - start).abs().max() for name, start in params.values(net).items())
        assert apart > 1e-3 * moved


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("cuts", CUTS)
def test_light_fed_sl_in_single_steps_is_split_fed_v1(rng, cuts, kind):
    """The mean of the gradients of one model is the mean of what its copies have moved by."""
    net, data, training = network(kind), shards(rng, *SIZES), both("sgd", 8, 1)
    light, split = (run(of(net, training), data, plans(*cuts), rounds=4) for of in (LightFedSL, SplitFedV1))
    for found, expected in zip(light[0], split[0], strict=True):
        assert_same(found.model, expected.model, TIGHT)
    assert_same([report.loss for report in light[1]], [report.loss for report in split[1]], TIGHT)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_nothing_personal_and_nothing_pruned_is_federated_averaging(rng, kind, optimiser):
    net, data, training = network(kind), shards(rng, *SIZES), both(optimiser, 8)
    own, whole = (run(of, data, plans(3, 3, 3), rounds=3) for of in (Personalised(net, training, 0), FedAvg(net, training)))
    for found, expected in zip(own[0], whole[0], strict=True):
        assert_same(found.model, expected.model, TIGHT)
    assert_same(own[1], whole[1], TIGHT)


def copy_of_the_server(net):
    """Auxiliary networks that are the server's side, with the weights that it starts from."""
    return Auxiliaries(net, SHAPE, CLASSES, "full", seed=None)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("cut", range(1, BLOCKS))
def test_a_copy_of_the_server_gives_the_true_gradient(rng, cut, kind):
    """FSL-SAGE's first step is then split learning's on both sides, if the aligner leaves the copy as it is."""
    net, data, training = network(kind), shards(rng, 7), both("momentum", steps=1)
    guided = FSLSage(net, copy_of_the_server(net), training, align_steps=1, aligner=sgd(1e-200))
    found, expected = (run(of, data, plans(cut))[0][-1] for of in (guided, SplitLearning(net, training)))
    assert_same(found.model, expected.model, TIGHT)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("cut", range(1, BLOCKS))
def test_while_the_server_stands_still_so_do_the_gradients_of_its_copy(rng, cut, kind):
    """FSL-SAGE is then SplitFed-V2, round for round: aligning what agrees changes nothing. (At a small rate, for the errors
    of rounding are all that it sees; and no batch is of a single sample, which would see running statistics.)"""
    net, data, training = network(kind), shards(rng, 10, 30, 4), replace(both("momentum", 8), server=sgd(1e-200))
    guided = FSLSage(net, copy_of_the_server(net), training, every=3, align_every=2, align_steps=5, aligner=sgd(1e-6))
    found, expected = (run(of, data, plans(cut, cut, cut), rounds=3)[0] for of in (guided, SplitFedV2(net, training)))
    for one, other in zip(found, expected, strict=True):
        assert_same(params.front(one.model, cut), params.front(other.model, cut), TIGHT)


class InTurn(Renumbered):
    """Streams by which devices are served in the order of their numbers."""

    def order(self, number, devices):
        return list(devices)


@pytest.mark.parametrize("of", [CSEFSL, FSLSage])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_server_that_gets_every_batch_starts_as_that_of_split_fed_v2(rng, kind, of):
    """Of each device the first batch arrives as it would there; then client sides go by other gradients."""
    net, data, training = network(kind), shards(rng, *SIZES), both("adam", 8, 1)
    guided, streams = of(net, Auxiliaries(net, SHAPE, CLASSES), training, every=1), InTurn(Streams(1, 2), range(3))
    found, expected = (run(algorithm, data, plans(2, 1, 2), streams=streams) for algorithm in (guided, SplitFedV2(net, training)))
    for one, other in zip(found[0], expected[0], strict=True):
        assert_same(params.back(one.model, 2), params.back(other.model, 2), TIGHT)
        assert_same(one.server, other.server, TIGHT)
    assert found[1][0].loss == pytest.approx(expected[1][0].loss, rel=TIGHT)
