"""Threads: what computes has one, for sums in torch depend on their number. Several devices may compute at the same time, each on
a thread of its own, where none of them waits for another: the results are the same bits."""

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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


class _Stopped(Exception):
    """Nobody waits for this work any more."""


@dataclass(frozen=True)
class _Pool:
    """Threads that compute, how many, and what each of them has: copies of networks, and at work, what tells it to stop."""

    threads: ThreadPoolExecutor
    most: int
    own: threading.local = field(default_factory=threading.local)


_pool: _Pool | None = None


@contextmanager
def at_a_time(most: int) -> Iterator[None]:
    """Let :func:`each` compute up to ``most`` things at the same time for a while, on a thread each; 1 is as without.

    Each of them has one thread of torch's, so the results are those of :func:`one_thread`. It holds for the whole process, as
    torch's own number of threads does, and is entered by one thread. That many passes take their memory at the same time.
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
    """What ``work`` makes of each item, in their order; items are taken as they are needed, up to twice as many as are computed.

    Work on one item must not touch what work on another does. Within such work, and without :func:`at_a_time`, it is ``map``.
    """
    pool, waiting, stop = _pool, deque[Future[R]](), threading.Event()
    if pool is None or getattr(pool.own, "stop", None):
        yield from map(work, items)
        return
    precision = carried()
    try:
        for item in items:
            waiting.append(pool.threads.submit(_at_work, pool, stop, precision, work, item))
            while len(waiting) == 2 * pool.most or sum(not f.done() for f in waiting) == pool.most:
                if waiting[0].done():
                    yield waiting[0].result()
                    waiting.popleft()
                else:
                    wait([f for f in waiting if not f.done()], return_when=FIRST_COMPLETED)
        while waiting:
            yield waiting[0].result()
            waiting.popleft()
    finally:                                           # all are done; or one has failed, or nobody wants the others
        stop.set()
        for left in waiting:
            left.cancel()
        wait(waiting)


def of_each(work: Callable[[S], R], items: Iterable[S]) -> dict[S, R]:
    """As :func:`each`, by item."""
    known = list(items)
    return dict(zip(known, each(work, known), strict=True))


def _at_work(pool: _Pool, stop: threading.Event, precision: Callable[[], AbstractContextManager[object]],
             work: Callable[[S], R], item: S) -> R:
    pool.own.stop = stop
    try:
        with precision():
            return work(item)
    finally:
        pool.own.stop = None


def divided(workers: int, runs: int) -> tuple[int, int]:
    """Of ``workers`` processors for so many runs: how many runs go on at the same time, and how many threads each of them has."""
    processes = max(1, min(workers, runs))
    return processes, max(1, workers // processes)


def own(part: nn.Module) -> nn.Module:
    """A part of a network for this thread alone, its tensors the same: torch.func.functional_call puts values into a module while
    it runs, so two threads cannot have it at once. Where nothing is computed at the same time, the part itself."""
    if _pool is None:
        return part
    stop = getattr(_pool.own, "stop", None)
    if stop is not None and stop.is_set():             # before a pass is a good moment: a round has many
        raise _Stopped
    return _own(_pool, part)


def _own(pool: _Pool, part: nn.Module) -> nn.Module:
    if isinstance(part, nn.Sequential) and not (part._parameters or part._buffers):    # a slice is made anew, its layers are not
        made = copy.copy(part)
        made._modules = {name: None if layer is None else _own(pool, layer) for name, layer in part._modules.items()}
        return made
    known = pool.own.__dict__.setdefault("known", WeakKeyDictionary[nn.Module, nn.Module]())
    if part not in known:
        known[part] = copy.deepcopy(part, {id(t): t for t in (*part.parameters(), *part.buffers())})
    return known[part].train(part.training) if known[part].training != part.training else known[part]
