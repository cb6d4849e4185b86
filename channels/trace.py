"""Gains from a file, measured or made by another simulator, played as they were recorded.

Two kinds of file say the same:

- ``.csv``, one row a link, rows in any order, with a head that names the columns ``time_s`` [s], ``device`` and ``subchannel``
  (whole numbers from 0) and ``gain_db`` [dB]; other columns are passed over;
- ``.npz``, numpy arrays ``time_s`` (T,) [s] and ``gain`` (T, K, M), linear power gains [1]. Pickled data are never executed.
"""

import csv
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from channels.links import over_band
from channels.units import db_to_linear, linear_to_db

COLUMNS = ("time_s", "device", "subchannel", "gain_db")


@dataclass(frozen=True, eq=False)
class Trace:
    """Power gains of K devices on M subchannels at T times; each holds until the next one.

    Attributes
    ----------
    time : (T,) array
        When each row begins, rising [s]. Only differences count: a trace is played from its first row on.
    gain : (T, K, M) array
        Power gains \\|h\\|^2 of the whole link, path loss included [1]: above 0, and not above 1.
    """

    time: NDArray
    gain: NDArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", _numbers(self.time, "time", "s", 1))
        object.__setattr__(self, "gain", _numbers(self.gain, "gain", "1", 3))
        if not 0 < len(self.time) == len(self.gain) or 0 in self.gain.shape:
            raise ValueError("time and gain must have the shapes (T,) [s] and (T, devices, subchannels) [1], none of them 0, "
                             f"got {self.time.shape} and {self.gain.shape}")
        falls = np.flatnonzero(np.diff(self.time) <= 0)
        if len(falls):
            raise ValueError(f"time must rise from row to row [s], got {self.time[falls[0]]} and then {self.time[falls[0] + 1]}")
        _check_gains(self.gain)

    @property
    def devices(self) -> int:
        """K."""
        return self.gain.shape[1]

    @property
    def subchannels(self) -> int:
        """M."""
        return self.gain.shape[2]

    @property
    def duration(self) -> float:
        """Time until the trace begins again [s]: the last row holds as long as the one before; a single row for ever."""
        return float(2 * self.time[-1] - self.time[-2] - self.time[0]) if len(self.time) > 1 else np.inf

    @cached_property
    def mean(self) -> NDArray:
        """Mean gain (K,) over time, of a link over all subchannels [1]."""
        lasting = np.diff(self.time, append=self.time[0] + self.duration)
        found: NDArray = np.average(over_band(self.gain), axis=0, weights=lasting if np.isfinite(lasting).all() else None)
        return found

    def at(self, time: ArrayLike) -> NDArray:
        """Gains (..., K, M) [1] at ``time`` (...) [s] >= 0, counted from the first row: those of the last row not after it.

        After ``duration`` the trace goes round and begins again. A row already counts a billionth of the duration before its
        time, so that sums of time steps hit the row that is meant.
        """
        asked = np.asarray(time, float)
        if not np.all((asked >= 0) & np.isfinite(asked)):
            raise ValueError(f"time must be zero or more and finite [s], got {asked}")
        once = len(self.time) == 1
        played = np.zeros_like(asked) if once else np.mod(asked + 1e-9 * self.duration, self.duration)
        return np.take(self.gain, np.searchsorted(self.time - self.time[0], played, side="right") - 1, axis=0)

    @staticmethod
    def load(path: str | Path) -> "Trace":
        """Read a ``.csv`` or ``.npz`` file; a ValueError says in a sentence what is wrong with it."""
        read = _read_csv if _suffix(path) == ".csv" else _read_npz
        try:
            return Trace(*read(Path(path)))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write a ``.csv`` file (gains to the rounding of decibels) or a ``.npz`` file (the same bits)."""
        if _suffix(path) == ".csv":
            _write_csv(Path(path), self)
        else:
            with Path(path).open("wb") as file:
                np.savez_compressed(file, time_s=self.time, gain=self.gain)


def _numbers(values: ArrayLike, name: str, unit: str, axes: int) -> NDArray:
    """The values as finite doubles with so many axes."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be real numbers [{unit}] (of a complex h, give the power |h|^2), got {found.dtype}")
    if found.ndim != axes:
        raise ValueError(f"{name} must have {axes} axes, {'(T, devices, subchannels)' if axes == 3 else '(T,)'} [{unit}], "
                         f"got the shape {found.shape}")
    if not np.all(np.isfinite(found)):
        raise ValueError(f"{name} must be finite [{unit}], got {found[~np.isfinite(found)][0]} in {np.sum(~np.isfinite(found))} "
                         "places")
    return found.astype(float)


