"""What every algorithm of the table keeps to, whatever it computes."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_algorithms import (
    ALGORITHMS,
    CASES,
    NETWORKS,
    Renumbered,
    Subject,
    assert_same,
    classes,
    decided,
    differ,
    finite,
    flat,
    of,
    owned,
    plans,
    run,
    shards,
    snapshot,
    without,
)
from torch.func import functional_call

from learning import params
from learning.algorithm import Plan, Shard, Streams
from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.fsl_sage import FSLSage
from learning.algorithms.split_learning import SplitLearning

TIGHT, SIZES = 1e-10, (6, 8, 3)
IN_TURN = (SplitLearning, CSEFSL, FSLSage)       # serve devices in the order of their numbers; SplitFed-V2 in a random order


@pytest.fixture(params=CASES, ids=", ".join)
def subject(request):
    name, net = request.param
    return Subject(ALGORITHMS[name], net)


def test_the_table_has_every_algorithm_of_the_table_of_names():
    from wirelessfl import build
    assert {type(Subject(make).algorithm()) for make in ALGORITHMS.values()} == set(build.ALGORITHMS.values())
    assert build.ALGORITHMS.keys() <= ALGORITHMS.keys()


def test_a_step_leaves_its_state_its_data_and_its_network_alone(subject, rng):
    algorithm, data = subject.algorithm(optimiser="adam"), shards(rng, *SIZES)
    given, (states, _) = snapshot([data, params.values(algorithm.net)]), run(algorithm, data)
    for state in states:
        before = snapshot(state)
        run(algorithm, data, start=state)
        assert_same(flat(state), before)
    assert_same(flat([data, params.values(algorithm.net)]), given)
    assert algorithm.net.training


@pytest.mark.parametrize("optimiser", ["momentum", "adam"])
def test_a_run_that_uses_up_its_states_is_the_same_run(subject, rng, optimiser):
    """Devices sit out on the way; what is left of a state is not looked at."""
    algorithm, data = subject.algorithm(optimiser=optimiser), shards(rng, *SIZES)
    spending, by = replace(algorithm, training=algorithm.training.in_place()), decided(algorithm, 3)
    expected, found = (each.init(3) for each in (algorithm, spending))
    for number in range(2 * algorithm.interval + 1):
        now = without(by, number % 3) if number % algorithm.interval == 0 else by
        expected, seen = algorithm.step(expected, data, now, Streams(1, 2))
        found, watched = spending.step(found, data, now, Streams(1, 2))
        assert_same([found, watched], [expected, seen])


def test_randomness_is_an_argument(subject, rng):
    """Same seeds, same bits; other seeds, other bits; and torch's global generator is not touched."""
    data, before = shards(rng, *SIZES), torch.get_rng_state()
    (once, seen), (again, as_seen) = (run(subject.algorithm(), data, rounds=2) for _ in range(2))
    assert_same([once, seen], [again, as_seen])
    assert torch.equal(torch.get_rng_state(), before)
    other, _ = run(subject.algorithm(), data, streams=Streams(3, 2))
    assert differ(other[-1], once[1])


def test_other_numbers_for_the_devices_change_nothing_else(subject, rng):
    """What device k is, has and draws goes with it. Where devices are served in turn, the order is theirs, and it matters."""
    algorithm, data = subject.algorithm(), shards(rng, *SIZES)
    old, by = (2, 0, 1), decided(algorithm, 3)
    for rounds in (1, 2):
        (*_, state), seen = run(algorithm, data, by, rounds=rounds)
        streams = Renumbered(Streams(1, 2), old)
        (*_, found), watched = run(algorithm, of(data, old), of(by, old), rounds=rounds, streams=streams)
        assert [report.traffic for report in watched] == [of(report, old).traffic for report in seen]
        if isinstance(algorithm, IN_TURN):
            assert differ(found, of(state, old))
        else:
            assert_same([found, watched], [of(state, old), [of(report, old) for report in seen]], TIGHT)


