import tomllib

import pytest

from wirelessfl import build
from wirelessfl.config import SettingsError, load, to_toml
from wirelessfl.settings import Scenario


def test_the_printed_scenario_is_the_default_one():
    assert load() == Scenario()
    assert Scenario.model_validate(tomllib.loads(to_toml(Scenario()))) == Scenario()


def test_every_key_is_printed_with_its_meaning():
    lines = [line for line in to_toml(Scenario()).splitlines() if "=" in line and not line.startswith(("#", "["))]
    assert len(lines) > 40
    assert all(len(line.split("  # ")[1]) > 8 for line in lines)


def test_a_file_and_overrides_are_read_in_turn(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[cell]\ndevices = 4\n')
    found = load(path, ["cell.devices=5", "training.model=mlp", "decision.splits=[1, 2]"])
    assert (found.name, found.cell.devices, found.training.model, found.decision.splits) == ("mine", 5, "mlp", (1, 2))


@pytest.mark.parametrize(("override", "sentence"), [
    ("cell.bandwith_mhz=3", r"unknown setting cell.bandwith_mhz; did you mean cell.bandwidth_mhz\?"),
    ("cel.devices=3", "unknown setting cel"),
    ("cell.bandwidth_mhz=-3", r"cell.bandwidth_mhz \(uplink band that the devices share \[MHz\]\).*or equal to 0.001, got -3"),
    ("cell.devices=ten", "cell.devices .*integer.*got 'ten'"),
    ("cell.bandwidth_mhz=nan", "cell.bandwidth_mhz .*finite"),
    ("training.dropout=1.0", "training.dropout .*less than 1, got 1.0"),
    ("devices.slowest_gflops=9", "slowest_gflops is above devices.fastest_gflops"),
    ("cell.nearest_m=900", r"cell.nearest_m must be below cell.radius_m \[m\]"),
    ("cell", r"an override \(--set\) is section.key=value, got 'cell'"),
    ("seed.x=1", "seed .*integer"),
    ("decision.policies=[]", "decision.policies .*at least 1 item"),
    ('decision.policies=["joint", "joint"]', "decision.policies names one twice"),
    ("name=a/b", "name .*pattern"),
    ("devices.tx_power_dbm=1e5", "less than or equal to 50"),
])
def test_a_bad_setting_gets_a_sentence(override, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load(None, [override])


@pytest.mark.parametrize("overrides", [{"cell.devices": 3}, "cell.devices=3", [("cell.devices", 3)]])
def test_overrides_that_are_no_sequence_of_settings_get_a_sentence(overrides):
    with pytest.raises(SettingsError, match=r'^overrides must be a sequence of "section\.key=value", .*, got ') as told:
        load(overrides=overrides)
    assert repr(overrides) in str(told.value)


@pytest.mark.parametrize(("override", "sentence"), [
    ("training.algorithm=fslsage", r"training.algorithm: 'fslsage' is none of .* did you mean 'fsl-sage'\?"),
    ("channel.fading=raleigh", r"did you mean 'rayleigh'\?"),
    ("cell.path_loss=free", "cell.path_loss: 'free' is none of"),
    ("decision.bound=relativ", r"did you mean 'relative'\?"),
    ("decision.fixed_split=5", r"fixed_split \[blocks\]: 5 is none of the splits \[1, 2, 3, 4\]"),
    ("decision.splits=[1, 9]", r"\[9\] is not in \[1, 2, 3, 4, 5\]"),
    ("data.dataset=nothing", "nothing"),
    ("cell.devices=5000", "5000 devices cannot share 1437 training samples"),
])
def test_a_name_that_nobody_knows_gets_a_sentence_before_any_work(override, sentence):
    with pytest.raises(SettingsError, match=sentence):
        build.check(load(None, [override]))


def test_a_missing_or_broken_file_gets_a_sentence(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot read the scenario .*No such file"):
        load(tmp_path / "nowhere.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[cell")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(broken)
