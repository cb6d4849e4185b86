"""What the ablation's table says of made-up runs."""

import shutil

import numpy as np
import pandas as pd
import pytest

from benchmarks import ablation
from benchmarks.ablation import missing
from benchmarks.ablation_arms import ARMS, CLOSE, FEW, LEVERS, PERSONAL, STUDIES, scenario
from benchmarks.ablation_page import FEW_IN, filled, tables
from benchmarks.ablation_report import REFERENCE, compared, report, table
from benchmarks.tables import middle, spread


def cell(arm: str, seed: int, time: float, own: float = 5.0) -> dict:
    return {"arm": arm, "seed": seed, "time_s": time, "energy_j": 2 * time, "rounds": 10 * time, "own_time_s": own,
            "own_energy_j": 2 * own, "own_rounds": 10 * own, "round_s": 0.1}


@pytest.fixture
def cells():
    return pd.DataFrame([cell("joint", 0, 4.0), cell("joint", 1, 8.0), cell("slow", 0, 8.0), cell("slow", 1, np.inf),
                         cell("mine", 0, np.inf, 10.0), cell("mine", 1, np.inf, 10.0)])


def test_times_are_over_those_of_joint_on_the_same_seed(cells):
    found = compared(cells, ["mine"]).set_index(["arm", "seed"])
    assert found.loc[("slow", 0), "ratio_time"] == 2.0
    assert found.loc[("slow", 1), "ratio_time"] == np.inf
    assert list(found.loc["joint", "ratio_energy"]) == [1.0, 1.0]


def test_a_personal_arm_is_measured_on_its_own_classes_and_has_no_rank(cells):
    found = compared(cells, ["mine"]).set_index(["arm", "seed"])
    assert list(found.loc["mine", "ratio_time"]) == [2.0, 2.0]
    assert list(found.loc["mine", "time_s"]) == [10.0, 10.0]
    assert found.loc["mine", "rank"].isna().all()


def test_the_table_counts_who_is_first_and_who_arrives(cells):
    lines = table(compared(cells, ["mine"]), ["joint", "slow", "mine"])
    row = {line.split(" | ")[0].strip("| "): line.strip(" |").split(" | ") for line in lines[3:]}
    assert row["joint"][1] == "2/2"
    assert row["slow"][1] == "1/2"
    assert row["joint"][-2:] == ["2", "2"]
    assert row["slow"][-2:] == ["0", "0"]
    assert row["mine"][-2:] == ["-", "-"]


def test_the_standard_error_is_that_of_the_mean():
    assert spread(pd.Series([1.0, 3.0, np.inf])) == "2 ± 1"
    assert spread(pd.Series([np.inf])) == "-"


def test_ratios_have_a_mean_that_does_not_ask_which_of_the_two_is_divided_by():
    r = pd.Series([0.5, 2.0, 3.0, np.inf])
    (mean, error), (back, _) = middle(r), middle(1 / r[:3])
    assert mean == pytest.approx(3 ** (1 / 3))
    assert mean * back == pytest.approx(1)
    assert error == pytest.approx(mean * np.std(np.log([0.5, 2, 3]), ddof=1) / 3 ** 0.5)
    assert spread(pd.Series([0.5, 2.0]), ratios=True) == "1 ± 0.69"
    assert spread(pd.Series([2.0, np.inf]), ratios=True) == "2"


def test_arms_that_come_close_have_more_seeds(cells, tmp_path, monkeypatch):
    assert set(CLOSE) <= set(ARMS)
    monkeypatch.setattr(ablation, "FOLDER", tmp_path)
    cells.assign(arm="joint")[:1].to_csv(tmp_path / "digits.csv", index=False)
    there = list(missing("digits", 100))
    assert ("digits", "joint", 0) not in there
    assert {seed for _, arm, seed in there if arm == "greedy"} == set(range(STUDIES["digits"].seeds))
    assert {seed for _, arm, seed in there if arm == "EPSL"} == set(range(FEW))
    assert max(seed for *_, seed in missing("digits", 2)) == 1


def test_the_page_says_what_its_tables_say():
    assert ablation.page() == ablation.PAGE.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_cells(tmp_path):
    for study in STUDIES:
        shutil.copy(ablation.FOLDER / f"{study}.csv", tmp_path)
    report(tmp_path, list(STUDIES), list(ARMS), PERSONAL)
    assert (tmp_path / "tables.md").read_text(encoding="utf-8") == (ablation.FOLDER / "tables.md").read_text(encoding="utf-8")


def test_tables_of_a_page_are_in_order_and_count_who_arrives(cells, tmp_path):
    few = pd.DataFrame([cell("few", 0, 1.0), cell("few", 1, np.inf), cell("lost", 0, np.inf), cell("lost", 1, np.inf)])
    pd.concat([few, cells]).to_csv(tmp_path / "digits.csv", index=False)
    found = tables(tmp_path, ["digits"], ["lost", "slow", "joint", "mine", "few"], ["mine"], ["few"])
    assert [line.split(" | ")[0].strip("| ") for line in found["digits"][2:]] == ["joint", "slow", "lost"]
    assert [line.split(" | ")[-1].strip("| ") for line in found["digits"][2:]] == ["2", "1 of 2", "0 of 2"]
    assert found["digits"][3].split(" | ")[1] == "2"
    assert found[FEW_IN][2:] == ["| `few` | 1 of 2 arrive | 1 of 2 arrive |"]
    assert tables(tmp_path, ["digits", "cifar-10"], ["joint", "none"], [], []).keys() == {"digits", FEW_IN}
    assert len(tables(tmp_path, ["digits"], ["joint", "none"], [], ["none"])[FEW_IN]) == 2


def test_a_page_keeps_what_is_not_between_marks():
    text = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\n<!-- end -->\n"
    new = filled(text, {"two": ["2"], "one": ["1"]})
    assert new == "a\n<!-- one -->\n\n1\n\n<!-- end -->\nb\n<!-- two -->\n\n2\n\n<!-- end -->\n"
    assert filled(new, {"two": ["2"], "one": ["1"]}) == new
    with pytest.raises(ValueError, match="no place for the table 'three'"):
        filled(text, {"three": []})


def test_a_report_is_made_of_unfinished_studies(cells, tmp_path):
    cells[cells["seed"] == 0].to_csv(tmp_path / "digits.csv", index=False)
    assert report(tmp_path, ["digits", "cifar-10"], ["joint", "slow", "mine"], ["mine"])["digits"]["slow"] == 2.0
    assert (tmp_path / "digits.png").stat().st_size > 0


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_is_a_scenario_that_differs_in_what_it_says(study, arm):
    common, mine = scenario(study, REFERENCE), scenario(study, arm)
    assert mine.training.lr == common.training.lr
    assert mine.training.target_accuracy == common.training.target_accuracy
    assert all(bool(getattr(mine.decision, name)) == (name in ARMS[arm].open) for name in LEVERS)
    assert mine.training.evaluate_every % max(mine.decision.intervals or (1,)) == 0
