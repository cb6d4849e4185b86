"""Data sets as tensors: scikit-learn's digits, always there, .npz files from a folder, and three known sets from openml.org."""

import contextlib
import difflib
import os
import socket
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.partition import apportion

FOLDER_SETTING = "WIRELESSFL_DATA"
OPENML = {"mnist": ("mnist_784", (1, 28, 28)), "fashion-mnist": ("Fashion-MNIST", (1, 28, 28)),
          "cifar-10": ("CIFAR_10", (3, 32, 32))}
OPENML_TESTS = 10_000            # the last rows of these three, as in their first publications
PATIENCE = 30.0                  # longest silence of openml.org [s]


@dataclass(frozen=True)
class Dataset:
    """Images (n, channels, height, width) and labels (n,) from 0, for training and for testing.

    Images are floats in [0, 1] (float32, four bytes a value: all of CIFAR-10 takes 737 MB), or standardised ones.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])

    def standardised(self) -> "Dataset":
        """The same with mean 0 and standard deviation 1 in each channel of the training images; test images by their numbers.

        A channel that is constant is only centred.
        """
        spread, mean = torch.std_mean(self.x_train, (0, 2, 3), correction=0, keepdim=True)
        spread = torch.where(spread > 0, spread, 1.0)
        return replace(self, x_train=(self.x_train - mean).div_(spread), x_test=(self.x_test - mean).div_(spread))


class _Arrays(NamedTuple):
    """What a file holds."""

    x_train: NDArray
    y_train: NDArray
    x_test: NDArray
    y_test: NDArray


def load(name: str, folder: str | Path | None = None, *, train: int | None = None, test: int | None = None, seed: int = 0,
         standardise: bool = False) -> Dataset:
    """Load "digits", or the file NAME.npz from ``folder`` (the environment's WIRELESSFL_DATA without one).

    A file holds x_train, y_train, x_test, y_test: images as uint8, NHW or NHWC, or floats in [0, 1]; labels from 0. Other keys
    are left alone, and nothing in it is executed. When there is no such file, "mnist", "fashion-mnist" and "cifar-10" come from
    openml.org (scikit-learn keeps what it downloads) and stay in the folder as NAME.npz, if there is one that can be written.

    Parameters
    ----------
    train, test : int, optional
        Size of a random subset [samples], in which each class has its share of the whole within one sample; all without one.
    seed : int
        Of the subsets.
    standardise : bool
        Give each channel mean 0 and standard deviation 1, by the training images that were chosen.

    Raises
    ------
    FileNotFoundError, ValueError
        With a sentence that says what was looked for, and what is there.
    """
    whole = _digits() if name == "digits" else _read(name, folder)
    trains, tests = (_stratified(y.ravel(), size, part, np.random.default_rng([seed, stream])) for stream, (y, size, part) in
                     enumerate(((whole.y_train, train, "train"), (whole.y_test, test, "test"))))
    chosen = _Arrays(whole.x_train[trains], whole.y_train[trains], whole.x_test[tests], whole.y_test[tests])
    found = _dataset(chosen, classes=1 + int(max(whole.y_train.max(), whole.y_test.max())))
    return found.standardised() if standardise else found


def available(name: str, folder: str | Path | None = None) -> bool:
    """Whether :func:`load` finds a data set without a network; "" is none, and always there."""
    where = folder or os.environ.get(FOLDER_SETTING)
    return name in ("", "digits") or bool(where and (Path(where) / f"{name}.npz").is_file())


def digits() -> Dataset:
    """1797 handwritten digits of 8 x 8 pixels (UCI, by scikit-learn); every fifth is for testing."""
    return _dataset(_digits(), classes=10)


def _digits() -> _Arrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    test = np.arange(len(bunch.target)) % 5 == 0
    x, y = bunch.images / 16.0, bunch.target
    return _Arrays(x[~test], y[~test], x[test], y[test])


def _stratified(y: NDArray, size: int | None, part: str, rng: np.random.Generator) -> NDArray | slice:
    """Rising indices of a random subset with the classes' shares of labels (n,)."""
    if size is None:
        return slice(None)
    if not isinstance(size, int | np.integer) or not 1 <= size <= len(y):
        raise ValueError(f"{part} must be between 1 and the {len(y)} samples that there are, got {size}")
    labels, counts = np.unique(y, return_counts=True)
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(y == label))[:count]
                                   for label, count in zip(labels, apportion(size, counts), strict=True)]))


