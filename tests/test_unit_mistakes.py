"""Mistakes of units and signs that users of such code make elsewhere: each is refused, or would break a sentence here.

What one knows of a link is computed here in decibels, as on a link budget, and in plain numbers of an exact theory there.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wirelessfl as wfl
from channels.csi import Knowledge
from channels.fading import Rayleigh, Rician
from channels.mobility import Straight
from channels.path_loss import CloseIn, FreeSpace, LogDistance, Macro3GPP
from channels.path_loss_3gpp import InH, RMa, UMa, UMi
from channels.process import GaussMarkov
from channels.tapped_delay import PROFILES, TappedDelay
from channels.trace import Trace
from wirelessfl.air import FADING, PATH_LOSS, cell
from wirelessfl.build import check
from wirelessfl.config import SettingsError

SMALL = ("cell.devices=3", "training.model=mlp", "training.rounds=3", "decision.pilot_rounds=4", "data.train=200", "data.test=50")
PROBLEM = ("devices.tx_power_dbm=17", "cell.noise_dbm_per_hz=-173", "cell.noise_figure_db=5", "cell.bandwidth_mhz=2",
           "devices.server_power_dbm=40", "cell.downlink_mhz=6")
DISTANCES = np.geomspace(10.0, 1000.0, 50)


def scene(*overrides):
    return wfl.load_scenario(overrides=(*SMALL, *overrides))


@pytest.fixture(scope="module")
def measured():
    return wfl.measure(wfl.world(scene(), 0))


@pytest.fixture(scope="module")
def solved(measured):
    """A world, its problem at gains of -90, -105 and -120 dB, and the answer."""
    world = wfl.world(scene(*PROBLEM), 0)
    problem = wfl.problem(world, measured, 10 ** np.array([-9.0, -10.5, -12.0]))
    return world, problem, wfl.time_to_accuracy(problem)


# dBm/Hz used as watts without the bandwidth

def test_the_signal_to_noise_ratio_of_a_scenario_is_that_of_its_link_budget(solved):
    """In decibels: 17 dBm - loss - (-173 + 5 dBm/Hz + 63 dB for 2 MHz)."""
    _, problem, _ = solved
    budget_db = 17 - np.array([90.0, 105.0, 120.0]) - (-173 + 5 + 10 * np.log10(2e6))
    assert_allclose(10 * np.log10(problem.peak_power * problem.gain / problem.band), budget_db, atol=1e-9)


def test_the_clock_counts_the_noise_of_the_band_that_a_device_is_given(solved):
    """What is not computing and waiting in the latency of an answer is bits / (b log2(1 + SNR)), with the noise of the band b."""
    _, problem, found = solved
    costs, keep = problem.of(found.option).costs, 1 - found.ratio
    noise_dbm = -173 + 5 + 10 * np.log10(found.bandwidth)
    snr_db = 10 * np.log10(found.power / 1e-3) - np.array([90.0, 105.0, 120.0]) - noise_dbm
    bits = costs.fixed_bits[:, 0] + keep * costs.kept_bits[:, 0]
    sending = bits / (found.bandwidth * np.log2(1 + 10 ** (snr_db / 10)))
    assert_allclose(costs.fixed_time[:, 0] + keep * costs.kept_time[:, 0] + sending, found.latency, rtol=1e-7)


def test_the_way_down_has_the_noise_of_its_own_share_of_the_band(solved):
    """Of 40 dBm and 6 MHz, each of three devices has a third."""
    world, _, _ = solved
    snr_db = 40 - 10 * np.log10(3) - 100 - (-173 + 5 + 10 * np.log10(2e6))
    assert_allclose(world.downlink_rate(np.full(3, 1e-10), 3), 2e6 * np.log2(1 + 10 ** (snr_db / 10)), rtol=1e-9)


def test_the_thermal_noise_of_the_default_scenario_is_that_of_physics():
    """k T at 290 K, and a noise figure of 6 dB, in W/Hz; 174 dB less than a milliwatt, not than a watt."""
    noise = wfl.world(scene(), 0).noise
    assert_allclose(noise, 1.380649e-23 * 290 * 10**0.6, rtol=0.01)


@pytest.mark.parametrize("gain", [1e-9, 1e-14])
def test_a_gain_without_its_noise_density_has_no_answer(solved, gain):
    """1e-9 where 1e-9 / N0 belongs is a reach of nothing: no deadline is feasible, and the answer says so."""
    _, problem, found = solved
    late = replace(problem, gain=np.full(3, gain), deadline=100 * found.latency.max())
    assert not wfl.solve_kkt(late).status.feasible
    assert wfl.solve_kkt(replace(problem, deadline=100 * found.latency.max())).status.feasible


@pytest.mark.parametrize(("setting", "sentence"), [
    ("cell.noise_dbm_per_hz=4e-21", r"noise power density \[dBm/Hz\]"), ("cell.noise_dbm_per_hz=174", "less than or equal to"),
    ("cell.noise_w_per_hz=4e-21", "did you mean cell.noise_dbm_per_hz"), ("devices.tx_power_dbm=200", r"\[dBm\]"),
    ("devices.tx_power_w=0.1", "did you mean devices.tx_power_dbm"), ("devices.server_power_dbm=20000", r"\[dBm\]")])
def test_watts_where_dbm_belong_get_a_sentence(setting, sentence):
    with pytest.raises(SettingsError, match=sentence):
        scene(setting)


# The sign of path loss

LAWS = [Macro3GPP(), LogDistance(), FreeSpace(), CloseIn(), UMa(), UMi(28e9), InH(), RMa()]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_every_law_loses_power_and_more_of_it_far_away_and_out_of_sight(law):
    for sight in (True, False):
        gain = law.gain(DISTANCES, sight)
        assert np.all((gain > 0) & (gain < 1e-2))
        assert np.all(np.diff(gain) < 0)
    assert np.all(law.gain(DISTANCES, False) <= law.gain(DISTANCES, True))


@pytest.mark.parametrize("name", PATH_LOSS)
def test_links_of_every_scenario_lose_power(name):
    """With all that is drawn: shadowing, sight and fading of four antennas."""
    here = cell(scene(f"cell.path_loss={name}", "channel.antennas=4"))
    gain = here.place(np.random.default_rng(0), 200).start(np.random.default_rng(1)).gains.up
    assert np.all((gain > 0) & (gain < 1e-2))


def test_the_macro_cell_loses_128_decibels_at_a_kilometre():
    """A gain of 10^-12.81: neither 128.1, nor -128.1, nor 10^12.81."""
    assert_allclose(Macro3GPP().gain(1000.0), 1.5488166e-13, rtol=1e-6)


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: CloseIn(first_metre=(10**6.14, 10**7.2)), r"first_metre in sight must be 1e-20 to 1 \[1\], got 1.38"),
    (lambda: CloseIn(first_metre=(-61.4, -72.0)), "first_metre in sight must be"),
    (lambda: LogDistance(-3.5), r"exponent must be 1 to 10 \[1\], got -3.5"),
    (lambda: Trace(np.zeros(1), np.full((1, 1, 1), 10**9.5)), "a path loss with the wrong sign"),
    (lambda: Trace(np.zeros(1), np.full((1, 1, 1), -95.0)), "are these decibels"),
    (lambda: scene("cell.exponent=-3.5"), "cell.exponent"),
    (lambda: scene("cell.shadowing_db=-8"), "cell.shadowing_db"),
])
def test_a_gain_of_the_wrong_sign_gets_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_decibels_where_a_gain_belongs_get_a_sentence(solved):
    _, problem, _ = solved
    with pytest.raises(ValueError, match=r"gain must be within \[0, inf\) \[Hz/W\], got"):
        replace(problem, gain=np.array([-90.0, -105.0, -120.0]))
    with pytest.raises(ValueError, match=r"peak_power must be within \[0, inf\) \[W\], got"):
        replace(problem, peak_power=-10.0)


def test_a_recorded_path_loss_where_a_gain_belongs_gets_a_sentence_before_any_work(tmp_path):
    path = tmp_path / "loss.csv"
    path.write_text("time_s,device,subchannel,gain_db\n0,0,0,95\n0,1,0,105\n0,2,0,120\n")
    with pytest.raises(SettingsError, match="wrong sign"):
        check(scene("channel.fading=trace", f"channel.trace={path}"))


# AR(1) fading that is not normalised to unit power

@pytest.mark.parametrize("kmh", [0.5, 30.0])
def test_fading_of_a_scenario_keeps_its_power_from_round_to_round(kmh):
    """Of h' = r h + z, not normalised, the power would go towards 1 / (1 - r^2): 6 at 0.5 km/h, r = 0.91."""
    here = cell(scene("channel.correlation=gauss-markov", f"channel.surroundings_kmh={kmh}", "cell.shadowing_db=0"))
    rng = np.random.default_rng(3)
    links = here.place(rng, 4000).start(rng)
    for _ in range(30):
        links = links.after(rng, 0.1)
    small = links.gains.up / links.spot.mean_gain
    assert abs(small.mean() - 1) < 5 / np.sqrt(4000)
    assert abs(np.mean(small**2) - 2) < 5 * np.sqrt(20 / 4000)                     # an exponential's: 4! - 2^2 = 20


