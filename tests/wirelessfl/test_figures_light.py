import numpy as np
import pandas as pd
import pytest

from channels.rates import rate
from learning.models import build, vgg19
from learning.profile import profile
from wirelessfl.config import load
from wirelessfl.experiments import FIGURES, light_scene, light_split_time
from wirelessfl.experiments.runs import simulated
from wirelessfl.known import indifferent
from wirelessfl.policy import POLICIES
from wirelessfl.simulate import simulate
from wirelessfl.world import world

TINY = ["data.train=80", "data.test=40", "cell.devices=3", "training.rounds=4", "training.evaluate_every=4",
        "decision.splits=[2]"]


def records(policy, *settings, seed=0):
    s = load(None, [*TINY, *settings])
    return list(simulate(s, policy, seed, indifferent(world(s, seed))))


def test_a_ratio_that_is_set_is_the_ratio_of_every_device():
    for record in records("light-fixed", "decision.fixed_ratio=0.8"):
        assert record.allocation.ratio == pytest.approx(np.full(3, 0.8))


def test_without_a_setting_the_policy_has_its_own_ratio_and_others_prune_nothing():
    assert records("light-fixed")[0].allocation.ratio == pytest.approx(np.full(3, POLICIES["light-fixed"].ratio))
    assert not records("equal", "decision.fixed_ratio=0.8")[0].allocation.ratio.any()


def test_who_has_nothing_to_weigh_decides_the_same_with_and_without_a_pilot():
    s = load(None, [*TINY, "decision.pilot_rounds=2"])
    for with_pilot, without in zip(simulate(s, "equal", 0), records("equal"), strict=True):
        assert without.latency == pytest.approx(with_pilot.latency, rel=1e-9)
        assert without.energy == pytest.approx(with_pilot.energy, rel=1e-9)


def test_the_time_of_a_round_is_that_of_the_slowest_device_at_equal_band_and_full_power():
    w = world(load(None, TINY), 0)
    record = records("equal")[0]
    device, up, server, down = w.work(np.ones((3, 2)), 3)[..., 0].sum(axis=1)
    band = 1e6 * w.scenario.cell.bandwidth_mhz / 3
    speed_up = rate(np.full(3, band), w.hardware.peak_power * record.gain / w.noise)
    took = (device / w.hardware.speed + server / (1e9 * w.scenario.devices.server_gflops / 3) + up / speed_up
            + down / w.downlink_rate(record.gain, 3))
    assert record.latency == pytest.approx(took.max(), rel=1e-6)


def test_without_levers_lightweight_is_plain_on_the_same_clock():
    light, plain = records("equal"), records("equal", "training.algorithm=splitfed-v1")
    assert [r.elapsed for r in light] == pytest.approx([r.elapsed for r in plain], rel=1e-9)
    assert light[-1].accuracy == pytest.approx(plain[-1].accuracy, abs=0.026)


def test_arms_of_a_seed_differ_in_their_levers_alone():
    for name in ("light-pruning", "light-bits", "light-interval", "light-split", "light-comparison"):
        figure = FIGURES[name]
        for size in figure.knobs:
            scenes = {tuple(cell["scene"]) for cell in figure.cells(figure.knobs[size])}
            assert len(scenes) == 1


def test_no_limit_cuts_the_ratio_of_an_arm():
    knobs = FIGURES["light-pruning"].knobs["small"] | {"rounds": 1, "ratios": [0.9, 0.97]}
    less, more = (light_scene.rows(cell)[-1] for cell in FIGURES["light-pruning"].cells(knobs))
    assert more["up_bytes"] < less["up_bytes"]
    assert more["time_s"] < less["time_s"]


def test_every_interval_has_just_been_averaged_when_models_are_tested():
    for knobs in FIGURES["light-interval"].knobs.values():
        assert not any(knobs["tested_every"] % interval for interval in knobs["intervals"])
        assert not knobs["rounds"] % knobs["tested_every"]


def test_arms_are_compared_with_the_first_seed_by_seed():
    rows = [{"arm": arm, "seed": seed, "round": number, "time_s": number * pace * (1 + seed),
             "up_bytes": 2e6 * number, "accuracy": accuracy}
            for arm, pace, curve in (("a", 2.0, (0.4, 0.6)), ("b", 1.0, (0.3, 0.4))) for seed in (0, 1)
            for number, accuracy in zip((5, 10), curve, strict=True)]
    a, b = light_scene.compared(pd.DataFrame(rows)).to_dict("records")
    assert a["target"] == pytest.approx(0.95 * 0.6)
    assert (a["reached"], b["reached"]) == (2, 0)
    assert a["rounds_to_target"] == 10
    assert a["time_to_target_s"] == pytest.approx(30)
    assert np.isnan(b["time_over_first"])
    assert b["round_over_first"] == pytest.approx(0.5)
    assert b["accuracy_less_first"] == pytest.approx(-0.2)
    assert a["up_mb_a_round"] == pytest.approx(2.0)


def test_a_pruned_round_is_shorter_at_every_split_and_one_of_faster_devices_too():
    cells = [cell for cell in light_split_time.cells(light_split_time.KNOBS["small"]) if cell["method"] == "lightweight FedSL"]
    slow, fast = (np.array([row["round_s"] for row in light_split_time.rows(cell)]) for cell in cells)
    unpruned = np.array([row["round_s"] for row in light_split_time.rows({**cells[0], "ratio": 0.0})])
    assert (fast < slow).all()
    assert (slow < unpruned).all()


def test_vgg_19_sends_less_the_deeper_it_is_split_at_a_pooling_layer():
    found = profile(build(lambda shape, classes: vgg19(shape, classes), (3, 32, 32), 10, 0), (3, 32, 32), 10)
    assert [found.outputs[cut - 1] for cut in (1, 2, 4, 8)] == [64 * 32 * 32, 64 * 16 * 16, 128 * 8 * 8, 256 * 4 * 4]


def test_a_policy_that_weighs_something_is_not_run_without_a_pilot():
    with pytest.raises(ValueError, match="policy 'joint' weighs progress against time, and needs a pilot run"):
        simulated(["training.rounds=1"], "joint", 0, pilot=False)
