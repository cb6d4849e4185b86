import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from channels.trace import Trace

SIONNA = Path(__file__).parent / "sionna-trace.npz"
HEAD = "time_s,device,subchannel,gain_db\n"


@pytest.fixture
def trace(rng):
    return Trace(np.array([0.0, 0.5, 0.7, 2.0]), 10 ** rng.uniform(-14, -6, (4, 3, 2)))


def test_a_trace_knows_its_size(trace):
    assert (trace.devices, trace.subchannels) == (3, 2)
    assert_allclose(trace.duration, 2.0 + 1.3)                        # the last row holds as long as the one before


@pytest.mark.parametrize(("time", "row"), [
    (0.0, 0), (0.4999, 0), (0.5, 1), (0.69, 1), (0.7, 2), (1.999, 2), (2.0, 3), (3.2999, 3),
    (3.3, 0), (3.3 + 0.6, 1), (330.0, 0), (330.0 + 2.5, 3),
])
def test_what_is_asked_between_rows_is_the_last_row_and_the_end_is_the_beginning(trace, time, row):
    assert_array_equal(trace.at(time), trace.gain[row])


def test_many_times_are_asked_at_once(trace):
    times = np.array([[0.6, 9.0], [0.0, 2.1]])
    found = trace.at(times)
    assert found.shape == (2, 2, 3, 2)
    for place in np.ndindex(2, 2):
        assert_array_equal(found[place], trace.at(times[place]))


def test_sums_of_time_steps_hit_the_row_that_is_meant():
    """Ten times 0.1 is 0.9999999999999999 as doubles add it up."""
    steps = Trace(np.arange(40) * 0.1, np.linspace(0.1, 0.2, 40).reshape(-1, 1, 1))
    time = 0.0
    for row in range(200):
        assert steps.at(time)[0, 0] == steps.gain[row % 40, 0, 0]
        time += 0.1


def test_only_differences_of_time_count(trace):
    later = Trace(trace.time + 2.0**20, trace.gain)
    for time in (0.0, 0.55, 2.2, 4.0):
        assert_array_equal(later.at(time), trace.at(time))


def test_a_single_row_holds_for_ever():
    one = Trace(np.array([3.0]), np.full((1, 2, 1), 1e-9))
    assert one.duration == np.inf
    assert_array_equal(one.at(1e9), one.gain[0])
    assert one.at(np.zeros(5)).shape == (5, 2, 1)


def test_an_answer_does_not_lead_back_into_the_trace(trace):
    before = trace.gain.copy()
    trace.at(0.0)[:] = 0
    trace.at(np.zeros(2))[:] = 0
    assert_array_equal(trace.gain, before)


def test_npz_keeps_the_bits(trace, tmp_path):
    trace.save(tmp_path / "a.npz")
    trace.save(tmp_path / "b.NPZ")
    for name in ("a.npz", "b.NPZ"):
        found = Trace.load(tmp_path / name)
        assert_array_equal(found.time, trace.time)
        assert_array_equal(found.gain, trace.gain)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.NPZ").read_bytes()


def test_csv_there_and_back_is_the_same_to_the_rounding_of_decibels(trace, tmp_path):
    trace.save(tmp_path / "a.npz")
    Trace.load(tmp_path / "a.npz").save(tmp_path / "b.csv")
    Trace.load(tmp_path / "b.csv").save(tmp_path / "c.npz")
    found = Trace.load(tmp_path / "c.npz")
    assert_array_equal(found.time, trace.time)
    assert_allclose(found.gain, trace.gain, rtol=1e-13)


def test_a_table_by_hand_in_any_order_of_rows_and_columns(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("device,gain_db,note,time_s,subchannel\n1,-90,x,0.25,0\n0,-100,y,0,0\n0,-110,z,0.25,0\n1,-83,,0.0,0\n")
    found = Trace.load(path)
    assert_array_equal(found.time, [0, 0.25])
    assert_allclose(found.gain[:, :, 0], [[1e-10, 10**-8.3], [1e-11, 1e-9]], rtol=1e-12)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))        # as spreadsheets write it
    assert_array_equal(Trace.load(path).gain, found.gain)


@pytest.mark.parametrize(("text", "sentence"), [
    ("time_s,device,gain_db\n0,0,-90\n", r"columns .* needed, \['subchannel'\] missing, got \['time_s', 'device', 'gain_db'\]"),
    ("", r"are needed, .* missing, got None"),
    (HEAD, "there is no row below the head"),
    (HEAD + "0,0,0,-90\n0,1,0,-90\n1,0,0,-90\n", r"one gain .* got none of device 1 on subchannel 0 at 1.0 s"),
    (HEAD + "0,0,0,-90\n0,1,0,-90\n1,1,0,-90\n", r"got none of device 0 on subchannel 0 at 1.0 s"),
    (HEAD + "0,0,0,-90\n0,0,1,-90\n0,1,1,-90\n", r"got none of device 1 on subchannel 0 at 0.0 s"),
    (HEAD + "0,0,0,-90\n0,1,0,-90\n0,0,0,-91\n", r"got two of device 0 on subchannel 0 at 0.0 s"),
    (HEAD + "0,0,0,-90\n0,1,0,-90\n0,1,0,-91\n", r"got two of device 1 on subchannel 0 at 0.0 s"),
    (HEAD + "0,0,0,-90\n0,2,0,-90\n", r"device must be whole numbers from 0 without a gap, got 0, 2"),
    (HEAD + "0,0,1,-90\n0,0,2,-90\n", r"subchannel must be whole numbers from 0 without a gap, got 1, 2"),
    (HEAD + "0,0.5,0,-90\n", r"device must be whole numbers"),
    (HEAD + "0,0,0,-90\n0,1,0,nan\n", r"gain_db must be a finite number, got 'nan' in line 3"),
    (HEAD + "0,0,0,-inf\n", r"gain_db must be a finite number, got '-inf' in line 2"),
    (HEAD + "0,0,0,loud\n", r"gain_db must be a finite number, got 'loud' in line 2"),
    (HEAD + "0,0,0\n", r"gain_db must be a finite number, got None in line 2"),
    (HEAD + "0,0,0,-90\n0,1,0,95\n", r"gain must be .* 1 at most \[1\], 0 dB, .* \(95 dB\): .* wrong sign"),
])
def test_a_table_that_cannot_be_gets_a_sentence(tmp_path, text, sentence):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence) as found:
        Trace.load(path)
    assert str(path) in str(found.value)


