"""The tables within ``docs/ablation.md``, from the cells that there are: what stands between two marks is written anew."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ablation_report import compared
from benchmarks.tables import markdown, middle, spread

EVERYONE = {"time": "ratio_time", "energy": "ratio_energy", "mean round": "ratio_round", "rounds": "rounds"}
FEWER = {"time (seeds)": "ratio_time", "energy": "ratio_energy"}
COUNTED = "ratio_time"           # in brackets: of how many seeds
FEW_IN = "who is there"


def filled(text: str, tables: Mapping[str, Sequence[str]]) -> str:
    """A page with its tables written anew: the lines between ``<!-- NAME -->`` and ``<!-- end -->``.

    Raises
    ------
    ValueError
        Where a table has no place in the page.
    """
    for name, lines in tables.items():
        before, found, after = text.partition(f"<!-- {name} -->\n")
        _, ended, after = after.partition("<!-- end -->\n")
        if not (found and ended):
            raise ValueError(f"the page has no place for the table {name!r}: it takes the lines <!-- {name} --> and <!-- end -->")
        text = "".join((before, found, "\n", *(f"{line}\n" for line in lines), "\n", ended, after))
    return text


def tables(folder: Path, studies: Sequence[str], arms: Sequence[str], personal: Collection[str],
           fewer: Collection[str]) -> dict[str, list[str]]:
    """Lines of each study's table of arms with everybody in every round, and of that of arms with ``fewer``.

    Parameters
    ----------
    personal : collection of str
        Arms whose target is another one: in none of the tables.
    """
    paths = {study: folder / f"{study}.csv" for study in studies}
    cells = {study: compared(pd.read_csv(path), personal) for study, path in paths.items() if path.exists()}
    there = {study: [arm for arm in arms if arm in set(each["arm"]) and arm not in personal] for study, each in cells.items()}
    anywhere = [arm for arm in arms if arm in fewer and any(arm in here for here in there.values())]
    return {**{study: everyone(each, [arm for arm in there[study] if arm not in fewer]) for study, each in cells.items()},
            FEW_IN: few(cells, anywhere)}


def everyone(cells: pd.DataFrame, arms: Sequence[str]) -> list[str]:
    """Arms by their time over joint's; those of which no seed arrives at the end."""
    mine = {arm: cells[cells["arm"] == arm] for arm in arms}
    order = sorted(arms, key=lambda arm: np.nan_to_num(middle(mine[arm]["ratio_time"])[0], nan=np.inf))
    rows = [[arm, *(spread(mine[arm][name], name.startswith("ratio")) for name in EVERYONE.values()), arrived(mine[arm])]
            for arm in order]
    return markdown(("arm", *EVERYONE, "seeds"), rows)


def few(cells: Mapping[str, pd.DataFrame], arms: Sequence[str]) -> list[str]:
    """Time and energy of arms in which devices sit out over joint's with everybody in, study by study."""
    rows = [[f"`{arm}`", *(_told(each[each["arm"] == arm], name) for name in FEWER.values() for each in cells.values())]
            for arm in arms]
    return markdown(("arm", *(f"{what}, {study}" for what in FEWER for study in cells)), rows)


def arrived(mine: pd.DataFrame) -> str:
    """How many seeds of an arm get to the target, of how many."""
    there = int(np.isfinite(mine["time_s"]).sum())
    return str(there) if there == len(mine) else f"{there} of {len(mine)}"


def _told(mine: pd.DataFrame, name: str) -> str:
    if not np.isfinite(mine["time_s"]).all():
        return f"{arrived(mine)} arrive"
    return spread(mine[name], ratios=True) + (f" ({len(mine)})" if name == COUNTED else "")
