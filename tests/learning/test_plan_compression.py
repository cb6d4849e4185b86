"""Plans with compressions of their own: each device sends by its own, and nothing else is different."""

from dataclasses import replace

import pytest
import torch
from test_traffic import COMPRESSIONS, ONE_PASS, predicted
from tiny_task import COUNTS, SEEDS, SMALL, gradient, network, plain, plans, reports, run, shards
from torch.testing import assert_close

from learning import crew, params
from learning.algorithm import Plan, Streams
from learning.algorithms.epsl import EPSL
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.personalised import Personalised
from learning.algorithms.psl import PSL
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.crossing import PLAIN, Compression
from learning.masking import BY_MAGNITUDE, prune
from learning.pruning import keep_mask
from wirelessfl import checkpoint

EXACT, CLOSE = {"rtol": 0, "atol": 0}, {"rtol": 1e-10, "atol": 1e-12}
COMPRESSING = {
    "light-fedsl": lambda net, training, compression: LightFedSL(net, training, 1, compression),
    "light-fedsl, interval 2": lambda net, training, compression: LightFedSL(net, training, 2, compression),
    "fedavg": lambda net, training, compression: FedAvg(net, training, compression),
    "personalised": lambda net, training, compression: Personalised(net, training, 1, 2, compression, BY_MAGNITUDE),
}
MIXED = (Compression(update_bits=4), SMALL, Compression(dropout=0.5, dropout_kind="feature", scales="channel", cut_bits=6))
ROUNDED = Compression(update_bits=3)


def mixed(algorithm, compressions, ratios=(0.0, 0.0, 0.0)):
    """Plans of different compressions, and of different cuts where there are any."""
    cuts = list(algorithm.cuts())
    return [Plan(cuts[k % len(cuts)], ratio, each) for k, (each, ratio) in enumerate(zip(compressions, ratios, strict=True))]


def seen(algorithm, data, decided, rounds=3):
    """Models, losses and traffic of some rounds."""
    found = reports(algorithm, data, decided, rounds)[1:]
    return [algorithm.models(state) for state, _ in found], [report for _, report in found]


@pytest.mark.parametrize("own", [PLAIN, SMALL, ROUNDED])
@pytest.mark.parametrize("other", [PLAIN, SMALL, ROUNDED])
@pytest.mark.parametrize("name", COMPRESSING)
def test_one_compression_in_all_plans_is_that_of_the_algorithm_in_its_place(rng, name, own, other):
    """Bit for bit: so all 32 bits and no dropout in the plans is the algorithm without compression, and its own is no plan's."""
    data, training = shards(rng, 9, 5, 12), replace(plain(batch=4), steps=2)
    one, same = (COMPRESSING[name](network(), training, each) for each in (own, other))
    models, told = seen(one, data, mixed(one, [other] * 3, (0.0, 0.5, 0.25)))
    expected, as_told = seen(same, data, mixed(same, [None] * 3, (0.0, 0.5, 0.25)))
    assert_close(models, expected, **EXACT)
    assert told == as_told


@pytest.mark.parametrize("name", ["light-fedsl", "fedavg", "personalised"])
def test_the_model_is_the_mean_of_what_devices_of_different_compressions_make_alone(rng, name):
    """One step from one model, where nobody's step depends on another's; cuts and ratios differ, too."""
    data, algorithm = shards(rng, 6, 12, 6), COMPRESSING[name](network(), plain(), PLAIN)
    decided, start = mixed(algorithm, MIXED, (0.5, 0.0, 0.25)), params.values(algorithm.net)
    together = run(algorithm, data, decided, 1)[-1].model
    alone = [run(algorithm, data, [plan if j == k else None for j, plan in enumerate(decided)], 1)[-1].model for k in range(3)]
    assert_close(together, params.weighted_sum(alone, (1 / 4, 1 / 2, 1 / 4)), **CLOSE)
    others = run(algorithm, data, mixed(algorithm, MIXED[::-1], (0.5, 0.0, 0.25)), 1)[-1].model
    assert not torch.allclose(together["0.0.weight"], others["0.0.weight"])
    assert not torch.equal(together["0.0.weight"], start["0.0.weight"])


