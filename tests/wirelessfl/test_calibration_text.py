"""What the command says of a calibration."""

from pathlib import Path

import pytest
from test_plot_calibration import calibration

from wirelessfl.calibration_file import Made
from wirelessfl.calibration_text import number, text

EXPONENT = {"cut": [1, 1, 3], "ratio": [0.5, 0.8, 0.4], "bias": [0.25, 0.5, 0.5], "loss": [0.5, 1.0, 1.0],
            "rounds": [1.25, None, 1.5], "pilot": 9, "goal": 0.4321, "gamma": 0.322, "error": 0.1}


MEMORY = {"number": [1.0, 2.0], "rounds": [1.25, None], "derived": [None, 1.5], "expected": [1.3, 1.1], "pilot": 9,
          "single": [2.5, 7.25], "memory": 4.567}


def said(exponent=None, memory=None, **more):
    made = Made(Path("c.json"), Path("c.png"), "0123456789abcdef", calibration(**more), exponent, memory, True)
    return text(made).splitlines()


def test_a_line_for_each_split_and_each_variant_that_does_something():
    lines = said()
    cells = [line.split("  ") for line in lines if line.startswith("1 ")]
    assert [[cell.strip() for cell in row if cell] for row in cells] == [
        ["1", "0.01 ± 0.01", "0.2 ± 0.01", "0.6 ± 0.01", "0.7 rho^2 up to 0.90"]]
    assert "  drop 0.5: split 1 2 ± 0.01, split 3 4 ± 0.01" in lines
    assert "  every 4 rounds: split 1 0.3 ± 0.01, split 3 0.4 ± 0.01" in lines
    assert not any(line.startswith(("  none", "  every 1 ")) for line in lines)


def test_of_what_was_not_there_nothing_is_said():
    lines = said(intervals=(1,))
    assert not any("seldom" in line for line in lines)
    assert not any("exponent" in line or "memory" in line for line in lines)


def test_trainings_are_told_beside_what_the_bound_says_of_them():
    lines = said(EXPONENT)
    assert "  split 1, pruned 0.50: bias 0.25, loss of progress 0.50, 1.25 times the rounds (by the bound 2.00)" in lines
    assert "  split 1, pruned 0.80: bias 0.50, loss of progress 1.00, not reached (by the bound never)" in lines
    assert any(line.startswith("exponent gamma: 0.322 ± 0.1 (standard error)") for line in lines)


def test_trainings_with_few_devices_are_told_beside_what_the_bound_says_with_and_without_a_memory():
    lines = said(memory=MEMORY)
    assert "  1 device: 1.25 times the rounds (by the bound as derived never, with the memory 1.30)" in lines
    assert "  2 devices: not reached (by the bound as derived 1.50, with the memory 1.10)" in lines
    assert any(line.startswith("memory H: 4.57 rounds, 2.5 to 7.25 by single trainings") for line in lines)


@pytest.mark.parametrize(("memory", "says"), [(1.0, "1 rounds (the least: "), (9.0, "9 rounds (the most that ")])
def test_a_memory_at_a_limit_says_so(memory, says):
    assert any(line.startswith(f"memory H: {says}") for line in said(memory=MEMORY | {"memory": memory}))


def test_no_exponent_is_told_as_none():
    lines = said(EXPONENT | {"gamma": None, "error": None})
    assert "exponent gamma: none, for no training that the bound lets get there did" in lines


def test_numbers_have_no_powers_of_ten():
    assert number(52.77, 60.49) == "52.8 ± 60"
    assert number(223.4, 270.1) == "223 ± 270"
    assert number(0.00026, 0.002) == "0.00026 ± 0.002"
