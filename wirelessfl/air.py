"""From settings to the air: the names of its laws, and the door where decibels, MHz and km/h become SI units."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from channels.cell import Cell
from channels.csi import Knowledge
from channels.delivery import Packets
from channels.fading import Fading, Nakagami, NoFading, Rayleigh, Rician
from channels.links import Air
from channels.mobility import Mobility, Still, Straight
from channels.path_loss import SPEED_OF_LIGHT, CloseIn, FreeSpace, LogDistance, Macro3GPP, PathLoss
from channels.path_loss_3gpp import InH, RMa, UMa, UMi
from channels.playback import Playback
from channels.process import COHERENCE, Block, GaussMarkov, Jakes, Process
from channels.process import Still as Once
from channels.tapped_delay import PROFILES, TappedDelay
from channels.trace import Trace
from channels.units import db_to_linear, db_to_neper, kmh_to_si
from channels.waypoint import RandomWaypoint
from wirelessfl.config import SettingsError, choose
from wirelessfl.settings import CellSettings, ChannelSettings, Scenario, Section


def _heights(c: CellSettings) -> dict[str, Any]:
    """The heights that are set, by the names that laws have for them."""
    given = {"height": c.server_height_m, "device_height": c.device_height_m}
    return {name: height for name, height in given.items() if height}


def _tapped(profile: str, s: Scenario, process: Process) -> TappedDelay:
    return TappedDelay(profile, 1e-9 * s.channel.delay_spread_ns, 1e6 * s.cell.bandwidth_mhz, s.channel.subchannels, process)


PATH_LOSS: dict[str, Callable[[CellSettings], PathLoss]] = {
    "3gpp-macro": lambda c: Macro3GPP(),
    "log-distance": lambda c: LogDistance(c.exponent, 1e9 * c.carrier_ghz, c.reference_m),
    "free-space": lambda c: FreeSpace(1e9 * c.carrier_ghz),
    "close-in": lambda c: CloseIn(),
    "uma": lambda c: UMa(1e9 * c.carrier_ghz, **_heights(c)),
    "umi": lambda c: UMi(1e9 * c.carrier_ghz, **_heights(c)),
    "inh": lambda c: InH(1e9 * c.carrier_ghz, office=c.office, **_heights(c)),
    "rma": lambda c: RMa(1e9 * c.carrier_ghz, building_height=c.building_height_m, street_width=c.street_width_m,
                         **_heights(c)),
}
PROCESSES: dict[str, Callable[[ChannelSettings], Process]] = {
    "block": lambda h: Block(), "gauss-markov": lambda h: GaussMarkov(), "jakes": lambda h: Jakes(h.waves),
    "still": lambda h: Once(),
}
FADING: dict[str, Callable[[Scenario, Process], Fading]] = {
    "rayleigh": lambda s, process: Rayleigh(process),
    "rician": lambda s, process: Rician(float(db_to_linear(s.channel.rician_k_db)), process),
    "nakagami": lambda s, process: Nakagami(s.channel.nakagami_m),
    "none": lambda s, process: NoFading(),
    **{profile: partial(_tapped, profile) for profile in PROFILES},
}
MOBILITY: dict[str, Callable[[CellSettings], Mobility]] = {
    "still": lambda c: Still(),
    "straight": lambda c: Straight(kmh_to_si(c.slowest_kmh), kmh_to_si(c.fastest_kmh)),
    "waypoint": lambda c: RandomWaypoint(kmh_to_si(c.slowest_kmh), kmh_to_si(c.fastest_kmh), c.pause_s),
}
PLAYED = "trace"                                    # the fading that replaces all of them
AFRESH = ("nakagami", "none")                       # fading that knows no process in time
KNOWN = ("rayleigh", "rician", "none")              # fading whose estimates have a law


def air(s: Scenario, rng: np.random.Generator) -> Air:
    """Where a seed of the scenario takes its links from: a recording, or a cell whose devices are placed by ``rng``."""
    return Playback(Trace.load(s.channel.trace)) if s.channel.fading == PLAYED else cell(s).place(rng, s.cell.devices)


def cell(s: Scenario) -> Cell:
    """The scenario's cell."""
    c, h = s.cell, s.channel
    process = choose(PROCESSES, h.correlation, "channel.correlation")(h)
    fading = choose({**FADING, PLAYED: FADING["none"]}, h.fading, "channel.fading")(s, process)
    return Cell(
        c.radius_m, c.nearest_m, choose(PATH_LOSS, c.path_loss, "cell.path_loss")(c),
        shadowing=None if c.shadowing_db == "law" else db_to_neper(c.shadowing_db),
        sight={"yes": True, "no": False}.get(c.sight), fading=fading, antennas=h.antennas,
        mobility=choose(MOBILITY, c.mobility, "cell.mobility")(c), carrier=1e9 * c.carrier_ghz,
        surroundings=kmh_to_si(h.surroundings_kmh), paired=h.duplex == "fdd")


