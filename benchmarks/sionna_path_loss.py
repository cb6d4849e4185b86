"""Path loss of TR 38.901 beside Sionna's own functions: ``python -m benchmarks.sionna_path_loss``.

Needs Sionna without its ray tracer (``pip install "sionna-no-rt==2.2.*"``). Each scenario, carrier, height and state is asked
at 403 distances over the range of the standard's table. Sionna computes with c = 299,792,458 m/s where the notes of the table
say 3.0e8 m/s, which moves the breakpoint by 0.07 %: differences are given as they are, and again with Sionna's c in our laws.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from channels import path_loss_3gpp
from channels.path_loss import SPEED_OF_LIGHT
from channels.path_loss_3gpp import InH, RMa, UMa, UMi
from channels.units import linear_to_db

try:
    import torch
    from sionna.phy.channel import tr38901
except ImportError as missing:
    raise SystemExit(f'this comparison needs Sionna: pip install "sionna-no-rt==2.2.*" ({missing})') from missing

LAWS: list[Any] = [UMa(0.7e9), UMa(3.5e9), UMa(28e9), UMa(3.5e9, device_height=10.0),
        UMi(0.7e9), UMi(3.5e9), UMi(28e9), UMi(28e9, device_height=8.0),
        InH(3.5e9), InH(60e9), InH(28e9, office="open"), RMa(0.7e9), RMa(3.5e9), RMa(0.7e9, 60.0, 3.0, 20.0, 10.0)]
SHOWN = {"UMa": (50.0, 300.0, 2000.0), "UMi": (30.0, 100.0, 1000.0), "InH": (5.0, 20.0, 100.0), "RMa": (100.0, 1000.0, 4000.0)}
RANGE = {"UMa": (10.0, 5000.0), "UMi": (10.0, 5000.0), "InH": (1.0, 149.0), "RMa": (10.0, 5000.0)}


def sionna_of(law: Any) -> Any:
    """Sionna's scenario of the same settings, without any randomness of its own."""
    panel = tr38901.PanelArray(num_rows_per_panel=1, num_cols_per_panel=1, polarization="single", polarization_type="V",
                               antenna_pattern="omni", carrier_frequency=law.carrier, precision="double")
    common = {"carrier_frequency": law.carrier, "ut_array": panel, "bs_array": panel, "direction": "uplink",
              "precision": "double"}
    match law:
        case UMa():
            return tr38901.UMa(o2i_model="low", **common)._scenario
        case UMi():
            return tr38901.UMi(o2i_model="low", **common)._scenario
        case InH():
            return tr38901.InH(indoor_scenario=law.office, **common)._scenario
    return tr38901.RMa(average_street_width=law.street_width, average_building_height=law.building_height, **common)._scenario


def asked(law: Any, distance: NDArray, sight: bool) -> dict[str, NDArray]:
    """What Sionna says at the distances (K,): loss [dB], probability of sight [1], spread [dB], decorrelations [m]."""
    scenario, count = sionna_of(law), len(distance)
    places = np.stack([distance, np.zeros(count), np.full(count, law.device_height)], -1)
    scenario.set_topology(
        ut_loc=torch.tensor(places)[None], bs_loc=torch.tensor([[[0.0, 0.0, law.height]]], dtype=torch.float64),
        ut_orientations=torch.zeros(1, count, 3, dtype=torch.float64), bs_orientations=torch.zeros(1, 1, 3, dtype=torch.float64),
        ut_velocities=torch.zeros(1, count, 3, dtype=torch.float64), los=sight,
        in_state=torch.full((1, count), isinstance(law, InH)))
    return {"loss": scenario.basic_pathloss[0, 0].numpy(), "probability": scenario.los_probability[0, 0].numpy(),
            "spread": 10 * scenario.lsp_log_std[0, 0, :, 3].numpy(),
            "decorrelation": scenario.get_param("corrDistSF")[0, 0].numpy(),
            "state": scenario._los_state_correlation_distance().numpy()}


def compared() -> Iterator[dict[str, Any]]:
    """One row a law and state: three losses side by side, and the largest differences over the range."""
    for law in LAWS:
        name = type(law).__name__
        for sight in (True, False):
            distance = np.concatenate([SHOWN[name], np.geomspace(*RANGE[name], 400)])
            theirs, ours = asked(law, distance, sight), -linear_to_db(law.gain(distance, sight))
            with patch.object(path_loss_3gpp, "C", SPEED_OF_LIGHT):
                same_c = -linear_to_db(law.gain(distance, sight))
            spread = linear_to_db(np.exp(law.spread(distance, sight)))
            yield {"law": name, "carrier_ghz": law.carrier / 1e9, "heights_m": f"{law.height:g} / {law.device_height:g}",
                   "state": "LoS" if sight else "NLoS", "distance_m": SHOWN[name],
                   "ours_db": ours[:3].tolist(), "sionna_db": theirs["loss"][:3].tolist(),
                   "difference_db": float(np.abs(ours - theirs["loss"]).max()),
                   "same_c_db": float(np.abs(same_c - theirs["loss"]).max()),
                   "probability": float(np.abs(law.sight_probability(distance) - theirs["probability"]).max()),
                   "spread_differs": int(np.sum(np.abs(spread - theirs["spread"]) > 1e-9)),
                   "decorrelation_m": float(np.abs(law.decorrelation(sight) - theirs["decorrelation"]).max()
                                            + abs(law.sight_decorrelation - theirs["state"]))}


def markdown(rows: pd.DataFrame) -> str:
    """The table as a person reads it."""
    heads = ["law", "carrier [GHz]", "heights [m]", "state", "at [m]", "ours [dB]", "Sionna [dB]", "largest difference [dB]",
             "with its c [dB]", "of P(sight)", "places of another spread", "of decorrelations [m]"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows.itertuples(index=False):
        at, ours, theirs = (", ".join(form.format(v) for v in values) for form, values in (
            ("{:g}", row.distance_m), ("{:.3f}", row.ours_db), ("{:.3f}", row.sionna_db)))
        lines.append(f"| {row.law} | {row.carrier_ghz:g} | {row.heights_m} | {row.state} | {at} | {ours} | {theirs} "
                     f"| {row.difference_db:.1e} | {row.same_c_db:.1e} | {row.probability:.1e} | {row.spread_differs} "
                     f"| {row.decorrelation_m:g} |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    argparse.ArgumentParser(description="path loss of TR 38.901 beside Sionna's").parse_args()
    rows = pd.DataFrame(compared())
    print(markdown(rows))
    print(json.dumps({"benchmark": "sionna_path_loss", "rows": rows.to_dict("records")}))


if __name__ == "__main__":
    main()