@pytest.mark.parametrize("name", ["cse-fsl", "fsl-sage"])
@pytest.mark.parametrize("net", NETWORKS)
def test_a_server_that_takes_uploads_in_turn_takes_them_in_the_order_that_was_drawn(rng, net, name):
    """If the order goes with the devices, so does everything else, whatever their numbers."""
    algorithm, data, old, by = Subject(ALGORITHMS[name], net).algorithm(), shards(rng, *SIZES), (2, 0, 1), plans(1, 1, 1)
    (_, begin), _ = run(algorithm, data, by)                                    # the first round aligns, the second does not
    (_, state), _ = run(algorithm, data, by, start=begin)
    (_, found), _ = run(algorithm, of(data, old), by, start=of(begin, old), streams=Renumbered(Streams(1, 2), old))
    assert_same(params.front(found.model, 1), params.front(state.model, 1), TIGHT)
    guides = [each.auxiliary if name == "cse-fsl" else [g.values for g in each.guides] for each in (found, of(state, old))]
    assert_same([found.client, guides[0]], [of(state, old).client, guides[1]], TIGHT)
    assert_same(params.back(found.model, 1), params.back(state.model, 1), TIGHT)


def test_a_device_that_sits_out_is_not_there(subject, rng):
    """Its loss is unknown, it sends nothing, nothing of it changes, and the others do what they would do alone."""
    algorithm, data, others = subject.algorithm(), shards(rng, *SIZES), (0, 2)
    by, streams = decided(algorithm, 3), Renumbered(Streams(1, 2), others)
    begin = run(algorithm, data, by, rounds=algorithm.interval)[0][-1]
    (_, after), (seen,) = run(algorithm, data, without(by, 1), start=begin)
    (_, expected), (alone,) = run(algorithm, of(data, others), of(by, others), 1, of(begin, others), streams)
    assert_same([of(after, others), of(seen, others)], [expected, alone])
    assert np.isnan(seen.loss[1])
    assert seen.traffic[1].up == seen.traffic[1].down == {}
    assert_same(owned(after, 1), owned(begin, 1))


def test_a_device_without_samples_sits_out(subject, rng):
    algorithm, data = subject.algorithm(), shards(rng, *SIZES)
    by = decided(algorithm, 3)
    begin = run(algorithm, data, by)[0][-1]
    empty = [data[0], Shard(data[1].x[:0], data[1].y[:0]), data[2]]
    assert_same(run(algorithm, empty, by, rounds=2, start=begin), run(algorithm, data, without(by, 1), rounds=2, start=begin))


def test_a_round_of_nobody_changes_nothing_but_its_number(subject, rng):
    algorithm, data = subject.algorithm(), shards(rng, *SIZES)
    empty = [Shard(shard.x[:0], shard.y[:0]) for shard in data]
    for begin in run(algorithm, data, rounds=algorithm.interval)[0][::algorithm.interval]:    # right after an averaging
        for shorn, by in ((data, [None] * 3), (empty, decided(algorithm, 3))):
            (_, after), (report,) = run(algorithm, shorn, by, start=begin)
            assert after.round == begin.round + 1
            assert_same({**flat(after), "/round": begin.round}, flat(begin))
            assert np.isnan(report.loss).all()
            assert all(not traffic.up and not traffic.down for traffic in report.traffic)


def test_cuts_may_change_from_round_to_round(subject, rng):
    """A block that changes sides, and an auxiliary network that is new, have moments of their own or none."""
    for optimiser in ("momentum", "adam"):
        algorithm, data = subject.algorithm(optimiser=optimiser), shards(rng, *SIZES)
        state, cuts = algorithm.init(3), (algorithm.cuts()[0], algorithm.cuts()[-1])
        for cut in (*cuts, cuts[0]):
            *_, state = run(algorithm, data, plans(cut, cut, cut), algorithm.interval, state)[0]
            assert finite(state)
            assert all(model.keys() == params.values(algorithm.net).keys() for model in algorithm.models(state))


