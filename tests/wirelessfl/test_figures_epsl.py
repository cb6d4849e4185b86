"""The EPSL figures: their clock, their scene, and what their tables are made of."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from learning.algorithms.epsl import EPSL
from learning.models import resnet18
from learning.profile import profile
from learning.training import Training
from optim.epsl import EpslProblem, latency, owners, uplink_rates
from optim.epsl_answer import epsl_residual
from optim.epsl_descent import solve_descent
from optim.epsl_exact import solve_exact
from wirelessfl.experiments.epsl_choices import CHOICES
from wirelessfl.experiments.epsl_clock import METHODS, round_times
from wirelessfl.experiments.epsl_latency import findings, turned
from wirelessfl.experiments.epsl_scene import Load, load_named, load_of, only, scene, scenes
from wirelessfl.experiments.epsl_training import cells, compared, draw, times, to_target

SHAPE = (3, 64, 64)


@pytest.fixture(scope="module")
def load():
    return load_named("cnn", (3, 16, 16), 7)


@pytest.fixture
def seen():
    return scene(np.random.default_rng(0), 4, (3,))


def test_the_work_of_resnet_is_counted_by_hand():
    """A convolution of k x k from a to b channels on side x side: 2 a b k^2 side^2 FLOP; backward twice, but for the image."""
    found = load_named("resnet18", SHAPE, 7)
    stem, block = 2 * 3 * 64 * 7**2 * 32**2, 2 * 2 * 64 * 64 * 3**2 * 16**2
    assert_allclose(found.forward[:3], [stem, stem + block, stem + 2 * block])
    assert_allclose(found.backward[:3], [stem, stem + 2 * block, stem + 4 * block])
    assert_allclose(found.server_forward[-1], 2 * 512 * 7)
    assert_allclose(found.last, 2 * 2 * 512 * 7)
    assert_allclose(found.crossing[:4] / 32, [64 * 16**2] * 3 + [128 * 8**2])
    norm = 4 * 64 + 1                                     # scale, shift, mean, variance of each channel, and a counter
    assert_allclose(found.model[:2] / 32, [3 * 64 * 49 + norm, 3 * 64 * 49 + norm + 2 * (64 * 64 * 9 + norm)])


def test_whatever_the_cut_device_and_server_do_all_of_the_work(load):
    assert len(set(load.forward + load.server_forward)) == len(set(load.backward + load.server_backward)) == 1


def test_the_paper_counts_what_training_does_but_the_forward_pass_of_the_pooled_samples():
    """Pooled activations go forth and back on the server; the paper's server work, as far as known, has their way back only."""
    net, batch, devices, cut = resnet18(SHAPE, 7, "batch"), 8, 3, 4
    counts = profile(net, SHAPE, 7)
    work = EPSL(net, Training(batch=batch), share=0.5).work(counts, cut, batch, devices)
    seen = replace(scene(np.random.default_rng(0), devices), batch=batch)
    paper = only(seen.problem(load_of(counts), 0.5), cut - 1).server[0] * 5e9 * 32
    assert_allclose(devices * work.server_flops.fixed - paper, batch / 2 * sum(counts.forward[cut:-1]))


def test_one_device_alone_makes_split_learning_and_splitfed_the_same(load):
    seen = scene(np.random.default_rng(1), 1, (3,))
    assert_allclose(round_times(seen, load, METHODS["sl"]), round_times(seen, load, METHODS["splitfed"]))


def test_without_a_model_to_exchange_splitfed_is_psl(seen, load):
    nothing = replace(load, model=np.zeros_like(load.model))
    assert_allclose(round_times(seen, nothing, METHODS["splitfed"]), round_times(seen, nothing, METHODS["psl"]))


def test_split_learning_takes_the_sum_of_its_devices(seen, load):
    alone = [round_times(replace(seen, gain=seen.gain[:, [k]], clock=seen.clock[:, [k]]), load, METHODS["sl"]) for k in range(4)]
    assert_allclose(round_times(seen, load, METHODS["sl"]), sum(alone))


def test_psl_and_epsl_take_what_the_descent_says(seen, load):
    for name, share in (("psl", 0.0), ("epsl-0.5", 0.5), ("epsl-1", 1.0)):
        found = solve_descent(only(seen.problem(load, share), 1)).latency
        assert_allclose(round_times(seen, load, METHODS[name])[..., 1], found)


def test_splitfed_is_psl_and_the_time_of_the_model_both_ways():
    """One subchannel each at an SNR of one: 1 bit/s and hertz; the model adds Q / (rate of the band) down and Q / rate up."""
    seen = replace(scene(np.random.default_rng(0), 2), gain=np.array([[1e15, 0.0], [0.0, 1e15]]), width=1e6)
    load = Load(*(np.array([v]) for v in (1e6, 2e6, 1e6, 2e6)), last=1e5, crossing=np.array([1e4]), model=np.array([1e6]))
    problem = seen.problem(load, 0.0)
    found = solve_descent(problem)
    rate = uplink_rates(problem, owners(problem, found.assignment), found.power)
    broadcast = 1e6 / problem.downlink_rates.sum(axis=-1).min()
    extra = round_times(seen, load, METHODS["splitfed"])[0] - round_times(seen, load, METHODS["psl"])[0]
    assert broadcast + 1e6 / rate.max() - 1e-9 <= extra <= broadcast + 1e6 / rate.min() + 1e-9


