"""An alignment that ends when samples that are held out of it gain nothing more, and one whose steps take a part of them."""

import pytest
import torch
from tiny_task import COUNTS, NETS, SEEDS, SHAPE, auxiliaries, network, plans, run, shards
from torch.testing import assert_close

from learning import estimate, params
from learning.algorithms.fsl_sage import FSLSage
from learning.estimate import HELD, LOOK, PATIENCE, Aligned, Samples, align, align_until, distance, mismatch, wanted
from learning.models.blocks import smashed_shape
from learning.optimiser import adam, sgd
from learning.training import Training

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-10, "atol": 1e-12}
PLAIN, NORMED = (make for make, _ in NETS)
PAIRS = [(kind, cut) for kind in ("linear", "half", "stage", "full") for cut in (1, 2)]


def case(rng, make=PLAIN, kind="linear", cut=2, size=30):
    """An auxiliary network and its weights, the server and its weights, and what is kept."""
    net, helpers = network(make=make), auxiliaries(network(make=make), kind, seed=5)
    smashed = torch.from_numpy(rng.standard_normal((size, *smashed_shape(net, cut, SHAPE))))
    kept = Samples(smashed, torch.from_numpy(rng.integers(3, size=size)))
    return helpers.at(cut), helpers.start(cut), net[cut:], params.back(params.values(net), cut), kept


def curve(part, weights, server, truth, kept, optimiser, looks, batch):
    """Weights after so many looks' steps on what is not held out, and how far they are from what is."""
    fit, held = kept.parted()
    fitted = [align(part, weights, server, truth, fit, steps=LOOK * look, optimiser=optimiser, batch=batch)
              for look in range(looks + 1)]
    return fitted, [distance(part, w, held, wanted(server, truth, held)) for w in fitted]


def test_every_fifth_sample_is_held_out():
    fit, held = Samples(torch.arange(12.0)[:, None], torch.arange(12)).parted()
    assert held.y.tolist() == [4, 9] == held.smashed.flatten().tolist()
    assert fit.y.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11] == fit.smashed.flatten().tolist()


@pytest.mark.parametrize(("kind", "cut"), PAIRS)
@pytest.mark.parametrize("make", [PLAIN, NORMED])
@pytest.mark.parametrize(("stop", "batch"), [(0.01, 0), (0.1, 7), (0.3, 0)])
def test_it_ends_at_the_second_look_in_a_row_without_a_gain(rng, make, kind, cut, stop, batch):
    """Found again on the whole curve without an early end; the weights are those of its least point so far."""
    given, optimiser = case(rng, make, kind, cut), adam(3e-2)
    fitted, sums = curve(*given, optimiser, 30, batch)
    gains = [0]
    while nearer := [look for look in range(gains[-1] + 1, 31) if sums[look] < (1 - stop) * sums[gains[-1]]]:
        if nearer[0] > gains[-1] + PATIENCE:
            break
        gains.append(nearer[0])
    end = min(gains[-1] + PATIENCE, 30)
    found = align_until(*given, steps=30 * LOOK, optimiser=optimiser, stop=stop, batch=batch)
    assert found.steps == end * LOOK
    assert_close(found.values, fitted[min(range(end + 1), key=sums.__getitem__)], **CLOSE)


def test_the_steps_of_the_setting_are_the_most(rng):
    """Behind cut 2 the server is linear, and what is held out gains to the end, which is looked at."""
    part, weights, server, truth, kept = given = case(rng)
    found = align_until(*given, steps=13, optimiser=adam(1e-2), stop=1e-6)
    assert found.steps == 13
    assert_close(found.values, align(part, weights, server, truth, kept.parted()[0], steps=13, optimiser=adam(1e-2)), **CLOSE)


def test_steps_that_only_do_harm_leave_the_first_weights(rng):
    given = case(rng)
    found = align_until(*given, steps=100, optimiser=sgd(50.0), stop=1e-3)
    assert found.steps == LOOK * PATIENCE
    assert_close(found.values, given[1], **EXACT)