def _check_gains(gain: NDArray) -> None:
    """Linear, and of a link that loses power."""
    if np.any(gain <= 0):
        raise ValueError(f"gain must be a linear power gain above 0 [1], got {gain.min()}: are these decibels? "
                         "Where there is no path at all, give a small number such as 1e-20")
    if np.any(gain > 1):
        raise ValueError(f"gain must be a power gain of 1 at most [1], 0 dB, since no link gains power, got {gain.max():.6g} "
                         f"({linear_to_db(gain.max()):.4g} dB): is it a path loss with the wrong sign, in decibels where linear "
                         "numbers are meant, or without the path loss?")


def _suffix(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".csv", ".npz"):
        raise ValueError(f"path must end in .csv or .npz, got {str(path)!r}")
    return suffix


def _read_npz(path: Path) -> tuple[NDArray, NDArray]:
    """Times and gains, if the file holds both as plain arrays."""
    with path.open("rb") as archive:
        if not zipfile.is_zipfile(archive):
            raise ValueError("this is no .npz file, a zip archive of numpy arrays, or not a whole one")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ("time_s", "gain") if name not in file.files]
        if missing:
            raise ValueError(f"the arrays time_s (T,) [s] and gain (T, devices, subchannels) [1] are needed, {missing} missing, "
                             f"got {file.files}")
        try:
            return file["time_s"], file["gain"]
        except (ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"time_s and gain must be plain arrays of numbers, no pickled objects ({error})") from None


def _write_csv(path: Path, trace: Trace) -> None:
    gain_db = linear_to_db(trace.gain)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows((float(trace.time[t]), k, m, float(gain_db[t, k, m])) for t, k, m in np.ndindex(*trace.gain.shape))


def _read_csv(path: Path) -> tuple[NDArray, NDArray]:
    """Times and gains, if every device has a gain on every subchannel at every time."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise ValueError(f"the columns {', '.join(COLUMNS)} are needed, {missing} missing, got {table.fieldnames}")
            rows = [[_number(row[name], name, table.line_num) for name in COLUMNS] for row in table]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"this is no table of comma-separated values ({error})") from None
    if not rows:
        raise ValueError("there is no row below the head")
    values = np.array(rows)
    time, at = np.unique(values[:, 0], return_inverse=True)
    device, subchannel = (_index(values[:, i], COLUMNS[i]) for i in (1, 2))
    shape = len(time), int(device.max()) + 1, int(subchannel.max()) + 1
    link = (at * shape[1] + device) * shape[2] + subchannel
    _check_complete(np.sort(link), time, shape)
    gain = np.empty(len(rows))
    gain[link] = db_to_linear(values[:, 3])
    return time, gain.reshape(shape)


def _number(text: str | None, name: str, line: int) -> float:
    """A finite number from a cell of the table."""
    try:
        found = float(text or "")
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise ValueError(f"{name} must be a finite number, got {text!r} in line {line}")
    return found


def _index(values: NDArray, name: str) -> NDArray:
    """Whole numbers from 0 without a gap."""
    known = np.unique(values)
    if not np.array_equal(known, np.arange(len(known))):
        raise ValueError(f"{name} must be whole numbers from 0 without a gap, got {', '.join(f'{v:g}' for v in known[:9])}"
                         f"{', ...' if len(known) > 9 else ''}")
    return values.astype(int)


def _check_complete(links: NDArray, time: NDArray, shape: tuple[int, int, int]) -> None:
    """Each link once; ``links`` are their numbers in rising order."""
    off = np.flatnonzero(links != np.arange(len(links)))
    if len(off) or len(links) < np.prod(shape):
        first = int(off[0]) if len(off) else len(links)
        twice = len(off) > 0 and links[first] < first
        t, k, m = np.unravel_index(first - twice, shape)
        raise ValueError(f"each device must have one gain on each subchannel at each time, got {'two' if twice else 'none'} of "
                         f"device {k} on subchannel {m} at {time[t]} s")
