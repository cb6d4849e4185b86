"""The five figures of FSL-SAGE: what they count, how they compare, and that they turn what they say they turn."""

import numpy as np
import pandas as pd
import pytest

from learning.profile import profile
from wirelessfl.config import load
from wirelessfl.experiments import sage_auxiliary, sage_heterogeneity, sage_interval, sage_latency, sage_load
from wirelessfl.experiments import sage_methods as sage
from wirelessfl.world import world

DIGITS = sage.DIGITS | {"seeds": 1, "rounds": 2, "tests": 2, "align_steps": 1}
# The small CNN on digits of 8 x 8, by hand: 1 -> 8 -> 16 channels by 3 x 3 on a device, which halve the image. It has 50 samples,
# five batches of 10, of which every second one goes up. The auxiliary network of the stage: 16 -> 32 by 3 x 3, then 32 -> 10
CLIENT = (9 * 8 + 8) + (72 * 16 + 16)
SMASHED, AUXILIARY, BATCHES = 256, (144 * 32 + 32) + 330, 3


def cell(method, **turned):
    (found,) = sage.cells(DIGITS | turned, (method,))
    return found


@pytest.mark.parametrize(("method", "floats"), [
    ("SplitFed-V1", 2 * 50 * SMASHED + 2 * CLIENT), ("SplitFed-V2", 2 * 50 * SMASHED + 2 * CLIENT),
    ("CSE-FSL", BATCHES * 10 * SMASHED + 2 * CLIENT + 2 * AUXILIARY)])
def test_loads_are_those_of_the_paper_counted_by_hand(method, floats):
    """All four devices, both ways, floats of four bytes, labels for free."""
    rows = sage.rows(cell(method))
    assert [row["load_gb"] for row in rows] == pytest.approx([4 * 4 * floats * n / 2**30 for n in (1, 2)], rel=1e-9)


def test_fsl_sage_sends_auxiliary_networks_down_in_every_lth_round():
    first, second, third = (row["load_gb"] * 2**30 for row in sage.rows(cell("FSL-SAGE", rounds=3, tests=3)))
    assert first - (second - first) == pytest.approx(4 * 4 * AUXILIARY)           # the second round has no alignment
    assert third - second == pytest.approx(first)


def test_what_a_method_has_no_use_for_is_not_asked_of_it():
    for method in sage.METHODS:
        names = " ".join(sage.settings(DIGITS, method))
        assert ("training.every" in names) == (method in ("CSE-FSL", "FSL-SAGE"))
        assert ("align_every" in names) == (method == "FSL-SAGE")


def test_every_method_has_the_same_data_and_first_weights_of_a_seed():
    worlds = [world(load(None, sage.settings(DIGITS, method, alpha=1.0)), 3) for method in sage.METHODS]
    for w in worlds[1:]:
        assert all((a == b).all() for a, b in zip(w.parts, worlds[0].parts, strict=True))
        assert all((a == b).all() for a, b in zip(w.net.parameters(), worlds[0].net.parameters(), strict=True))


def test_the_best_is_taken_of_what_a_load_pays_for():
    table = pd.DataFrame({"run": ["a", "a", "a", "b"], "accuracy": [0.5, 0.4, 0.9, 0.8], "load_gb": [1.0, 2.0, 3.0, 4.0]})
    found = sage.best(table, ("run",), 2.5).set_index("run")
    assert found.loc["a"].tolist() == [0.5, 1.0]
    assert found.loc["b"].isna().all()
    assert sage.best(table, ("run",))["accuracy"].tolist() == [0.9, 0.8]


def test_one_lucky_test_lifts_the_best_and_hardly_the_end():
    table = pd.DataFrame({"run": "a", "round": range(1, 11), "accuracy": [0.9] + [0.1] * 7 + [0.5, 0.7], "load_gb": 1.0})
    assert sage.best(table, ("run",))["accuracy"].tolist() == [0.9]
    assert sage.late(table, ("run",))["a"] == pytest.approx(0.6)


