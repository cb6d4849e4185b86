"""What ``benchmarks.ablation`` compares: scenarios, and the arms that run in each."""

from dataclasses import dataclass
from pathlib import Path

from wirelessfl.config import load
from wirelessfl.settings import Scenario

CALIBRATIONS = Path(__file__).parents[1] / "runs" / "calibrations"
COMMON = ("training.evaluate_every=4", "training.smoothing=12")
FITTED = 0.0                     # a memory: that of the calibration
LEVERS = {"update_bits": "[32, 8, 2]", "smashed_bits": "[32, 8, 4]", "dropouts": "[0, 0.5]", "intervals": "[1, 2, 4]"}


@dataclass(frozen=True)
class Study:
    """A scenario: its settings, and how many seeds arms in ``CLOSE`` have; the others have ``FEW``."""

    settings: tuple[str, ...]
    seeds: int


@dataclass(frozen=True)
class Arm:
    """What is compared: a policy, the levers of compression that are open to it, and settings of its own.

    Attributes
    ----------
    policy : str
    open : tuple of str
        Names of ``LEVERS``.
    own : tuple of str
        Settings that the others do not have.
    participation : float
        Least share of the rounds that are planned with a device, or, of schedules, of the devices in a round [1].
    memory : float
        Rounds over which what absent devices would have said is averaged before it counts; 0 takes that of the calibration [1].
    personal : bool
        Whether its target is that on the devices' own classes.
    """

    policy: str
    open: tuple[str, ...] = tuple(LEVERS)
    own: tuple[str, ...] = ()
    participation: float = 1.0
    memory: float = 1.0
    personal: bool = False


DIGITS = ("training.lr=0.05", "training.rounds=400", "training.target_accuracy=0.9")
STUDIES = {
    "digits": Study(DIGITS, 15),
    "digits-unlike": Study((*DIGITS, "data.concentration=0.1"), 10),
    "fashion-mnist": Study((
        "data.dataset=fashion-mnist", "data.train=4000", "data.test=1000", "training.lr=0.05", "training.rounds=400",
        "training.target_accuracy=0.7"), 15),
    "cifar-10": Study((
        "data.dataset=cifar-10", "data.train=4000", "data.test=1000", "data.standardise=true", "training.model=lenet",
        "decision.pilot_rounds=30", "cell.devices=20", "cell.radius_m=400", "cell.bandwidth_mhz=10", "cell.downlink_mhz=20",
        "devices.slowest_gflops=0.1", "devices.fastest_gflops=10", "devices.server_gflops=200", "training.lr=0.05",
        "training.rounds=400", "training.target_accuracy=0.3"), 10),
}
SAGE = ("training.algorithm=fsl-sage", "training.local_steps=5", "training.auxiliary=linear", "training.align_steps=25")
SHORT = ("decision.pilot_rounds=10",)        # where decisions need nothing from the pilot but that nothing is lost
SCHEDULED = (("random", 0.5), ("random", 0.1), ("round-robin", 0.1), ("proportional-fair", 0.5), ("proportional-fair", 0.1))
ARMS = {
    "joint": Arm("joint"),
    "equal-band": Arm("equal-band"),
    "fixed-split": Arm("fixed-split"),
    "fixed-bits": Arm("fixed-bits"),
    "no compression": Arm("joint", ("intervals",)),
    "no dropout": Arm("joint", ("update_bits", "smashed_bits", "intervals")),
    "interval 1": Arm("fixed-interval"),
    "full-power": Arm("full-power"),
    "greedy": Arm("greedy"),
    "online": Arm("online"),
    "mean": Arm("mean"),
    "sit out 0.5": Arm("joint", participation=0.5),
    **{f"sit out {rest}{name}": Arm("joint", participation=least, memory=memory) for rest, least in (("0.9", 0.1), ("any", 0.0))
       for name, memory in (("", 1.0), (", memory 10", 10.0), (", memory fitted", FITTED))},
    **{f"{policy} {share}": Arm(policy, participation=share, memory=10.0) for policy, share in SCHEDULED},
    "no-pruning": Arm("no-pruning"),
    "equal": Arm("equal"),
    "equal, no compression": Arm("equal", ()),
    "lightweight FedSL": Arm("light-fixed", (), ("training.update_bits=8", "training.dropout=0.25")),
    "EPSL": Arm("epsl-descent", (), ("training.algorithm=epsl", *SHORT)),
    "personalisation": Arm("prune-kkt", (), ("training.algorithm=personalised",), personal=True),
    "FSL-SAGE": Arm("equal", (), (*SAGE, *SHORT)),
    "FSL-SAGE, joint band": Arm("joint", (), (*SAGE, *SHORT)),
}
PERSONAL = [name for name, arm in ARMS.items() if arm.personal]
FEW = 5                          # seeds
CLOSE = ("joint", "equal-band", "fixed-split", "fixed-bits", "no dropout", "no-pruning", "greedy", "online", "mean",
         "sit out 0.9, memory 10", "sit out 0.9, memory fitted", "sit out any, memory 10", "sit out any, memory fitted",
         "proportional-fair 0.1", "FSL-SAGE", "FSL-SAGE, joint band")


def scenario(study: str, arm: str) -> Scenario:
    """The settings of a cell."""
    chosen = ARMS[arm]
    levers = [f"decision.{name}={LEVERS[name]}" for name in chosen.open]
    there = (f"decision.participation={chosen.participation}", f"decision.memory={chosen.memory}")
    fitted = () if chosen.memory else (f"decision.calibration={kept(study, first(arm))}",)
    return load(None, [f"name={study}", *COMMON, *STUDIES[study].settings, *levers, *there, *fitted, *chosen.own])


def first(arm: str) -> str:
    """The first arm that trains as this one does."""
    return next(name for name, other in ARMS.items() if other.own == ARMS[arm].own)


def kept(study: str, arm: str) -> Path:
    """Where the calibration of an arm lies."""
    return CALIBRATIONS / f"{study}-{arm.replace(' ', '-')}.json"
