import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.testing import assert_close

from learning.data import FOLDER_SETTING, load


def arrays(rng, shape, dtype=np.uint8):
    """Six images for training and four for testing; labels from 0 to 4."""
    x = rng.integers(256, size=(10, *shape)).astype(dtype)
    y = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 1])
    return {"x_train": x[:6], "y_train": y[:6], "x_test": x[6:], "y_test": y[6:]}


def test_digits_are_1797_images_of_8_by_8_from_zero_to_one():
    found = load("digits")
    assert found.shape == (1, 8, 8)
    assert found.classes == 10
    assert (len(found.x_train), len(found.x_test)) == (1797 - 360, 360)
    x = torch.cat([found.x_train, found.x_test])
    assert (x.dtype, x.min(), x.max()) == (torch.float32, 0, 1)
    assert set(found.y_train.tolist()) == set(found.y_test.tolist()) == set(range(10))


def test_every_fifth_digit_is_for_testing():
    found, bunch = load("digits"), load_digits()
    assert found.y_test.tolist() == bunch.target[::5].tolist()
    assert found.y_train[:5].tolist() == bunch.target[[1, 2, 3, 4, 6]].tolist()
    assert_close(found.x_test[7, 0], torch.from_numpy(bunch.images[35] / 16).float())
    assert_close(found.x_train[4, 0], torch.from_numpy(bunch.images[6] / 16).float())


def test_grey_images_get_one_channel(rng, tmp_path):
    there = arrays(rng, (5, 7))
    np.savez(tmp_path / "grey.npz", **there)
    found = load("grey", tmp_path)
    assert found.shape == (1, 5, 7)
    assert found.classes == 5
    assert_close(found.x_train[:, 0], torch.from_numpy(there["x_train"] / np.float32(255)), rtol=0, atol=0)
    assert found.y_test.tolist() == there["y_test"].tolist()


def test_colours_move_to_the_front(rng, tmp_path):
    there = arrays(rng, (5, 7, 3))
    np.savez(tmp_path / "colour.npz", **there)
    found = load("colour", tmp_path)
    assert found.shape == (3, 5, 7)
    assert found.x_test[2, 1, 4, 6] == there["x_test"][2, 4, 6, 1] / np.float32(255)
    assert found.x_test.is_contiguous()


@pytest.mark.parametrize("labels", [np.uint8, np.int32, np.int64])
def test_floats_are_taken_as_they_are_and_columns_of_labels_too(rng, tmp_path, labels):
    there = arrays(rng, (4, 4))
    there |= {key: rng.random(there[key].shape) for key in ("x_train", "x_test")}
    np.savez(tmp_path / "floats.npz", **{k: v if k[0] == "x" else v[:, None].astype(labels) for k, v in there.items()})
    found = load("floats", tmp_path)
    assert_close(found.x_train[:, 0], torch.from_numpy(there["x_train"]).float())
    assert (found.y_train.dtype, found.y_train.tolist()) == (torch.int64, there["y_train"].tolist())


def test_the_folder_comes_from_the_environment(rng, tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", **arrays(rng, (4, 4)))
    monkeypatch.setenv(FOLDER_SETTING, str(tmp_path))
    assert load("mine").shape == (1, 4, 4)


def test_without_a_folder_the_setting_is_named(monkeypatch):
    monkeypatch.delenv(FOLDER_SETTING, raising=False)
    with pytest.raises(FileNotFoundError, match=r"'mnist' is not embedded: set WIRELESSFL_DATA to the folder of mnist\.npz"):
        load("mnist")


@pytest.mark.parametrize(("name", "hint"), [("minst", "did you mean 'mnist'"), ("digit", "did you mean 'digits'"),
                                            ("zzz", r"there are \['cifar10', 'mnist'\]")])
def test_a_missing_file_gets_the_nearest_name(rng, tmp_path, name, hint):
    for there in ("mnist", "cifar10"):
        np.savez(tmp_path / f"{there}.npz", **arrays(rng, (4, 4)))
    with pytest.raises(FileNotFoundError, match=rf"no file {name}\.npz in the data folder .*; {hint}"):
        load(name, tmp_path)


def test_missing_keys_are_named(rng, tmp_path):
    there = arrays(rng, (4, 4))
    np.savez(tmp_path / "half.npz", x_train=there["x_train"], y_train=there["y_train"])
    with pytest.raises(ValueError, match=r"half\.npz lacks \['x_test', 'y_test'\]; a data file holds \['x_train', 'y_train'"):
        load("half", tmp_path)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_in_a_file_is_refused_and_not_run(rng, tmp_path):
    there = arrays(rng, (4, 4)) | {"x_train": np.array([Trap(tmp_path / "sprung")], dtype=object)}
    np.savez(tmp_path / "trap.npz", **there)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load("trap", tmp_path)
    assert not (tmp_path / "sprung").exists()
    np.load(tmp_path / "trap.npz", allow_pickle=True)["x_train"][0].close()
    assert (tmp_path / "sprung").exists()                     # a trap it was
