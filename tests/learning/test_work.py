"""The cost table: FLOPs and bits of a round, counted by hand for the three blocks of tiny_task."""

import copy

import pytest
from tiny_task import CLASSES, COUNTS, NETS, NORMED, SHAPE, SMALL, auxiliaries, network, normed_blocks
from torch.testing import assert_close

from learning.algorithm import Affine, Work
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
from learning.profile import profile
from learning.training import Training

ONE_PASS = Training(batch=4, steps=0)                  # of 10 samples: 4, 4 and 2
SPLIT = [SplitLearning, SplitFedV1, SplitFedV2, LightFedSL]


@pytest.mark.parametrize(("make", "counts"), NETS)
def test_a_profile_is_counted_by_hand(make, counts):
    assert profile(network(make=make), SHAPE, CLASSES) == counts
    assert profile(network(make=make).float(), SHAPE, CLASSES) == counts


def test_a_profile_leaves_the_model_as_it_was():
    net = network(make=normed_blocks).train()
    before = copy.deepcopy(net.state_dict())
    profile(net, SHAPE, CLASSES)
    assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert net.training
    assert all(p.grad is None for p in net.parameters())


def test_work_adds_up_over_the_blocks():
    assert COUNTS.flops(0, 1) + COUNTS.flops(1, 3) == COUNTS.flops(0, 3) == 1992
    assert COUNTS.flops(2, 2) == 0
    assert COUNTS.blocks == 3
    assert (COUNTS.floats(0, 3), NORMED.floats(0, 3)) == (167, 185)


def test_an_affine_amount_falls_with_the_ratio():
    assert [Affine(2.0, 8.0).at(ratio) for ratio in (0.0, 0.25, 0.5)] == [10.0, 8.0, 6.0]


@pytest.mark.parametrize("algorithm", SPLIT)
@pytest.mark.parametrize(("cut", "expected"), [
    # a label of three classes has two bits
    (1, Work(Affine(0, 10 * 1152), Affine(10 * 32 * 32 + 10 * 2 + 2 * 32, 18 * 32), Affine(10 * 840),
             Affine(10 * 32 * 32 + 2 * 32, 18 * 32))),
    (2, Work(Affine(0, 10 * 1920), Affine(10 * 4 * 32 + 10 * 2 + 6 * 32, 146 * 32), Affine(10 * 72),
             Affine(10 * 4 * 32 + 6 * 32, 146 * 32))),
    (3, Work(Affine(0, 10 * 1992), Affine(9 * 32, 158 * 32), Affine(0), Affine(9 * 32, 158 * 32)))])
def test_work_across_a_cut_is_counted_by_hand(algorithm, cut, expected):
    assert algorithm(network(), ONE_PASS).work(COUNTS, cut, samples=10) == expected


@pytest.mark.parametrize(("cut", "scales", "up", "down"), [
    # half of the outputs in 4 bits, with a scale of 32 bits a batch or a sample; updates in 8 bits, with scales as in tiny_task
    (1, "tensor", Affine(10 * 16 * 4 + 3 * 32 + 20 + 2 * 8 + 2 * 32, 18 * 8), Affine(10 * 16 * 4 + 3 * 32 + 2 * 32, 18 * 32)),
    (1, "channel", Affine(10 * 16 * 4 + 10 * 32 + 20 + 2 * 8 + 3 * 32, 18 * 8), Affine(10 * 16 * 4 + 10 * 32 + 2 * 32, 18 * 32)),
    (3, "tensor", Affine(9 * 8 + 6 * 32, 158 * 8), Affine(9 * 32, 158 * 32)),
    (3, "channel", Affine(9 * 8 + 12 * 32, 158 * 8), Affine(9 * 32, 158 * 32))])
def test_compressed_work_is_counted_by_hand(cut, scales, up, down):
    compression = Compression(update_bits=8, smashed_bits=4, cut_bits=4, dropout=0.5, scales=scales)
    found = LightFedSL(network(), ONE_PASS, compression=compression).work(COUNTS, cut, samples=10)
    assert (found.uplink_bits, found.downlink_bits) == (up, down)


def test_statistics_travel_as_floats_where_updates_are_rounded():
    """Front and whole: 4 and 12 entries of scales and shifts in 8 bits with a scale a tensor, as many statistics in 32."""
    net, compression = network(make=normed_blocks), Compression(update_bits=8)
    light = LightFedSL(net, ONE_PASS, compression=compression).work(NORMED, 1, 10)
    whole = FedAvg(net, ONE_PASS, compression).work(NORMED, 3, 10)
    assert light.uplink_bits == Affine(10 * 32 * 32 + 20 + 4 * 8 + 3 * 32 + 4 * 32, 18 * 8)
    assert light.downlink_bits == Affine(10 * 32 * 32 + 8 * 32, 18 * 32)
    assert whole.uplink_bits == Affine(15 * 8 + 8 * 32 + 12 * 32, 158 * 8)
    assert whole.downlink_bits == Affine(27 * 32, 158 * 32)


