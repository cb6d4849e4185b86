"""FSL-SAGE: auxiliary networks that are aligned, now and then, with the gradients that the server would have sent.

Nair et al., "FSL-SAGE: Accelerating Federated Split Learning via Smashed Activation Gradient Estimation", ICML 2025 (arXiv
2505.23182), Algorithm 1 and the official code (seen). As CSE-FSL, but a device's auxiliary network is not trained on its loss and
not averaged: every ``align_every`` rounds, after the round's first upload, the server recomputes the true gradients of the
smashed data that it keeps of the device (the last ``keep`` samples), fits the auxiliary network to them, and sends it down.
Devices go in step, in an order that is drawn for each round. Steps of the fit on a part of the samples, and its end before the
last step, are ours.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

from learning import average, client, params, threads
from learning.algorithm import Affine, Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, Team, crews
from learning.estimate import Aligned, Auxiliaries, Samples, aligning, guided_work
from learning.optimiser import Moments, Optimiser, Side, adam
from learning.params import Params
from learning.profile import Profile
from learning.split import Forward, Learnt, ask, backward, forward, serve
from learning.together import can
from learning.training import DEFAULT, Batch, Training

ALIGNER = adam(1e-3)
Fit = Callable[[], Aligned]


@dataclass(frozen=True)
class Guide:
    """What belongs to one device's auxiliary network: its values, the cut it is for, and the samples that the server keeps."""

    cut: int
    values: Params
    kept: Samples | None = None


@dataclass(frozen=True)
class FSLSageState:
    """What the next round needs.

    Attributes
    ----------
    model : Params
        Averaged client sides, and the server's.
    guides : (K,) tuple of Guide or None
        None before a device's first round.
    client, server : (K,) tuple of Moments, Moments
    round : int
    """

    model: Params
    guides: tuple[Guide | None, ...]
    client: tuple[Moments, ...]
    server: Moments
    round: int = 0


