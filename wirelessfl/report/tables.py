"""The tables of a report, as words: headline, energy and traffic, bound and measurement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from optim import worth
from wirelessfl.closing import headline, spread
from wirelessfl.record import FEASIBLE
from wirelessfl.report.runs import Run


@dataclass(frozen=True)
class Row:
    """Cells of a table, the first of which names the row; a ``marked`` one stands out, a ``heading`` is one cell for all."""

    cells: tuple[str, ...]
    marked: bool = False
    heading: bool = False


@dataclass(frozen=True)
class Table:
    """What a table says, in words."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != (1 if row.heading else len(self.head)):
                raise ValueError(f"a row of {self.caption!r} has {len(row.cells)} cells, its head {len(self.head)}: {row.cells}")


def headlines(runs: Sequence[Run]) -> Table:
    """What a run's closing table says, run by run."""
    each = {run.label: headline(run.summary, run.scenario).rename(columns=_reference) for run in runs if len(run.summary)}
    head = list(dict.fromkeys(str(name) for table in each.values() for name in table)) or ["policy"]
    nothing = {name: "0" if name.endswith("[%]") else "-" for name in head}
    caption = ("Time, energy and rounds until the smoothed test accuracy first reaches the target: mean ± standard deviation "
               f"over the seeds that reached it. Times are also over those of the first policy, seed by seed{targets(runs)}.")
    return _grouped(runs, caption, head, {label: table.reindex(columns=head).fillna(nothing) for label, table in each.items()})


def _reference(name: str) -> str:
    """A column's name without that of the first policy, which is not the same in all runs."""
    return "time / first" if name.startswith("time / ") else name


def targets(runs: Sequence[Run]) -> str:
    """The target of one run, for a caption; several say it row by row."""
    return f"; the target: {target(runs[0])}" if len(runs) == 1 else ""


def target(run: Run) -> str:
    """What a run's clock stops at."""
    t = run.scenario.training
    return f"{t.target_accuracy:g}, mean of {t.smoothing} rounds"


def spending(runs: Sequence[Run]) -> Table:
    """Energy and traffic of each policy, mean and standard deviation over the seeds."""
    caption = ("Energy of all devices, and bits that got through, each counted once: mean ± standard deviation over the seeds. "
               "The dearest device is the one that spends most of a run's energy; an equal share would be one over the devices.")
    rows = {run.label: pd.DataFrame([_spent(run, policy) for policy in run.policies]) for run in runs}
    return _grouped(runs, caption, ["policy", "a round [mJ]", "whole run [J]", "dearest device [%]", "up, a round [Mbit]",
                                    "down, a round [Mbit]"], rows)


def _spent(run: Run, policy: str) -> dict[str, str]:
    rounds, devices = (table[table["policy"] == policy] for table in (run.rounds, run.devices))
    each, by_device = rounds.groupby("seed"), devices.groupby(["seed", "device"])["spent_j"].sum().unstack()
    traffic = {f"{way}, a round [Mbit]": spread(each[f"{way}link_bits"].mean() / 1e6) for way in ("up", "down")}
    return {"policy": policy, "a round [mJ]": spread(1e3 * each["energy_j"].mean()),
            "whole run [J]": spread(each["energy_j"].sum()),
            "dearest device [%]": spread(100 * by_device.max(axis=1) / by_device.sum(axis=1)), **traffic}


def progress(rounds: pd.DataFrame, exponent: float) -> pd.Series:
    """What each round brings by the bound, in rounds without any loss [1]; nothing where nobody could train."""
    loss = rounds["progress_lost"].where(rounds["status"].isin(FEASIBLE), 1.0).fillna(1.0)
    return pd.Series(worth.progress(loss.to_numpy(float), exponent), index=rounds.index)


def predicted(run: Run) -> pd.DataFrame:
    """One row a policy and seed: its mean ``progress`` of a round until the target, or all along [1], and, where the target was
    reached, its rounds over those of the first policy in the same world, ``predicted`` by the bound and ``measured`` [1]."""
    gained = run.rounds.assign(progress=progress(run.rounds, run.scenario.decision.exponent))
    rows = []
    for one in run.summary.itertuples():
        mine = gained[(gained["policy"] == one.policy) & (gained["seed"] == one.seed) & (gained["round"] < one.rounds)]
        rows.append({"policy": one.policy, "seed": one.seed, "rounds": one.rounds, "progress": mine["progress"].mean()})
    table = pd.DataFrame(rows, columns=["policy", "seed", "rounds", "progress"])
    first = table[table["policy"] == run.scenario.decision.policies[0]].set_index("seed")
    ratios = table.assign(predicted=table["seed"].map(first["progress"]) / table["progress"],
                          measured=table["rounds"] / table["seed"].map(first["rounds"]))
    both = np.isfinite(ratios["measured"]) & (ratios["measured"] > 0)                  # else one of the two never got there
    return ratios.assign(predicted=ratios["predicted"].where(both), measured=ratios["measured"].where(both))


def bound(runs: Sequence[Run]) -> Table:
    """What the bound says of the rounds that policies need, beside what they needed."""
    caption = ("Rounds to the target over those of the first policy in the same world: by the bound, which counts a round as "
               "(1 - loss)^exponent, and as measured. Mean ± standard deviation over the seeds that reached it; what a round "
               "brings is the mean until the target, or all along where that was not reached.")
    rows = {run.label: pd.DataFrame([{
        "policy": policy, "progress of a round [1]": spread(mine["progress"]), "by the bound": spread(mine["predicted"].dropna()),
        "measured": spread(mine["measured"].dropna()),
        "measured / bound": spread((mine["measured"] / mine["predicted"]).dropna())}
        for policy, mine in _by_policy(run)]) for run in runs}
    return _grouped(runs, caption, ["policy", "progress of a round [1]", "by the bound", "measured", "measured / bound"], rows)


def _by_policy(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    table = predicted(run) if len(run.summary) else pd.DataFrame()
    return ((policy, table[table["policy"] == policy]) for policy in run.policies)


def _grouped(runs: Sequence[Run], caption: str, head: Sequence[str], tables: dict[str, pd.DataFrame]) -> Table:
    """The tables of runs below each other, each with a heading where there are several."""
    rows: list[Row] = []
    for run in runs:
        rows += [Row((f"{run.label}: {run.name}, to {target(run)}",), heading=True)] * (len(runs) > 1)
        table = tables.get(run.label, pd.DataFrame())
        rows += [Row(tuple(map(str, cells))) for cells in table.itertuples(index=False)]
        rows += [Row(("nothing has ended yet",), heading=True)] * (not len(table))
    return Table(caption, tuple(head), tuple(rows))
