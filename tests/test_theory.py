"""The page of theory points at what there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "theory.md").read_text()
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))
FILES = sorted(set(re.findall(r"`((?:optim|learning|tests)/[\w/]+\.py)`", PAGE)) | set(re.findall(r"\]\(\.\./(.+?)\)", PAGE)))


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_the_theory_names_exists(name):
    assert f"def {name}(" in TESTS


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_theory_names_exists(name):
    assert (ROOT / name).is_file()


def test_the_theory_names_tests_and_files():
    assert len(NAMED) > 20
    assert len(FILES) > 8
