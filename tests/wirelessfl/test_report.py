"""A report says what its runs say, of whole and of broken folders, and needs nothing but itself."""

import base64
import hashlib
import html.parser
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from report_runs import SMALL, copied, made, without_pictures

import wirelessfl as wfl
from wirelessfl.__main__ import main
from wirelessfl.closing import closing_table
from wirelessfl.config import SettingsError, keys
from wirelessfl.report import devices, provenance, report, tables
from wirelessfl.report.page import page
from wirelessfl.report.runs import read
from wirelessfl.settings import Scenario
from wirelessfl.style import COLOURS

STAGES = list(devices.STAGES)


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its elements, and what stands in its scripts and in its text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.text, self.inside = [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.text += data

    def of(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "wide")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "narrow", "cell.bandwidth_mhz=1", "training.target_accuracy=0.9")


@pytest.fixture(scope="module")
def written(run):
    return Page(page(read([run])))


def cells(table):
    return [row.cells for row in table.rows if not row.heading]


def test_a_page_refers_to_nothing_but_itself(written):
    for _, attrs in written.found:
        assert not {"src", "srcset", "action", "data", "poster"} & attrs.keys()
        assert attrs.get("href", "#").startswith("#")
    assert not written.of("link") + written.of("iframe") + written.of("img")
    assert {attrs["href"][1:] for attrs in written.of("a")} <= {attrs.get("id") for _, attrs in written.found}


def test_the_browser_may_run_the_scripts_of_the_page_and_no_others(written):
    (rule,) = [m["content"] for m in written.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    allowed = set(re.findall(r"'sha256-(.*?)'", rule))
    running = [text for attrs, text in zip(written.of("script"), written.scripts, strict=True) if attrs.get("type") is None]
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running} == allowed
    assert "default-src 'none'" in rule
    assert "unsafe-inline" not in rule.partition("script-src")[2].partition(";")[0]


def test_the_headline_says_what_the_run_ended_with(run):
    (one,) = read([run])
    said = closing_table(one.summary, pd.read_csv(run / "timing.csv"), one.scenario)
    for row in cells(tables.headlines([one])):
        assert "  ".join(row).split() in [line.split() for line in said.splitlines()]


def test_every_policy_is_in_every_section(run, written):
    for name in ("joint", "equal"):
        assert written.text.count(name) >= 4
    drawn = json.loads(written.scripts[0])
    assert {chart["name"].partition("-")[0] for chart in drawn} == {"curves", "energy", "traffic", "learnt", "foretold"}


def test_only_settings_that_differ_stand_out(run, narrow):
    runs = read([run, narrow])
    assert [row[0] for row in cells(provenance.differing(runs))] == ["cell.bandwidth_mhz", "training.target_accuracy"]
    marked = [row.cells for _, table in provenance.sections(runs) for row in table.rows if row.marked]
    assert [row[:3] for row in marked] == [("cell.bandwidth_mhz", "4", "1"), ("training.target_accuracy", "0.05", "0.9")]
    alone = {row[0] for row in cells(provenance.differing(runs[:1]))}
    assert alone == {each.partition("=")[0] for each in SMALL} - {"seeds"}


def test_every_setting_is_on_the_page(written):
    for key in keys(Scenario):
        assert key in written.text


def test_runs_with_different_targets_say_so(run, narrow, tmp_path):
    assert "different targets" in Page(page(read([run, narrow]))).text
    assert "different targets" not in Page(page(read([run, copied(run, tmp_path / "again")]))).text


def test_a_policy_has_one_colour_in_all_runs(run, tmp_path):
    other = made(tmp_path / "other", 'decision.policies=["equal", "joint"]', "seeds=1")
    drawn = json.loads(Page(page(read([run, other]))).scripts[0])
    lines = {(chart["name"], each["name"]): each["line"]["color"] for chart in drawn if chart["name"].startswith("curves")
             for each in chart["data"] if "color" in each["line"]}
    assert lines["curves-A", "joint"] == lines["curves-B", "joint"] == COLOURS[0]
    assert lines["curves-A", "equal"] == lines["curves-B", "equal"] == COLOURS[1]


def test_runs_of_one_setting_on_seeds_of_their_own_are_one_run(run, tmp_path):
    parts = [made(tmp_path / f"seed-{seed}", seeds=[seed]) for seed in (0, 1)]
    (whole,), (joined,) = read([run]), read(parts)
    for name in ("rounds", "devices", "summary"):
        pd.testing.assert_frame_equal(getattr(joined, name), getattr(whole, name))
    assert joined.seeds == [0, 1]
    assert len(read([run, parts[0]])) == 2                       # the same seed twice is no second seed


