"""What the columns of the allocation problem stand for: where a device splits the network, how it compresses what it sends."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from learning.algorithm import Algorithm
from learning.crossing import PLAIN, Compression
from wirelessfl.config import SettingsError
from wirelessfl.settings import Scenario

LEVERS = ("update_bits", "smashed_bits", "dropouts")       # settings of the decision that open a lever of the compression
FIELDS = ("update_bits", "smashed_bits", "dropout")        # and what they are in it


@dataclass(frozen=True)
class Option:
    """One column.

    Attributes
    ----------
    cut : int
        Blocks on the device.
    compression : Compression
        Of what it sends; no compression for algorithms that have none.
    """

    cut: int
    compression: Compression = PLAIN


def options(s: Scenario, algorithm: Algorithm) -> tuple[Option, ...]:
    """All options of a scenario: cut by cut, and for each every compression that may be chosen."""
    return tuple(Option(cut, each) for cut in cuts(s, algorithm) for each in compressions(s, algorithm))


def compressions(s: Scenario, algorithm: Algorithm) -> tuple[Compression, ...]:
    """What a device may choose from; the algorithm's own compression is the first of them, or the only one."""
    own: Compression = getattr(algorithm, "compression", PLAIN)
    open_levers = [name for name in LEVERS if getattr(s.decision, name)]
    able = LEVERS[:hasattr(algorithm, "compression")] if algorithm.cuts().start == len(algorithm.net) else LEVERS
    idle = [name for name in open_levers if name not in able or not hasattr(algorithm, "compression")]
    if idle:
        raise SettingsError(f"decision: {s.training.algorithm} has no use for {', '.join(idle)}; leave them empty, or choose "
                            "another algorithm")
    values = [getattr(s.decision, name) or (getattr(own, field),) for name, field in zip(LEVERS, FIELDS, strict=True)]
    try:
        found = [replace(own, **dict(zip(FIELDS, each, strict=True))) for each in itertools.product(*values)]
    except ValueError as error:
        raise SettingsError(f"decision.{', decision.'.join(open_levers)}: {error}") from None
    return tuple(dict.fromkeys(sorted(found, key=lambda each: each != own)))


def intervals(s: Scenario, algorithm: Algorithm) -> tuple[int, ...]:
    """Rounds from one averaging of client sides to the next, among which a policy may choose."""
    if s.decision.intervals and "interval" not in vars(algorithm):
        raise SettingsError(f"decision: {s.training.algorithm} has no use for intervals; it averages as it does")
    return tuple(sorted(set(s.decision.intervals))) or (algorithm.interval,)


def cuts(s: Scenario, algorithm: Algorithm) -> tuple[int, ...]:
    """Cuts that devices may be given: the scenario's, or all that leave the server something to do."""
    allowed = algorithm.cuts()
    wanted = s.decision.splits or tuple(c for c in allowed if c < len(algorithm.net) or len(allowed) == 1)
    outside = sorted({*wanted, *((s.decision.fixed_split,) if s.decision.fixed_split else ())} - set(allowed))
    if outside:
        raise SettingsError(f"decision.splits and decision.fixed_split [blocks]: {outside} is not in {list(allowed)}, "
                            f"where {s.training.algorithm} can cut this model")
    if s.decision.fixed_split and s.decision.fixed_split not in wanted:
        raise SettingsError(f"decision.fixed_split [blocks]: {s.decision.fixed_split} is none of the splits {list(wanted)}")
    return tuple(sorted(set(wanted)))


def grouped(columns: Sequence[Option], *, cut: bool, bits: bool, dropout: bool) -> list[tuple[int, ...]]:
    """Columns that have in common what is asked for: the cut, the bits, the share that is dropped; by their numbers."""
    found: dict[tuple, list[int]] = {}
    for number, (at, c) in enumerate((each.cut, each.compression) for each in columns):
        shared = (at if cut else 0, (c.update_bits, c.smashed_bits) if bits else 0, c.dropout if dropout else 0)
        found.setdefault(shared, []).append(number)
    return [tuple(numbers) for numbers in found.values()]
