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
from learning.slowdown import slowdowns
from learning.threads import one_thread
from optim import bound
from wirelessfl.config import SettingsError
from wirelessfl.folder import commit, now, versions, write_json
from wirelessfl.plot_calibration import calibration_picture
from wirelessfl.pricing import constants
from wirelessfl.settings import Scenario
from wirelessfl.world import World, measure, world

KIND, FORMAT, FOLDER = "wirelessfl calibration", 3, Path("calibrations")
UNSEEN = ("rounds", "device", "evaluate_every", "target_accuracy", "smoothing")        # settings of a training that no pilot sees
SEEN = ("bias_max", "splits", "update_bits", "smashed_bits", "dropouts", "intervals")    # of decisions, that do, beside pilot_*
OTHER = {"settings": "settings of another version"}                               # where none that both know differ


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
    fresh : bool
        Whether it was measured now, or found.
    """

    path: Path
    picture: Path
    key: str
    measured: Calibration
    exponent: dict[str, Any] | None
    fresh: bool


def make(s: Scenario, path: Path | None = None, *, exponent: bool = False) -> Made:
    """Measure in the world of the first seed, and leave a file and a picture; what the file holds already is not measured again.

    Parameters
    ----------
    path : Path, optional
        The file, ``calibrations/NAME-KEY.json`` without one.
    exponent : bool
        Whether gamma is to be fitted, too.

    Raises
    ------
    SettingsError
        Where the file is there and holds something else than a calibration, or the exponent is asked of an algorithm that does
        not prune.
    """
    w = world(s, s.seed)
    if exponent and not w.algorithm.prunes:
        raise SettingsError(f"--exponent takes pruned trainings, and training.algorithm {s.training.algorithm} does not prune")
    parts = fingerprints(w)
    path = path or FOLDER / f"{s.name}-{key(parts)[:10]}.json"
    old = read(path) if path.exists() else {}
    found = old if old.get("key") == key(parts) else {}
    fresh, picture = not found, path.with_suffix(".png")
    if fresh:
        found = {"kind": KIND, "format": FORMAT, "key": key(parts), "of": parts, "made_at": now(), "versions": versions(),
                 "commit": commit(), "settings": s.model_dump(mode="json"), "exponent": None, "calibration": asdict(measure(w))}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    measured = Calibration.of(found["calibration"])
    if fresh or not picture.exists():
        calibration_picture(measured, picture)
    if exponent and not found["exponent"]:
        found = found | {"exponent": _exponent(w, measured)}
        write_json(path, found)
    return Made(path, picture, key(parts), measured, found["exponent"], fresh)


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


def exponent(path: str) -> float:
    """gamma of a file [1], or a sentence where it has none."""
    fitted = (read(Path(path))["exponent"] or {}) if path else {}
    if not fitted.get("gamma") or fitted["gamma"] <= 0:
        raise SettingsError("decision.exponent is 0, for that of the calibration, and decision.calibration names no file with a "
                            f"fitted one (`wirelessfl calibrate --exponent`): got {path!r}")
    return float(fitted["gamma"])


def read(path: Path) -> dict[str, Any]:
    """All that a file says, or a sentence where it holds no calibration."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["kind"] != KIND or found["format"] != FORMAT:
            raise ValueError("of another version")
        Calibration.of(found["calibration"])
        Scenario.model_validate(found["settings"])
        return {**found, "key": str(found["key"]), "of": dict(found["of"])}
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


def _exponent(w: World, measured: Calibration) -> dict[str, Any]:
    """Short trainings at given biases, and gamma of what they took."""
    t, d = w.scenario.training, w.scenario.decision
    with one_thread():
        found = slowdowns(w.algorithm, w.shards, measured, rounds=d.pilot_rounds, seed=w.seeds["forecast"], precision=t.precision)
    loss = (1 + constants(w, measured).sampling_share(w.weights)) * np.array(found.bias)
    used = np.isfinite(found.rounds) & (loss < 1)
    gamma, error = bound.fit_exponent(loss[used], np.array(found.rounds)[used]) if used.any() else (None, None)
    return {**asdict(found), "rounds": [r if np.isfinite(r) else None for r in found.rounds], "loss": loss.tolist(),
            "gamma": gamma, "error": error}