def test_a_sweep_stands_for_its_runs(tmp_path):
    text = "\n".join(['[set]', *(each for each in SMALL), '[grid]', '"cell.bandwidth_mhz" = [2, 4]'])
    (tmp_path / "band.toml").write_text(text.replace("training.model=mlp", 'training.model="mlp"'))
    with without_pictures():
        assert main(["sweep", str(tmp_path / "band.toml"), "--workers=1", "--out", str(tmp_path / "sweep")]) == 0
    runs = read([tmp_path / "sweep"])
    assert [one.scenario.cell.bandwidth_mhz for one in runs] == [2, 4]
    assert [one.seeds for one in runs] == [[0, 1], [0, 1]]
    assert [len(one.folders) for one in runs] == [2, 2]


def test_words_from_outside_stay_words(run, tmp_path):
    bad = "</script><img src=x onerror=alert(1)>"
    folder = copied(run, tmp_path / "<script>alert(2)<")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["settings"]["decision"]["calibration"] = manifest["versions"]["numpy"] = bad
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name in ("summary.csv", "rounds.csv", "allocations.csv", "timing.csv"):
        (folder / name).write_text((folder / name).read_text().replace("equal,", f"{bad},"))
    found = Page(page(read([folder])))
    assert len(found.scripts) == 4
    assert not found.of("img")
    assert found.text.count(bad) >= 4
    assert "<script>alert(2)<" in found.text


class Stopped(Exception):
    """What happens to a run."""


def stopped(folder, policy, seed):
    def watch(record):
        if (record.policy, record.seed) == (policy, seed):
            raise Stopped

    with pytest.raises(Stopped):
        made(folder, watch=watch)
    return folder


def test_a_run_that_has_not_finished_is_shown_as_far_as_it_went(run, tmp_path):
    folder = stopped(tmp_path / "stopped", "equal", 0)
    (part,), (whole,) = read([folder]), read([run])
    assert "has not finished" in part.notes[0]
    assert "2 of 4 trainings" in Page(page([part])).text
    pd.testing.assert_frame_equal(part.rounds, whole.rounds[whole.rounds["policy"] == "joint"])
    for name in ("rounds.csv", "allocations.csv", "timing.csv"):       # as where the process was killed
        (folder / name).unlink()
    (killed,) = read([folder])
    pd.testing.assert_frame_equal(killed.summary, part.summary)
    assert set(killed.devices) == set(part.devices)


def test_of_a_run_in_which_nothing_has_ended_there_are_the_settings(tmp_path):
    (run,) = read([stopped(tmp_path / "stopped", "joint", 0)])
    found = Page(page([run]))
    assert "0 of 4 trainings" in found.text
    assert "training.target_accuracy" in found.text
    assert json.loads(found.scripts[0]) == []


def test_who_ended_early_is_said_with_the_reason(run, tmp_path):
    folder = copied(run, tmp_path / "early")
    summary = pd.read_csv(folder / "summary.csv")
    summary["advice"] = ["loosen the deadline", "", "", ""]
    summary.to_csv(folder / "summary.csv", index=False)
    assert "joint, seed 0, ended early: loosen the deadline" in Page(page(read([folder]))).text


@pytest.mark.parametrize("several", [False, True])
def test_a_folder_without_a_run_gets_one_sentence(run, tmp_path, capsys, several):
    assert main(["report", str(tmp_path), *[str(run)] * several]) == 2
    said = capsys.readouterr().err
    assert "holds no run" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_tables_that_are_broken_get_one_sentence(run, tmp_path):
    folder = copied(run, tmp_path / "broken")
    rounds = pd.read_csv(folder / "rounds.csv")
    rounds.drop(columns="progress_lost").to_csv(folder / "rounds.csv", index=False)
    with pytest.raises(SettingsError, match=r"rounds\.csv is not of this version: it lacks the columns \['progress_lost'\]"):
        read([folder])
    (folder / "rounds.csv").write_text("")
    with pytest.raises(SettingsError, match=r"rounds\.csv is no table"):
        read([folder])


@pytest.mark.parametrize("name", ["rounds.csv", "allocations.csv"])
def test_a_table_that_is_not_there_or_has_no_rows_gets_one_sentence(run, tmp_path, name):
    folder = copied(run, tmp_path / "thinned")
    (folder / name).write_text((folder / name).read_text().splitlines()[0])
    with pytest.raises(SettingsError, match=f"has nothing in {name}"):
        read([folder])
    (folder / name).unlink()
    with pytest.raises(SettingsError, match=f"has nothing in {name}"):
        read([folder])


