import json
import os
import signal
from dataclasses import replace

import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

from wirelessfl import experiments
from wirelessfl import knobs as module
from wirelessfl.__main__ import main
from wirelessfl.config import SettingsError
from wirelessfl.experiments import FIGURES, PAPERS, Figure
from wirelessfl.experiments.figure import SIZES
from wirelessfl.knobs import chosen
from wirelessfl.reproduce import key, reproduce
from wirelessfl.style import over_seeds, panels


def cells(knobs):
    return [{"x": x, "seed": seed, "list": [knobs["word"], "k"]} for x in range(1, 1 + knobs["most"]) for seed in (0, 1)]


def rows(cell):
    if os.environ.get("BROKEN") == str(cell["x"]):
        raise ValueError("x is broken")
    if os.environ.get("KILLED") == str(cell["x"]):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("STOPPED") == str(cell["x"]):
        raise KeyboardInterrupt
    return [{"y": 10.0 * cell["x"] + cell["seed"]}]


def draw(table):
    figure, ((axes,),) = panels()
    over_seeds(axes, table, "x", "y")
    axes.set(xlabel="x [1]", ylabel="y [1]")
    return figure


def findings(table):
    return pd.DataFrame([{"mean of y": table["y"].mean()}])


TINY = Figure("tiny", "epsl", "Does it work?", "It does.", dict.fromkeys(SIZES, 1.0),
              {"small": {"most": 3, "word": "a"}, "quick": {"most": 3, "word": "b"},
               "full": {"most": 3, "word": "c", "data": "no-such-data"}}, cells, rows, draw, findings)


def test_a_figure_leaves_picture_table_and_how_it_was_made(tmp_path):
    made = reproduce(TINY, tmp_path, "quick")
    assert made.size == "quick"
    assert not made.failed
    table = pd.read_csv(tmp_path / "tiny.csv")
    assert list(table.columns) == ["x", "seed", "y"]
    assert table["y"].tolist() == [10, 11, 20, 21, 30, 31]
    about = json.loads((tmp_path / "tiny.json").read_text())
    assert about["findings"] == [{"mean of y": 20.5}]
    assert about["claim"] == "It does."
    assert len(about["points"]) == 6
    assert about["points"][0]["list"] == ["b", "k"]
    assert about["versions"]["numpy"]
    assert (tmp_path / "tiny.png").stat().st_size > 1000
    assert (tmp_path / "tiny.pdf").read_bytes().startswith(b"%PDF")


def test_workers_and_interruptions_leave_no_trace_in_the_files(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    reproduce(TINY, one)
    for path in list((one / "points" / "tiny").glob("*.json"))[:2]:
        path.unlink()
    reproduce(TINY, one, workers=2)
    reproduce(TINY, two, workers=2)
    for name in ("tiny.csv", "tiny.png", "tiny.pdf"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_points_that_are_there_are_not_computed_again(tmp_path, monkeypatch):
    reproduce(TINY, tmp_path)
    monkeypatch.setenv("BROKEN", "2")
    assert not reproduce(TINY, tmp_path).failed
    (tmp_path / "points" / "tiny" / f"{key(cells(TINY.knobs['quick'])[0])}.json").write_text("{ cut off")
    monkeypatch.setenv("BROKEN", "1")
    assert list(reproduce(TINY, tmp_path).failed.values()) == ["x is broken"]


def test_points_of_an_older_version_or_without_rows_are_computed_again(tmp_path):
    reproduce(TINY, tmp_path)
    old, empty, *_ = (tmp_path / "points" / "tiny").glob("*.json")
    for path, left_out in ((old, {"cpu_s": None}), (empty, {"rows": []})):
        kept = json.loads(path.read_text()) | left_out
        path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))
    assert reproduce(TINY, tmp_path).table["y"].tolist() == [10, 11, 20, 21, 30, 31]


def test_a_point_that_fails_is_told_and_the_others_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BROKEN", "2")
    told = []
    made = reproduce(TINY, tmp_path, watch=lambda cell, error: told.append((cell["x"], error)))
    assert set(made.failed.values()) == {"x is broken"}
    assert len(made.table) == 4
    assert len(told) == 6
    assert not (tmp_path / "tiny.png").exists()
    monkeypatch.delenv("BROKEN")
    assert len(reproduce(TINY, tmp_path).table) == 6


def test_afresh_computes_what_is_there_again(tmp_path, monkeypatch):
    reproduce(TINY, tmp_path)
    monkeypatch.setenv("BROKEN", "2")
    assert set(reproduce(TINY, tmp_path, afresh=True).failed.values()) == {"x is broken"}


def test_points_of_several_states_of_the_source_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(module.FIGURES, "tiny", TINY)
    reproduce(TINY, tmp_path)
    path = tmp_path / "points" / "tiny" / f"{key(cells(TINY.knobs['quick'])[0])}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commit": "another"}))
    assert main(["reproduce", "tiny", "--out", str(tmp_path), "--workers", "1"]) == 0
    assert "its points are of 2 states of the source" in capsys.readouterr().out


def test_what_a_killed_process_had_done_is_kept(tmp_path, monkeypatch):
    get_reusable_executor().shutdown()                       # processes that were there before know nothing of this
    monkeypatch.setenv("KILLED", "3")
    with pytest.raises(SettingsError, match="tiny: a process was killed"):
        reproduce(TINY, tmp_path, workers=2)
    get_reusable_executor().shutdown()
    monkeypatch.delenv("KILLED")
    assert len(reproduce(TINY, tmp_path).table) == 6


