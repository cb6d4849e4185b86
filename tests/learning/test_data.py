import os
import socket
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.testing import assert_close

from learning import data
from learning.data import FOLDER_SETTING, load

torch.set_num_threads(1)


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
    with pytest.raises(FileNotFoundError, match=r"'mine' is not embedded: set WIRELESSFL_DATA to the folder of mine\.npz"):
        load("mine")


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


@pytest.mark.parametrize(("change", "sentence"), [
    ({"y_test": np.array([0.0, 1.0, 2.0, 0.5])}, r"with whole labels from 0, got .* of float64"),
    ({"y_train": np.array([0, 1, 2, 3, 4, -1])}, r"x_train and y_train must be of one length, with whole labels from 0"),
    ({"y_train": np.array([0, 1, 2])}, r"must be of one length, .* got \(6, 4, 4\) and \(3,\)"),
    ({"x_train": np.zeros((6, 16), np.uint8)}, r"x_train must be images, NHW or NHWC, of uint8 or floats, got \(6, 16\)"),
    ({"x_test": np.zeros((4, 4, 5), np.uint8)}, r"must be of one shape, got \(4, 4\) and \(4, 5\)"),
])
def test_arrays_that_do_not_fit_are_named(rng, tmp_path, change, sentence):
    np.savez(tmp_path / "odd.npz", **(arrays(rng, (4, 4)) | change))
    with pytest.raises(ValueError, match=rf"odd\.npz: .*{sentence}"):
        load("odd", tmp_path)


def test_other_keys_are_left_alone(rng, tmp_path):
    np.savez(tmp_path / "more.npz", **arrays(rng, (4, 4)), classes=np.array(["nv", "mel"]), trap=np.array([None], dtype=object))
    assert load("more", tmp_path).classes == 5


def test_each_class_has_its_share_of_a_subset(rng, tmp_path):
    """50, 30 and 20 of a hundred: of 10 there are 5, 3 and 2; of 25 there are 12.5, 7.5 and 5, up or down."""
    y = rng.permutation(np.repeat([0, 1, 2], [50, 30, 20]))
    np.savez(tmp_path / "many.npz", x_train=rng.integers(256, size=(100, 2, 2)).astype(np.uint8), y_train=y,
             x_test=rng.integers(256, size=(100, 2, 2)).astype(np.uint8), y_test=y)
    found = load("many", tmp_path, train=10, test=25)
    assert torch.bincount(found.y_train).tolist() == [5, 3, 2]
    assert torch.bincount(found.y_test).tolist() in ([13, 7, 5], [12, 8, 5])


def test_a_subset_is_part_of_the_whole_in_the_old_order():
    whole, part = load("digits"), load("digits", train=200, test=77)
    assert (len(part.x_train), len(part.x_test), part.classes) == (200, 77, 10)
    for kind in ("train", "test"):
        x, y = getattr(whole, f"x_{kind}").flatten(1), getattr(whole, f"y_{kind}")
        own, labels = getattr(part, f"x_{kind}").flatten(1), getattr(part, f"y_{kind}")
        places = [int((x == image).all(1).nonzero()[0]) for image in own]
        assert places == sorted(set(places))
        assert torch.equal(y[places], labels)


def test_subsets_depend_on_the_seed_and_not_on_each_other():
    once, again = load("digits", train=50, test=20, seed=1), load("digits", train=100, test=20, seed=1)
    assert torch.equal(once.x_test, again.x_test)
    assert torch.equal(once.x_train, load("digits", train=50, seed=1).x_train)
    assert not torch.equal(once.x_train, load("digits", train=50, seed=2).x_train)


def test_a_subset_of_all_is_all():
    whole, part = load("digits"), load("digits", train=1437, test=360)
    assert torch.equal(whole.x_train, part.x_train)
    assert torch.equal(whole.y_test, part.y_test)


@pytest.mark.parametrize(("part", "size", "there"), [("train", 1438, 1437), ("test", 0, 360), ("test", 2.5, 360)])
def test_an_impossible_subset_is_named(part, size, there):
    with pytest.raises(ValueError, match=f"{part} must be between 1 and the {there} samples that there are, got {size}"):
        load("digits", **{part: size})


def test_standardised_training_images_have_mean_zero_and_deviation_one_in_each_channel(rng, tmp_path):
    np.savez(tmp_path / "colour.npz", **arrays(rng, (5, 7, 3)))
    plain, found = load("colour", tmp_path), load("colour", tmp_path, standardise=True)
    assert_close(found.x_train.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-6)
    assert_close(found.x_train.std((0, 2, 3), correction=0), torch.ones(3), rtol=0, atol=1e-6)
    mean, spread = plain.x_train.mean((0, 2, 3)), plain.x_train.std((0, 2, 3), correction=0)
    assert_close(found.x_test, (plain.x_test - mean[:, None, None]) / spread[:, None, None])
    assert torch.equal(found.y_test, plain.y_test)