def test_moving_devices_have_the_power_of_their_path_loss(rng):
    """Over the way of each device, whatever its speed."""
    there = wfl.Cell(fading=Rayleigh(GaussMarkov()), mobility=Straight(1.0, 20.0), shadowing=0.0).place(rng, 200)
    links, ratio = there.start(rng), []
    for _ in range(60):
        links = links.after(rng, 1.0)                                              # many wavelengths: each as good as new
        ratio.append(links.gains.up / Macro3GPP().gain(links.spot.distance))
    assert abs(np.mean(ratio) - 1) < 5 / np.sqrt(np.size(ratio))


# Two definitions of the Rician K

def test_the_k_of_a_scenario_is_the_dominant_power_over_all_scattered_power():
    """6.02 dB are 4, with a variance of (2K + 1) / (K + 1)^2 = 9 / 25; with a K over the power of one part, 8, it is 17 / 81."""
    here = cell(scene("channel.fading=rician", f"channel.rician_k_db={10 * np.log10(4)}", "cell.shadowing_db=0"))
    rng = np.random.default_rng(5)
    links = here.place(rng, 40_000).start(rng)
    small = links.gains.up / links.spot.mean_gain
    assert abs(small.mean() - 1) < 5 * 0.6 / np.sqrt(40_000)
    assert abs(small.var() - 9 / 25) < 0.02