@dataclass(frozen=True)
class FSLSage:
    """FSL-SAGE of a chain of blocks.

    Attributes
    ----------
    auxiliaries : Auxiliaries
    every : int
        Smashed data of one batch in so many go up, the first of a round among them.
    align_every : int
        Rounds from one alignment to the next; the first round has one, and so has a device's first round at a cut.
    align_steps, aligner : int, Optimiser
        Steps of an alignment, and its optimiser, which starts afresh each time.
    keep : int
        Samples of a device that the server keeps, at most.
    align_batch : int
        Samples of a step of an alignment, at most; 0 takes all that are kept, as published.
    align_stop : float
        An alignment goes on as long as it brings held-out samples nearer by this share (``estimate.align_until``) [1]; 0 takes
        all steps, as published.
    """

    net: nn.Sequential
    auxiliaries: Auxiliaries
    training: Training = DEFAULT
    every: int = 5
    align_every: int = 10
    align_steps: int = 100
    aligner: Optimiser = ALIGNER
    keep: int = 1000
    align_batch: int = 0
    align_stop: float = 0.0
    interval: ClassVar[int] = 1
    prunes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("every", "align_every", "align_steps", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more [batches, rounds, steps, samples], got {getattr(self, name)}")
        if self.align_batch < 0:
            raise ValueError(f"align_batch must be 1 or more, or 0 for all that are kept [samples], got {self.align_batch}")
        if not 0 <= self.align_stop < 1:
            raise ValueError(f"align_stop must be within [0, 1), a share of the mismatch [1], got {self.align_stop}")

    def cuts(self) -> range:
        return range(1, len(self.net))

    def init(self, devices: int) -> FSLSageState:
        return FSLSageState(params.values(self.net), (None,) * devices, ({},) * devices, {})

    def models(self, state: FSLSageState) -> tuple[Params, ...]:
        return (state.model,)

    def step(self, state: FSLSageState, shards: Sequence[Shard], plans: Plans, streams: Streams) -> tuple[FSLSageState, Round]:
        share, links = taking_part(self, state.client, shards, plans), [Link() for _ in shards]
        server, fronts, guides = Side(self.training.server, state.model, state.server), {}, dict[int, Guide]()
        for k, plan in planned(plans, share):
            fronts[k] = Side(self.training.client, params.front(state.model, plan.cut), state.client[k])
            guides[k] = self._guide(state.guides[k], plan.cut)
            links[k].down["model"] += client.size_bits(fronts[k].values)                     # server -> device
        draws = {k: streams.draws(state.round, k) for k in streams.order(state.round, list(share))}
        due = {k for k in share if state.round % self.align_every == 0 or guides[k].kept is None}
        able = all(can(self.auxiliaries.at(guide.cut)) for guide in guides.values())
        groups = crews(self.net, self.training, shards, plans, draws, able)
        now = _Now(self, server, guides, links, Crew(self.net, {k: (fronts[k],) for k in draws}, links, groups), list(draws), due)
        for batches, _ in self.training.in_step(shards, draws, share):
            now.step(batches)
        now.end()
        for k in share:
            links[k].up["model"] += client.size_bits(fronts[k].values)                       # device -> server
        model = average.sides(server.values, {k: front.values for k, front in fronts.items()}, share)
        of_client = client.moments(fronts, state.client)
        held = tuple(guides.get(k, guide) for k, guide in enumerate(state.guides))
        return FSLSageState(model, held, of_client, server.moments, state.round + 1), Round.of(links)

    def _guide(self, held: Guide | None, cut: int) -> Guide:
        return held if held is not None and held.cut == cut else Guide(cut, self.auxiliaries.start(cut))

    def work(self, profile: Profile, cut: int, samples: int, devices: int = 1, download: float = 1.0,
             upload: float = 1.0) -> Work:
        """Alignments are spread over the rounds between them, at as many samples as the server keeps in the end, and with all
        their steps, also where ``align_stop`` may spare some: the clock never promises what may not come."""
        found = guided_work(profile, self.auxiliaries, cut, self.training.sizes(samples), self.every, download, upload,
                            learns=False)
        aligning = self.keep * 2 * sum(profile.forward[cut:])
        aligning += self.auxiliaries.aligning_flops(cut, self.keep, self.align_steps, self.align_batch, until=self.align_stop > 0)
        size = self.auxiliaries.profile(cut).bits
        down = found.downlink_bits
        return found._replace(server_flops=Affine(found.server_flops.fixed + aligning / self.align_every),
                              downlink_bits=Affine(down.fixed + size / self.align_every, down.kept))


class _Now:
    """A round of FSL-SAGE while it goes on.

    Parameters
    ----------
    order : list of int
        In which the server takes what arrives.
    due : set of int
        Devices that wait for an alignment after their first upload.
    """

    def __init__(self, of: FSLSage, server: Side, guides: dict[int, Guide], links: Sequence[Link], crew: Crew, order: list[int],
                 due: set[int]) -> None:
        self._of, self._server, self._guides, self._links, self._crew = of, server, guides, links, crew
        self._order, self._due, self._done = order, due, dict.fromkeys(order, 0)
        self._arrived: dict[int, Batch] = {}                 # what the server has not taken yet

    def step(self, batches: dict[int, Batch]) -> None:
        """A mini-batch of each device. At their first one some align, and the server goes on with the next device meanwhile;
        otherwise nobody waits for it."""
        if self._due & batches.keys():
            deque(threads.each(self._fit_and_move, self._served(batches)), maxlen=0)
            return
        sent = self._crew.work(self._send_and_move, batches, beside=self._take_all)
        self._arrived = {k: batch for each in sent for k, batch in each.items()}

    def end(self) -> None:
        """The server takes the last uploads, and every device has its own again."""
        self._take_all()
        self._crew.part()

    def _take_all(self) -> None:
        for k in (k for k in self._order if k in self._arrived):
            self._take(k, *self._arrived[k])
        self._arrived = {}

    def _served(self, batches: dict[int, Batch]) -> Iterator[tuple[Team, Forward, Fit | None]]:
        """One device after the other, when the server has taken its upload; with its alignment, if it is due."""
        for team in self._crew.teams(batches, alone=True):
            (k,) = team.devices
            ahead, sent = self._send(team)
            if k in sent:
                self._take(k, *sent[k])
            fit = self._fit(k) if k in self._due else None
            self._due.discard(k)
            yield team, ahead, fit

    def _fit_and_move(self, ready: tuple[Team, Forward, Fit | None]) -> None:
        team, ahead, fit = ready
        if fit is not None:
            (k,) = team.devices
            self._guides[k] = replace(self._guides[k], values=fit().values)
            self._links[k].down["auxiliary"] += client.size_bits(self._guides[k].values)     # server -> device
        self._move(team, ahead)

    def _send_and_move(self, team: Team) -> dict[int, Batch]:
        ahead, sent = self._send(team)
        self._move(team, ahead)
        return sent

    def _send(self, team: Team) -> tuple[Forward, dict[int, Batch]]:
        (own,) = team.sides
        ahead = forward(team.net[:self._guides[team.devices[0]].cut], own.values, team.x)
        return ahead, client.some_uploads(team, ahead.out, self._done, self._of.every, self._links)

    def _move(self, team: Team, ahead: Forward) -> None:
        """A step of a client side by the gradient that the auxiliary network gives."""
        (own,), guides = team.sides, [self._guides[k] for k in team.devices]
        part = team.of(self._of.auxiliaries.at(guides[0].cut))
        estimate = ask(part, team.joined([guide.values for guide in guides]), ahead.out, team.y)
        own.descend(Learnt(backward(ahead, estimate), ahead.buffers))

    def _take(self, k: int, smashed: Tensor, y: Tensor) -> None:
        """A step of the server on what a device has sent, which it keeps."""
        guide = self._guides[k]
        self._server.descend(serve(self._of.net[guide.cut:], self._server.values, smashed, y, self._links[k]))
        before = guide.kept or Samples(smashed[:0], y[:0])
        self._guides[k] = replace(guide, kept=before.with_last(smashed, y, self._of.keep))

    def _fit(self, k: int) -> Fit:
        """The alignment of a device's auxiliary network to the server as it is now."""
        guide, of = self._guides[k], self._of
        assert guide.kept is not None                    # the round's first upload has come in
        return aligning(of.auxiliaries.at(guide.cut), guide.values, of.net[guide.cut:], self._server.values, guide.kept,
                        steps=of.align_steps, optimiser=of.aligner, batch=of.align_batch, stop=of.align_stop)
