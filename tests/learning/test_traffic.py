"""What really crosses the air: counted by hand and by kind in bytes, and the same as the cost table says."""

import pytest
import torch
from tiny_task import COUNTS, NETS, SMALL, auxiliaries, network, normed_blocks, plans, reports, shards
from torch.testing import assert_close

from learning.algorithm import Plan, Traffic
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
from learning.crossing import Compression
from learning.training import Training

COMPRESSIONS = [Compression(), SMALL, Compression(update_bits=8), Compression(update_bits=1, scales="channel"),
                Compression(smashed_bits=4), Compression(cut_bits=4, scales="channel"), Compression(dropout=0.5),
                Compression(dropout=0.99, smashed_bits=1, cut_bits=2)]
ONE_PASS = Training(batch=4, steps=0)                  # of 10 samples: 4, 4 and 2


def ten(net):
    """Each algorithm, the rounds of its period, and the cuts of three devices."""
    helped = {"auxiliaries": auxiliaries(net), "training": ONE_PASS, "every": 2}
    return {
        "split_learning": (SplitLearning(net, ONE_PASS), 1, (1, 2, 3)),
        "split_fed_v1": (SplitFedV1(net, ONE_PASS), 1, (1, 2, 3)),
        "split_fed_v2": (SplitFedV2(net, ONE_PASS), 1, (1, 2, 3)),
        "psl": (PSL(net, ONE_PASS), 1, (1, 2, 3)),
        "epsl": (EPSL(net, ONE_PASS), 1, (1, 1, 1)),
        "cse_fsl": (CSEFSL(net, **helped), 1, (1, 2, 1)),
        "fsl_sage": (FSLSage(net, **helped, align_every=3, align_steps=1), 3, (1, 2, 1)),
        "light_fed_sl": (LightFedSL(net, ONE_PASS, interval=2), 2, (1, 2, 3)),
        "fed_avg": (FedAvg(net, ONE_PASS), 1, (3, 3, 3)),
        "personalised": (Personalised(net, ONE_PASS), 1, (3, 3, 3)),
    }


def sent(algorithm, data, decided, first, rounds):
    """Bits up and down of each device in some rounds, counted from the tensors."""
    seen = reports(algorithm, data, decided, first + rounds)[1 + first:]
    return torch.tensor([[[t.uplink_bits, t.downlink_bits] for t in report.traffic] for _, report in seen]).sum(0)


def predicted(algorithm, counts, data, decided, **transfers):
    """Bits of a round of each device by the cost table."""
    works = [algorithm.work(counts, plan.cut, len(d), len(data), **transfers) for d, plan in zip(data, decided, strict=True)]
    return torch.tensor([[work.uplink_bits.at(plan.ratio), work.downlink_bits.at(plan.ratio)]
                         for work, plan in zip(works, decided, strict=True)])


# In bytes: at cut 1 the smashed data of a sample are 32 floats, the client side is 20; at cut 2 they are 4 and 152; all are 167.
# The linear auxiliary network has 9 floats behind cut 1 and 15 behind cut 2. A label has two bits. Of batches of 4, 4 and 2
# samples the first and the last go up where it is every second one.
SPLIT = [({"smashed": 1280, "labels": 2.5, "model": 80}, {"gradients": 1280, "model": 80}),
         ({"smashed": 160, "labels": 2.5, "model": 608}, {"gradients": 160, "model": 608})]