@pytest.mark.parametrize(("compression", "up"), [(Compression(), Affine(9 * 32, 158 * 32)),
                                                 (SMALL, Affine(9 * 8 + 6 * 32, 158 * 8))])
def test_the_work_of_fed_avg_is_counted_by_hand(compression, up):
    found = FedAvg(network(), ONE_PASS, compression).work(COUNTS, 3, samples=10)
    assert found == Work(Affine(0, 10 * 1992), up, Affine(0), Affine(9 * 32, 158 * 32))


def test_the_work_of_psl_is_that_of_a_client_side_that_never_travels():
    assert PSL(network(), ONE_PASS).work(COUNTS, 1, 10, 2) == Work(
        Affine(0, 10 * 1152), Affine(10 * 32 * 32 + 20), Affine(10 * 840), Affine(10 * 32 * 32))


@pytest.mark.parametrize("devices", [1, 2, 5])
def test_the_server_of_epsl_propagates_a_share_once_for_all(devices):
    """Of 4, 4 and 2 samples all go forward, and back through the last block; of the mean 2, 2 and 1 both ways, the rest back."""
    found = EPSL(network(), ONE_PASS, share=0.5).work(COUNTS, 1, 10, devices)
    server = 10 * (256 + 24 + 48) * devices + 5 * (256 + 512) + 5 * 512 * devices
    assert found.server_flops.at(0.0) == pytest.approx(server / devices, rel=1e-12)
    assert found._replace(server_flops=Affine()) == PSL(network(), ONE_PASS).work(COUNTS, 1, 10)._replace(server_flops=Affine())


def test_nothing_aggregated_is_psl():
    assert EPSL(network(), ONE_PASS, share=0.0).work(COUNTS, 1, 10, 3) == PSL(network(), ONE_PASS).work(COUNTS, 1, 10, 3)


def test_the_work_of_an_auxiliary_network_is_counted_by_hand():
    """The mean over 4 x 4 pixels of two channels, and a linear map of 6 weights and 3 biases: 12 forward, 24 back."""
    found = CSEFSL(network(), auxiliaries(network()), ONE_PASS, every=2).work(COUNTS, 1, 10)
    assert found == Work(Affine(10 * 36, 10 * 1152), Affine(6 * 32 * 32 + 6 * 2 + 2 * 32 + 9 * 32, 18 * 32),
                         Affine(6 * 840), Affine(2 * 32 + 9 * 32, 18 * 32))


def test_the_work_of_fsl_sage_is_counted_by_hand():
    """A step of an alignment takes five products of 12 a sample: the scores; the estimate, from their gradient and weights; the
    mismatch by these two factors; and from there, through the scores, by the weights once more. A network
    that is only asked for the gradient of its input, on the device and for an alignment, takes twice its way forward."""
    algorithm = FSLSage(network(), auxiliaries(network()), ONE_PASS, every=2, align_every=5, align_steps=3, keep=7)
    assert algorithm.work(COUNTS, 1, 10) == Work(
        Affine(10 * 24, 10 * 1152), Affine(6 * 32 * 32 + 6 * 2 + 2 * 32, 18 * 32),
        Affine(6 * 840 + 7 * (560 + 3 * 5 * 12) / 5), Affine(2 * 32 + 9 * 32 / 5, 18 * 32))


def test_the_work_of_personalisation_is_counted_by_hand():
    """Four samples for the last block, where their gradient ends, and then ten for the others, whose gradients come through."""
    algorithm = Personalised(network(), ONE_PASS, personal=1, personal_steps=1)
    assert algorithm.work(COUNTS, 3, 10) == Work(Affine(14 * 72, 4 * (576 + 256) + 10 * 1920), Affine(6 * 32, 146 * 32), Affine(),
                                                 Affine(6 * 32, 146 * 32))


@pytest.mark.parametrize(("algorithm", "cut", "crossing"), [(SplitFedV1, 1, 32 * 32 + 2), (LightFedSL, 3, 0), (FedAvg, 3, 0)])
def test_a_device_with_few_samples_has_small_batches(algorithm, cut, crossing):
    few, many = (algorithm(network(), Training(batch=4)).work(COUNTS, cut, samples) for samples in (3, 4))
    assert few.device_flops.at(0.0) / many.device_flops.at(0.0) == 3 / 4
    assert many.uplink_bits.fixed - few.uplink_bits.fixed == crossing
