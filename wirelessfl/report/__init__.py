"""A page of one run, or of several side by side: settings, headline, curves, rounds, allocations, energy, bound, making.

``runs`` reads folders, ``tables`` and ``provenance`` make words of them, ``charts`` and ``devices`` what the browser draws, and
``page`` puts all into one file.
"""

from collections.abc import Sequence
from pathlib import Path

from wirelessfl.folder import whole
from wirelessfl.report.page import page
from wirelessfl.report.runs import read


def report(folders: Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Write the report of some run folders, or sweeps, and say where it is.

    Parameters
    ----------
    folders : sequence of path
        As ``wirelessfl run`` and ``wirelessfl sweep`` leave them; runs with the same settings on other seeds are taken together.
    out : path, optional
        The page, or a folder for ``report.html``; that of one run, and this one for several, without one.

    Raises
    ------
    SettingsError
        Where a folder holds no run, or tables of another version.
    """
    html = page(read(folders))
    path = Path(out if out is not None else folders[0] if len(folders) == 1 else ".")
    path = path / "report.html" if path.is_dir() else path
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        file.write(html.encode())
    return path
