"""FSL-SAGE: auxiliary networks that are aligned, now and then, with the gradients that the server would have sent.

Nair et al., "FSL-SAGE: Accelerating Federated Split Learning via Smashed Activation Gradient Estimation", ICML 2025 (arXiv
2505.23182), Algorithm 1 and the official code (seen). As CSE-FSL, but a device's auxiliary network is not trained on its loss and
not averaged: every ``align_every`` rounds, after the round's first upload, the server recomputes the true gradients of the
smashed data that it keeps of the device (the last ``keep`` samples), fits the auxiliary network to them, and sends it down.
Devices go in step, in an order that is drawn for each round. Steps of the fit on a part of the samples, and its end before the
last step, are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from learning import average, client, params
from learning.algorithm import Affine, Link, Plans, Round, Shard, Streams, Work, planned, taking_part
from learning.crew import Crew, crews
from learning.estimate import Auxiliaries, Samples, align, align_until, guided_work
from learning.optimiser import Moments, Optimiser, Side, adam
from learning.params import Params
from learning.profile import Profile
from learning.split import Learnt, ask, backward, forward, serve
from learning.together import can
from learning.training import DEFAULT, Batch, Training

ALIGNER = adam(1e-3)


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
        draws, done = {k: streams.draws(state.round, k) for k in streams.order(state.round, list(share))}, dict.fromkeys(share, 0)
        able = all(can(self.auxiliaries.at(guide.cut)) for guide in guides.values())
        crew = Crew(self.net, {k: (fronts[k],) for k in draws}, links, crews(self.net, self.training, shards, plans, draws, able))

        def take(k: int, smashed: Tensor, y: Tensor) -> None:
            server.descend(serve(self.net[guides[k].cut:], server.values, smashed, y, links[k]))
            guides[k] = self._keep(guides[k], smashed, y)

        for batches, _ in self.training.in_step(shards, draws, share):
            due, arrived = {k for k in batches if done[k] == 0 and self._due(state, guides[k])}, dict[int, Batch]()
            for team in crew.teams(batches, alone=bool(due)):                # who waits for an alignment waits alone
                (own,), cut = team.sides, guides[team.devices[0]].cut
                ahead = forward(team.net[:cut], own.values, team.x)
                arrived |= client.some_uploads(team, ahead.out, done, self.every, links)
                for k in (k for k in team.devices if due and k in arrived):  # all in their order, then
                    take(k, *arrived.pop(k))
                    if k in due:
                        guides[k] = self._align(guides[k], server.values)
                        links[k].down["auxiliary"] += client.size_bits(guides[k].values)     # server -> device
                estimate = ask(team.of(self.auxiliaries.at(cut)), team.joined([guides[k].values for k in team.devices]),
                               ahead.out, team.y)
                own.descend(Learnt(backward(ahead, estimate), ahead.buffers))
            for k in (k for k in draws if k in arrived):
                take(k, *arrived[k])
        crew.part()
        for k in share:
            links[k].up["model"] += client.size_bits(fronts[k].values)                       # device -> server
        model = average.sides(server.values, {k: front.values for k, front in fronts.items()}, share)
        of_client = client.moments(fronts, state.client)
        held = tuple(guides.get(k, guide) for k, guide in enumerate(state.guides))
        return FSLSageState(model, held, of_client, server.moments, state.round + 1), Round.of(links)

    def _guide(self, held: Guide | None, cut: int) -> Guide:
        return held if held is not None and held.cut == cut else Guide(cut, self.auxiliaries.start(cut))

    def _due(self, state: FSLSageState, guide: Guide) -> bool:
        """Whether it is an alignment's round, or the device has had none at its cut."""
        return state.round % self.align_every == 0 or guide.kept is None

    def _keep(self, guide: Guide, smashed: Tensor, y: Tensor) -> Guide:
        before = guide.kept or Samples(smashed[:0], y[:0])
        return replace(guide, kept=before.with_last(smashed, y, self.keep))

    def _align(self, guide: Guide, server: Params) -> Guide:
        assert guide.kept is not None                    # the round's first upload has come in
        case = self.auxiliaries.at(guide.cut), guide.values, self.net[guide.cut:], server, guide.kept
        common: dict[str, Any] = {"steps": self.align_steps, "optimiser": self.aligner, "batch": self.align_batch}
        if not self.align_stop:
            return replace(guide, values=align(*case, **common))
        return replace(guide, values=align_until(*case, **common, stop=self.align_stop).values)

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
