import argparse

import pytest

from benchmarks.study import append, chosen, declare, done


def test_what_was_added_to_a_table_is_done_and_nothing_else(tmp_path):
    table = tmp_path / "t.csv"
    assert done(table, ("arm", "seed")) == set()
    append(table, [{"arm": "joint", "seed": 0, "time_s": 1.5}])
    append(table, [{"arm": "equal", "seed": 1, "time_s": 2.5}, {"arm": "equal", "seed": 2, "time_s": 3.5}])
    assert done(table, ("arm", "seed")) == {("joint", 0), ("equal", 1), ("equal", 2)}
    assert table.read_text().count("time_s") == 1


def test_rows_that_were_made_otherwise_are_not_mixed_with_new_ones(tmp_path):
    table = tmp_path / "t.csv"
    declare(table, {"rounds": (1, 2)})
    declare(table, {"rounds": (1, 3)})                       # nothing was made yet
    append(table, [{"seed": 0}])
    declare(table, {"rounds": (1, 3)})
    with pytest.raises(SystemExit, match=r"t\.csv was made with other settings \(see t\.json\)"):
        declare(table, {"rounds": (1, 2)})


def test_a_table_may_have_new_arms_but_the_old_ones_stay(tmp_path):
    table = tmp_path / "t.csv"
    declare(table, {"arms": {"joint": {"own": ()}}})
    append(table, [{"seed": 0}])
    declare(table, {"arms": {"joint": {"own": ()}, "typical": {"own": ()}}})
    with pytest.raises(SystemExit, match="other settings"):
        declare(table, {"arms": {"joint": {"own": ()}}, "levers": {}})
    for changed in ({"joint": {"own": ("more",)}, "typical": {"own": ()}}, {"joint": {"own": ()}}):
        with pytest.raises(SystemExit, match="other settings"):
            declare(table, {"arms": changed})


def test_a_name_that_there_is_not_is_told(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["study", "digit"])
    with pytest.raises(SystemExit):
        chosen(argparse.ArgumentParser(), ("digits", "mnist"), "study")
    assert "no study ['digit']; there are ['digits', 'mnist']" in capsys.readouterr().err
