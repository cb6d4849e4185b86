"""Data sets as tensors: scikit-learn's digits, always there, and .npz files from a folder."""

import difflib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDER_SETTING = "WIRELESSFL_DATA"


@dataclass(frozen=True)
class Dataset:
    """Images (n, channels, height, width) in [0, 1] and labels (n,) from 0, for training and for testing."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])


def load(name: str, folder: str | Path | None = None) -> Dataset:
    """Load "digits", or the file NAME.npz from ``folder`` (the environment's WIRELESSFL_DATA without one).

    A file holds x_train, y_train, x_test, y_test: images as uint8, NHW or NHWC, or floats in [0, 1]; labels from 0.
    Nothing in it is executed.

    Raises
    ------
    FileNotFoundError, ValueError
        With a sentence that says what was looked for, and what is there.
    """
    return digits() if name == "digits" else _from_file(_find(name, folder))


def digits() -> Dataset:
    """1797 handwritten digits of 8 x 8 pixels (UCI, by scikit-learn); every fifth is for testing."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    test = np.arange(len(bunch.target)) % 5 == 0
    x, y = bunch.images / 16.0, bunch.target
    return _dataset(x[~test], y[~test], x[test], y[test])


def _find(name: str, folder: str | Path | None) -> Path:
    where = folder or os.environ.get(FOLDER_SETTING)
    if not where:
        raise FileNotFoundError(f"data set {name!r} is not embedded: set {FOLDER_SETTING} to the folder of {name}.npz, "
                                "or use 'digits'")
    path = Path(where) / f"{name}.npz"
    if not path.is_file():
        there = sorted(p.stem for p in Path(where).glob("*.npz"))
        close = difflib.get_close_matches(name, [*there, "digits"], 1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; there are {there}"
        raise FileNotFoundError(f"no file {path.name} in the data folder {where}{hint}")
    return path


def _from_file(path: Path) -> Dataset:
    keys = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [k for k in keys if k not in file]
            parts = [file[k] for k in keys if k in file]
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path.name} is not a plain .npz file of arrays (pickled objects are not read): {error}") from None
    if missing:
        raise ValueError(f"{path.name} lacks {missing}; a data file holds {list(keys)}")
    for x, y, part in ((parts[0], parts[1], "train"), (parts[2], parts[3], "test")):
        if len(x) != y.size or not len(x) or y.min() < 0:
            raise ValueError(f"{path.name}: x_{part} and y_{part} must be of one length, with labels from 0, "
                             f"got {x.shape} and {y.shape}")
        if x.ndim not in (3, 4) or not (x.dtype == np.uint8 or np.issubdtype(x.dtype, np.floating)):
            raise ValueError(f"{path.name}: x_{part} must be images, NHW or NHWC, of uint8 or floats, got {x.shape} of {x.dtype}")
    return _dataset(*(p / np.float32(255) if p.dtype == np.uint8 and k[0] == "x" else p
                      for k, p in zip(keys, parts, strict=True)))


def _dataset(x_train: NDArray, y_train: NDArray, x_test: NDArray, y_test: NDArray) -> Dataset:
    labels = [torch.from_numpy(y.astype(np.int64).ravel()) for y in (y_train, y_test)]
    classes = int(max(y.max() for y in labels)) + 1
    return Dataset(_images(x_train), labels[0], _images(x_test), labels[1], classes)


def _images(x: NDArray) -> Tensor:
    x = x[..., None] if x.ndim == 3 else x
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1), dtype=np.float32))
