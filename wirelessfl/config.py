"""The settings of a scenario: typed, with their units, from TOML and the command line.

Decibels, MHz and milliwatts are typed here and stop here (``wirelessfl.build`` converts them).
"""

import difflib
import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=False)


def _key(default: Any, meaning: str, **limits: Any) -> Any:
    return Field(default, description=meaning, **limits)


class CellSettings(_Section):
    """The radio cell."""

    devices: int = _key(10, "number of devices", ge=1)
    radius_m: float = _key(250.0, "radius of the disc in which devices stand [m]", gt=0)
    nearest_m: float = _key(10.0, "no device is nearer to the server than this [m]", gt=0)
    path_loss: str = _key("3gpp-macro", "3gpp-macro (128.1 + 37.6 log10(d/km) dB) or log-distance (a power law)")
    exponent: float = _key(3.5, "path-loss exponent of log-distance [1]", gt=0)
    carrier_ghz: float = _key(2.0, "carrier frequency of log-distance [GHz]", gt=0)
    shadowing_db: float = _key(8.0, "standard deviation of the log-normal shadowing [dB]", ge=0, le=50)
    fading: str = _key("rayleigh", "rayleigh or none: small-scale fading, drawn afresh each round")
    bandwidth_mhz: float = _key(4.0, "uplink band that the devices share [MHz]", gt=0)
    downlink_mhz: float = _key(10.0, "downlink band, in equal shares [MHz]", gt=0)
    noise_dbm_per_hz: float = _key(-174.0, "noise power density [dBm/Hz]", ge=-250, le=0)
    noise_figure_db: float = _key(6.0, "noise figure of the receivers [dB]", ge=0, le=50)


class DeviceSettings(_Section):
    """Devices and server."""

    tx_power_dbm: float = _key(20.0, "peak transmit power of a device [dBm]", ge=-100, le=100)
    slowest_gflops: float = _key(0.03, "computing speed of the slowest devices [GFLOP/s]", gt=0)
    fastest_gflops: float = _key(1.0, "computing speed of the fastest; log-uniform in between [GFLOP/s]", gt=0)
    energy_pj_per_flop: float = _key(500.0, "computing energy at 1 GFLOP/s; grows with the square of the speed [pJ/FLOP]", ge=0)
    energy_budget_mj: float = _key(0.0, "energy that a device may spend in a round, 0 for no limit [mJ]", ge=0)
    server_gflops: float = _key(50.0, "computing speed of the server, in equal shares [GFLOP/s]", gt=0)
    server_power_dbm: float = _key(43.0, "transmit power of the server [dBm]", ge=-100, le=100)


class DataSettings(_Section):
    """What is learnt, and who holds it."""

    dataset: str = _key("digits", "digits, or NAME of a file NAME.npz in the folder that WIRELESSFL_DATA names")
    train: int = _key(0, "size of a random training subset with the classes' shares, 0 for all [samples]", ge=0)
    test: int = _key(0, "the same of the test data, 0 for all [samples]", ge=0)
    standardise: bool = _key(False, "give each channel mean 0 and deviation 1, by the training images")
    partition: str = _key("dirichlet", "iid, dirichlet (each class over devices), dirichlet-equal (equal sizes, each device over "
                                       "classes), shards (few classes a device) or sizes (unequal)")
    concentration: float = _key(1.0, "of the Dirichlet partitions: small values give a device few classes [1]", gt=0)
    shards: int = _key(2, "label-sorted shards of a device [1]", ge=1)
    spread: float = _key(1.0, "standard deviation of the logarithm of the sizes [1]", ge=0)


