"""What a device does with its part of the model, whatever the algorithm: descend at pruned weights, send the update."""

import torch

from learning.algorithm import Affine
from learning.compress import FLOAT_BITS, quantise, sent_bits
from learning.params import Params
from learning.profile import Profile


def prune(weights: Params, mask: Params) -> Params:
    """The weights with what ``mask`` leaves out set to zero; names that are not in the mask stay."""
    return {name: p * mask[name] if name in mask else p for name, p in weights.items()}


def descend(weights: Params, grads: Params, mask: Params, lr: float) -> Params:
    """One step of gradient descent that leaves pruned weights where they are."""
    return {name: p - lr * (grads[name] * mask[name] if name in mask else grads[name]) for name, p in weights.items()}


def upload(update: Params, mask: Params, bits: int, rng: torch.Generator) -> tuple[Params, float]:
    """The update as the server receives it, and the bits of what was not pruned."""
    sent = {name: quantise(u, bits, rng) for name, u in update.items()}
    return sent, sum(sent_bits(int(m.sum()), bits) for m in mask.values())


def download_bits(mask: Params) -> float:
    """Bits of the pruned part of the model, in floats, on its way to the device."""
    return float(sum(int(m.sum()) for m in mask.values()) * FLOAT_BITS)


def model_up(profile: Profile, blocks: int, bits: int) -> Affine:
    """Uplink load of an update of the first ``blocks`` blocks [bit]: the row of :func:`upload` in the cost table.

    Which weights were kept is not charged: both sides know the averaged model whose magnitudes decide.
    """
    biases, tensors = sum(profile.biases[:blocks]), sum(profile.tensors[:blocks])
    return Affine(sent_bits(biases, bits, tensors), sum(profile.weights[:blocks]) * bits)


def model_down(profile: Profile, blocks: int) -> Affine:
    """Downlink load of the first ``blocks`` blocks [bit]: the row of :func:`download_bits` in the cost table."""
    return Affine(sum(profile.biases[:blocks]) * FLOAT_BITS, sum(profile.weights[:blocks]) * FLOAT_BITS)
