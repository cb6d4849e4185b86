"""A calibration in words, for the command line."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wirelessfl.calibration_file import Made
from wirelessfl.plot_calibration import words


def text(made: Made) -> str:
    """What was measured, with half-widths of 95 % intervals, and where it lies."""
    m, far = made.measured, made.measured.errors
    began = "measured now" if made.fresh else "found: nothing it depends on has changed, and nothing was measured"
    lines = [f"{began} (key {made.key[:10]}, pilot of {m.rounds} rounds)", "", "relative bias [1] of pruning at a split [blocks]",
             row("split", *(f"pruned {ratio:g}" for ratio in m.ratios), "fit")]
    for cut, biases, off, scale, power, most in zip(m.cuts, m.bias, far["bias"], m.scale, m.exponent, m.ratio_max, strict=True):
        fit = f"{scale:.3g} rho^{power:.3g} up to {most:.2f}"
        lines.append(row(f"{cut}", *map(number, biases, off), fit))
    small, seldom = [*map(words, m.compressions)], [f"every {interval} rounds" for interval in m.intervals]
    for name, columns, what in (("compression_bias", small, "relative bias [1] of compression"),
                                ("compression_noise", small, "noise of compression, mean of beta Omega"),
                                ("misalignment", seldom, "misalignment [1] of averaging client sides seldom")):
        lines += _variants(m.cuts, columns, np.array(getattr(m, name)), np.array(far[name]), what)
    lines += ["", f"sampling noise {number(m.sampling_noise, far['sampling_noise'])}, dissimilarity "
                  f"{number(m.dissimilarity, far['dissimilarity'])}, smoothness {m.smoothness:.3g}"]
    return "\n".join([*lines, *_exponent(made), *_memory(made), "", f"calibration: {made.path}\npicture:     {made.picture}"])


def _variants(cuts: Sequence[int], columns: Sequence[str], values: NDArray, off: NDArray, what: str) -> list[str]:
    """A line for each variant (C, V) that does something."""
    return ["", what] * bool(values.any()) + [
        f"  {column}: " + ", ".join(f"split {cut} {number(values[i, v], off[i, v])}" for i, cut in enumerate(cuts))
        for v, column in enumerate(columns) if values[:, v].any()]


def row(*cells: str) -> str:
    """Cells below each other."""
    return "".join(cell.ljust(18) for cell in cells).rstrip()


def number(value: float, off: float) -> str:
    """A value and how far it may be off."""
    return f"{_plain(value, 3)} ± {_plain(off, 2)}"


def _plain(value: float, digits: int) -> str:
    """So many digits, without a power of ten."""
    return np.format_float_positional(value, digits, fractional=False, trim="-")


def _exponent(made: Made) -> list[str]:
    found = made.exponent
    if found is None:
        return []
    columns = zip(*(found[name] for name in ("cut", "ratio", "bias", "loss", "rounds")), strict=True)
    runs = [f"  split {cut}, pruned {ratio:.2f}: bias {bias:.2f}, loss of progress {loss:.2f}, "
            + ("not reached" if rounds is None else f"{rounds:.2f} times the rounds")
            + (f" (by the bound {1 / (1 - loss):.2f})" if loss < 1 else " (by the bound never)")
            for cut, ratio, bias, loss, rounds in columns]
    gamma = ("none, for no training that the bound lets get there did" if found["gamma"] is None else
             f"{found['gamma']:.3g} ± {found['error']:.2g} (standard error); a scenario takes it as decision.exponent")
    return ["", f"short pruned trainings to the loss of the pilot ({found['goal']:.3g} nat after {found['pilot']} rounds)", *runs,
            f"exponent gamma: {gamma}"]


def _memory(made: Made) -> list[str]:
    found = made.memory
    if found is None:
        return []
    columns = zip(*(found[name] for name in ("number", "rounds", "derived", "expected")), strict=True)
    runs = [f"  {devices:g} device{'s' * (devices != 1)}: " + ("not reached" if took is None else f"{took:.2f} times the rounds")
            + f" (by the bound as derived {_times(derived)}, with the memory {_times(expected)})"
            for devices, took, derived, expected in columns]
    limit = {1.0: " (the least: the bound as derived asks for no more than these took)",
             float(found["pilot"]): " (the most that a pilot of so many rounds can tell)"}.get(found["memory"], "")
    least, most = (f"{end(found['single']):.3g}" for end in (min, max))
    return ["", f"short trainings with few devices, drawn anew in each round, beside one with all ({found['pilot']} rounds)",
            *runs, f"memory H: {found['memory']:.3g} rounds{limit}, {least} to {most} by single trainings; a scenario takes it "
                   "by decision.memory = 0"]


def _times(rounds: float | None) -> str:
    return "never" if rounds is None else f"{rounds:.2f}"
