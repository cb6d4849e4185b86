"""The page: one file of HTML with its style, its scripts and its data inside, which asks the network for nothing.

Everything that comes from a run is escaped. A Content-Security-Policy in the page lets the browser run the two scripts that were
put in, by their hashes, and nothing else: no other script, no font, no image and no request from anywhere.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib import metadata, resources

import jinja2
import plotly.offline
from markupsafe import Markup

from wirelessfl.folder import now
from wirelessfl.report import charts, devices, provenance, tables
from wirelessfl.report.runs import Run

SECTIONS = (("headline", "Headline"), ("curves", "Accuracy against time"), ("round", "One round"), ("allocations", "Allocations"),
            ("spending", "Energy and traffic"), ("bound", "Bound and measurement"), ("settings", "Settings"),
            ("made", "How it was made"))
GIVEN = (("band", "Bandwidth"), ("power", "Transmit power"), ("pruned", "Pruning ratio"), ("split", "Split"))
ALWAYS = ("headline", "settings", "made")


def page(runs: Sequence[Run]) -> str:
    """The report of some runs, as HTML."""
    scripts = [_one_way(plotly.offline.get_plotlyjs()), _part("page.js")]
    standing = charts.standing(runs)
    drawn = [{"name": chart.name, "data": chart.data, "layout": chart.layout | {"height": chart.height}}
             for each in standing.values() for chart in each]
    there = bool(standing["curves"])
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(_part("page.html")).render(
        policy=policy(scripts), title=title(runs), lead=lead(runs), notes=notes(runs), css=Markup(_part("page.css")),
        sections=[section for section in SECTIONS if there or section[0] in ALWAYS], headline=tables.headlines(runs),
        differing=provenance.differing(runs), charts=standing, given=GIVEN,
        spending=tables.spending(runs), bound=tables.bound(runs),
        exponents=" or ".join(dict.fromkeys(f"{run.scenario.decision.exponent:g}" for run in runs)),
        settings=provenance.sections(runs), made=provenance.made(runs), version=metadata.version("wirelessfl"), now=now(),
        drawn=drawn, devices={"tables": devices.turned(runs), "stages": devices.stages(), "states": devices.STATES},
        scripts=[Markup(script) for script in scripts])


def title(runs: Sequence[Run]) -> str:
    """Of the page."""
    return f"Run {runs[0].name}" if len(runs) == 1 else f"{len(runs)} runs side by side"


def lead(runs: Sequence[Run]) -> str:
    """What was run, in one sentence."""
    return "; ".join(f"{run.label + ': ' if run.label else ''}{_about(run)}" for run in runs) + "."


def _about(run: Run) -> str:
    s = run.scenario
    return (f"{s.training.algorithm} with {s.training.model} on {s.data.dataset}, {s.cell.devices} devices, "
            f"{s.cell.bandwidth_mhz:g} MHz, {len(s.decision.policies)} policies, {len(run.seeds)} "
            f"seed{'s' * (len(run.seeds) != 1)}, {s.training.rounds} rounds, target {s.training.target_accuracy:g}")


def notes(runs: Sequence[Run]) -> list[str]:
    """What a reader must know before the numbers."""
    found = [f"{run.label + ': ' if run.label else ''}{note}" for run in runs for note in run.notes]
    if len({tables.target(run) for run in runs}) > 1:
        found.append("These runs have different targets: times, energies and rounds to the target compare within a run, and not "
                     "between runs.")
    return found


def policy(scripts: Sequence[str]) -> str:
    """A Content-Security-Policy under which these ``scripts`` run and nothing else; plotly sets styles, and saves pictures."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
            "form-action 'none'")


def _part(name: str) -> str:
    return _one_way(resources.files("wirelessfl.report").joinpath(name).read_text(encoding="utf-8"))


def _one_way(text: str) -> str:
    """Line ends as a browser reads them, so that hashes hold."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
