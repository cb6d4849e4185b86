"""What crosses the cut: made small before it is sent, and counted."""

from dataclasses import dataclass

import torch
from torch import Tensor

from learning.compress import BITS, FLOAT_BITS, PER, quantise, scales_of, sent_bits
from learning.smash import KINDS, Sent, sent_of


@dataclass(frozen=True)
class Compression:
    """How numbers are made small before they are sent.

    Attributes
    ----------
    update_bits : int
        Bits of an entry of the client model's update on the uplink, 1 to 16; 32 sends floats.
    smashed_bits, cut_bits : int
        Bits of an entry of the smashed data, and of their gradients on the way back.
    dropout : float
        Share of the smashed data that is not sent (nor its gradient), in [0, 1).
    dropout_kind : str
        "random" entries, or the "feature"s that vary least (SplitFC).
    scales : str
        A quantiser's scale for each "tensor", or for each "channel" of it (its first axis).
    """

    update_bits: int = 32
    smashed_bits: int = 32
    cut_bits: int = 32
    dropout: float = 0.0
    dropout_kind: str = "random"
    scales: str = "tensor"

    @property
    def crossing(self) -> bool:
        """Whether what crosses the cut is made smaller."""
        return bool(self.dropout) or min(self.smashed_bits, self.cut_bits) < FLOAT_BITS

    def __post_init__(self) -> None:
        for name in ("update_bits", "smashed_bits", "cut_bits"):
            if getattr(self, name) not in BITS:
                raise ValueError(f"{name} must be between 1 and 16, or 32 for floats [bit], got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be within [0, 1) [1], got {self.dropout}")
        if self.dropout_kind not in KINDS or self.scales not in PER:
            raise ValueError(f"dropout_kind must be one of {list(KINDS)} and scales one of {list(PER)}, "
                             f"got {self.dropout_kind!r} and {self.scales!r}")


PLAIN = Compression()


def send(v: Tensor, sent: Sent | None = None, bits: int = FLOAT_BITS, scales: str = "tensor",
         rng: torch.Generator | None = None) -> tuple[Tensor, float]:
    """What the other side receives of ``v`` (n, ...), and the bits that it took."""
    v, entries = v.to(torch.promote_types(v.dtype, torch.float32)), v.numel() if sent is None else sent.entries
    v = v if sent is None else v * sent.mask
    if bits >= FLOAT_BITS:
        return v, sent_bits(entries, bits)
    rounded = quantise(v, bits, needed(rng), scales)
    return rounded if sent is None else rounded * (sent.mask > 0), sent_bits(entries, bits, scales_of(v.shape, scales))


def crossing_bits(samples: int, outputs: int, compression: Compression, bits: int) -> float:
    """Size of a batch's smashed data, or of their gradients, ``outputs`` elements a sample, at ``bits`` an entry [bit]; the mean
    where whole features are dropped."""
    features = compression.dropout_kind == "feature"
    kept = (1 - compression.dropout) * outputs if features else sent_of(outputs, compression.dropout)
    return sent_bits(samples * kept, bits, scales_of(torch.Size((samples, outputs)), compression.scales))


def side_bits(outputs: int, compression: Compression) -> int:
    """What tells the server which features of a batch are sent, up only [bit]."""
    return outputs if compression.dropout and compression.dropout_kind == "feature" else 0


def needed(rng: torch.Generator | None) -> torch.Generator:
    """The generator, or a sentence where there is none."""
    if rng is None:
        raise ValueError("dropout and quantisation draw at random: give them a torch.Generator")
    return rng
