"""Two numbers of the bound that no derivation gives, fitted to short trainings: the exponent gamma, and the memory H."""

from dataclasses import asdict
from typing import Any

import numpy as np

from learning.calibration import Calibration
from learning.slowdown import slowdowns
from learning.threads import one_thread
from learning.turnout import MOST, drawn, turnouts
from optim import bound
from optim.absence import absence_of_rounds, fit_memory, slower
from wirelessfl.pricing import constants
from wirelessfl.world import World

SHARES, DRAWS = (0.1, 0.2), 3       # of the devices in a round, and trainings with each; of few devices both may be one


def exponent(w: World, measured: Calibration) -> dict[str, Any]:
    """Short trainings at given biases, and gamma of what they took."""
    t, d = w.scenario.training, w.scenario.decision
    with one_thread():
        found = slowdowns(w.algorithm, w.shards, measured, rounds=d.pilot_rounds, seed=w.seeds["forecast"], precision=t.precision)
    loss = (1 + constants(w, measured).sampling_share(w.weights)) * np.array(found.bias)
    used = np.isfinite(found.rounds) & (loss < 1)
    gamma, error = bound.fit_exponent(loss[used], np.array(found.rounds)[used]) if used.any() else (None, None)
    return {**asdict(found), "rounds": _plain(found.rounds), "loss": loss.tolist(), "gamma": gamma, "error": error}


def memory(w: World, measured: Calibration, gamma: float) -> dict[str, Any]:
    """Short trainings with few devices in each round, and the H by which the bound with gamma is right about them."""
    s, known, held = w.scenario, constants(w, measured), np.array([len(shard) > 0 for shard in w.shards])
    numbers = sorted({max(1, round(share * held.sum())) for share in SHARES})
    rounds = s.decision.pilot_rounds
    sets = [drawn(held, number, MOST * rounds, w.rng("forecast", number, draw)) for number in numbers for draw in range(DRAWS)]
    with one_thread():
        found = turnouts(w.algorithm, w.net, w.shards, sets, rounds=rounds, seed=w.seeds["forecast"],
                         precision=s.training.precision)
    seen = [who[:ran] for who, ran in zip(sets, found.ran, strict=True)]
    fitted = fit_memory(known, w.weights, seen, found.rounds, rounds, gamma)
    single = [fit_memory(known, w.weights, [who], [took], rounds, gamma) for who, took in zip(seen, found.rounds, strict=True)]
    expected = {name: _plain([slower(absence_of_rounds(known, w.weights, who, of), gamma) for who in seen])
                for name, of in (("derived", 1.0), ("expected", fitted))}
    return {**asdict(found), "rounds": _plain(found.rounds), **expected, "single": single, "memory": fitted, "exponent": gamma}


def _plain(numbers: Any) -> list[float | None]:
    """What is infinite as None, which JSON has."""
    return [number if np.isfinite(number) else None for number in numbers]