GOOD = np.full((2, 1, 1), 1e-9)


@pytest.mark.parametrize(("time", "gain", "sentence"), [
    ([0.0, 0.0], GOOD, r"time must rise from row to row \[s\], got 0.0 and then 0.0"),
    ([1.0, 0.5], GOOD, r"time must rise from row to row \[s\], got 1.0 and then 0.5"),
    ([0.0, np.nan], GOOD, r"time must be finite \[s\], got nan in 1 places"),
    ([0.0], GOOD, r"must have the shapes .* got \(1,\) and \(2, 1, 1\)"),
    ([], np.zeros((0, 1, 1)), r"none of them 0, got \(0,\)"),
    ([0.0, 1.0], np.full((2, 1), 1e-9), r"gain must have 3 axes, \(T, devices, subchannels\) \[1\], got the shape \(2, 1\)"),
    ([0.0, 1.0], GOOD + 0j, r"gain must be real numbers \[1\] \(of a complex h, give the power"),
    ([0.0, 1.0], GOOD * np.inf, r"gain must be finite \[1\], got inf in 2 places"),
    ([0.0, 1.0], -9e10 * GOOD, r"gain must be a linear power gain above 0 \[1\], got -90.*: are these decibels\?"),
    ([0.0, 1.0], 0 * GOOD, r"above 0 \[1\], got 0.0.* Where there is no path at all, give a small number such as 1e-20"),
    ([0.0, 1.0], 1e18 * GOOD, r"got 1e\+09 \(90 dB\): is it a path loss with the wrong sign, in decibels"),
    ([0.0, 1.0], 1.3e9 * GOOD, r"got 1.3 .* without the path loss\?"),
])
def test_gains_that_cannot_be_get_a_sentence(tmp_path, time, gain, sentence):
    with pytest.raises(ValueError, match=sentence):
        Trace(np.array(time), gain)
    np.savez(tmp_path / "bad.npz", time_s=np.array(time), gain=gain)
    with pytest.raises(ValueError, match=r"bad.npz: .*" + sentence):
        Trace.load(tmp_path / "bad.npz")


def test_a_gain_of_one_is_the_most_that_can_be():
    assert Trace(np.zeros(1), np.ones((1, 1, 1))).at(0.0)[0, 0] == 1


class Pickled:
    """What runs when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_pickled_data_are_never_executed(tmp_path):
    path, mark = tmp_path / "evil.npz", tmp_path / "executed"
    np.savez(path, time_s=np.zeros(1), gain=np.array([Pickled(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="plain arrays of numbers, no pickled objects"):
        Trace.load(path)
    path.write_bytes(pickle.dumps(Pickled(mark)))
    with pytest.raises(ValueError, match=r"this is no \.npz file"):
        Trace.load(path)
    assert not mark.exists()


def test_a_file_of_another_kind_gets_a_sentence(trace, tmp_path):
    for act in (trace.save, Trace.load):
        with pytest.raises(ValueError, match=r"path must end in .csv or .npz, got '.*a.mat'"):
            act(tmp_path / "a.mat")
    np.savez(tmp_path / "a.npz", time_s=trace.time, gains=trace.gain)
    with pytest.raises(ValueError, match=r"\['gain'\] missing, got \['time_s', 'gains'\]"):
        Trace.load(tmp_path / "a.npz")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match="this is no table of comma-separated values"):
        Trace.load(tmp_path / "a.csv")
    for name in ("none.csv", "none.npz"):
        with pytest.raises(FileNotFoundError):
            Trace.load(tmp_path / name)


def test_asking_before_the_start_gets_a_sentence(trace):
    for time in (-0.1, np.nan, np.array([0.0, np.inf])):
        with pytest.raises(ValueError, match=r"time must be zero or more and finite \[s\], got"):
            trace.at(time)


def test_a_trace_that_sionna_wrote_is_played():
    """``python -m benchmarks.sionna_trace``: 4 devices, 10 to 150 m away, 8 subchannels, a second in steps of 20 ms, 3.5 GHz.

    A street canyon attenuates no less than free space does at 13.1 m, the shortest line from a device to the antenna, but for
    echoes and shadowing (20 dB), and no more than without a line of sight at 150 m, 110.8 dB, and five times 7.82 dB.
    """
    assert SIONNA.stat().st_size < 40_000
    trace = Trace.load(SIONNA)
    assert (trace.devices, trace.subchannels) == (4, 8)
    assert_allclose(trace.duration, 1.0)
    times = np.arange(0, 3, 0.02)
    played = trace.at(times)
    assert played.shape == (150, 4, 8)
    assert_array_equal(played[:50], trace.gain)
    assert_array_equal(played[50:100], trace.gain)
    mean_db = 10 * np.log10(trace.gain.mean((0, 2)))
    free_space_db = -20 * np.log10(4 * np.pi * np.hypot(10.0, 8.5) * 3.5e9 / 299_792_458)
    assert np.all((mean_db > -110.8 - 5 * 7.82) & (mean_db < free_space_db + 20))
