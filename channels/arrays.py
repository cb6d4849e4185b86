"""Numpy arrays and torch tensors by one code: the namespace of the array API standard that belongs to the arguments."""

import dataclasses
from typing import Any, TypeVar

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj, to_device
from numpy.typing import NDArray

# A large array that is freed once, untouched, makes the C library (glibc) keep what is freed after it, where it would hand it
# back to the system and ask for it anew, page by page: blocks of arrays take half the time.
np.empty(1 << 21)

T = TypeVar("T")
_LOCAL, _NUMPY = (np.ndarray, np.generic, float, int), array_namespace(np.zeros(0))


def namespace(*values: Any) -> Any:
    """The namespace of the first array among ``values`` that is not numpy's; numpy's own if there is none."""
    for value in values:
        if not isinstance(value, _LOCAL) and is_array_api_obj(value):
            return array_namespace(value)
    return _NUMPY


def float_arrays(*values: Any) -> tuple[Any, ...]:
    """The common namespace and each value as an array of float64 in it, on the device of the first foreign one."""
    xp = namespace(*values)
    at = next((device(v) for v in values if is_array_api_obj(v) and not isinstance(v, np.ndarray | np.generic)), None)
    return xp, *(xp.asarray(v, dtype=xp.float64, device=at) for v in values)


def over(amount: NDArray, rate: NDArray) -> NDArray:
    """Their quotient: 0 where there is no amount, ``inf`` where there is one and no rate."""
    xp = namespace(amount, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray = xp.where(amount > 0, amount / xp.where(rate > 0, rate, 0.0), 0.0)
    return found


def to_numpy(values: Any) -> NDArray:
    """The values on the host as a numpy array."""
    return np.asarray(to_device(values, "cpu") if is_array_api_obj(values) else values)


def among(values: NDArray, who: NDArray) -> NDArray:
    """Values (..., n) of the n devices of ``who`` (K,) as those (..., K) of all, with zeros for the others; numpy's."""
    whole = np.zeros((*values.shape[:-1], len(who)), values.dtype)
    whole[..., who] = values
    return whole


def changed(value: T, **fields: Any) -> T:
    """A copy of a frozen value with other ``fields``, made from its own, that need no second look."""
    copied = object.__new__(type(value))
    known = {field.name for field in dataclasses.fields(value)}  # type: ignore[arg-type]
    copied.__dict__.update({name: v for name, v in vars(value).items() if name in known} | fields)
    return copied