def test_aggregating_more_shortens_server_and_downlink_and_lengthens_the_broadcast(seen, load):
    found = solve_descent(only(seen.problem(load, 0.0), 1))
    each = [latency(only(seen.problem(load, share), 1), found.cut, found.assignment, found.power) for share in (0.0, 0.5, 1.0)]
    assert np.all(np.diff([stages.server for stages in each], axis=0) < 0)
    assert np.all(np.diff([stages.downlink for stages in each], axis=0) < 0)
    assert np.all(np.diff([stages.broadcast for stages in each], axis=0) > 0)


def test_a_wider_band_and_faster_clocks_shorten_every_round(load):
    seen = scenes(np.random.default_rng(2), 3, 4)
    for method in METHODS.values():
        for quantity, low, high in (("band_mhz", 100, 200), ("server_ghz", 2.5, 5.0), ("slowest_ghz", 0.5, 1.0)):
            slow, fast = (round_times(turned(seen, quantity, value), load, method).min(axis=-1) for value in (low, high))
            assert np.all(fast < slow)


def test_turning_to_what_the_scene_has_changes_nothing(seen):
    for quantity, value in (("band_mhz", 200.0), ("server_ghz", 5.0), ("slowest_ghz", 1.0), ("shares", 0.5)):
        assert_allclose(turned(seen, quantity, value).clock, seen.clock)
        assert_allclose([getattr(turned(seen, quantity, value), n) for n in ("width", "server_clock")], [10e6, 5e9])


def test_a_cut_that_is_not_there_is_refused(load):
    with pytest.raises(ValueError, match=r"between 1 and 4 \[blocks\], got 5"):
        load.at(5)


def test_the_only_cut_is_that_of_the_whole_problem(seen, load):
    """Also where there are as many devices as cuts."""
    whole = seen.problem(load, 0.5)
    assert whole.sizes[0] == whole.sizes[2]
    one = only(whole, 2)
    assert one.sizes == (4, 20, 1)
    assert_array_equal(one.peak_power, whole.peak_power)
    assert_array_equal(one.device_forward[..., 0], whole.device_forward[..., 2])


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_is_allowed_and_none_beats_the_bound_of_the_exact_one(name, load):
    for number in range(3):
        rng = np.random.default_rng(number)
        problem: EpslProblem = scene(rng, 5).problem(load, 0.5)
        found, exact = CHOICES[name](problem, rng), solve_exact(problem, rtol=1e-3)
        grade = epsl_residual(problem, found)
        assert max(grade.feasibility, grade.clock) < 1e-9
        assert found.latency >= exact.lower_bound


def knobs(**other):
    return {"data": "digits", "train": 100, "test": 50, "standardise": False, "model": "cnn", "precision": "float32", "batch": 8,
            "rounds": 3, "tests": 1, "cut": 2, "lr": 0.01, "server_lr": 0.01, "target": 0.5, "seeds": 2, "concentration": 0.5,
            "device": "cpu", "devices": [3], "partitions": ["iid"], "methods": list(METHODS)} | other


def test_methods_of_a_seed_see_the_same_channel(load):
    """Without aggregation EPSL's clock is PSL's, round for round."""
    psl, half = (next(c for c in cells(knobs()) if c["method"] == name) for name in ("psl", "epsl-0.5"))
    assert np.all(times(half, load) < times(psl, load))
    assert_array_equal(times(psl | {"partition": "dirichlet-equal"}, load), times(psl, load))


def run(method, seed, accuracies):
    return [{"devices": 5, "partition": "iid", "method": method, "label": method, "seed": seed, "target": 0.5, "round": 2 * i + 2,
             "time_s": (3.0 if method == "psl" else 6.0) * (i + 1), "accuracy": a} for i, a in enumerate(accuracies)]


def test_the_target_counts_from_the_first_tested_round_that_has_it():
    table = pd.DataFrame(run("psl", 0, [0.1, 0.6, 0.4]) + run("sl", 0, [0.5, 0.6, 0.7]) + run("sl", 1, [0.1, 0.2, 0.3])
                         + run("psl", 1, [0.1, 0.2, 0.5]))
    found = to_target(table)
    assert_allclose(found["rounds_to_target"], [4, 2, np.nan, 6])
    assert_allclose(found["time_to_target_s"], [6, 6, np.nan, 9])
    assert_allclose(found["final_accuracy"], [0.4, 0.7, 0.3, 0.5])
    ends = compared(table).set_index("label")
    assert ends.loc["sl", "reached"] == 1
    assert_allclose(ends.loc["sl", "time_over_psl"], 1.0)           # of the seed that reached it
    assert_allclose(ends.loc["sl", "round_over_psl"], 2.0)


def test_shares_are_drawn_without_that_of_nothing_and_compared_with_nobody():
    rows = [{"panel": panel, "label": label, "method": method, "value": value, "seed": 0, "median_s": 2.0, "blocks": 3.0}
            for panel, label, method, value in (("counts", "PSL", "psl", 2.0), ("counts", "EPSL", "epsl", 2.0),
                                                ("shares", "EPSL", "epsl", 0.5))]
    found = findings(pd.DataFrame(rows)).set_index("panel")["most_over_psl"]
    assert found["counts"] == 1
    assert np.isnan(found["shares"])


def test_numbers_of_devices_have_panels_of_their_own():
    table = pd.DataFrame([{"devices": devices, "partition": "iid", "method": "psl", "label": "PSL", "seed": 0, "round": number,
                           "time_s": 1.0 * number, "accuracy": 0.1 * devices} for devices in (2, 5) for number in (1, 2)])
    drawn = [axes.lines[0].get_ydata()[0] for axes in draw(table).axes[::2]]
    assert_allclose(drawn, [0.2, 0.5])