@pytest.mark.parametrize("factor", [0.0, 1.0, 4.0])
def test_samples_states_and_estimates_mean_the_same_k(rng, factor):
    """The margin is exact only if what is known of a link has the K that the link has."""
    many, law = 20_000, Rician(factor)
    spread = (2 * factor + 1) / (factor + 1) ** 2
    fade = law.start(rng, many)
    for gains in (law.sample(rng, (many,)), fade.gain, fade.after(rng, 0.2).gain):
        assert abs(gains.var() - spread) < 5 * np.sqrt(20 / many)
    margin = Knowledge(error=0.2).estimate(rng, fade.h, fade.mean).exceeded(0.1)
    assert abs(np.mean(fade.gain < margin) - 0.1) < 5 * np.sqrt(0.09 / many)


def test_tapped_delay_lines_have_the_k_of_their_table(rng):
    """The standard gives TDL-D 13.3 dB over what the first tap scatters; over what all taps scatter it is 9.0 dB."""
    scattered = sum(10 ** (power_db / 10) for power_db in PROFILES["tdl-d"].powers_db)
    factor = 10 ** (-0.2 / 10) / scattered
    gain = TappedDelay("tdl-d").start(rng, 40_000).gain[:, 0]
    assert abs(gain.var() - (2 * factor + 1) / (factor + 1) ** 2) < 0.01


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Rician(-3.0), r"factor must be a ratio of powers, zero or more and finite \[1\], got -3.0"),
    (lambda: scene("channel.rician_k=4"), "did you mean channel.rician_k_db"),
])
def test_a_factor_in_the_wrong_unit_gets_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


# Client order that changes with who runs first, or with the number of workers

EVERYTHING = ("channel.correlation=gauss-markov", "cell.mobility=waypoint", "channel.csi_error=0.1", "channel.csi_delay_ms=1",
              "channel.duplex=fdd", "channel.packet_error=0.2", "channel.attempts=3", "decision.outage=0.1",
              "decision.patience=1.5", "devices.profiles={phone=0.5, iot-board=0.5}")


def test_devices_of_a_seed_are_the_same_whoever_ran_before(measured):
    """Places, hardware, fading, estimates and lost packets are of the seed, in the order of the devices: no run leaves a trace.

    That the tables of one and of two workers are the same to the byte is in ``test_run``.
    """
    alone = list(wfl.simulate(scene(*EVERYTHING), "equal", 1, measured))
    list(wfl.simulate(scene(*EVERYTHING), "joint", 0, measured))
    after = list(wfl.simulate(scene(*EVERYTHING), "equal", 1, measured))
    for one, two in zip(alone, after, strict=True):
        for name in ("gain", "speed", "cut", "who"):
            assert_array_equal(getattr(one, name), getattr(two, name))
        assert_array_equal(one.fate.latency, two.fate.latency)
        assert_array_equal(one.fate.arrived, two.fate.arrived)
        assert one.accuracy == two.accuracy


