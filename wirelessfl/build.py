"""From settings to values: the one place that knows names, with ``wirelessfl.air``, which knows those of the air."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from channels.units import dbm_to_watt
from learning import data as datasets
from learning import models, partition
from learning.algorithm import Algorithm
from learning.algorithms.cse_fsl import CSEFSL
from learning.algorithms.epsl import EPSL
from learning.algorithms.fed_avg import FedAvg
from learning.algorithms.fsl_sage import FSLSage
from learning.algorithms.light_fed_sl import LightFedSL
from learning.algorithms.personalised import Personalised
from learning.algorithms.psl import PSL
from learning.algorithms.split_fed_v1 import SplitFedV1
from learning.algorithms.split_fed_v2 import SplitFedV2
from learning.algorithms.split_learning import SplitLearning
from learning.augment import Augment
from learning.crossing import Compression
from learning.data import Dataset
from learning.estimate import Auxiliaries
from learning.masking import Pruning
from learning.optimiser import Optimiser, adam, sgd
from learning.training import Training
from optim import bound
from wirelessfl import air
from wirelessfl.config import SettingsError, choose
from wirelessfl.options import intervals, options
from wirelessfl.population import GHZ, Hardware, LogUniform, Population, Profile, mixed
from wirelessfl.settings import DeviceSettings, Scenario, TrainingSettings

ALGORITHMS: dict[str, Any] = {
    "fedavg": FedAvg, "split-learning": SplitLearning, "splitfed-v1": SplitFedV1, "splitfed-v2": SplitFedV2, "psl": PSL,
    "epsl": EPSL, "cse-fsl": CSEFSL, "fsl-sage": FSLSage, "light-fedsl": LightFedSL, "personalised": Personalised,
}
ONE_CUT = (PSL, EPSL, CSEFSL, FSLSage)     # a block that moves would find nobody who kept it up to date, or no auxiliary network
MODELS: dict[str, Callable[..., nn.Sequential]] = {
    "cnn": models.cnn, "mlp": models.mlp, "lenet": models.lenet, "vgg11": models.vgg11, "vgg16": models.vgg16,
    "vgg19": models.vgg19, "resnet18": models.resnet18, "resnet18-cifar": models.resnet18_cifar, "resnet50": models.resnet50,
    "resnet50-cifar": models.resnet50_cifar, "vit-tiny": models.vit_tiny,
}
OPTIMISERS: dict[str, Callable[[TrainingSettings, float], Optimiser]] = {
    "sgd": lambda t, lr: sgd(lr, t.momentum, t.weight_decay),
    "adam": lambda t, lr: adam(lr, t.weight_decay),
}
PARTITIONS: dict[str, Callable[[NDArray, int, np.random.Generator, Scenario], list[NDArray]]] = {
    "iid": lambda labels, devices, rng, s: partition.iid(labels, devices, rng),
    "dirichlet": lambda labels, devices, rng, s: partition.dirichlet(labels, devices, rng, s.data.concentration),
    "dirichlet-equal": lambda labels, devices, rng, s: partition.dirichlet_equal(labels, devices, rng, s.data.concentration),
    "shards": lambda labels, devices, rng, s: partition.shards(labels, devices, rng, s.data.shards),
    "sizes": lambda labels, devices, rng, s: partition.by_size(labels, devices, rng, s.data.spread),
}
BOUNDS: dict[str, Callable[[bound.Constants, NDArray, int], Any]] = {
    "relative": lambda known, weights, interval: bound.relative(known, weights),
    "constants": bound.constants,
}


def check(s: Scenario) -> Dataset:
    """Look up every name of a scenario and load its data, so that nothing is missing when work has begun."""
    choose(PARTITIONS, s.data.partition, "data.partition")
    choose(BOUNDS, s.decision.bound, "decision.bound")
    if s.decision.participation < 1 and s.decision.when == "once":
        raise SettingsError("decision.participation below 1 [1] lets devices sit out by the channel of each round: decision.when "
                            f"must be every-round, got {s.decision.when!r}")
    device(s)
    try:
        air.check(s)
        hardware(s.devices, np.random.default_rng(0), s.cell.devices)
        found = dataset(s)
        Augment(s.training.flip, s.training.crop)(found.x_train[:1], torch.Generator())
        if s.cell.devices <= len(found.y_train):
            PARTITIONS[s.data.partition](found.y_train.numpy(), s.cell.devices, np.random.default_rng(0), s)
        net = network(s, found)
        runs = algorithm(s, net, found)
        options(s, runs)
        intervals(s, runs)
    except (OSError, ValueError) as error:
        raise SettingsError(str(error)) from None
    if len(found.y_train) < s.cell.devices:
        raise SettingsError(f"cell.devices: {s.cell.devices} devices cannot share {len(found.y_train)} training samples")
    return found


def dataset(s: Scenario) -> Dataset:
    """The scenario's data; every seed has the same subset."""
    d = s.data
    return datasets.load(d.dataset, train=d.train or None, test=d.test or None, seed=s.seed, standardise=d.standardise)


