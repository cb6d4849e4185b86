"""Record a trace with Sionna, an optional dependency: ``python -m benchmarks.sionna_trace FILE`` writes a .npz or .csv file.

    pip install "sionna-no-rt==2.2.*"                    # in an environment of its own, it brings a torch along

Devices stand uniformly in a ring around one base station, 10 m high, of a street canyon (UMi of 3GPP TR 38.901) and walk in
uniform directions; one antenna at either end, uplink. What is recorded is the power gain of each subchannel, the mean of
\\|h\\|^2 over some frequencies in it, with path loss, shadowing and fading in it. Sionna moves the phases of the paths and
leaves path loss, shadowing and delays as they are, so that a trace should be shorter than the way over which those change,
about ten metres. Prints a table of what was recorded and one JSON line.

Then ``Trace.load(FILE)`` of ``channels.trace`` plays it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.mobility import uniform_in
from channels.trace import Trace
from channels.units import linear_to_db


def record(options: argparse.Namespace) -> tuple[NDArray, Trace]:
    """Distances of the devices from the base station along the ground (K,) [m], and the trace."""
    import torch
    from sionna.phy import config
    from sionna.phy.channel import cir_to_ofdm_channel

    config.seed = options.seed
    place, model = topology(options, np.random.default_rng(options.seed))
    amplitude, delay = model(options.times, 1 / options.step)
    band = np.arange(options.subchannels * options.frequencies) + 0.5
    frequencies = (band / len(band) - 0.5) * options.bandwidth
    h = cir_to_ofdm_channel(torch.as_tensor(frequencies, dtype=torch.float32), amplitude, delay)[0, 0, 0, :, 0]
    power = np.abs(h.numpy().astype(complex)) ** 2                                             # (K, T, frequencies)
    gain = power.reshape(len(place), options.times, options.subchannels, -1).mean(-1)
    return np.hypot(*place.T), Trace(np.arange(options.times) * options.step, np.moveaxis(gain, 1, 0))


def topology(options: argparse.Namespace, rng: np.random.Generator) -> tuple[NDArray, Any]:
    """Places (K, 2) [m], and Sionna's model of the links from there."""
    import torch
    from sionna.phy.channel.tr38901 import PanelArray, UMi

    antenna = PanelArray(1, 1, polarization="single", polarization_type="V", antenna_pattern="omni",
                         carrier_frequency=options.carrier)
    model = UMi(options.carrier, o2i_model="low", ut_array=antenna, bs_array=antenna, direction="uplink")
    place = uniform_in((options.nearest, options.radius), rng.random((options.devices, 2)))
    heading = 2 * np.pi * rng.random(options.devices)
    velocity = options.speed * np.stack([np.cos(heading), np.sin(heading), 0 * heading], -1)
    height = np.full((len(place), 1), 1.5)

    def one(values: NDArray) -> Any:
        """A batch of one."""
        return torch.as_tensor(values[None], dtype=torch.float32)

    model.set_topology(
        ut_loc=one(np.concatenate([place, height], 1)), bs_loc=one(np.array([[0.0, 0.0, 10.0]])),
        ut_orientations=one(np.zeros((len(place), 3))), bs_orientations=one(np.zeros((1, 3))), ut_velocities=one(velocity),
        in_state=torch.zeros(1, len(place), dtype=torch.bool))
    return place, model


def markdown(distance: NDArray, trace: Trace) -> str:
    """The table as a person reads it: of each device, where it stands, and how its gain is spread."""
    lines = ["| device | distance [m] | mean gain [dB] | least [dB] | most [dB] |", "|---|---|---|---|---|"]
    for k, far in enumerate(distance):
        gain = trace.gain[:, k]
        found = (float(linear_to_db(value)) for value in (gain.mean(), gain.min(), gain.max()))
        lines.append(f"| {k} | {far:.1f} | " + " | ".join(f"{value:.1f}" for value in found) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(description="record the gains of a street canyon with Sionna")
    options.add_argument("file", type=Path, help=".npz or .csv")
    for name, default, meaning in (("devices", 4, "devices"), ("subchannels", 8, "subchannels"), ("times", 50, "rows"),
                                   ("frequencies", 8, "frequencies of a subchannel"), ("seed", 0, "seed")):
        options.add_argument(f"--{name}", type=int, default=default, help=f"{meaning} ({default})")
    for name, value, meaning in (("step", 0.02, "time between rows [s]"), ("carrier", 3.5e9, "carrier frequency [Hz]"),
                                 ("bandwidth", 20e6, "band of all subchannels together [Hz]"),
                                 ("speed", 1.0, "speed of the devices [m/s]"), ("nearest", 10.0, "inner radius [m]"),
                                 ("radius", 150.0, "outer radius [m]")):
        options.add_argument(f"--{name}", type=float, default=value, help=f"{meaning} ({value:g})")
    chosen = options.parse_args()
    distance, trace = record(chosen)
    trace.save(chosen.file)
    print(markdown(distance, trace))
    settings = {name: value for name, value in vars(chosen).items() if name != "file"}
    print(json.dumps({"benchmark": "sionna_trace", "duration_s": trace.duration, **settings}))


if __name__ == "__main__":
    main()
