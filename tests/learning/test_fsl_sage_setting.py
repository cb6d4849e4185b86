"""The settings of an alignment in a scenario."""

import pytest

from wirelessfl import build
from wirelessfl.config import SettingsError, load


def built(*overrides):
    scenario = load(None, [f"training.{override}" for override in overrides])
    found = build.dataset(scenario)
    return build.algorithm(scenario, build.network(scenario, found), found)


def test_the_published_schedule_is_the_default():
    algorithm = built("algorithm=fsl-sage")
    assert (algorithm.align_steps, algorithm.align_batch, algorithm.align_stop) == (100, 0, 0.0)


def test_they_reach_the_algorithm():
    algorithm = built("algorithm=fsl-sage", "align_steps=40", "align_batch=64", "align_stop=0.02")
    assert (algorithm.align_steps, algorithm.align_batch, algorithm.align_stop) == (40, 64, 0.02)


@pytest.mark.parametrize("setting", ["align_batch=64", "align_stop=0.02"])
def test_another_algorithm_has_no_use_for_them(setting):
    with pytest.raises(SettingsError, match=f"cse-fsl has no use for {setting.partition('=')[0]}; leave them as they are"):
        built("algorithm=cse-fsl", setting)


@pytest.mark.parametrize(("setting", "allowed"), [
    ("align_stop=1", "less than 1"), ("align_stop=-0.1", "greater than or equal to 0"),
    ("align_batch=-1", "greater than or equal to 0"),
])
def test_a_bad_value_gets_a_sentence(setting, allowed):
    name, _, value = setting.partition("=")
    with pytest.raises(SettingsError, match=f"training.{name}.*{allowed}.*{value}"):
        built("algorithm=fsl-sage", setting)