def test_an_interrupted_figure_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(module.FIGURES, "tiny", TINY)
    monkeypatch.setenv("STOPPED", "2")
    assert main(["reproduce", "tiny", "--out", str(tmp_path), "--workers", "1"]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert len(list((tmp_path / "points" / "tiny").glob("*.json"))) == 2


def test_without_its_data_a_figure_is_made_small(tmp_path, monkeypatch):
    monkeypatch.setenv("WIRELESSFL_DATA", str(tmp_path))
    assert reproduce(TINY, tmp_path / "out", "full").size == "small"


def test_knobs_are_not_forgotten_where_the_data_are_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("WIRELESSFL_DATA", str(tmp_path))
    with pytest.raises(SettingsError, match="its full size needs 'no-such-data'"):
        reproduce(TINY, tmp_path / "out", "full", turned={"most": 1})


def test_what_was_made_small_for_want_of_data_stands_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setitem(module.FIGURES, "tiny", TINY)
    monkeypatch.setenv("WIRELESSFL_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "tiny", "--full", "--workers", "1"]) == 0
    assert (tmp_path / "figures" / "small" / "tiny.png").exists()
    assert not (tmp_path / "figures" / "full").exists()


def test_what_cannot_be_made_afresh_is_not_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setitem(module.FIGURES, "tiny", TINY)
    reproduce(TINY, tmp_path)
    for wrong in (["--workers", "0"], ["--set", "most=0"]):
        assert main(["reproduce", "tiny", "--afresh", "--out", str(tmp_path), *wrong]) == 2
    assert len(list((tmp_path / "points" / "tiny").glob("*.json"))) == 6


@pytest.mark.parametrize(("name", "turned"), [
    ("light-pruning", {"seeds": 0}), ("light-pruning", {"ratios": []}), ("light-bits", {"quantised": ["cut"]}),
    ("light-bits", {"quantised": ["colour", "cut"]})])
def test_knobs_that_leave_no_points_are_told_in_a_sentence(name, turned, tmp_path):
    with pytest.raises(SettingsError, match=f"{name} has no points with these knobs: "):
        reproduce(FIGURES[name], tmp_path, "small", turned=turned)


def test_a_point_in_which_nothing_is_measured_has_failed(tmp_path):
    made = reproduce(replace(TINY, rows=lambda cell: []), tmp_path)
    assert all(why.startswith("nothing was measured") for why in made.failed.values())
    assert len(made.failed) == 6


def test_what_cannot_be_made_is_told_in_a_sentence(tmp_path):
    with pytest.raises(SettingsError, match="size"):
        reproduce(TINY, tmp_path, "huge")
    with pytest.raises(SettingsError, match="figure"):
        chosen(["epsil"])
    with pytest.raises(SettingsError, match="at least 1, got 0"):
        reproduce(TINY, tmp_path, workers=0)
    with pytest.raises(SettingsError, match=r"--set for tiny: 'mots' is none of .*did you mean 'most'"):
        reproduce(TINY, tmp_path, turned={"mots": 2})
    with pytest.raises(SettingsError, match="--set most: takes a whole number, such as 3, got 'two'"):
        reproduce(TINY, tmp_path, turned={"most": "two"})
    with pytest.raises(SettingsError, match="--set ratios: takes a list, such as"):
        reproduce(FIGURES["light-pruning"], tmp_path, "small", turned={"ratios": [0.0, "a"]})


def test_a_knob_that_is_turned_makes_other_points(tmp_path):
    assert len(reproduce(TINY, tmp_path, turned={"most": 1}).table) == 2
    assert json.loads((tmp_path / "tiny.json").read_text())["knobs"] == {"most": 1, "word": "b"}
    assert len(reproduce(TINY, tmp_path).table) == 6


def test_the_command_makes_lists_and_says_what_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(experiments.FIGURES, "tiny", TINY)
    monkeypatch.setitem(module.FIGURES, "tiny", TINY)
    assert main(["reproduce", "tiny", "--out", str(tmp_path), "--workers", "1"]) == 0
    assert "Does it work?" in (out := capsys.readouterr().out)
    assert "20.5" in out
    assert main(["reproduce", "tiny", "--list"]) == 0
    assert "tiny" in (out := capsys.readouterr().out)
    assert PAPERS["epsl"] in out
    monkeypatch.setenv("BROKEN", "3")
    assert main(["reproduce", "tiny", "--out", str(tmp_path), "--workers", "1", "--afresh"]) == 1
    assert "x is broken" in capsys.readouterr().err
    assert main(["reproduce"]) == 2
    assert main(["reproduce", "tiny", "--set", "most=1", "--set", "word=d", "--out", str(tmp_path), "--workers", "1"]) == 0
    assert main(["reproduce", "tiny", "--set", "most"]) == 2
    assert main(["reproduce", "all", "--set", "most=1"]) == 2


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_every_figure_says_what_it_is(figure):
    assert figure.paper in PAPERS
    assert figure.question.endswith("?")
    assert figure.claim.endswith(".")
    assert set(figure.minutes) == set(figure.knobs) == set(SIZES)
    assert figure.knobs["small"].get("data", "") in ("", "digits")
    assert len({tuple(knobs) for knobs in figure.knobs.values()}) == 1
    for size in SIZES:
        there = figure.cells(figure.knobs[size])
        assert there
        assert len({key(cell) for cell in there}) == len(there)
        assert json.loads(json.dumps(there)) == there


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_made_in_small(name, tmp_path):
    made = reproduce(FIGURES[name], tmp_path, "small", workers=1)
    assert not made.failed
    assert len(made.findings)
    assert (tmp_path / f"{name}.png").stat().st_size > 5000