class TrainingSettings(_Section):
    """The algorithm."""

    algorithm: str = _key("light-fedsl", "fedavg, split-learning, splitfed-v1, splitfed-v2, psl, epsl, cse-fsl, fsl-sage, "
                                         "light-fedsl or personalised")
    model: str = _key("cnn", "cnn, mlp, lenet, vgg11, vgg16, vgg19, resnet18, resnet18-cifar, resnet50, resnet50-cifar or "
                             "vit-tiny")
    norm: Literal["batch", "group"] = _key("batch", "norm layers of the models that have some: batch or group")
    rounds: int = _key(140, "most rounds of a run", ge=1)
    batch: int = _key(32, "samples of a mini-batch", ge=1)
    local_steps: int = _key(1, "mini-batches of a device in a round; 0 for one pass over its data", ge=0)
    optimiser: Literal["sgd", "adam"] = _key("sgd", "of devices and server: sgd or adam")
    lr: float = _key(0.1, "learning rate [1]", gt=0)
    server_lr: float = _key(0.0, "learning rate of the server, 0 for the same [1]", ge=0)
    momentum: float = _key(0.0, "of sgd [1]", ge=0, lt=1)
    weight_decay: float = _key(0.0, "of both optimisers [1]", ge=0)
    flip: bool = _key(False, "mirror training images at random")
    crop: int = _key(0, "pad training images and crop them at random by so much [pixels]", ge=0)
    target_accuracy: float = _key(0.93, "test accuracy that the clock is stopped at [1]", gt=0, lt=1)
    smoothing: int = _key(5, "rounds over which the accuracy is averaged for that", ge=1)
    interval: int = _key(1, "light-fedsl: client sides are averaged every so many rounds", ge=1)
    update_bits: int = _key(32, "bits of an entry of a client's update, 1 to 16; 32 is a float [bit]", ge=1, le=32)
    smashed_bits: int = _key(32, "light-fedsl: bits of an entry of the smashed data, likewise [bit]", ge=1, le=32)
    cut_bits: int = _key(32, "light-fedsl: bits of an entry of their gradients, likewise [bit]", ge=1, le=32)
    scales: Literal["tensor", "channel"] = _key("tensor", "what has a scale of its own when it is quantised: tensor or channel")
    dropout: float = _key(0.0, "light-fedsl: share of the smashed data that is not sent [1]", ge=0, lt=1)
    dropout_kind: Literal["random", "feature"] = _key("random", "random entries, or the features that vary least (SplitFC)")
    pruned: Literal["", "magnitude", "random", "gradient", "difference"] = _key(
        "", "which weights are pruned: those of least magnitude, gradient or difference, or random ones; empty for the "
            "algorithm's own choice")
    scope: Literal["", "layer", "global"] = _key("", "the pruning ratio is for each layer, or for all together; empty as above")
    averaged: Literal["", "all", "kept"] = _key("", "average a weight over all devices (a pruned one is a zero update), or over "
                                                    "those that kept it; empty for the algorithm's own choice")
    refresh: int = _key(1, "rounds from one drawing of the pruned weights to the next", ge=1)
    share: float = _key(0.5, "epsl: share of a batch whose gradients are aggregated [1]", ge=0, le=1)
    auxiliary: Literal["linear", "half", "stage", "full"] = _key("stage", "cse-fsl, fsl-sage: size of the auxiliary networks")
    every: int = _key(5, "cse-fsl, fsl-sage: one mini-batch in so many goes up", ge=1)
    align_every: int = _key(10, "fsl-sage: rounds from one alignment to the next", ge=1)
    align_steps: int = _key(100, "fsl-sage: steps of an alignment", ge=1)
    personal: int = _key(1, "personalised: blocks at the end that stay with the device", ge=0)
    personal_steps: int = _key(1, "personalised: mini-batches for them in a round; 0 for one pass", ge=0)


