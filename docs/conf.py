"""How the documentation is built: ``make docs``. The source is the repository, so that links between its files hold."""

import inspect
import re
from importlib import import_module
from pathlib import Path

from docutils.nodes import Text, math_block
from numpy.typing import ArrayLike, NDArray
from sphinx.util.typing import stringify_annotation

import wirelessfl
from wirelessfl.config import load, to_toml

project = author = "wirelessfl"
copyright = "the wirelessfl developers, Apache-2.0"
release = version = wirelessfl.__version__
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**", "notebooks/*.ipynb"]
exclude_patterns = ["docs/_*", ".*", "runs", "figures", "calibrations", "build", "**/.ipynb_checkpoints"]
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.mathjax",
              "sphinx-mathjax-offline", "myst_nb"]                # formulas are drawn without a network
templates_path = [str(Path(__file__).parent / "_templates")]

# Every name of the project that is referred to must exist; names of other libraries are not looked up (that needs a network).
OURS = r"(wirelessfl|optim|channels|learning)\."
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", rf"(?!{OURS}).*"), (r"py:.*", r".*\.[TSR]")]

autosummary_generate = True
autodoc_default_options = {"members": True, "no-value": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_param = napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]       # shapes and units are prose, no types to be looked up

highlight_language = "none"                                       # of blocks that name no language
nb_execution_mode = "off"                                         # `make test` executes them
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "wirelessfl"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_additional_pages = {"index": "redirect.html"}                # the first page is docs/index.html
html_show_sourcelink = html_copy_source = False

_LONG = {stringify_annotation(alias, mode): name for mode in ("smart", "fully-qualified")
         for name, alias in (("ArrayLike", ArrayLike), ("NDArray", NDArray))}


def _short(app, what, name, obj, options, signature, returned):
    """Signatures say ArrayLike and NDArray as the source does, not what numpy makes of them."""
    def spoken(text):
        for long, short in _LONG.items():
            text = text.replace(long, short) if text else text
        return text
    return ("", "") if getattr(obj, "_is_protocol", False) else (spoken(signature), spoken(returned))


def _linked(app, what, name, obj, options, lines):
    """Names of the project in docstrings are links (nitpicky says which do not exist); bars are norms, no substitutions."""
    inside = None                                                 # of a formula: how far it is indented
    for i, line in enumerate(lines):
        margin = len(line) - len(line.lstrip())
        inside = margin if ".. math::" in line else None if line.strip() and inside is not None and margin <= inside else inside
        if inside is None:
            line = re.sub(rf"``({OURS}[A-Za-z_.]*\w)``", r":py:obj:`\1`", line)
            lines[i] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in re.split("(``.*?``)", line))


def _skipped(app, what, name, obj, skip, options):
    """Methods whose name says it all are listed without words; fields of tuples are in the docstring of their class."""
    if str(inspect.getdoc(obj)).startswith("Alias for field number"):
        return True
    plain = inspect.isfunction(obj) or isinstance(obj, property | classmethod)
    return False if skip and plain and what == "class" and not name.startswith("_") else None


def _face(app, env, node, contnode):
    """wirelessfl.NAME is documented where it is defined."""
    package, _, name = node.get("reftarget", "").rpartition(".")
    if package == "wirelessfl" and name in wirelessfl.__all__:
        return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, "obj", home(name), node, contnode)


def home(name):
    """Where a name of ``wirelessfl.__all__`` is defined: "optim.deadline.solve_kkt"."""
    found = getattr(wirelessfl, name)
    if hasattr(found, "__qualname__"):
        return f"{found.__module__}.{found.__qualname__}"
    return {"BASELINES": "optim.baselines.BASELINES"}[name]


def _titled(app, docname, source):
    """Tables that a study writes have no title of their own."""
    path = Path(docname)
    if path.parts[0] == "docs" and len(path.parts) == 3 and path.parts[1] != "api" and not source[0].startswith("# "):
        source[0] = f"# {path.parent.name}: {path.name}\n\n{source[0]}"


def _aligned(app, doctree):
    r"""Rows of a formula may have numbers of their own: a \tag stands in align, not in the split that Sphinx writes."""
    for block in doctree.findall(math_block):
        text = block.astext()
        if r"\tag" in text and r"\\" in text and r"\begin{align" not in text:
            block["no-wrap"], block.children = True, [Text(rf"\begin{{align}}{text}\end{{align}}")]


def _prepared(app):
    """Every setting, for docs/api/settings.rst; and no page of a module that has gone."""
    folder = Path(app.srcdir, "docs/api/generated")
    folder.mkdir(exist_ok=True)
    for page in folder.glob("*.rst"):
        module = Path(app.srcdir, *page.stem.split("."))
        if not (module.is_dir() or module.with_suffix(".py").exists()):
            page.unlink()
    (folder / "scenario.toml").write_text(to_toml(load()), encoding="utf-8")


def setup(app):
    """Hook in what the functions above do."""
    import_module("matplotlib").use("Agg")
    app.connect("builder-inited", _prepared, priority=400)
    for event, handler in {"autodoc-process-signature": _short, "autodoc-process-docstring": _linked, "source-read": _titled,
                           "autodoc-skip-member": _skipped, "missing-reference": _face, "doctree-read": _aligned}.items():
        app.connect(event, handler)
