"""Runs that are set beside the bound: lightweight FedSL with levers pulled, all devices alike or half of them."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learning import masking, params
from learning.algorithm import Plan
from learning.algorithms.light_fed_sl import LightFedSLState
from learning.calibrate import calibrate
from learning.calibration import Calibration
from learning.crossing import Compression
from learning.params import Params
from learning.probe import Probe
from learning.threads import one_thread
from optim.absence import absence
from optim.bound import Constants, constants_form, relative_form
from optim.form import Form, Loss
from wirelessfl.options import Option
from wirelessfl.pricing import constants
from wirelessfl.world import World

WHEN = (0, 15, 30, 45, 59)       # rounds of the checkpoints


@dataclass(frozen=True)
class Pull:
    """What devices do in all rounds of a run; by default nothing to the gradient.

    Attributes
    ----------
    lever : str
        What the run is a study of.
    cut : int
        Blocks on each device.
    ratio : float
        Pruning ratio [1].
    update_bits, smashed_bits : int
        Bits of an entry of the update, and of the smashed data; 32 sends floats.
    dropout : float
        Share of the smashed data that is not sent [1].
    interval : int
        Rounds from one averaging of client sides to the next.
    absent : float
        Share of the devices that are not in a round [1].
    same : bool
        Whether these are the same in all rounds, or drawn anew in each.
    half : bool
        Whether only half of the devices prune, the same in all rounds.
    """

    lever: str = "none"
    cut: int = 2
    ratio: float = 0.0
    update_bits: int = 32
    smashed_bits: int = 32
    dropout: float = 0.0
    interval: int = 1
    absent: float = 0.0
    same: bool = False
    half: bool = False

    @property
    def compression(self) -> Compression:
        return Compression(self.update_bits, self.smashed_bits, dropout=self.dropout)


def averaged(state: LightFedSLState, shares: Sequence[float]) -> Params:
    """The model that the bound is about: the server's side, and the mean of the client sides as they are now.

    Between two averagings nobody has it. A pruned weight rests at its averaged value.
    """
    present = [(h, share) for h, share in zip(state.held, shares, strict=True) if h is not None]
    if not present:
        return state.model
    front = params.front(state.base, present[0][0].plan.cut)
    moves = [params.combine(torch.sub, h.values, masking.prune(front, h.mask)) for h, _ in present]
    return {**state.model, **params.combine(torch.add, front, params.weighted_sum(moves, [share for _, share in present]))}


def present(w: World, pull: Pull, number: int) -> NDArray:
    """Who is in round ``number`` (K,)."""
    order = w.rng("forecast", 0 if pull.same else number).permutation(len(w.shards))
    who: NDArray = order >= round(pull.absent * len(w.shards))
    return who


def ratios(w: World, pull: Pull) -> NDArray:
    """The pruning ratio of each device (K,) [1]."""
    order = w.rng("forecast", 0).permutation(len(w.shards))
    spared = pull.half & (order < len(w.shards) // 2)
    return np.where(spared, 0.0, pull.ratio)


def models(w: World, pull: Pull) -> Iterator[tuple[Params, float]]:
    """The averaged model before the first round and after each, and the mean loss of the round's mini-batches [nat]."""
    algorithm: Any = replace(w.algorithm, interval=pull.interval)                          # type: ignore[type-var]
    state, streams, shares = algorithm.init(len(w.shards)), w.streams(), w.weights.tolist()
    plans, loss = [Plan(pull.cut, float(ratio), pull.compression) for ratio in ratios(w, pull)], float("nan")
    for number in itertools.count():
        yield averaged(state, shares), loss
        who = present(w, pull, number)
        with one_thread():
            there = [plan if here else None for plan, here in zip(plans, who, strict=True)]
            state, report = algorithm.step(state, w.shards, there, streams)
        loss = float(np.average(np.array(report.loss)[who], weights=w.weights[who]))


def checkpoints(w: World, pull: Pull) -> Iterator[tuple[int, Probe]]:
    """The averaged model at some rounds of a run, with all samples."""
    for number, (model, _) in enumerate(itertools.islice(models(w, pull), WHEN[-1] + 1)):
        if number in WHEN:
            yield number, Probe(w.net, model, w.shards, [len(s) for s in w.shards])


def measured(w: World, pulls: Sequence[Pull], rounds: int, samples: int = 64, checkpoints: int = 5) -> Calibration:
    """A calibration that knows all ``pulls``, along a pilot of so many rounds; it measures every variant at every cut."""
    t, ways = w.scenario.training, list(dict.fromkeys(pull.compression for pull in pulls))
    with one_thread():
        return calibrate(w.algorithm, w.net, w.shards, rounds=rounds, checkpoints=checkpoints,
                         cuts=sorted({pull.cut for pull in pulls}), batch=t.batch, lr=t.lr, samples=samples,
                         seed=w.seeds["forecast"], compressions=ways, intervals=sorted({1, *(pull.interval for pull in pulls)}))


def known(w: World, found: Calibration, pull: Pull) -> Constants:
    """The bound's constants for the one option that a pull is."""
    return constants(replace(w, options=(Option(pull.cut, pull.compression),)).averaging(pull.interval), found)


def by_square(found: Calibration, here: Constants, pull: Pull) -> Constants:
    """The same with the relative bias of the drift, by which gradients are bounded, in the place of its misalignment."""
    return replace(here, drift=found.drift[found.cut_number(pull.cut)][found.interval_number(pull.interval)])


def missing(w: World, here: Constants, pull: Pull, rounds: int = 100) -> float:
    """What those who are not there cost a round, the mean over some [1]."""
    return float(np.mean([absence(here, w.weights, present(w, pull, number)) for number in range(rounds)]))


def losses(w: World, here: Constants, pull: Pull) -> dict[str, tuple[Form, Loss]]:
    """Both forms of the bound by name, and what a round with a pull loses by each."""
    forms = {"relative": relative_form(here, w.weights), "constants": constants_form(here, w.weights, pull.interval)}
    zero = np.zeros(len(w.shards), int)
    return {name: (form, form.loss(zero, ratios(w, pull))) for name, form in forms.items()}