def test_a_sweep_that_is_broken_gets_one_sentence(tmp_path):
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(SettingsError, match="holds no sweep"):
        read([tmp_path])


def test_the_page_lies_in_the_folder_of_one_run_and_here_for_several(run, narrow, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = copied(run, tmp_path / "mine")
    assert main(["report", str(folder)]) == 0
    assert str(folder / "report.html") in capsys.readouterr().out
    assert main(["report", str(folder), str(narrow)]) == 0
    assert main(["report", str(folder), "--out", str(tmp_path / "new" / "it.html")]) == 0
    assert main(["report", str(folder), "--out", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["it.html", "report.html"]
    for path in (folder / "report.html", tmp_path / "report.html", tmp_path / "new" / "it.html"):
        assert path.read_text().startswith("<!DOCTYPE html>")


def test_stages_add_up_to_what_each_device_took(run):
    for table in devices.turned(read([run])):
        c = table["columns"]
        total = np.sum([c[name] for name, _ in devices.STAGES.values()], axis=0)
        assert_allclose(total, c["took"], rtol=2e-3)
        assert max(c["took"]) > 0
        assert table["rounds"] == [1, 2, 3, 4]
    frame = read([run])[0].devices
    assert_allclose(frame[STAGES].sum(axis=1), frame["took_s"], rtol=1e-9)
    slowest = frame.groupby(["policy", "seed", "round"])["took_s"].max().to_numpy()
    assert_allclose(slowest, read([run])[0].rounds.set_index(["policy", "seed", "round"]).sort_index()["latency_s"])


def test_of_long_runs_some_rounds_are_drawn_with_all_their_devices(run, monkeypatch):
    monkeypatch.setattr(devices, "MOST", 2 * 3 * 2)               # two policies, three devices, two rounds
    for table in devices.turned(read([run])):
        assert table["rounds"] == [1, 4]
        assert table["all"] == 4
        assert table["columns"]["device"] == [0, 1, 2] * 2


def test_a_run_of_before_stages_were_kept_has_a_report(run, tmp_path):
    folder = copied(run, tmp_path / "older")
    old = pd.read_csv(folder / "allocations.csv").drop(columns=STAGES)
    old.to_csv(folder / "allocations.csv", index=False)
    assert not any(table["staged"] for table in devices.turned(read([folder])))
    assert Page(page(read([folder]))).scripts


def test_the_bound_foretells_rounds_by_the_ratio_of_progress(run):
    """By hand: rounds that lose half bring half, so twice as many are foretold; 3 over 2 were measured."""
    (one,) = read([run])
    rounds = one.rounds.assign(progress_lost=np.where(one.rounds["policy"] == "equal", 0.5, 0.0))
    summary = one.summary.assign(rounds=np.where(one.summary["policy"] == "equal", 3, 2), time_s=1.0)
    table = tables.predicted(replace(one, rounds=rounds, summary=summary)).set_index("policy")
    assert_allclose(table.loc["equal", "predicted"], 2.0)
    assert_allclose(table.loc["equal", "measured"], 1.5)
    assert_allclose(table.loc["joint", ["predicted", "measured"]], 1.0)
    gone = rounds.assign(status="waiting")
    assert np.all(tables.progress(gone, 1.0) == 0)


def test_bad_tables_of_words_are_refused():
    with pytest.raises(ValueError, match="2 cells, its head 3"):
        tables.Table("three columns", ("a", "b", "c"), (tables.Row(("1", "2")),))


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no runs to report"):
        report([])
    (tmp_path / "sweep.json").write_text('{"runs": {}}')
    with pytest.raises(SettingsError, match="no runs to report"):
        report([tmp_path])


def test_more_settings_than_letters_are_refused(run, tmp_path):
    many = [copied(run, tmp_path / str(number)) for number in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wirelessfl.report.runs.MOST", 2)
        with pytest.raises(SettingsError, match="at most 2 settings side by side, got 3"):
            read([run, *many])
    shutil.rmtree(many[0])
    assert wfl.__version__ in page(read([run]))


def test_where_the_target_was_not_reached_no_rounds_are_compared(run):
    """But what a round brings is known all along: here half of one."""
    (one,) = read([run])
    never = one.summary.assign(rounds=np.where(one.summary["policy"] == "equal", np.inf, 2))
    table = tables.predicted(replace(one, rounds=one.rounds.assign(progress_lost=0.5), summary=never)).set_index("policy")
    assert table.loc["equal", ["predicted", "measured"]].isna().all(axis=None)
    assert_allclose(table["progress"], 0.5)