class DecisionSettings(_Section):
    """How decisions are made."""

    policies: tuple[str, ...] = _key(
        ("joint", "equal-band", "fixed-split", "no-pruning", "equal"), "what to compare; the first is compared with the others",
        min_length=1)
    when: Literal["every-round", "once"] = _key("every-round", "decide on each round's channel, or once on the mean channel")
    splits: tuple[int, ...] = _key((), "blocks that a device may run, one of these; empty for all cuts of the model")
    fixed_split: int = _key(
        0, "the split of the policies that fix it; 0 for the best common one by the solver's own forecast", ge=0)
    prune_max: float = _key(0.9, "largest pruning ratio [1]", ge=0, lt=1)
    bound: str = _key("relative", "form of the convergence bound: relative (measured bias) or constants (the literature's)")
    bias_max: float = _key(0.75, "relative bias above which the bound is not trusted [1]", gt=0, lt=1)
    exponent: float = _key(1.0, "progress of a round is (1 - loss)^exponent; 1 is the bound as derived [1]", gt=0)
    pilot_rounds: int = _key(60, "length of the pilot run that measures the bound's constants", ge=2)
    deadline_ms: float = _key(0.0, "deadline of a round, 0 to choose the best one [ms]", ge=0)


class Scenario(_Section):
    """Everything that a run depends on."""

    name: str = _key("default", "name of the scenario; run folders bear it", pattern=r"^[\w.-]+$")
    seed: int = _key(0, "first seed", ge=0)
    seeds: int = _key(5, "number of seeds: seed, seed + 1, ...", ge=1)
    cell: CellSettings = CellSettings()
    devices: DeviceSettings = DeviceSettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    decision: DecisionSettings = DecisionSettings()


class SettingsError(ValueError):
    """A setting that cannot be, in one sentence."""


def load(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Scenario:
    """Read a scenario from TOML (the default one without a file), then apply ``section.key=value`` overrides.

    Raises
    ------
    SettingsError
        With a sentence that names the key, what came and what is allowed.
    """
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read the scenario {path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not TOML: {error}") from None
    for override in overrides:
        _override(table, override)
    return scenario(table)


def scenario(table: dict[str, Any]) -> Scenario:
    """A scenario from a nested table of settings; keys that it lacks have their defaults."""
    try:
        found = Scenario.model_validate(table)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(e) for e in error.errors())) from None
    if found.devices.slowest_gflops > found.devices.fastest_gflops:
        raise SettingsError("devices.slowest_gflops is above devices.fastest_gflops [GFLOP/s]: "
                            f"{found.devices.slowest_gflops} > {found.devices.fastest_gflops}")
    if found.cell.nearest_m >= found.cell.radius_m:
        raise SettingsError(f"cell.nearest_m must be below cell.radius_m [m]: {found.cell.nearest_m} >= {found.cell.radius_m}")
    if len(set(found.decision.policies)) < len(found.decision.policies):
        raise SettingsError(f"decision.policies names one twice: {list(found.decision.policies)}")
    return found


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise SettingsError(f"--set takes section.key=value, got {override!r}")
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"--set {override}: {section} is not a section")
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = text.strip()                  # a bare word: a string without its quotes


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(where, list(_keys(Scenario)), 1, cutoff=0.5)
        return f"unknown setting {where}" + (f"; did you mean {close[0]}?" if close else "; see `wirelessfl scenario`")
    field: Any = _keys(Scenario).get(where)
    unit = f" ({field.description})" if field is not None and field.description else ""
    return f"{where}{unit}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"


def _keys(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every key by its dotted name."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        found |= _keys(field.annotation, f"{prefix}{name}.") if nested else {f"{prefix}{name}": field}   # type: ignore[arg-type]
    return found


def to_toml(found: Scenario) -> str:
    """The scenario as TOML, every key with its meaning and unit in a comment."""
    lines = [line for name, field in Scenario.model_fields.items() if not isinstance(getattr(found, name), _Section)
             for line in (f"{name} = {_toml(getattr(found, name))}  # {field.description}",)]
    for name in Scenario.model_fields:
        section = getattr(found, name)
        if isinstance(section, _Section):
            lines += ["", f"# {type(section).__doc__}", f"[{name}]"]
            lines += [f"{key} = {_toml(getattr(section, key))}  # {field.description}"
                      for key, field in type(section).model_fields.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