# In bytes, of 10 samples in batches of 4, 4 and 2. At cut 1 there are 32 outputs a sample, of which 16 are left; a rounded
# tensor has a scale of 4 bytes, a label two bits. Of 18 weights half are pruned, 2 biases are not; cut 3 has 167 entries.
BY_HAND = [
    (Plan(1), {"smashed": 10 * 32 * 4, "labels": 2.5, "model": 20 * 4}, {"gradients": 10 * 32 * 4, "model": 20 * 4}),
    (Plan(1, 0.5, Compression(8, 4, 8, 0.5)), {"smashed": 10 * 16 / 2 + 3 * 4, "labels": 2.5, "model": 11 + 2 * 4},
     {"gradients": 10 * 16 + 3 * 4, "model": 11 * 4}),
    (Plan(2, 0.0, Compression(dropout=0.25)), {"smashed": 10 * 3 * 4, "labels": 2.5, "model": 152 * 4},
     {"gradients": 10 * 3 * 4, "model": 152 * 4}),
    (Plan(3, 0.0, Compression(update_bits=4)), {"model": 167 / 2 + 6 * 4}, {"model": 167 * 4}),
    (Plan(2, 0.0, Compression(smashed_bits=1, scales="channel")), {"smashed": 10 * (4 / 8 + 4), "labels": 2.5, "model": 152 * 4},
     {"gradients": 10 * 4 * 4, "model": 152 * 4}),
]


def test_bytes_of_devices_of_different_compressions_are_counted_by_hand(rng):
    decided, up, down = zip(*BY_HAND, strict=True)
    _, report = reports(LightFedSL(network(), ONE_PASS), shards(rng, *[10] * len(decided)), decided, 1)[1]
    for kinds, found in ((up, [t.up for t in report.traffic]), (down, [t.down for t in report.traffic])):
        assert [{kind: bits / 8 for kind, bits in each.items()} for each in found] == list(kinds)