def hardware(d: DeviceSettings, rng: np.random.Generator, devices: int) -> Hardware:
    """Draw what the scenario's devices compute and send with: of one law, or a mix of named profiles."""
    plain = Profile(LogUniform(d.slowest_gflops, d.fastest_gflops, GHZ), 1.0, 1e-12 * d.energy_pj_per_flop,
                    float(dbm_to_watt(d.tx_power_dbm)))
    drawn = (mixed(d.profiles) if d.profiles else Population((plain,))).sample(rng, devices)
    return drawn._replace(battery=np.full(devices, d.battery_j)) if d.battery_j else drawn


def device(s: Scenario) -> torch.device:
    """Where the scenario's networks and data are."""
    name = s.training.device
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise SettingsError(f"training.device must be cpu, cuda or cuda:N, N from 0, got {name!r}")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name != "cpu" and (torch.device(name).index or 0) >= there:
        raise SettingsError(f"training.device is {name!r}, and torch {torch.__version__} sees {there} CUDA devices here: take "
                            "cpu, or see to the driver and to torch's CUDA build")
    return torch.device(name)


def network(s: Scenario, found: Dataset, seed: int = 0) -> nn.Sequential:
    """The scenario's model on its device, with initial weights of ``seed``, which are the same on every device."""
    make, where = choose(MODELS, s.training.model, "training.model"), device(s)
    return models.build(lambda shape, classes: make(shape, classes, s.training.norm), found.shape, found.classes, seed).to(where)


def algorithm(s: Scenario, net: nn.Sequential, found: Dataset, seed: int = 0) -> Algorithm:
    """The scenario's algorithm for a model; auxiliary networks have initial weights of ``seed``."""
    made = choose(ALGORITHMS, s.training.algorithm, "training.algorithm")
    parts, plain = _parts(s.training), _parts(TrainingSettings())
    fields = {field.name: field.default for field in dataclasses.fields(made)}
    idle = [KEYS.get(name, name) for name in parts if name not in fields and parts[name] != plain[name]]
    if "pruning" in fields:
        parts["pruning"] = dataclasses.replace(cast(Pruning, fields["pruning"]), **parts["pruning"])
    parts["auxiliaries"] = Auxiliaries(net, found.shape, found.classes, s.training.auxiliary, seed)
    chosen: Algorithm = made(net, **{name: part for name, part in parts.items() if name in fields})
    if chosen.cuts().start == len(net):                           # nothing crosses a cut, and the server trains nothing
        idle += [key for key in ACROSS if getattr(s.training, key) != getattr(TrainingSettings(), key)]
    if idle:
        raise SettingsError(f"training: {s.training.algorithm} has no use for {', '.join(idle)}; leave them as they are, or "
                            "choose another algorithm")
    return chosen


KEYS = {"compression": "update_bits, smashed_bits, cut_bits, scales, dropout or dropout_kind", "auxiliaries": "auxiliary",
        "pruning": "pruned, scope, averaged or refresh"}
ACROSS = ("smashed_bits", "cut_bits", "dropout", "dropout_kind", "server_lr")


def _parts(t: TrainingSettings) -> dict[str, Any]:
    """Settings by the names that algorithms have for them; of pruning, what the algorithm shall not choose itself."""
    own = ("interval", "share", "every", "align_every", "align_steps", "align_batch", "align_stop", "personal",
           "personal_steps")
    make = choose(OPTIMISERS, t.optimiser, "training.optimiser")
    if t.momentum and t.optimiser != "sgd":
        raise SettingsError(f"training.momentum is for sgd, and the optimiser is {t.optimiser}: got {t.momentum}")
    kept_only = {"all": False, "kept": True}.get(t.averaged, "")
    pruning = {"kind": t.pruned, "scope": t.scope, "kept_only": kept_only, "refresh": t.refresh}
    return {
        "training": Training(t.batch, t.local_steps, make(t, t.lr), make(t, t.server_lr or t.lr), Augment(t.flip, t.crop)),
        "compression": Compression(t.update_bits, t.smashed_bits, t.cut_bits, t.dropout, t.dropout_kind, t.scales),
        "pruning": {name: value for name, value in pruning.items() if value != ""}, "auxiliaries": t.auxiliary,
        **{name: getattr(t, name) for name in own},
    }