@pytest.mark.parametrize("size", [1, HELD - 1])
def test_of_few_samples_none_is_held_out(rng, size):
    given = case(rng, size=size)
    found = align_until(*given, steps=7, optimiser=adam(), stop=0.5)
    assert_close(found, Aligned(align(*given, steps=7, optimiser=adam()), 7), **EXACT)


@pytest.mark.parametrize("make", [PLAIN, NORMED])
def test_nothing_is_disturbed(rng, make):
    given = case(rng, make, "stage", 1)
    before = [{n: w.clone() for n, w in given[1].items()}, given[4].smashed.clone()]
    found = align_until(*given, steps=30, optimiser=adam(1e-2), stop=1e-4)
    assert_close([given[1], given[4].smashed], before, **EXACT)
    buffers = dict(given[0].named_buffers())
    assert_close({n: found.values[n] for n in buffers}, {n: given[1][n] for n in buffers}, **EXACT)
    assert found.values.keys() == given[1].keys()


@pytest.mark.parametrize(("size", "batch", "sizes"), [(12, 5, [4, 4, 4]), (7, 3, [3, 2, 2]), (7, 8, [7]), (7, 0, [7])])
def test_every_sample_has_its_turn_once(size, batch, sizes):
    turns = Samples(torch.arange(float(size))[:, None], torch.arange(size)).turns(batch)
    assert [len(some.y) for some in turns] == sizes
    assert sorted(torch.cat([some.y for some in turns]).tolist()) == list(range(size))
    assert all(torch.equal(some.smashed.flatten(), some.y.float()) for some in turns)


@pytest.mark.parametrize(("kind", "cut"), PAIRS)
@pytest.mark.parametrize("make", [PLAIN, NORMED])
def test_a_step_on_a_part_is_one_as_if_no_more_were_kept(rng, make, kind, cut):
    """Gradient descent remembers nothing, so that five steps are five alignments of one."""
    part, weights, server, truth, kept = given = case(rng, make, kind, cut, 8)
    expected = weights
    for turn in (0, 1, 2, 0, 1):
        some = Samples(kept.smashed[turn::3], kept.y[turn::3])
        expected = align(part, expected, server, truth, some, steps=1, optimiser=sgd(0.1))
    assert_close(align(*given, steps=5, optimiser=sgd(0.1), batch=3), expected, **CLOSE)
    everything = align(*given, steps=5, optimiser=adam())
    assert_close(align(*given, steps=5, optimiser=adam(), batch=8), everything, **EXACT)


@pytest.mark.parametrize(("kind", "cut"), PAIRS)
def test_samples_pass_in_pieces_and_add_up(rng, monkeypatch, kind, cut):
    part, weights, server, truth, kept = case(rng, PLAIN, kind, cut)
    target = wanted(server, truth, kept)
    whole = mismatch(part, weights, kept, target), distance(part, weights, kept, target)
    monkeypatch.setattr(estimate, "PIECE", 7 * kept.smashed[0].numel())
    assert [s.stop - s.start for s in kept.pieces(part)] == [7, 7, 7, 7, 7]
    assert_close(wanted(server, truth, kept), target, **CLOSE)
    assert_close((mismatch(part, weights, kept, target), distance(part, weights, kept, target)), whole, **CLOSE)
    monkeypatch.setattr(estimate, "PIECE", 0)
    assert len(list(kept.pieces(part))) == 30


def test_batch_norm_sees_all_samples_at_once(rng, monkeypatch):
    part, weights, server, truth, kept = case(rng, NORMED, "stage", 1)
    target = wanted(server, truth, kept)
    whole = mismatch(part, weights, kept, target)
    monkeypatch.setattr(estimate, "PIECE", 1)
    assert_close(wanted(server, truth, kept), target, **EXACT)
    assert_close(mismatch(part, weights, kept, target), whole, **EXACT)