def knowledge(h: ChannelSettings) -> Knowledge:
    """How good the scenario's estimates are."""
    return Knowledge(h.csi_error, 1e-3 * h.csi_delay_ms)


def packets(h: ChannelSettings) -> Packets:
    """How the scenario's bits travel."""
    return Packets(1e3 * h.packet_kbit, h.packet_error, h.attempts)


def coherence_time(s: Scenario) -> float:
    """Time after which the scattered waves of the fastest device correlate by one half [s]; ``inf`` where none change: nothing
    moves, or fading is drawn once, recorded or none."""
    if s.channel.fading in ("none", PLAYED) or s.channel.correlation == "still":
        return float("inf")
    speed = kmh_to_si(s.channel.surroundings_kmh + (0.0 if s.cell.mobility == "still" else s.cell.fastest_kmh))
    return COHERENCE * SPEED_OF_LIGHT / (1e9 * s.cell.carrier_ghz * speed) if speed else float("inf")


def check(s: Scenario) -> None:
    """Look up every name of the air, and refuse what does not go together, before any work."""
    c, h, d, law = s.cell, s.channel, s.decision, cell(s).path_loss
    packets(h)
    played, known = h.fading == PLAYED, knowledge(h)
    idle = [*_changed(c, "path_loss", "sight", "shadowing_db", "mobility"), *_changed(h, "correlation", "antennas", "duplex")]
    own = _changed(s.devices, "tx_power_dbm", "slowest_gflops", "fastest_gflops", "energy_pj_per_flop")
    refusals = (
        (h.fading in AFRESH and h.correlation != "block",
         f"channel.correlation: {h.fading} fading has none in time, it must be block, got {h.correlation!r}"),
        (d.outage and known.perfect, "decision.outage is a margin for estimates that may be wrong, and channel.csi_error and "
         f"channel.csi_delay_ms are 0: got {d.outage}"),
        (((h.csi_error or d.outage) and h.fading not in KNOWN) or (h.csi_delay_ms and h.fading not in (*KNOWN, PLAYED)),
         "channel.csi_error, channel.csi_delay_ms and decision.outage need fading that is one of "
         f"{list(KNOWN)}, or a delay alone and a trace, got {h.fading!r}"),
        (h.csi_delay_ms and h.correlation == "still" and not played,
         f"channel.csi_delay_ms ages nothing where channel.correlation is still: got {h.csi_delay_ms}"),
        (played != bool(h.trace),
         f"channel.trace names the file for channel.fading = {PLAYED!r}, and only for it: got {h.trace!r} for {h.fading!r}"),
        (played and idle, f"channel.trace is all there is of a recorded channel: leave {', '.join(idle)} as they are"),
        (_heights(c) and not hasattr(law, "height"),
         f"cell.server_height_m and cell.device_height_m have no use for {c.path_loss}: leave them at 0 [m]"),
        (c.sight != "random" and np.all(law.sight_probability(np.geomspace(1.0, 1e4, 50)) == 1),
         f"cell.sight has no use for {c.path_loss}, which makes no difference: leave it at random, got {c.sight!r}"),
        (isinstance(law, CloseIn) and c.carrier_ghz != 28,
         f"cell.carrier_ghz must be 28 for close-in, whose constants are of that band [GHz], got {c.carrier_ghz:g}"),
        (s.devices.profiles and own,
         f"devices.profiles bring their own speeds, energies and powers: leave {', '.join(own)} as they are"),
    )
    for refused, sentence in refusals:
        if refused:
            raise SettingsError(sentence)
    if played and (found := Trace.load(h.trace).devices) != c.devices:
        raise SettingsError(f"cell.devices must be the {found} of the recording {h.trace}, got {c.devices}")


def _changed(section: Section, *names: str) -> list[str]:
    """Those of the settings that are not as they are by default."""
    return [name for name in names if getattr(section, name) != type(section).model_fields[name].default]
