"""Policies: which levers a decision may pull, by name."""

from dataclasses import dataclass, replace
from typing import Literal

Worth = Literal["typical", "mean", "online", "greedy"]
Presence = Literal["bound", "random", "round-robin", "proportional-fair", "everyone"]


@dataclass(frozen=True)
class Policy:
    """What may be decided per device; what may not is common to all devices (the best by the solver's own forecast), or not done.

    Attributes
    ----------
    splits, bits, dropout : bool
        Whether each device may have its own; otherwise one for all.
    pruning : bool
        Whether anything is pruned.
    ratio : float
        A pruning ratio for all that is not decided, as far as the bound is trusted; 0 for none. ``decision.fixed_ratio`` puts
        another in its place [1].
    band : bool
        Whether the band is shared out by the solver; otherwise in equal shares.
    power : bool
        Otherwise everyone sends at full power.
    presence : str
        Who takes part where ``decision.participation`` is below 1: by the "bound", whoever is worth the wait
        (``wirelessfl.presence``); that share of the devices by a rule of ``wirelessfl.scheduling``; or "everyone" all the same.
    interval : bool
        Whether averaging may be rarer than the scenario's training says.
    worth : str
        What a round's progress is worth in seconds: found beforehand on sampled channels, as their "mean", or so in several
        runs, of which the median is "typical"; followed "online"; or "greedy": each round by its own ratio of time to progress.
        Where devices may sit out, the first two are what it begins with, and is then followed, too.
    scheme : str
        A published scheme that decides in the solver's place, by its name in ``wirelessfl.schemes.SCHEMES``; empty for none.
    """

    splits: bool = True
    bits: bool = True
    dropout: bool = True
    pruning: bool = True
    ratio: float = 0.0
    band: bool = True
    power: bool = True
    presence: Presence = "bound"
    interval: bool = True
    worth: Worth = "typical"
    scheme: str = ""


NONE = Policy(splits=False, bits=False, dropout=False, pruning=False, band=False, power=False, presence="everyone",
              interval=False)
#: Policies by name, as ``decision.policies`` of a scenario takes them.
POLICIES = {
    "joint": Policy(),
    "equal-band": Policy(band=False),
    "fixed-split": Policy(splits=False),
    "no-pruning": Policy(pruning=False),
    "fixed-bits": Policy(bits=False),
    "fixed-dropout": Policy(dropout=False),
    "fixed-interval": Policy(interval=False),
    "full-power": Policy(power=False),
    "everyone": Policy(presence="everyone"),
    "random": Policy(presence="random"),
    "round-robin": Policy(presence="round-robin"),
    "proportional-fair": Policy(presence="proportional-fair"),
    "mean": Policy(worth="mean"),
    "online": Policy(worth="online"),
    "greedy": Policy(worth="greedy"),
    "equal": NONE,
    # published schemes, reconstructed
    "light-fixed": replace(NONE, ratio=0.3),                      # lightweight FedSL, with training.update_bits and dropout
    "epsl-descent": Policy(splits=False, bits=False, dropout=False, pruning=False, presence="everyone", interval=False,
                           worth="mean", scheme="epsl-descent"),
    "prune-kkt": Policy(presence="everyone", interval=False, worth="mean", scheme="prune-kkt"),     # pruning and personalisation
}