def test_fsl_sage_ends_its_alignments_early_where_it_is_told_to(rng):
    """The published schedule is that of 0; above it a device has what ``align_until`` finds; in batches, too."""
    net, data = network(), shards(rng, 12)
    helpers, common = auxiliaries(net, "stage"), {"every": 1, "align_steps": 40, "aligner": adam(0.3)}
    ends = [run(FSLSage(net, helpers, Training(12, 0), align_stop=stop, align_batch=batch, **common), data, plans(1), 1)[-1]
            .guides[0] for stop, batch in ((0.0, 0), (0.9, 0), (0.0, 5), (0.9, 5))]
    server = run(FSLSage(net, helpers, Training(12, 0), **common), data, plans(1), 1, SEEDS)[-1].model
    given = helpers.at(1), helpers.start(1), net[1:], params.back(server, 1), ends[0].kept
    for batch, all_steps, fewer in ((0, *ends[:2]), (5, *ends[2:])):
        assert_close(all_steps.values, align(*given, steps=40, optimiser=adam(0.3), batch=batch), **CLOSE)
        found = align_until(*given, steps=40, optimiser=adam(0.3), stop=0.9, batch=batch)
        assert found.steps < 40
        assert_close(fewer.values, found.values, **CLOSE)


@pytest.mark.parametrize("bad", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_gets_a_sentence(bad):
    with pytest.raises(ValueError, match=r"align_stop must be within \[0, 1\), a share of the mismatch \[1\], got"):
        FSLSage(network(), auxiliaries(network()), align_stop=bad)


def test_a_part_of_the_samples_must_be_some():
    with pytest.raises(ValueError, match=r"align_batch must be 1 or more, or 0 for all that are kept \[samples\], got -1"):
        FSLSage(network(), auxiliaries(network()), align_batch=-1)


def test_the_most_work_is_counted_by_hand():
    """One of seven samples is held out, and seen before the three steps and after them by a pass forward and one to the input."""
    published, early = (FSLSage(network(), auxiliaries(network()), every=2, align_every=5, align_steps=3, keep=7, align_stop=stop)
                        .work(COUNTS, 1, 10) for stop in (0.0, 0.1))
    assert 5 * (early.server_flops.fixed - published.server_flops.fixed) == pytest.approx(2 * 2 * 12 - 3 * 5 * 12)
    assert early._replace(server_flops=published.server_flops) == published


def test_the_work_of_steps_on_a_part_is_counted_by_hand():
    """Seven samples have turns of three, two and two; four steps see ten, in five products of 12."""
    some = FSLSage(network(), auxiliaries(network()), every=2, align_every=5, align_steps=4, keep=7, align_batch=3)
    none = FSLSage(network(), auxiliaries(network()), every=2, align_every=5, align_steps=1, keep=7, align_batch=1)
    works = [algorithm.work(COUNTS, 1, 10).server_flops.fixed for algorithm in (some, none)]
    assert 5 * (works[0] - works[1]) == pytest.approx((10 - 1) * 5 * 12)


@pytest.mark.parametrize("batch", [0, 10])
@pytest.mark.parametrize(("optimiser", "spared"), [(adam(1e-2), False), (sgd(50.0), True)])
def test_no_alignment_does_more_than_is_counted(rng, monkeypatch, optimiser, spared, batch):
    """Samples that pass through the auxiliary network for a step or a look: as many as are counted where every look is a gain."""
    given, passed = case(rng), {"mismatch": 0, "distance": 0}

    def watched(name, known):
        def passing(part, weights, kept, target):
            passed[name] += len(kept.y)
            return known(part, weights, kept, target)
        return passing

    for name in passed:
        monkeypatch.setattr(estimate, name, watched(name, getattr(estimate, name)))
    align_until(*given, steps=12, optimiser=optimiser, stop=1e-9, batch=batch)
    helpers = auxiliaries(network(), "linear", seed=5)
    done = passed["mismatch"] * helpers.align_flops(2) + passed["distance"] * 2 * sum(helpers.profile(2).forward)
    most = helpers.aligning_flops(2, 30, 12, batch, until=True)
    assert (done < most) if spared else (done == most)
