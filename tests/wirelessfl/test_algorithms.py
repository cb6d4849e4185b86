import numpy as np
import pytest

from learning.masking import Pruning
from wirelessfl.__main__ import main
from wirelessfl.build import ALGORITHMS, MODELS, ONE_CUT, PARTITIONS, algorithm, check, network
from wirelessfl.config import SettingsError, load
from wirelessfl.simulate import simulate
from wirelessfl.world import measure, world

SMALL = ["cell.devices=3", "data.train=60", "data.test=40", "training.rounds=3", "training.batch=8", "decision.pilot_rounds=3",
         "seeds=1"]
TOGETHER = [name for name in ALGORITHMS if name != "split-learning"]


@pytest.mark.parametrize("name", TOGETHER)
def test_every_algorithm_is_decided_for_and_trained(name):
    records = list(simulate(load(None, [*SMALL, f"training.algorithm={name}"]), "joint"))
    assert len(records) == 3
    for record in records:
        assert record.status.feasible
        assert record.uplink_bits > 0
        assert len({*record.cut, *records[0].cut}) == 1 or ALGORITHMS[name] not in ONE_CUT
        assert np.isfinite([record.accuracy, record.own_accuracy, record.test_loss, record.train_loss, record.latency]).all()
        assert np.all(record.allocation.ratio == 0) or (record.status.feasible and ALGORITHMS[name].prunes)


def test_one_device_at_a_time_shares_no_band():
    for settings in (["training.algorithm=split-learning"], ["training.algorithm=splitfed-v2", "training.local_steps=2"]):
        alone = world(load(None, [*SMALL, *settings]), 0)
        with pytest.raises(SettingsError, match=r"with local_steps = \d has one device on the air at a time"):
            measure(alone)


@pytest.mark.parametrize(("override", "sentence"), [
    ("interval=3", "psl has no use for interval"),
    ("dropout=0.5", "psl has no use for update_bits, smashed_bits, cut_bits, scales, dropout or dropout_kind"),
    ("pruned=random", "psl has no use for pruned, scope, averaged or refresh"),
    ("auxiliary=full", "psl has no use for auxiliary"),
    ("personal=2", "psl has no use for personal"),
])
def test_a_setting_that_an_algorithm_does_not_have_gets_a_sentence(override, sentence):
    with pytest.raises(SettingsError, match=sentence):
        check(load(None, [*SMALL, "training.algorithm=psl", f"training.{override}"]))


@pytest.mark.parametrize(("override", "sentence"), [
    ("training.update_bits=20", r"update_bits must be between 1 and 16, or 32 for floats \[bit\], got 20"),
    ("training.algorithm=personalised training.personal=9", r"personal must be between 0 and 4 \[blocks\]"),
    ("training.model=lenet", "got 8 x 8"),
    ("data.train=5000", "train"),
    ("training.algorithm=fedavg training.dropout=0.5", "fedavg has no use for dropout"),
    ("training.algorithm=personalised training.server_lr=0.5", "personalised has no use for server_lr"),
    ("training.optimiser=adam training.momentum=0.9", "momentum is for sgd, and the optimiser is adam: got 0.9"),
    ("training.crop=8", r"more than crop = 8 pixels a side"),
    ("data.partition=shards data.shards=30", "shards"),
])
def test_a_setting_that_cannot_be_gets_a_sentence_before_any_work(override, sentence):
    with pytest.raises(SettingsError, match=sentence):
        check(load(None, [*SMALL, *override.split()]))


def test_personalisation_prunes_by_its_own_paper_unless_told_otherwise():
    def chosen(*settings):
        s = load(None, [*SMALL, "training.algorithm=personalised", *settings])
        found = check(s)
        return algorithm(s, network(s, found), found).pruning

    assert chosen() == Pruning("difference", kept_only=True)
    assert chosen("training.pruned=magnitude") == Pruning("magnitude", kept_only=True)
    assert chosen("training.refresh=3", "training.averaged=all") == Pruning("difference", refresh=3)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "lenet" and "50" not in name])
def test_every_model_of_the_table_is_made_for_small_images(name):
    s = load(None, [*SMALL, f"training.model={name}", "training.norm=group"])
    found = check(s)
    assert network(s, found).eval()(found.x_test[:2]).shape == (2, 10)


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_partition_of_the_table_covers_the_data(name):
    found = world(load(None, [*SMALL, f"data.partition={name}"]), 0)
    assert sorted(np.concatenate(found.parts)) == list(range(60))
    assert all(len(part) for part in found.parts)


def test_the_advice_names_compression_where_pruning_is_not_to_blame(capsys):
    assert main(["solve", *(f"--set={s}" for s in [*SMALL, "training.smashed_bits=1", "decision.pilot_rounds=6"])]) == 1
    assert "quantisation, dropout and rare averaging alone lose" in capsys.readouterr().out