# Others: carriers, distances, speeds, delays

@pytest.mark.parametrize("make", [
    lambda: UMa(3.5), lambda: UMi(3500.0), lambda: InH(28.0), lambda: RMa(0.7), lambda: FreeSpace(2.0),
    lambda: LogDistance(3.0, 2000.0)])
def test_gigahertz_where_hertz_belong_get_a_sentence(make):
    with pytest.raises(ValueError, match=r"carrier must be .* \[Hz\], got"):
        make()


@pytest.mark.parametrize(("settings", "sentence"), [
    (("cell.path_loss=uma", "cell.carrier_ghz=350"), r"carrier must be 5e\+08 to 1e\+11 \[Hz\], got 3.5e\+11"),
    (("cell.carrier_ghz=2000",), r"cell.carrier_ghz .* less than or equal to 1000, got 2000"),
    (("cell.noise_dbm_per_hz=-101",), r"noise power density \[dBm/Hz\].* less than or equal to -140, got -101"),
    (("devices.tx_power_dbm=100",), r"\[dBm\].* less than or equal to 50, got 100"),
    (("devices.server_power_dbm=20000",), r"\[dBm\].* less than or equal to 70"),
    (("cell.bandwidth_mhz=4e6",), r"\[MHz\].* less than or equal to 100000, got 4000000"),
    (("cell.radius_m=0.25",), r"cell.nearest_m must be below cell.radius_m \[m\]: 35.0 >= 0.25"),
    (("cell.path_loss=uma", "cell.device_height_m=150"), r"device_height must be 1.5 to 22.5 \[m\], got 150"),
    (("cell.fastest_mps=3",), "did you mean cell.fastest_kmh"),
    (("channel.fading=tdl-a", "channel.delay_spread_ns=1e6"), r"delay_spread must be within .* seconds \[s\], got 0.001"),
    (("cell.bandwidth_mhz=4e-6",), r"\[MHz\].* greater than or equal to 0.001, got 4e-06"),
    (("channel.csi_error=10",), "share of the scattered power .* got 10"),
    (("decision.outage=5",), "probability .* got 5"),
])
def test_settings_of_another_unit_get_a_sentence_before_any_work(settings, sentence):
    with pytest.raises(SettingsError, match=sentence):
        check(scene(*settings))


def test_gains_above_one_are_no_gains(solved):
    world, *_ = solved
    with pytest.raises(ValueError, match=r"gain must be within \[0, 1\] \[1\], got"):
        wfl.problem(world, wfl.measure(world), 10 ** (np.array([90.0, 105.0, 120.0]) / 10))


def test_speeds_of_a_scenario_are_kilometres_an_hour():
    """36 km/h are 10 m/s: 2 GHz change by 66.7 wavelengths a second."""
    here = cell(scene("cell.mobility=straight", "cell.slowest_kmh=36", "cell.fastest_kmh=36", "channel.surroundings_kmh=36"))
    spot = here.place(np.random.default_rng(0), 5).at(3.0)
    assert_allclose(spot.speed, 10.0)
    assert_allclose(spot.travelled, 30.0)
    assert_allclose(here.surroundings, 10.0)


def test_every_word_of_the_air_has_a_unit_or_is_a_word():
    """What is typed is told by its name: each setting of the air ends in its unit, or says it in its meaning."""
    units = ("_m", "_db", "_dbm", "_kmh", "_mhz", "_ghz", "_s", "_ms", "_ns", "_kbit", "_dbm_per_hz")
    plain = {"devices", "exponent", "nakagami_m", "csi_error", "packet_error", "antennas", "subchannels", "attempts", "waves"}
    for section in (scene().cell, scene().channel):
        for key, field in type(section).model_fields.items():
            number = isinstance(getattr(section, key), int | float) and key not in plain
            assert not number or key.endswith(units), key
            assert not number or "[" in field.description, key
    assert set(FADING) >= {"rayleigh", "rician", "nakagami", "none", "tdl-a", "tdl-c"}