def test_devices_may_hold_one_class_each(subject, rng):
    """Everything stays a number, and models move."""
    algorithm, data = subject.algorithm(), shards(rng, *SIZES)
    data = [Shard(shard.x, torch.full_like(shard.y, k)) for k, shard in enumerate(data)]
    states, seen = run(algorithm, data, rounds=2)
    assert finite(states)
    assert np.isfinite([report.loss for report in seen]).all()
    assert differ(algorithm.models(states[-1]), algorithm.models(states[0]))


def test_batches_may_be_of_one_sample(subject, rng):
    """A batch norm, which sees no spread in one sample, takes its running statistics and leaves them as they were."""
    for algorithm, sizes in ((subject.algorithm(batch=1), SIZES), (subject.algorithm(), (1, 5, 1))):
        states, seen = run(algorithm, shards(rng, *sizes), rounds=2)
        assert finite(states)
        assert np.isfinite([report.loss for report in seen]).all()
        if algorithm.training.batch == 1:
            start = params.values(algorithm.net)
            for model in algorithm.models(states[-1]):
                buffers = [name for name, _ in algorithm.net.named_buffers()]
                assert_same({name: model[name] for name in buffers}, {name: start[name] for name in buffers}, TIGHT)


@pytest.mark.parametrize("net", NETWORKS)
def test_a_device_that_misses_an_averaging_starts_again_from_the_average(rng, net):
    """What it has learnt since the one before is lost."""
    algorithm, data = Subject(ALGORITHMS["light-fedsl, compressed"], net).algorithm(), shards(rng, *SIZES)
    by = decided(algorithm, 3)
    between = run(algorithm, data, by)[0][-1]
    (_, after), _ = run(algorithm, data, without(by, 1), start=between)
    assert between.held[1] is not None
    assert after.held == (None, None, None)
    assert after.base is after.model


def test_a_run_goes_on_from_a_saved_state(subject, rng):
    """Tensors, numbers and the state's own classes are all that a file has to hold; batches follow from the round's number."""
    data, saved = shards(rng, *SIZES), io.BytesIO()
    whole, _ = run(subject.algorithm(optimiser="adam"), data, rounds=3)
    torch.save(whole[1], saved)
    saved.seek(0)
    with torch.serialization.safe_globals(classes(whole[1])):
        loaded = torch.load(saved, weights_only=True)
    resumed, _ = run(subject.algorithm(optimiser="adam"), data, rounds=2, start=loaded)
    assert_same(resumed, whole[1:])


def test_the_models_that_serve_are_whole(subject, rng):
    """One for all or one for each device, before training and after, with every parameter and buffer of the network."""
    algorithm, data = subject.algorithm(), shards(rng, *SIZES)
    for state in run(algorithm, data)[0]:
        models = algorithm.models(state)
        assert len(models) in (1, 3)
        for model in models:
            assert model.keys() == params.values(algorithm.net).keys()
            assert functional_call(algorithm.net, model, (data[0].x,)).shape == (6, 3)


def test_what_an_algorithm_cannot_do_gets_a_sentence(subject, rng):
    algorithm, data = subject.algorithm(), shards(rng, *SIZES)
    by, state = decided(algorithm, 3), algorithm.init(3)
    with pytest.raises(ValueError, match=r"the state is of 3 devices, got 3 shards and 2 plans"):
        algorithm.step(state, data, by[:2], Streams())
    for cut in {algorithm.cuts().stop, algorithm.cuts().start - 1} - {0}:
        with pytest.raises(ValueError, match=rf"device 1: its cut must be one of \[.*\] \[blocks\], got {cut}"):
            algorithm.step(state, data, [by[0], Plan(cut), by[2]], Streams())
    if not algorithm.prunes:
        with pytest.raises(ValueError, match=r"device 1: \w+ does not prune, its ratio must be 0, got 0.25"):
            algorithm.step(state, data, [by[0], Plan(by[1].cut, 0.25), by[2]], Streams())
