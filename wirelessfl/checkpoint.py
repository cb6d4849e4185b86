"""Values to a file and back, whole or not at all: what a run needs in order to go on.

A file holds tensors, numbers, strings and containers of them, and is read without executing anything (``weights_only``).
Dataclasses, named tuples and enumerations are written as their fields with the name of their class, and read again if that is
one of this project. What stays the same in a run, and is made anew by it (``shared``), is written as its name.
"""

import dataclasses
import pickle
from collections.abc import Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wirelessfl.folder import whole

OURS = ("channels", "optim", "learning", "wirelessfl")
PLAIN = (str, int, float, bool, type(None), torch.Tensor)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, in one sentence."""


def save(path: Path, value: Any, shared: Mapping[str, Any]) -> None:
    """Write a value, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        torch.save(_packed(value, {id(each): name for name, each in shared.items() if each is not None}), file)


def load(path: Path, shared: Mapping[str, Any]) -> Any:
    """The value in a file.

    Raises
    ------
    CheckpointError
        Where the file is cut short, or from another version.
    """
    try:
        return _unpacked(torch.load(path, weights_only=True), shared)
    except (EOFError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise CheckpointError(f"{path} is no checkpoint that can be read ({type(error).__name__}): delete it, and its run "
                              "begins anew") from None


def _packed(value: Any, names: Mapping[int, str]) -> Any:
    if id(value) in names:
        return {"shared": names[id(value)]}
    if isinstance(value, Enum):
        return {"enum": _path(type(value)), "name": value.name}
    if dataclasses.is_dataclass(value):
        fields = {field.name: _packed(getattr(value, field.name), names) for field in dataclasses.fields(value) if field.init}
        return {"class": _path(type(value)), "fields": fields}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {"class": _path(type(value)), "fields": {name: _packed(each, names) for name, each in value._asdict().items()}}
    if isinstance(value, np.ndarray | np.generic):
        return {"array": torch.from_numpy(np.array(value)), "scalar": isinstance(value, np.generic)}
    if isinstance(value, Mapping):
        return {"keys": list(value), "values": [_packed(each, names) for each in value.values()]}
    if isinstance(value, tuple | list):
        return {"items": [_packed(each, names) for each in value], "tuple": isinstance(value, tuple)}
    if not isinstance(value, PLAIN):
        raise TypeError(f"a {type(value).__name__} cannot be written to a checkpoint")
    return value


def _unpacked(tree: Any, shared: Mapping[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "shared" in tree:
        return shared[tree["shared"]]
    if "enum" in tree:
        return _named(tree["enum"])[tree["name"]]
    if "class" in tree:
        return _named(tree["class"])(**{name: _unpacked(each, shared) for name, each in tree["fields"].items()})
    if "array" in tree:
        return tree["array"].numpy()[()] if tree["scalar"] else tree["array"].numpy()
    if "keys" in tree:
        return dict(zip(tree["keys"], (_unpacked(each, shared) for each in tree["values"]), strict=True))
    items = (_unpacked(each, shared) for each in tree["items"])
    return tuple(items) if tree["tuple"] else list(items)


def _path(kind: type) -> str:
    if kind.__module__.split(".")[0] not in OURS:
        raise TypeError(f"a {kind.__name__} cannot be written to a checkpoint")
    return f"{kind.__module__}:{kind.__qualname__}"


def _named(path: str) -> Any:
    """A class of this project's own."""
    module, _, name = path.partition(":")
    if module.split(".")[0] not in OURS:
        raise TypeError(f"{path} is not of this project")
    kind = getattr(import_module(module), name)
    if not (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields") or (isinstance(kind, type) and issubclass(kind, Enum))):
        raise TypeError(f"{path} holds no values")
    return kind