def test_the_line_is_a_share_of_the_best_mean_and_crossed_where_a_mean_first_gets_there():
    runs = [("FSL-SAGE", 0, (0.2, 0.5, 0.7), 1.0), ("FSL-SAGE", 1, (0.4, 0.7, 0.9), 1.0),
            ("FedAvg", 0, (0.1, 0.2, 0.8), 5.0), ("CSE-FSL", 0, (0.1, 0.2, 0.3), 2.0)]
    table = pd.DataFrame([{"method": method, "seed": seed, "round": n, "accuracy": y, "load_gb": n * each}
                          for method, seed, line, each in runs for n, y in enumerate(line, 1)])
    assert sage.target(table) == pytest.approx(0.95 * 0.8)
    found = sage_load.findings(table).set_index("method")
    assert found.loc["FSL-SAGE", "load to 0.760 [GB]"] == 3
    assert found.loc["FedAvg", "load to 0.760 [GB]"] == 15
    assert found.loc["FedAvg", "times FSL-SAGE's"] == 5
    assert np.isnan(found.loc["CSE-FSL", "times FSL-SAGE's"])


def test_figures_turn_what_they_are_about():
    turned = {figure.name: figure.cells(figure.knobs["full"]) for figure in (
        sage_heterogeneity.FIGURE, sage_interval.FIGURE, sage_auxiliary.FIGURE)}
    skewed, every, kinds = turned.values()
    assert all(f"data.concentration={each['alpha']}" in each["settings"] for each in skewed)
    ours = [each for each in every if each["interval"]]
    assert all(f"training.align_every={each['interval']}" in each["settings"] for each in ours)
    assert {each["method"] for each in every if not each["interval"]} == {"CSE-FSL"}
    assert all(f"training.auxiliary={each['kind']}" in each["settings"] for each in kinds)


def test_the_sizes_of_auxiliary_networks_are_counted_by_hand():
    cells = sage_auxiliary.cells(DIGITS | {"kinds": ["linear", "stage"], "load_gb": 1.0, "rounds": 1, "tests": 1})
    sizes = {each["kind"]: sage_auxiliary.rows(each)[0]["aux_mb"] * 2**20 / 4 for each in cells}
    assert sizes == {"linear": 16 * 10 + 10, "stage": AUXILIARY}


def round_time(method, link=np.inf, device=np.inf, server=np.inf):
    w = world(load(None, sage.settings(DIGITS, method)), 0)
    return sage_latency.round_time(w, DIGITS["cut"], link, device, server)


def test_all_share_the_link():
    """FedAvg: the whole load through it, up and down; serving one after another does not change that."""
    load_bits = 8 * 2**30 * sage.rows(cell("FedAvg", rounds=1, tests=1))[0]["load_gb"]
    assert round_time("FedAvg", link=1e6) == pytest.approx(load_bits / 1e6, rel=1e-9)
    assert round_time("SplitFed-V2", link=1e6) == pytest.approx(round_time("SplitFed-V1", link=1e6), rel=1e-12)


def test_devices_compute_side_by_side_unless_they_are_served_one_after_another():
    w = world(load(None, sage.settings(DIGITS, "FedAvg")), 0)
    counts = profile(w.net, w.data.shape, w.data.classes)
    assert round_time("FedAvg", device=1e9) == pytest.approx(50 * counts.flops(0, 5) / 1e9, rel=1e-12)
    assert round_time("SplitFed-V1", device=1e9) == pytest.approx(50 * counts.flops(0, 2) / 1e9, rel=1e-12)
    assert round_time("SplitFed-V2", device=1e9) == pytest.approx(4 * 50 * counts.flops(0, 2) / 1e9, rel=1e-12)
    for method in ("SplitFed-V1", "SplitFed-V2"):
        assert round_time(method, server=1e9) == pytest.approx(4 * 50 * counts.flops(2, 5) / 1e9, rel=1e-12)


def test_times_add_up():
    """What is sent and what is computed, in the figure's rows; a round is as long as any other."""
    (each,) = [c for c in sage_latency.cells(DIGITS | {"link_mb_s": 20.0, "device_gflops": 1.0, "server_gflops": 2.0})
               if c["method"] == "CSE-FSL"]
    rows = sage_latency.rows(each)
    for row in rows:
        whole = round_time("CSE-FSL", link=1.6e8, device=1e9, server=2e9)
        assert row["communication_s"] + row["computation_s"] == pytest.approx(row["round"] * whole, rel=1e-12)
        assert row["computation_s"] == pytest.approx(row["round"] * round_time("CSE-FSL", device=1e9, server=2e9), rel=1e-12)
