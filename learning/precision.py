"""The numbers that a step computes with: float32, or bfloat16 in matrix products and convolutions (torch's autocast).

bfloat16 has the range of float32 and 8 of its 24 significant bits. Weights, moments, averages, losses and gradients of weights
stay float32, so small steps are not lost; networks in double precision stay in double.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch

PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}


@contextmanager
def precision(name: str, device: str | torch.device = "cpu") -> Iterator[None]:
    """Let networks on ``device`` compute for a while as ``name`` says: "float32", which changes nothing, or "bfloat16".

    Casts of weights are not kept from one use to the next: steps move weights in place, and a kept cast would be of old ones.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    if PRECISIONS[name] is None:
        yield
        return
    with torch.autocast(torch.device(device).type, PRECISIONS[name], cache_enabled=False):
        yield


def carried() -> Callable[[], AbstractContextManager[object]]:
    """The precision of this thread, for another one to enter."""
    now = [(kind, torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]

    def entered() -> ExitStack:
        with ExitStack() as stack:
            for kind, dtype in now:
                stack.enter_context(torch.autocast(kind, dtype, cache_enabled=False))
            return stack.pop_all()

    return entered
