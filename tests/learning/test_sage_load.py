"""The load of a round as FSL-SAGE (arXiv 2505.23182) counts it, for the five methods of its figures.

Float32 bytes of smashed data up and, in SplitFed, of cut gradients down; client models both ways; auxiliary models both ways in
CSE-FSL, and down every l rounds in FSL-SAGE, whose true gradients are never sent. Labels are free, statistics of batch norm
count. A GB is 2^30 bytes.
"""

from dataclasses import dataclass

import pytest
from tiny_task import auxiliaries, network, normed_blocks, plans, reports, shards

from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.fsl_sage import FSLSage
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.algorithms.split_fed_v2 import SplitFedV2
from learning.estimate import Auxiliaries
from learning.models import build, resnet18
from learning.profile import profile
from learning.training import Training

GB, METHODS = 2**30, ["fed_avg", "split_fed_v1", "split_fed_v2", "cse_fsl", "fsl_sage"]


@dataclass(frozen=True)
class Sizes:
    """Floats of the models and of a sample's smashed data, and what is sent of them."""

    client: int
    whole: int
    auxiliary: int
    smashed: int
    every: int               # q, a batch in so many goes up
    align_every: int         # l


def load(method, sizes, samples, batch):
    """Load of a round and a client [GB], one pass over its samples."""
    batches = [min(batch, samples - start) for start in range(0, samples, batch)]
    some, models = sum(batches[::sizes.every]) * sizes.smashed, 2 * sizes.client
    floats = {
        "fed_avg": 2 * sizes.whole,
        "split_fed_v1": 2 * samples * sizes.smashed + models,
        "split_fed_v2": 2 * samples * sizes.smashed + models,
        "cse_fsl": some + models + 2 * sizes.auxiliary,
        "fsl_sage": some + models + sizes.auxiliary / sizes.align_every,
    }
    return 4 * floats[method] / GB


def algorithms(net, helpers, training, every, align_every):
    return {
        "fed_avg": FedAvg(net, training),
        "split_fed_v1": SplitFedV1(net, training),
        "split_fed_v2": SplitFedV2(net, training),
        "cse_fsl": CSEFSL(net, helpers, training, every),
        "fsl_sage": FSLSage(net, helpers, training, every, align_every, align_steps=1),
    }


def without_labels(traffic):
    return (traffic.uplink_bits + traffic.downlink_bits - traffic.up.get("labels", 0.0)) / 8 / GB


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("kind", "auxiliary"), [("linear", 9), ("stage", 128 + 8 + 8 + 15), ("full", 128 + 8 + 8 + 15)])
def test_what_is_sent_is_what_the_paper_counts(rng, method, kind, auxiliary):
    """Three clients with batch norm, over the l = 3 rounds between two alignments."""
    net, held = network(make=normed_blocks), (23, 4, 9)
    sizes = Sizes(client=18 + 4 + 4, whole=185, auxiliary=auxiliary, smashed=32, every=2, align_every=3)
    algorithm = algorithms(net, auxiliaries(net, kind), Training(4, 0), 2, 3)[method]
    cuts = plans(*([3] if method == "fed_avg" else [1]) * 3)
    seen = reports(algorithm, shards(rng, *held), cuts, 3)[1:]
    found = sum(without_labels(traffic) for _, report in seen for traffic in report.traffic)
    assert found == pytest.approx(3 * sum(load(method, sizes, n, 4) for n in held), rel=1e-12)


def test_only_splitfed_sends_cut_gradients(rng):
    net = network(make=normed_blocks)
    for method, algorithm in algorithms(net, auxiliaries(net), Training(4, 0), 2, 3).items():
        cut = plans(3 if method == "fed_avg" else 1)
        _, report = reports(algorithm, shards(rng, 9), cut, 1)[1]
        assert ("gradients" in report.traffic[0].down) == method.startswith("split_fed")


@pytest.fixture(scope="module")
def published():
    """Its network, counted on paper: ResNet-18 with the stem of 7 x 7 on images of 32 x 32, cut behind the second stage, where
    they are 128 channels of 4 x 4. The auxiliary network is the third stage and a classifier; a norm has four floats a channel.
    """
    stem, first, second = 64 * 3 * 49 + 4 * 64, 4 * 64 * 64 * 9 + 16 * 64, 128 * 64 * 9 + 3 * 128**2 * 9 + 64 * 128 + 20 * 128
    third, fourth = (4 * c * c * 9 - c * c // 2 * 9 + c * c // 2 + 20 * c for c in (256, 512))
    client = stem + first + second
    sizes = Sizes(client, client + third + fourth + 5130, third + 2570, 128 * 16, every=5, align_every=10)
    net = build(resnet18, (3, 32, 32), 10, 0)
    return net, profile(net, (3, 32, 32), 10), Auxiliaries(net, (3, 32, 32), 10, "stage"), sizes


@pytest.mark.parametrize("method", METHODS)
def test_the_cost_table_has_the_loads_of_its_setting(published, method):
    """A client of 5000 images in batches of 256, a label of four bits."""
    net, counts, helpers, sizes = published
    algorithm = algorithms(net, helpers, Training(256, 0), 5, 10)[method]
    cut = 10 if method == "fed_avg" else 5
    work = algorithm.work(counts, cut, 5000, 10)
    labels = {"fed_avg": 0, "split_fed_v1": 5000, "split_fed_v2": 5000, "cse_fsl": 1024, "fsl_sage": 1024}[method] * 4
    found = (work.uplink_bits.at(0.0) + work.downlink_bits.at(0.0) - labels) / 8 / GB
    assert found == pytest.approx(load(method, sizes, 5000, 256), rel=1e-12)


def test_a_round_has_the_ratios_of_its_figure(published):
    """The paper reaches an accuracy with 2.1 times less traffic than CSE-FSL, and 4.9 to 8.9 times less than the others."""
    loads = {method: load(method, published[-1], 5000, 256) for method in METHODS}
    assert loads["cse_fsl"] / loads["fsl_sage"] == pytest.approx(2.1, abs=0.05)
    assert all(4.9 < loads[method] / loads["fsl_sage"] < 8.9 for method in METHODS[:3])
