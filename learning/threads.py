"""Threads: what computes has one, for sums in torch depend on their number. Several devices may compute at the same time, each on
a thread of its own, where none of them waits for another: the results are the same bits."""

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from learning.precision import carried

S = TypeVar("S")
R = TypeVar("R")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Pool:
    """Threads that compute, how many, and the copies of networks that each thread has."""

    threads: ThreadPoolExecutor
    most: int
    own: threading.local = field(default_factory=threading.local)


_pool: _Pool | None = None


@contextmanager
def at_a_time(most: int) -> Iterator[None]:
    """Let :func:`each` compute up to ``most`` things at the same time for a while, on a thread each; 1 is as without.

    It holds for the whole process, as torch's own number of threads does, and is entered by one thread.
    """
    global _pool
    if most < 1:
        raise ValueError(f"at least one thing is computed at a time, got {most}")
    before = _pool
    with ThreadPoolExecutor(most, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        _pool = _Pool(threads, most) if most > 1 else None
        try:
            yield
        finally:
            _pool = before


def each(work: Callable[[S], R], items: Iterable[S]) -> Iterator[R]:
    """What ``work`` makes of each item, in their order; items are taken as they are needed, no more than may be computed now.

    Work on one item must not touch what work on another does, and must not call this function.
    """
    pool, waiting = _pool, deque[Future[R]]()
    if pool is None:
        yield from map(work, items)
        return
    precision = carried()
    try:
        for item in items:
            waiting.append(pool.threads.submit(_as_here, precision, work, item))
            if len(waiting) == pool.most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for left in waiting:                           # one has failed, or nobody wants the others
            left.cancel()
        wait(waiting)


def of_each(work: Callable[[S], R], items: Iterable[S]) -> dict[S, R]:
    """As :func:`each`, by item."""
    known = list(items)
    return dict(zip(known, each(work, known), strict=True))


def _as_here(precision: Callable[[], AbstractContextManager[object]], work: Callable[[S], R], item: S) -> R:
    with precision():
        return work(item)


def divided(workers: int, runs: int) -> tuple[int, int]:
    """Of ``workers`` processors for so many runs: how many runs go on at the same time, and how many threads each of them has."""
    processes = max(1, min(workers, runs))
    return processes, max(1, workers // processes)


def own(part: nn.Module) -> nn.Module:
    """A part of a network for this thread alone, its tensors the same: torch.func.functional_call puts values into a module while
    it runs, so two threads cannot have it at once. Where nothing is computed at the same time, the part itself."""
    return part if _pool is None else _own(_pool, part)


def _own(pool: _Pool, part: nn.Module) -> nn.Module:
    if isinstance(part, nn.Sequential):                # a slice is made anew each time, its layers are not
        made = copy.copy(part)
        made._modules = {name: None if layer is None else _own(pool, layer) for name, layer in part._modules.items()}
        return made
    known = pool.own.__dict__.setdefault("known", WeakKeyDictionary[nn.Module, nn.Module]())
    if part not in known:
        known[part] = copy.deepcopy(part, {id(t): t for t in (*part.parameters(), *part.buffers())})
    return known[part].train(part.training) if known[part].training != part.training else known[part]
