"""A calibration in a file: measured once, named by what it was measured for, and refused where it is to serve something else."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from learning import params
from learning.calibration import Calibration
from wirelessfl import fits
from wirelessfl.config import SettingsError
from wirelessfl.folder import commit, now, versions, write_json
from wirelessfl.plot_calibration import calibration_picture
from wirelessfl.settings import Scenario
from wirelessfl.world import World, measure, world

KIND, FORMAT, FOLDER = "wirelessfl calibration", 5, Path("calibrations")
UNSEEN = ("rounds", "device", "evaluate_every", "target_accuracy", "smoothing")        # settings of a training that no pilot sees
SEEN = ("bias_max", "splits", "update_bits", "smashed_bits", "dropouts", "intervals")    # of decisions, that do, beside pilot_*
OTHER = {"settings": "settings of another version"}                               # where none that both know differ
NOT_FITTED = ("decision.{0} is 0, for that of the calibration, and decision.calibration names no file with a fitted one "
              "(`wirelessfl calibrate --{0}`): got {1!r}")


@dataclass(frozen=True)
class Made:
    """A calibration and where it lies.

    Attributes
    ----------
    path, picture : Path
    key : str
        What it was measured for (:func:`key`).
    measured : Calibration
    exponent : dict, optional
        Trainings that gamma was fitted to, as ``Slowdowns``, and the fit: "gamma" and its standard "error" [1].
    memory : dict, optional
        Trainings that the memory H was fitted to, as ``Turnouts``, and the fit: "memory", that of each ("single"), the "exponent"
        with which it was fitted, and the rounds that the bound says, with H ("expected") and without ("derived") [1].
    fresh : bool
        Whether it was measured now, or found.
    """

    path: Path
    picture: Path
    key: str
    measured: Calibration
    exponent: dict[str, Any] | None
    memory: dict[str, Any] | None
    fresh: bool


def make(s: Scenario, path: Path | None = None, *, exponent: bool = False, memory: bool = False) -> Made:
    """Measure in the world of the first seed, and leave a file and a picture; what the file holds already is not measured again.

    Parameters
    ----------
    path : Path, optional
        The file, ``calibrations/NAME-KEY.json`` without one.
    exponent, memory : bool
        Whether gamma, and H, are to be fitted, too.

    Raises
    ------
    SettingsError
        Where the file is there and holds something else than a calibration, or the exponent is asked of an algorithm that does
        not prune, or the memory for one device.
    """
    w = world(s, s.seed)
    if exponent and not w.algorithm.prunes:
        raise SettingsError(f"--exponent takes pruned trainings, and training.algorithm {s.training.algorithm} does not prune")
    if memory and sum(len(shard) > 0 for shard in w.shards) < 2:
        raise SettingsError("--memory takes trainings with some of the devices that have data: two or more must have some, got 1")
    parts = fingerprints(w)
    path = path or FOLDER / f"{s.name}-{key(parts)[:10]}.json"
    old = read(path) if path.exists() else {}
    found = old if old.get("key") == key(parts) else {}
    if memory and not (s.decision.exponent or exponent or found.get("exponent")):
        raise SettingsError("--memory is fitted with an exponent: decision.exponent above 0 [1], or --exponent, too; got 0")
    fresh, picture = not found, path.with_suffix(".png")
    if fresh:
        found = {"kind": KIND, "format": FORMAT, "key": key(parts), "of": parts, "made_at": now(), "versions": versions(),
                 "commit": commit(), "settings": s.model_dump(mode="json"), "exponent": None, "memory": None,
                 "calibration": asdict(measure(w))}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    measured = Calibration.of(found["calibration"])
    if fresh or not picture.exists():
        calibration_picture(measured, picture)
    if exponent and not found["exponent"]:
        found = found | {"exponent": fits.exponent(w, measured)}
        write_json(path, found)
    if memory and (found["memory"] or {}).get("exponent") != (gamma := _gamma(s, found)):
        found = found | {"memory": fits.memory(w, measured, gamma)}
        write_json(path, found)
    return Made(path, picture, key(parts), measured, found["exponent"], found["memory"], fresh)


def load(path: str | Path, w: World) -> Calibration:
    """A file's calibration, for the world that it was measured in: that of the first seed.

    Raises
    ------
    SettingsError
        Where the file holds no calibration, or one of another model, other data or other settings: which ones.
    """
    found, parts = read(Path(path)), fingerprints(w)
    if found["key"] != key(parts):
        there, here = Scenario.model_validate(found["settings"]), w.scenario
        other = [f"{name} is {told[0]!r} there and {told[1]!r} here" for name, told in _differences(there, here).items()]
        other = other or [OTHER.get(name, f"other {name}") for name in parts if parts[name] != found["of"].get(name)]
        raise SettingsError(f"{path} is for something else: {'; '.join(other)}; `wirelessfl calibrate` measures for this one")
    return Calibration.of(found["calibration"])


def fitted(s: Scenario) -> tuple[float, float]:
    """gamma [1] and H [rounds] of a scenario, as its file has them where they are 0; or a sentence where it has none."""
    d = s.decision
    if d.exponent and d.memory:
        return d.exponent, d.memory
    found = read(Path(d.calibration)) if d.calibration else {"exponent": None, "memory": None}
    gamma = _gamma(s, found)
    if d.memory:
        return gamma, d.memory
    if not found["memory"]:
        raise SettingsError(NOT_FITTED.format("memory", d.calibration))
    if found["memory"]["exponent"] != gamma:
        other = found["memory"]["exponent"]
        raise SettingsError(f"the memory of {d.calibration} was fitted with decision.exponent {other:g}, and is to serve "
                            f"{gamma:g}: `wirelessfl calibrate --memory` fits it anew")
    return gamma, float(found["memory"]["memory"])


def _gamma(s: Scenario, found: Mapping[str, Any]) -> float:
    gamma = s.decision.exponent or (found["exponent"] or {}).get("gamma")
    if not gamma or gamma <= 0:
        raise SettingsError(NOT_FITTED.format("exponent", s.decision.calibration))
    return float(gamma)


def read(path: Path) -> dict[str, Any]:
    """All that a file says, or a sentence where it holds no calibration."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["kind"] != KIND or found["format"] != FORMAT:
            raise ValueError("of another version")
        Calibration.of(found["calibration"])
        Scenario.model_validate(found["settings"])
        return {"memory": None, **found, "key": str(found["key"]), "of": dict(found["of"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror or error if isinstance(error, OSError) else type(error).__name__
        raise SettingsError(f"{path} holds no calibration of this version ({why}): `wirelessfl calibrate` makes one") from None


def fingerprints(w: World) -> dict[str, str]:
    """A hash of each thing that a calibration depends on: initial weights, data, draws and settings."""
    settings = {name: value for name, value in _named(w.scenario).items() if name.partition(".")[0] in ("training", "decision")}
    settings["decision.splits"] = sorted({option.cut for option in w.options})                  # none named is all of them
    return {"initial weights": _hash(params.values(w.net)),
            "data": _hash({f"{k}{name}": v for k, shard in enumerate(w.shards) for name, v in (("x", shard.x), ("y", shard.y))}),
            "draws": str(w.seeds["forecast"]),
            "settings": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()}


def key(parts: Mapping[str, str]) -> str:
    """One name for :func:`fingerprints`: it changes with whatever would change the measurement, and with nothing else."""
    return hashlib.sha256(json.dumps([FORMAT, dict(parts)], sort_keys=True).encode()).hexdigest()


def _hash(tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name, v in tensors.items():
        found.update(f"{name} {v.dtype} {tuple(v.shape)}".encode())
        found.update(np.ascontiguousarray(v.detach().cpu().numpy()).data)
    return found.hexdigest()


def _named(s: Scenario) -> dict[str, Any]:
    """The settings that a measurement can depend on, by their dotted names."""
    plain = s.model_dump(mode="json")
    wanted = {"training": [name for name in plain["training"] if name not in UNSEEN], "data": list(plain["data"]),
              "decision": [name for name in plain["decision"] if name in SEEN or name.startswith("pilot_")], "cell": ["devices"]}
    named = {f"{section}.{name}": plain[section][name] for section, names in wanted.items() for name in names}
    return {"seed": plain["seed"], **named}


def _differences(there: Scenario, here: Scenario) -> dict[str, tuple[Any, Any]]:
    one, other = _named(there), _named(here)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}