@pytest.mark.parametrize("own", [PLAIN, SMALL])
@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize("shift", range(3))
def test_the_bits_of_a_device_are_those_of_the_algorithm_with_its_compression(rng, own, interval, shift):
    """As the cost table prices them: every cut with every compression once."""
    chosen = [each for k in range(3) for each in COMPRESSIONS[k:] + COMPRESSIONS[:k]]
    decided = [Plan(1 + (k + shift) % 3, 0.5 * (k % 2), each) for k, each in enumerate(chosen)]
    data, algorithm = shards(rng, *[10, 3, 7] * (len(chosen) // 3)), LightFedSL(network(), ONE_PASS, interval, own)
    for number, (_, report) in enumerate(reports(algorithm, data, decided, interval)[1:]):
        once = {"download": float(number == 0), "upload": float(number + 1 == interval)}
        for k, (plan, traffic) in enumerate(zip(decided, report.traffic, strict=True)):
            priced = predicted(replace(algorithm, compression=plan.compression), COUNTS, [data[k]], [plan], **once)
            assert priced.tolist() == [[traffic.uplink_bits, traffic.downlink_bits]]


@pytest.mark.parametrize("algorithm", [FedAvg, Personalised])
def test_so_are_those_of_whole_models(rng, algorithm):
    data, whole = shards(rng, *[10] * len(COMPRESSIONS)), algorithm(network(), ONE_PASS)
    decided = [Plan(3, 0.5, each) for each in COMPRESSIONS]
    _, report = reports(whole, data, decided, 1)[1]
    for plan, traffic, d in zip(decided, report.traffic, data, strict=True):
        priced = predicted(replace(whole, compression=plan.compression), COUNTS, [d], [plan])
        assert priced.tolist() == [[traffic.uplink_bits, traffic.downlink_bits]]


@pytest.mark.parametrize(("name", "cut_bits"), [("light-fedsl", 2), ("light-fedsl", 32), ("light-fedsl, interval 2", 32),
                                                ("fedavg", 32), ("personalised", 32)])
def test_rounding_by_different_bits_has_the_mean_of_none(rng, name, cut_bits):
    """Updates, and in a single step gradients that come down: the mean of 400 draws is off by what their variance explains, in
    the sum of squares over the entries, on the average of draws; here to a factor of two."""
    data, algorithm = shards(rng, 6, 12, 6), COMPRESSING[name](network(), plain(1.0), PLAIN)
    rounded = mixed(algorithm, (Compression(update_bits=4, cut_bits=cut_bits), Compression(update_bits=2), PLAIN))
    expected = run(algorithm, data, mixed(algorithm, [None] * 3), algorithm.interval)[-1].model
    drawn = [run(algorithm, data, rounded, algorithm.interval, Streams(0, seed))[-1].model for seed in range(400)]
    for held in (lambda block: block == 0, lambda block: block > 0):
        names = [key for key in expected if held(params.block_of(key))]
        off, varied = 0.0, 0.0
        for key in names:
            each = torch.stack([model[key] for model in drawn])
            off, varied = off + float((each.mean(0) - expected[key]).square().sum()), varied + float(each.var(0).sum())
        assert 0.25 * varied / 400 < off < 2 * varied / 400


@pytest.mark.parametrize("algorithm", [FedAvg, Personalised])
def test_where_no_smashed_data_are_sent_their_compression_is_no_matter(rng, algorithm):
    data, whole = shards(rng, 9, 5), algorithm(network(), plain())
    found, expected = (seen(whole, data, [Plan(3), Plan(3, 0.0, each)])
                       for each in (Compression(4, 1, 1, 0.9, "feature"), Compression(4)))
    assert_close(found[0], expected[0], **EXACT)
    assert found[1] == expected[1]


def test_devices_that_send_floats_across_the_cut_compute_as_one_whatever_their_updates_bits(rng, monkeypatch):
    """And what they do is what each does alone; who rounds or drops there is by himself."""
    data, algorithm = shards(rng, 8, 8, 8, 8), LightFedSL(network(), plain(batch=4), compression=SMALL)
    decided = [Plan(1, 0.0, each) for each in (PLAIN, None, Compression(update_bits=4), Compression(cut_bits=8))]
    sizes, shared = [], crew.share_out
    monkeypatch.setattr(crew, "share_out", lambda told, links: (sizes.append(len(links)), shared(told, links)))
    together, told = reports(algorithm, data, decided, 1)[-1]
    assert sizes == [2]
    monkeypatch.setattr(crew, "gains", lambda net, x: False)
    alone, as_told = reports(algorithm, data, decided, 1)[-1]
    assert sizes == [2]
    assert_close(together.model, alone.model, **CLOSE)
    assert told.traffic == as_told.traffic


def test_who_has_to_be_alone_is_in_no_crew(rng):
    data, net = shards(rng, 4, 4, 4, 4), network()
    assert crew.crews(net, plain(), data, plans(2, 2, 2, 2), range(4), alone=[1]) == [(0, 2, 3), (1,)]


@pytest.mark.parametrize("algorithm", [PSL, EPSL, SplitFedV1])
def test_who_does_not_compress_refuses_a_compression(rng, algorithm):
    data, whole = shards(rng, 5, 5), algorithm(network())
    with pytest.raises(ValueError, match=r"device 1: \w+ does not compress, its plan's compression must be None, got"):
        run(whole, data, [Plan(1), Plan(1, 0.0, SMALL)], 1)
    floats, none = (run(whole, data, [Plan(1), Plan(1, 0.0, each)], 1)[-1] for each in (PLAIN, None))
    assert_close(floats.model, none.model, **EXACT)                               # which is what it sends anyway


def test_a_compression_is_no_table_of_settings():
    with pytest.raises(ValueError, match=r"a plan's compression must be a Compression, or None .*, got \{'update_bits': 8\}"):
        Plan(1, 0.0, {"update_bits": 8})


def test_compressions_change_only_when_client_sides_are_averaged(rng):
    """Naming the algorithm's own is no change."""
    algorithm, data = LightFedSL(network(), interval=2, compression=ROUNDED), shards(rng, 5, 5)
    _, between, averaged = run(algorithm, data, [Plan(1), Plan(1, 0.0, SMALL)], 2)
    for other in (ROUNDED, None):
        with pytest.raises(ValueError, match=r"plans \(cuts, ratios and compressions\) may change only .* for device 1 after"):
            algorithm.step(between, data, [Plan(1), Plan(1, 0.0, other)], SEEDS)
        algorithm.step(averaged, data, [Plan(1), Plan(1, 0.0, other)], SEEDS)
    named, _ = algorithm.step(between, data, [Plan(1, 0.0, ROUNDED), Plan(1, 0.0, SMALL)], SEEDS)
    assert_close(named.model, averaged.model, **EXACT)


def test_a_run_goes_on_between_averagings_from_a_file(rng, tmp_path):
    """Where client sides are held, with the compressions that were decided for them."""
    algorithm, data = LightFedSL(network(), interval=2), shards(rng, 5, 5, 5)
    decided = mixed(algorithm, MIXED)
    _, between, averaged = run(algorithm, data, decided, 2)
    checkpoint.save(tmp_path / "state", between, {})
    loaded = checkpoint.load(tmp_path / "state", {})
    assert [held.plan for held in loaded.held] == decided
    assert_close(algorithm.step(loaded, data, decided, SEEDS)[0].model, averaged.model, **EXACT)


@pytest.mark.parametrize("own", [PLAIN, SMALL])
@pytest.mark.parametrize("interval", [2, 3])
@pytest.mark.parametrize("steps", [1, 2])
def test_an_interval_of_different_cuts_and_ratios_is_its_rules_written_out(rng, interval, steps, own):
    """A block of the server moves by the mean gradient of those that it serves, at their pruned weights; a device's own by its
    gradient where it was kept; at the averaging a block is the mean of what serves each, pruned weights with no update."""
    cuts, ratios, share = (1, 2, 3), (0.5, 0.25, 0.0), (1 / 4, 1 / 2, 1 / 4)
    net, data, decided = network(), shards(rng, 6, 12, 6), list(zip(cuts, ratios, strict=True))
    algorithm = LightFedSL(net, plain(steps=steps), interval, own)
    states = run(algorithm, data, [Plan(*each, PLAIN) for each in decided], 2 * interval)
    model = params.values(net)
    for period in range(2):
        base = model
        masks = [keep_mask(params.front(base, cut), ratio) for cut, ratio in decided]
        begin = [prune(params.front(base, cut), mask) for cut, mask in zip(cuts, masks, strict=True)]
        fronts, server = begin, base
        for number in range(interval):
            for _ in range(steps):
                found = [gradient(net, {**server, **front}, d) for front, d in zip(fronts, data, strict=True)]
                fronts = [{n: p - 0.1 * s[n] * m[n] for n, p in f.items()} for f, s, m in zip(fronts, found, masks, strict=True)]
                server = served(server, found, cuts, share)
            if number + 1 < interval:
                assert_close(params.back(states[period * interval + number + 1].model, 1), params.back(server, 1), **CLOSE)
        views = [{**server, **{n: base[n] + f[n] - b[n] for n in f}} for f, b in zip(fronts, begin, strict=True)]
        model = params.weighted_sum(views, share)
        assert_close(states[(period + 1) * interval].model, model, **CLOSE)


def served(server, found, cuts, share):
    """A step of the server: each of its blocks by the mean of those that it serves."""
    after = {}
    for name, p in server.items():
        those = [k for k, cut in enumerate(cuts) if params.block_of(name) >= cut]
        after[name] = p - 0.1 * sum(share[k] * found[k][name] for k in those) / sum(share[k] for k in those) if those else p
    return after
