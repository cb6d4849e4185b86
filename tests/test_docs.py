"""The documentation knows every name, and its links lead somewhere. `make docs` builds it; nothing is built here."""

import json
import re
from pathlib import Path

import pytest

import wirelessfl

ROOT = Path(__file__).parents[1]
API = {page.name: page.read_text() for page in (ROOT / "docs/api").glob("*.rst")}
PACKAGES = ("wirelessfl", "optim", "channels", "learning")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += [page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts]
PAGES += sorted((ROOT / "notebooks").glob("*.ipynb"))


def tables(text: str) -> list[tuple[str, set[str]]]:
    """The tables of a page of the API: their options, and what they list."""
    blocks = re.findall(r"^\.\. autosummary::\n((?:   :.*\n)*)\n((?:   \S+\n?)+)", text, re.M)
    return [(options, set(listed.split())) for options, listed in blocks]


def listed() -> set[str]:
    """Modules with a page of their own."""
    inside = {name for page, text in API.items() if page != "index.rst" for _, names in tables(text) for name in names}
    return inside | set(re.findall(r"^\.\. automodule:: (\S+)$", "\n".join(API.values()), re.M))


def opened() -> set[str]:
    """Packages whose modules are listed as they come."""
    return {name for text in API.values() for options, names in tables(text) if ":recursive:" in options for name in names}


def modules() -> set[str]:
    """Every module of the four packages; the three below are plain folders."""
    paths = [path.relative_to(ROOT).with_suffix("") for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.parts).removesuffix(".__init__") for path in paths} - {"optim", "channels", "learning"}


def test_every_name_of_the_face_is_in_the_api():
    named = {name.rpartition(".")[2] for _, names in tables(API["index.rst"]) for name in names}
    assert named == set(wirelessfl.__all__)


def test_every_module_is_in_the_api():
    below = tuple(f"{package}." for package in opened())
    missing = {name for name in modules() - listed() if not name.startswith(below)}
    assert not missing, f"docs/api lists modules by what they are for; it lacks {sorted(missing)}"


def test_what_the_api_lists_is_there():
    assert not listed() - modules()


def read(page: Path) -> str:
    """A page's Markdown; of a notebook all its cells of it."""
    text = page.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"] if page.suffix == ".ipynb" else []
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown") if cells else text


def prose(page: Path) -> str:
    return re.sub(r"^( *)```.*?^\1```$|`[^`\n]*`", "", read(page), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub and Sphinx make them."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.M | re.S)
    titles = (title.strip().lower() for title in re.findall(r"^#+ (.*)$", text, re.M))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: {target.name} has the anchors {sorted(anchors(target))}"


def test_links_are_found_in_prose_and_not_in_code(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title, *and* more\n[a](b.md) `[c](d.md)`\n```\n# no title\n[e](f.md)\n```\n![g](h.png) [i](https://j)\n")
    assert links(page) == ["b.md", "h.png"]
    assert anchors(page) == {"a-title-and-more"}