NO_UPLOAD = [{kind: size for kind, size in up.items() if kind != "model"} for up, _ in SPLIT]
WITHOUT_MODELS = [({"smashed": 1280, "labels": 2.5}, {"gradients": 1280}), ({"smashed": 160, "labels": 2.5}, {"gradients": 160})]
BY_HAND = {
    "split_learning": [SPLIT], "split_fed_v1": [SPLIT], "split_fed_v2": [SPLIT],
    "psl": [[(up, down) for up, (_, down) in zip(NO_UPLOAD, SPLIT, strict=True)], WITHOUT_MODELS],
    "epsl": [[(NO_UPLOAD[0], SPLIT[0][1])] * 2, [WITHOUT_MODELS[0]] * 2],
    "light_fed_sl": [[(up, down) for up, (_, down) in zip(NO_UPLOAD, SPLIT, strict=True)],
                     [(up, down) for (up, _), (_, down) in zip(SPLIT, WITHOUT_MODELS, strict=True)]],
    "cse_fsl": [[({"smashed": 768, "labels": 1.5, "model": 80, "auxiliary": 36}, {"model": 80, "auxiliary": 36}),
                 ({"smashed": 96, "labels": 1.5, "model": 608, "auxiliary": 60}, {"model": 608, "auxiliary": 60})]],
    "fsl_sage": [[({"smashed": 768, "labels": 1.5, "model": 80}, {"model": 80, "auxiliary": 36}),
                  ({"smashed": 96, "labels": 1.5, "model": 608}, {"model": 608, "auxiliary": 60})],
                 *[[({"smashed": 768, "labels": 1.5, "model": 80}, {"model": 80}),
                    ({"smashed": 96, "labels": 1.5, "model": 608}, {"model": 608})]] * 2],
    "fed_avg": [[({"model": 668}, {"model": 668})] * 2],
    "personalised": [[({"model": 608}, {"model": 608})] * 2],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_bytes_are_counted_by_hand(rng, name):
    """Ten samples on each of two devices, in rounds of a whole period."""
    algorithm, _, cuts = ten(network())[name]
    decided = plans(*cuts[:2])
    seen = reports(algorithm, shards(rng, 10, 10), decided, len(BY_HAND[name]))[1:]
    found = [[tuple({kind: bits / 8 for kind, bits in side.items()} for side in (t.up, t.down)) for t in report.traffic]
             for _, report in seen]
    assert found == BY_HAND[name]


@pytest.mark.parametrize("name", ["psl", "light_fed_sl"])
def test_bytes_of_a_client_side_with_batch_norm_have_its_statistics(rng, name):
    """Behind cut 1: 18 weights, a scale and a shift, a mean and a variance for two channels each."""
    algorithm, _, _ = ten(network(make=normed_blocks))[name]
    _, report = reports(algorithm, shards(rng, 10), plans(1), 1)[1]
    assert report.traffic[0].down["model"] / 8 == 4 * (18 + 4 + 4)


def test_bytes_of_a_rounded_update_with_batch_norm(rng):
    """Weights, scales and shifts of 4 bits with three scales; four statistics in floats, up and down."""
    algorithm = LightFedSL(network(make=normed_blocks), ONE_PASS, compression=Compression(update_bits=4))
    _, report = reports(algorithm, shards(rng, 10), plans(1), 1)[1]
    assert report.traffic[0].up["model"] / 8 == (18 + 4) / 2 + 3 * 4 + 4 * 4
    assert report.traffic[0].down["model"] / 8 == 4 * (18 + 4 + 4)


@pytest.mark.parametrize(("make", "counts"), NETS)
@pytest.mark.parametrize("name", ten(network()))
def test_bits_on_the_air_are_those_of_the_cost_table(rng, name, make, counts):
    """Over a period; PSL's and EPSL's devices also download their side once, before their first round."""
    algorithm, period, cuts = ten(network(make=make))[name]
    data, decided = shards(rng, 10, 3, 7), plans(*cuts)
    share = {"download": 1 / algorithm.interval, "upload": 1 / algorithm.interval}
    found = sent(algorithm, data, decided, int(name in ("psl", "epsl")), period)
    assert_close(found / period, predicted(algorithm, counts, data, decided, **share), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["psl", "epsl"])
def test_what_stays_on_a_device_is_downloaded_once(rng, name):
    algorithm, _, cuts = ten(network())[name]
    data, decided = shards(rng, 10, 3, 7), plans(*cuts)
    first, later = (sent(algorithm, data, decided, start, 1) for start in (0, 1))
    assert_close(first[:, 1] - later[:, 1], torch.tensor([32.0 * COUNTS.floats(0, cut) for cut in cuts]))
    assert torch.equal(first[:, 0], later[:, 0])


@pytest.mark.parametrize(("make", "counts"), NETS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("ratio", [0.0, 0.5])          # half of 18, 128 and 12 weights are whole numbers
@pytest.mark.parametrize("algorithm", [LightFedSL, FedAvg, Personalised])
def test_compressed_and_pruned_bits_are_those_of_the_cost_table(rng, make, counts, compression, ratio, algorithm):
    data, decided = shards(rng, 10, 3, 7), plans(*((1, 2, 3) if algorithm is LightFedSL else (3, 3, 3)), ratio=ratio)
    small = algorithm(network(make=make), ONE_PASS, compression=compression)
    assert torch.equal(sent(small, data, decided, 0, 1), predicted(small, counts, data, decided))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("interval", [2, 3])
def test_an_interval_downloads_first_and_uploads_last(rng, compression, interval):
    data, decided = shards(rng, 10, 3, 7), plans(1, 2, 3, ratio=0.5)
    split = LightFedSL(network(), ONE_PASS, interval, compression)
    for number, (_, report) in enumerate(reports(split, data, decided, 2 * interval)[1:]):
        first, last = number % interval == 0, (number + 1) % interval == 0
        found = torch.tensor([[t.uplink_bits, t.downlink_bits] for t in report.traffic])
        assert torch.equal(found, predicted(split, COUNTS, data, decided, download=float(first), upload=float(last)))


def test_dropped_features_are_those_of_the_cost_table_on_average(rng):
    """Columns are kept one by one: the mean of 200 rounds within five of its standard deviations. Up goes a bit a column more."""
    data, compression = shards(rng, 10), Compression(dropout=0.4, dropout_kind="feature")
    algorithm = LightFedSL(network(), ONE_PASS, compression=compression)
    seen = reports(algorithm, data, plans(1), 200)[1:]
    found = torch.tensor([[r.traffic[0].uplink_bits, r.traffic[0].downlink_bits] for _, r in seen], dtype=torch.float64)
    table = predicted(algorithm, COUNTS, data, plans(1))[0]
    assert torch.all((found.mean(0) - table).abs() <= 5 * found.std(0) / 200**0.5)
    assert torch.all(found[:, 0] - found[:, 1] == 3 * 32 + 20)                             # of three batches, and the labels
    assert table[0] - table[1] == pytest.approx(3 * 32 + 20, rel=1e-3)


@pytest.mark.parametrize("interval", [1, 2])
def test_what_moves_has_been_downloaded_and_uploaded(rng, interval):
    """Every entry of the client side that an averaging changes was paid for, both ways."""
    seen = reports(LightFedSL(network(), Training(batch=4), interval), shards(rng, 20), [Plan(3, 0.5)], interval)
    (start, _), (end, _) = seen[0], seen[-1]                              # behind the last block only models move
    traffic = [report.traffic[0] for _, report in seen[1:]]
    moved = sum(int((end.model[name] != start.model[name]).sum()) for name in start.model)
    assert 0 < moved * 32 <= min(sum(t.uplink_bits for t in traffic), sum(t.downlink_bits for t in traffic))


def test_traffic_adds_up_over_its_kinds():
    traffic = Traffic({"smashed": 3.0, "labels": 1.0}, {"gradients": 2.0})
    assert (traffic.uplink_bits, traffic.downlink_bits) == (4.0, 2.0)
