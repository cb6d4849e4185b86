"""The plan of the house: who may stand on whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "channels": set(),
    "optim": {"channels"},
    "learning": set(),
    "wirelessfl": {"channels", "optim", "learning"},
}


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in the file it does."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def files(package: str) -> list[Path]:
    found = list((ROOT / package).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_downward(package):
    for path in files(package):
        ours = imported(path) & MAY_IMPORT.keys() - {package}
        assert ours <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[package]}"


@pytest.mark.parametrize(("library", "home"), [("torch", {"learning", "wirelessfl"}), ("cvxpy", {"optim"})])
def test_heavy_libraries_stay_at_home(library, home):
    for package in MAY_IMPORT.keys() - home:
        for path in files(package):
            assert library not in imported(path), f"{path.relative_to(ROOT)} imports {library}"


def test_only_the_command_line_prints():
    for package in MAY_IMPORT:
        for path in files(package):
            calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
            prints = [n for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]
            assert path.name == "__main__.py" or path.parent.name == "commands" or not prints, path


def test_decibels_are_converted_in_one_place():
    for package in MAY_IMPORT:
        for path in files(package):
            text = path.read_text()
            assert path.name == "units.py" or not any(f in text for f in ("/ 10)", "** 0.1", "10 * np.log10")), path
