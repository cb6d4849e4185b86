"""The settings of a scenario: typed, with their meanings and units.

Decibels, MHz and milliwatts are typed here and stop here (``wirelessfl.world`` and ``wirelessfl.air`` convert them).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of a scenario: unknown keys are refused, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=False)


def _key(default: Any, meaning: str, **limits: Any) -> Any:
    return Field(default, description=meaning, **limits)


class CellSettings(Section):
    """The radio cell: who stands where, large-scale propagation, and the band."""

    devices: int = _key(10, "number of devices", ge=1)
    radius_m: float = _key(250.0, "radius of the disc in which devices stand [m]", gt=0)
    nearest_m: float = _key(35.0, "no device is nearer to the server than this [m]; 35 for 3gpp-macro by TR 36.814", gt=0)
    path_loss: str = _key("3gpp-macro", "3gpp-macro (128.1 + 37.6 log10(d/km) dB), log-distance (a power law), free-space, "
                                        "close-in (28 GHz), uma, umi, inh or rma (3GPP TR 38.901)")
    exponent: float = _key(3.5, "path-loss exponent of log-distance [1]", gt=0)
    carrier_ghz: float = _key(2.0, "carrier frequency of Doppler, and of all path losses but 3gpp-macro [GHz]", ge=0.001, le=1000)
    reference_m: float = _key(1.0, "log-distance: free space up to here [m]", gt=0)
    office: Literal["mixed", "open"] = _key("mixed", "inh: kind of office, mixed or open")
    building_height_m: float = _key(5.0, "rma: mean height of buildings [m]", gt=0)
    street_width_m: float = _key(20.0, "rma: mean width of streets [m]", gt=0)
    server_height_m: float = _key(0.0, "height of the server's antenna, 0 for the usual one of the path loss [m]", ge=0)
    device_height_m: float = _key(0.0, "height of the devices, 0 for the usual one of the path loss [m]", ge=0)
    sight: Literal["random", "yes", "no"] = _key("random", "line of sight: at random by the law of the path loss, yes or no")
    shadowing_db: Annotated[float, Field(ge=0, le=15)] | Literal["law"] = _key(
        "law", "standard deviation of the log-normal shadowing [dB], or law: the one of the path loss")
    mobility: str = _key("still", "still, straight (straight lines within the disc) or waypoint (random waypoint)")
    slowest_kmh: float = _key(3.0, "speed of the slowest moving devices [km/h]", gt=0)
    fastest_kmh: float = _key(30.0, "speed of the fastest moving devices [km/h]", gt=0)
    pause_s: float = _key(0.0, "waypoint: pause at each point [s]", ge=0)
    bandwidth_mhz: float = _key(4.0, "uplink band that the devices share [MHz]", ge=1e-3, le=1e5)
    downlink_mhz: float = _key(10.0, "downlink band, in equal shares [MHz]", ge=1e-3, le=1e5)
    noise_dbm_per_hz: float = _key(-174.0, "noise power density [dBm/Hz]", ge=-204, le=-140)
    noise_figure_db: float = _key(6.0, "noise figure of the receivers [dB]", ge=0, le=50)


class ChannelSettings(Section):
    """What changes on the air, what is known of it, and what goes wrong."""

    fading: str = _key("rayleigh", "rayleigh, rician, nakagami, tdl-a ... tdl-e (tapped delay lines of 3GPP TR 38.901), none, or "
                                   "trace (all gains from a file)")
    correlation: str = _key("block", "of fading in time: block (afresh each round), gauss-markov, jakes or still (drawn once)")
    waves: int = _key(32, "jakes: waves that make a link", ge=8)
    rician_k_db: float = _key(6.0, "rician: power of the dominant path over that of all others together [dB]", ge=-100, le=100)
    nakagami_m: float = _key(2.0, "nakagami: shape, 1 is rayleigh [1]", ge=0.5)
    delay_spread_ns: float = _key(100.0, "tdl: root-mean-square delay spread [ns]", ge=0)
    subchannels: int = _key(16, "tdl: subchannels over which the uplink band is sampled; a device's gain is their mean", ge=1)
    surroundings_kmh: float = _key(3.0, "speed at which the surroundings move, beside the devices: fading goes on [km/h]", ge=0)
    antennas: int = _key(1, "antennas of the server, combined for the largest ratio", ge=1)
    duplex: Literal["tdd", "fdd"] = _key("tdd", "tdd: the downlink fades as the uplink does; fdd: on its own")
    trace: str = _key("", "trace: file of gains, .csv or .npz")
    csi_error: float = _key(0.0, "share of the scattered power that channel estimates get wrong [1]", ge=0, le=1)
    csi_delay_ms: float = _key(0.0, "age of channel estimates when they are used [ms]", ge=0)
    packet_kbit: float = _key(12.0, "length of a packet [kbit]", gt=0)
    packet_error: float = _key(0.0, "probability that a packet is lost although the link carries its rate [1]", ge=0, lt=1)
    attempts: int = _key(8, "how often a packet is sent at most before its device is out of the round; 1 never repeats", ge=1)


class DeviceSettings(Section):
    """Devices and server."""

    tx_power_dbm: float = _key(20.0, "peak transmit power of a device [dBm]", ge=-100, le=50)
    slowest_gflops: float = _key(0.03, "computing speed of the slowest devices [GFLOP/s]", gt=0)
    fastest_gflops: float = _key(1.0, "computing speed of the fastest; log-uniform in between [GFLOP/s]", gt=0)
    energy_pj_per_flop: float = _key(500.0, "computing energy at 1 GFLOP/s; grows with the square of the speed [pJ/FLOP]", ge=0)
    energy_budget_mj: float = _key(0.0, "energy that a device may spend in a round, 0 for no limit [mJ]", ge=0)
    profiles: dict[str, Annotated[float, Field(gt=0)]] = _key(
        {}, "shares of named profiles, as {phone = 0.7, laptop = 0.3}, instead of the speeds, energies and powers above")
    battery_j: float = _key(0.0, "energy that a device has for the whole run, 0 for no limit (or its profile's) [J]", ge=0)
    server_gflops: float = _key(50.0, "computing speed of the server, in equal shares [GFLOP/s]", gt=0)
    server_power_dbm: float = _key(43.0, "transmit power of the server [dBm]", ge=-100, le=70)


class DataSettings(Section):
    """What is learnt, and who holds it."""

    dataset: str = _key("digits", "digits, or NAME of a file NAME.npz in the folder that WIRELESSFL_DATA names")
    train: int = _key(0, "size of a random training subset with the classes' shares, 0 for all [samples]", ge=0)
    test: int = _key(0, "the same of the test data, 0 for all [samples]", ge=0)
    standardise: bool = _key(False, "give each channel mean 0 and deviation 1, by the training images")
    partition: str = _key("dirichlet", "iid, dirichlet (each class over devices), dirichlet-equal (equal sizes, each device over "
                                       "classes), shards (few classes a device) or sizes (unequal)")
    concentration: float = _key(1.0, "of the Dirichlet partitions: small values give a device few classes [1]", gt=0)
    shards: int = _key(2, "label-sorted shards of a device [1]", ge=1)
    spread: float = _key(1.0, "standard deviation of the logarithm of the sizes [1]", ge=0)


class TrainingSettings(Section):
    """The algorithm."""

    algorithm: str = _key("light-fedsl", "fedavg, split-learning, splitfed-v1, splitfed-v2, psl, epsl, cse-fsl, fsl-sage, "
                                         "light-fedsl or personalised")
    model: str = _key("cnn", "cnn, mlp, lenet, vgg11, vgg16, vgg19, resnet18, resnet18-cifar, resnet50, resnet50-cifar or "
                             "vit-tiny")
    norm: Literal["batch", "group"] = _key("batch", "norm layers of the models that have some: batch or group")
    rounds: int = _key(140, "most rounds of a run", ge=1)
    batch: int = _key(32, "samples of a mini-batch", ge=1)
    local_steps: int = _key(1, "mini-batches of a device in a round; 0 for one pass over its data", ge=0)
    optimiser: Literal["sgd", "adam"] = _key("sgd", "of devices and server: sgd or adam")
    lr: float = _key(0.1, "learning rate [1]", gt=0)
    server_lr: float = _key(0.0, "learning rate of the server, 0 for the same [1]", ge=0)
    momentum: float = _key(0.0, "of sgd [1]", ge=0, lt=1)
    weight_decay: float = _key(0.0, "of both optimisers [1]", ge=0)
    flip: bool = _key(False, "mirror training images at random")
    crop: int = _key(0, "pad training images and crop them at random by so much [pixels]", ge=0)
    precision: Literal["float32", "bfloat16"] = _key("float32", "of matrix products and convolutions in training: float32 or "
                                                                "bfloat16; weights and what is sent are float32 in both")
    device: str = _key("cpu", "where networks and data are: cpu, cuda or cuda:N, N from 0; draws are the same everywhere")
    evaluate_every: int = _key(1, "rounds from one test of the models to the next; the last round is tested, too, and the target "
                                  "counts as reached in a tested round only", ge=1)
    target_accuracy: float = _key(0.93, "test accuracy that the clock is stopped at [1]", gt=0, lt=1)
    smoothing: int = _key(5, "rounds over which the accuracy is averaged for that, as far as they are tested", ge=1)
    interval: int = _key(1, "light-fedsl: client sides are averaged every so many rounds", ge=1)
    update_bits: int = _key(32, "bits of an entry of a client's update, 1 to 16; 32 is a float [bit]", ge=1, le=32)
    smashed_bits: int = _key(32, "light-fedsl: bits of an entry of the smashed data, likewise [bit]", ge=1, le=32)
    cut_bits: int = _key(32, "light-fedsl: bits of an entry of their gradients, likewise [bit]", ge=1, le=32)
    scales: Literal["tensor", "channel"] = _key("tensor", "what has a scale of its own when it is quantised: tensor or channel")
    dropout: float = _key(0.0, "light-fedsl: share of the smashed data that is not sent [1]", ge=0, lt=1)
    dropout_kind: Literal["random", "feature"] = _key("random", "random entries, or the features that vary least (SplitFC)")
    pruned: Literal["", "magnitude", "random", "gradient", "difference"] = _key(
        "", "which weights are pruned: those of least magnitude, gradient or difference, or random ones; empty for the "
            "algorithm's own choice")
    scope: Literal["", "layer", "global"] = _key("", "the pruning ratio is for each layer, or for all together; empty as above")
    averaged: Literal["", "all", "kept"] = _key("", "average a weight over all devices (a pruned one is a zero update), or over "
                                                    "those that kept it; empty for the algorithm's own choice")
    refresh: int = _key(1, "rounds from one drawing of the pruned weights to the next", ge=1)
    share: float = _key(0.5, "epsl: share of a batch whose gradients are aggregated [1]", ge=0, le=1)
    auxiliary: Literal["linear", "half", "stage", "full"] = _key("stage", "cse-fsl, fsl-sage: size of the auxiliary networks")
    every: int = _key(5, "cse-fsl, fsl-sage: one mini-batch in so many goes up", ge=1)
    align_every: int = _key(10, "fsl-sage: rounds from one alignment to the next", ge=1)
    align_steps: int = _key(100, "fsl-sage: most steps of an alignment", ge=1)
    align_batch: int = _key(0, "fsl-sage: samples of a step of an alignment, in turn; 0 for all that are kept", ge=0)
    align_stop: float = _key(0.0, "fsl-sage: an alignment ends when it brings held-out samples nearer by less than this share of "
                                  "their mismatch; 0 takes all steps [1]", ge=0, lt=1)
    personal: int = _key(1, "personalised: blocks at the end that stay with the device", ge=0)
    personal_steps: int = _key(1, "personalised: mini-batches for them in a round; 0 for one pass", ge=0)


class DecisionSettings(Section):
    """How decisions are made."""

    policies: tuple[str, ...] = _key(
        ("joint", "equal-band", "fixed-split", "no-pruning", "equal"), "what to compare; the first is compared with the others",
        min_length=1)
    when: Literal["every-round", "once"] = _key("every-round", "decide on each round's channel, or once on the mean channel")
    every: int = _key(1, "rounds for which splits, pruning and compression stand; of that and the interval of averaging, the "
                         "least common multiple; band and power follow each round's channel", ge=1)
    splits: tuple[int, ...] = _key((), "blocks that a device may run, one of these; empty for all cuts of the model")
    update_bits: tuple[int, ...] = _key((), "light-fedsl, fedavg, personalised: bits of an update's entry that a device "
                                            "may choose from, as training.update_bits; empty for that one [bit]")
    smashed_bits: tuple[int, ...] = _key((), "light-fedsl: the same for the smashed data [bit]")
    dropouts: tuple[float, ...] = _key((), "light-fedsl: shares of the smashed data not to send that a device may choose from; "
                                           "empty for training.dropout [1]")
    intervals: tuple[Annotated[int, Field(ge=1)], ...] = _key(
        (), "light-fedsl: rounds between two averagings, of which the best is chosen beforehand; empty for training.interval")
    fixed_split: int = _key(
        0, "the split of the policies that fix it; 0 for the best common one by the solver's own forecast", ge=0)
    fixed_ratio: float = _key(
        0.0, "pruning ratio of the policies that fix it (light-fixed), as far as prune_max and the bound allow; 0 for the "
             "policy's own [1]", ge=0, lt=1)
    prune_max: float = _key(0.9, "largest pruning ratio [1]", ge=0, lt=1)
    bound: str = _key("relative", "form of the convergence bound: relative (measured bias) or constants (the literature's)")
    bias_max: float = _key(0.75, "relative bias above which the bound is not trusted [1]", gt=0, lt=1)
    exponent: float = _key(1.0, "progress of a round is (1 - loss)^exponent; 1 is the bound as derived, 0 takes that of the "
                                "calibration (`wirelessfl calibrate --exponent`) [1]", ge=0)
    calibration: str = _key("", "file with the bound's constants, by `wirelessfl calibrate`; empty to measure them at the start")
    recalibrate: int = _key(0, "rounds after which (as of every) the bias of pruning and compression is measured anew, on the "
                               "model as it then is, unless noise hides its gradient; 0 for never. Its time and energy are not "
                               "counted", ge=0)
    pilot_rounds: int = _key(60, "length of the pilot run that measures the bound's constants", ge=2)
    deadline_ms: float = _key(0.0, "deadline of a round, 0 to choose the best one [ms]", ge=0)
    outage: float = _key(0.0, "probability with which a link may be worse than it is taken for; 0 takes estimates for "
                              "the truth [1]", ge=0, lt=1)
    patience: float = _key(0.0, "the server goes on without who is not through after so many times the time planned, 1 or more; "
                                "0 waits for everyone [1]", ge=0)
    longest_s: float = _key(3600.0, "without a deadline: what a device cannot do within so long it cannot do [s]", gt=0)
    participation: float = _key(1.0, "least share of the rounds that are planned with a device that can take part: below 1 "
                                     "it may sit a round out, where the wait costs more than its part is worth; of policies "
                                     "random, round-robin, proportional-fair (with a memory) the share of devices in a round [1]",
                                ge=0, le=1)
    memory: float = _key(1.0, "rounds over which what absent devices would have said is averaged before it counts as lost: "
                              "1 is the bound as derived, more trusts that the next rounds make up for it, 0 takes that of the "
                              "calibration (`wirelessfl calibrate --memory`) [rounds]", ge=0, le=1e6)
    absent: Literal["leave-out", "stop"] = _key("leave-out", "a device that cannot take part in a round is left out "
                                                                  "of it, or stops the run")


class Scenario(Section):
    """Everything that a run depends on."""

    name: str = _key("default", "name of the scenario; run folders bear it", pattern=r"^[\w.-]+$")
    seed: int = _key(0, "first seed", ge=0)
    seeds: int = _key(5, "number of seeds: seed, seed + 1, ...", ge=1)
    cell: CellSettings = CellSettings()
    channel: ChannelSettings = ChannelSettings()
    devices: DeviceSettings = DeviceSettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    decision: DecisionSettings = DecisionSettings()
