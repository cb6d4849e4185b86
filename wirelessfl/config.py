"""A scenario from TOML and the command line, and back."""

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from wirelessfl.settings import Scenario, Section

T = TypeVar("T")


class SettingsError(ValueError):
    """A setting that cannot be, in one sentence."""


def choose(table: Mapping[str, T], name: str, key: str) -> T:
    """The entry ``name`` of a table of names, or a sentence with the nearest one."""
    if name in table:
        return table[name]
    close = difflib.get_close_matches(name, list(table), 1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise SettingsError(f"{key}: {name!r} is none of {list(table)}{hint}")


def load(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Scenario:
    """Read a scenario from TOML (the default one without a file), then apply overrides, each ``"section.key=value"``.

    Raises
    ------
    SettingsError
        With a sentence that names the key, what came and what is allowed.
    """
    given = tuple(overrides)
    if isinstance(overrides, str | Mapping) or not all(isinstance(each, str) for each in given):
        raise SettingsError('overrides must be a sequence of "section.key=value", such as ["cell.devices=3"], '
                            f"got {overrides!r}")
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"cannot read the scenario {path}: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not TOML: {error}") from None
    for each in given:
        _override(table, each)
    return scenario(table)


def scenario(table: dict[str, Any]) -> Scenario:
    """A scenario from a nested table of settings; keys that it lacks have their defaults."""
    try:
        found = Scenario.model_validate(table)
    except ValidationError as error:
        first = {error["loc"][:2]: error for error in reversed(error.errors())}
        raise SettingsError("; ".join(_sentence(e) for e in reversed(first.values()))) from None
    if found.devices.slowest_gflops > found.devices.fastest_gflops:
        raise SettingsError("devices.slowest_gflops is above devices.fastest_gflops [GFLOP/s]: "
                            f"{found.devices.slowest_gflops} > {found.devices.fastest_gflops}")
    if found.cell.slowest_kmh > found.cell.fastest_kmh:
        raise SettingsError("cell.slowest_kmh is above cell.fastest_kmh [km/h]: "
                            f"{found.cell.slowest_kmh} > {found.cell.fastest_kmh}")
    if 0 < found.decision.patience < 1:
        raise SettingsError("decision.patience must be 1 or more, for nobody is through before the time planned, or 0 to wait "
                            f"for everyone [1], got {found.decision.patience}")
    if 0 < found.decision.memory < 1:
        raise SettingsError("decision.memory must be 1 or more, a round remembers itself, or 0 for that of the calibration "
                            f"[rounds], got {found.decision.memory}")
    if found.cell.nearest_m >= found.cell.radius_m:
        raise SettingsError(f"cell.nearest_m must be below cell.radius_m [m]: {found.cell.nearest_m} >= {found.cell.radius_m}")
    if len(set(found.decision.policies)) < len(found.decision.policies):
        raise SettingsError(f"decision.policies names one twice: {list(found.decision.policies)}")
    return found


def _override(table: dict[str, Any], given: str) -> None:
    key, equals, text = given.partition("=")
    if not equals:
        raise SettingsError(f"an override (--set) is section.key=value, got {given!r}")
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise SettingsError(f"override {given}: {section} is not a section")
    table[last] = typed(text)


def override(key: str, value: Any) -> str:
    """``section.key=value``, as :func:`load` takes it."""
    return f"{key}={str(value).lower() if isinstance(value, bool) else value}"


def typed(text: str) -> Any:
    """A value as TOML writes it; a bare word is a string without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"][:2])
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(where, list(keys(Scenario)), 1, cutoff=0.5)
        return f"unknown setting {where}" + (f"; did you mean {close[0]}?" if close else "; see `wirelessfl scenario`")
    field: Any = keys(Scenario).get(where)
    unit = f" ({field.description})" if field is not None and field.description else ""
    return f"{where}{unit}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every key by its dotted name."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        found |= keys(field.annotation, f"{prefix}{name}.") if nested else {f"{prefix}{name}": field}   # type: ignore[arg-type]
    return found


def differing(one: Scenario, other: Scenario) -> list[str]:
    """Dotted names of the settings in which two scenarios differ."""
    return [key for key in keys(Scenario) if attrgetter(key)(one) != attrgetter(key)(other)]


def to_toml(found: Scenario) -> str:
    """The scenario as TOML, every key with its meaning and unit in a comment."""
    lines = [line for name, field in Scenario.model_fields.items() if not isinstance(getattr(found, name), Section)
             for line in (f"{name} = {_toml(getattr(found, name))}  # {field.description}",)]
    for name in Scenario.model_fields:
        section = getattr(found, name)
        if isinstance(section, Section):
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
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(v)}" for key, v in value.items()) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)


def processors(workers: int) -> None:
    """Refuse less than one processor."""
    if workers < 1:
        raise SettingsError(f"--workers must be at least 1, got {workers}")
