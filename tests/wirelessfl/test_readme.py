import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README, SOLVER = ROOT / "README.md", ROOT / "docs" / "solver.md"


def run(page: Path, what: str, until: str = "") -> dict:
    """The names that a page's one example with ``what`` in it leaves, run up to the line that begins with ``until``."""
    (example,) = [block for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if what in block]
    found: dict = {}
    exec(example.partition(until)[0] if until else example, found)
    return found


def test_the_example_of_the_api_finds_a_certified_decision(capsys):
    found = run(README, "wfl.simulate", until="for record in")["found"]
    assert capsys.readouterr().out.startswith("optimal")
    assert found.gap < 1e-6


def test_a_problem_of_plain_arrays_is_solved():
    names = run(SOLVER, "RoundCosts")
    assert names["found"].status.feasible
    assert names["found"].objective < names["equal"].objective


def test_a_constraint_of_ones_own_holds():
    found = run(SOLVER, "extra=")
    fair = found["fair"].ratio
    assert found["found"].ratio[1] > found["found"].ratio[0]            # without it
    assert fair[1] <= fair[0] + 1e-6


def test_the_example_of_an_algorithm_on_its_own_runs(capsys):
    """The block that trains FSL-SAGE by hand, as it stands in the README."""
    found = run(README, "algorithm.step")
    assert found["scores"].accuracy > 0.3
    assert found["state"].round == 3
    assert {"smashed", "labels", "model"} <= found["report"].traffic[0].up.keys()
    assert "auxiliary" not in found["report"].traffic[0].down           # aligned in the first round, and not again in the third
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(found["scores"].accuracy)