def test_a_constant_channel_is_only_centred(rng, tmp_path):
    there = arrays(rng, (4, 4, 3))
    there["x_train"][..., 1] = 255
    np.savez(tmp_path / "flat.npz", **there)
    found = load("flat", tmp_path, standardise=True)
    assert torch.equal(found.x_train[:, 1], torch.zeros(6, 4, 4))
    assert torch.isfinite(found.x_test).all()


class Openml:
    """Stands in for openml.org: 10,005 images with their number in every pixel, columns of floats, labels as text."""

    def __init__(self, pixels):
        self.pixels, self.asked = pixels, []

    def __call__(self, name, **settings):
        self.asked.append(name)
        rows = np.arange(10_005) % 251
        return SimpleNamespace(data=np.repeat(rows[:, None], self.pixels, 1).astype(float), target=(rows % 10).astype(str))


def forbidden(*args, **settings):
    raise AssertionError("the network was asked")


def test_no_network_is_asked_when_the_file_is_there(rng, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn.datasets.fetch_openml", forbidden)
    np.savez(tmp_path / "mnist.npz", **arrays(rng, (4, 4)))
    assert load("mnist", tmp_path).shape == (1, 4, 4)
    with pytest.raises(FileNotFoundError, match="did you mean 'mnist'"):
        load("minst", tmp_path)


@pytest.mark.parametrize(("name", "label", "shape"), [
    ("mnist", "mnist_784", (1, 28, 28)), ("fashion-mnist", "Fashion-MNIST", (1, 28, 28)), ("cifar-10", "CIFAR_10", (3, 32, 32))])
def test_known_sets_come_from_openml_once_and_their_last_rows_are_for_testing(tmp_path, monkeypatch, name, label, shape):
    there = Openml(int(np.prod(shape)))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", there)
    found = load(name, tmp_path, test=1000)
    assert there.asked == [label]
    assert (found.shape, len(found.x_train)) == (shape, 5)
    assert_close(found.x_train[:, 0, 0, 0], torch.arange(5) / 255)
    assert found.y_train.tolist() == [0, 1, 2, 3, 4]
    again = load(name, tmp_path, test=1000)
    assert there.asked == [label]
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.npz"]
    assert torch.equal(again.x_test, found.x_test)


def test_colours_from_openml_are_planes_one_after_another(tmp_path, monkeypatch):
    """A row of CIFAR-10 is 1024 values of red, then of green, then of blue, each plane row by row."""
    row = np.concatenate([np.arange(1024) // 32, 100 + np.arange(1024) % 32, np.full(1024, 255)])
    bunch = SimpleNamespace(data=np.tile(row, (10_001, 1)), target=np.full(10_001, "3"))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *a, **s: bunch)
    image = 255 * load("cifar-10", tmp_path, test=1).x_train[0]
    assert_close(image[:, 5, 9], torch.tensor([5.0, 109.0, 255.0]))


def test_what_cannot_be_kept_is_used_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn.datasets.fetch_openml", Openml(784))
    assert load("mnist", tmp_path / "nowhere", test=10).shape == (1, 28, 28)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("error", [URLError("Name or service not known"), TimeoutError("timed out"), ValueError("md5 differs")])
def test_without_a_network_the_folder_is_named(tmp_path, monkeypatch, error):
    def offline(*args, **settings):
        assert socket.getdefaulttimeout() == data.PATIENCE
        raise error

    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    monkeypatch.delenv(FOLDER_SETTING, raising=False)
    with pytest.raises(FileNotFoundError, match=r"'mnist' is not embedded, and openml\.org did not deliver mnist_784 \(.*\): "
                                                r"set WIRELESSFL_DATA to the folder of mnist\.npz, or use 'digits'"):
        load("mnist")
    with pytest.raises(FileNotFoundError, match=r"no file cifar-10\.npz in the data folder .*, and openml\.org did not deliver"):
        load("cifar-10", tmp_path)
    assert socket.getdefaulttimeout() is None


REAL = {"mnist": ((1, 28, 28), 10, 60_000, 10_000), "fashion-mnist": ((1, 28, 28), 10, 60_000, 10_000),
        "ham10000-28": ((3, 28, 28), 7, 8_008, 2_007)}


@pytest.mark.parametrize("name", REAL)
def test_real_sets_have_their_published_sizes(name):
    if not (Path(os.environ.get(FOLDER_SETTING, "")) / f"{name}.npz").is_file():
        pytest.skip(f"no {name}.npz in the data folder")
    found = load(name)
    assert (found.shape, found.classes, len(found.y_train), len(found.y_test)) == REAL[name]
    assert (found.x_train.min(), found.x_train.max()) == (0, 1)


def test_mnist_has_the_mean_and_deviation_that_everybody_uses():
    if not (Path(os.environ.get(FOLDER_SETTING, "")) / "mnist.npz").is_file():
        pytest.skip("no mnist.npz in the data folder")
    x = load("mnist").x_train
    assert (round(float(x.mean()), 4), round(float(x.std()), 4)) == (0.1307, 0.3081)