def _read(name: str, folder: str | Path | None) -> _Arrays:
    where = folder or os.environ.get(FOLDER_SETTING)
    path = Path(where) / f"{name}.npz" if where else None
    if path and path.is_file():
        return _from_file(path)
    reason = f"no file {path.name} in the data folder {where}" if path else f"data set {name!r} is not embedded"
    if name in OPENML:
        return _fetch(name, path, reason)
    if not path:
        raise FileNotFoundError(f"{reason}: set {FOLDER_SETTING} to the folder of {name}.npz, or use 'digits'")
    there = sorted(p.stem for p in path.parent.glob("*.npz"))
    close = difflib.get_close_matches(name, [*there, "digits", *OPENML], 1)
    raise FileNotFoundError(f"{reason}; did you mean {close[0]!r}?" if close else f"{reason}; there are {there}")


def _fetch(name: str, path: Path | None, reason: str) -> _Arrays:
    """A known data set from openml.org, kept at ``path`` for the next time."""
    from sklearn.datasets import fetch_openml

    label, shape = OPENML[name]
    try:
        with _patience(), warnings.catch_warnings(action="ignore"):
            bunch = fetch_openml(label, version=1, as_frame=False, n_retries=1)
        x, y = np.asarray(bunch.data, np.uint8).reshape(-1, *shape), np.asarray(bunch.target).astype(np.uint8)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{reason}, and openml.org did not deliver {label} ({error}): set {FOLDER_SETTING} to the folder "
                                f"of {name}.npz, or use 'digits'") from None
    x = np.moveaxis(x, 1, -1)
    found = _Arrays(x[:-OPENML_TESTS], y[:-OPENML_TESTS], x[-OPENML_TESTS:], y[-OPENML_TESTS:])
    if path:
        with contextlib.suppress(OSError):
            _keep(found, path)
    return found


def _keep(arrays: _Arrays, path: Path) -> None:
    """Write a file that others see only when it is whole."""
    half = path.with_suffix(f".{os.getpid()}.part")
    with half.open("wb") as file:
        np.savez(file, **arrays._asdict())
    half.replace(path)


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Connections give up after PATIENCE seconds without a word, instead of minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_file(path: Path) -> _Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in _Arrays._fields if key not in file]
            parts = {key: file[key] for key in _Arrays._fields if key in file}
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} is not a plain .npz file of arrays (pickled objects are not read): {error}") from None
    if missing:
        raise ValueError(f"{path.name} lacks {missing}; a data file holds {list(_Arrays._fields)}")
    found = _Arrays(**parts)
    for x, y, part in ((found.x_train, found.y_train, "train"), (found.x_test, found.y_test, "test")):
        if len(x) != y.size or not len(x) or not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
            raise ValueError(f"{path.name}: x_{part} and y_{part} must be of one length, with whole labels from 0, "
                             f"got {x.shape} and {y.shape} of {y.dtype}")
        if x.ndim not in (3, 4) or not (x.dtype == np.uint8 or np.issubdtype(x.dtype, np.floating)):
            raise ValueError(f"{path.name}: x_{part} must be images, NHW or NHWC, of uint8 or floats, got {x.shape} of {x.dtype}")
    if found.x_train.shape[1:] != found.x_test.shape[1:]:
        raise ValueError(f"{path.name}: images for training and testing must be of one shape, "
                         f"got {found.x_train.shape[1:]} and {found.x_test.shape[1:]}")
    return found


def _dataset(of: _Arrays, classes: int) -> Dataset:
    labels = [torch.from_numpy(y.astype(np.int64).ravel()) for y in (of.y_train, of.y_test)]
    return Dataset(_images(of.x_train), labels[0], _images(of.x_test), labels[1], classes)


def _images(x: NDArray) -> Tensor:
    """Images NHW or NHWC as floats (n, channels, height, width): first the bytes change places, then they become floats."""
    first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x[..., None] if x.ndim == 3 else x, -1, 1)))
    return first.float().div_(255) if x.dtype == np.uint8 else first.float()
