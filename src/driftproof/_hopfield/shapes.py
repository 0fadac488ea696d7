"""Shapes of inputs and states: what a Hopfield network takes, and what it says of anything else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._errors import DriftproofError


def check_inputs(inputs: Tensor, dtype: torch.dtype) -> None:
    """Check that inputs are a batch of finite numbers of a network's type.

    Raises:
        DriftproofError: They are not.
    """
    if not inputs.is_floating_point():
        raise DriftproofError(f"a Hopfield network takes floating-point inputs, got {inputs.dtype}")
    if inputs.dtype != dtype:
        raise DriftproofError(
            f"inputs are {inputs.dtype} and the weights {dtype}: convert the one or the other, such as "
            f"inputs.to({dtype})"
        )
    if inputs.dim() < 2 or len(inputs) < 1:
        raise DriftproofError(
            f"inputs of shape {list(inputs.shape)}: wanted a batch [N, …] of at least one sample; one alone is "
            "inputs[None]"
        )
    if not bool(torch.isfinite(inputs).all()):
        bad = (~torch.isfinite(inputs.flatten(1))).any(1).nonzero().flatten().tolist()
        raise DriftproofError(
            f"inputs: {len(bad)} of {len(inputs)} samples of this batch have numbers that are not finite (the first is "
            f"sample {bad[0]}); remove or repair them"
        )


def as_vectors(inputs: Tensor, size: int) -> Tensor:
    """Return inputs as vectors [N, size].

    Raises:
        DriftproofError: They have another number of entries.
    """
    x = inputs.flatten(1)
    if x.shape[1] != size:
        raise DriftproofError(
            f"inputs have {x.shape[1]} numbers a sample ({list(inputs.shape[1:])}), the network takes {size}; make it "
            f"for them, such as hopfield-dense:{x.shape[1]}-1024-10"
        )
    return x


def as_images(inputs: Tensor, channels: int, size: int) -> Tensor:
    """Return images [N, channels, size, size], smaller ones with zeros around them.

    Raises:
        DriftproofError: Another number of channels, or images that cannot be padded alike on all sides.
    """
    came = list(inputs.shape)
    if len(came) != 4 or came[1] != channels or came[2] != came[3] or came[2] > size or (size - came[2]) % 2:
        raise DriftproofError(
            f"inputs of shape {came}: the network takes images [N, {channels}, {size}, {size}], or smaller square ones "
            "that can be padded with as many zeros on each side"
        )
    margin = (size - came[2]) // 2
    x = F.pad(inputs, (margin,) * 4) if margin else inputs
    return x.contiguous(memory_format=torch.channels_last)  # convolutions and pooling take half of the time


def zeros(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the state of a layer at zero, [N, *shape], for inputs x [N, …]."""
    layout = torch.channels_last if len(shape) == 3 else torch.contiguous_format
    return torch.zeros(len(x), *shape, dtype=x.dtype, device=x.device).contiguous(memory_format=layout)


def check_layers(layers: Sequence[Tensor], wanted: Sequence[tuple[int, ...]]) -> None:
    """Check the states of all layers behind the edges.

    Raises:
        DriftproofError: Layers of other shapes; hidden units outside [0, 1].
    """
    came = [tuple(layer.shape) for layer in layers]
    if came != list(wanted):
        raise DriftproofError(
            f"states of shapes {came}: wanted one for each layer behind an edge, {list(wanted)}, the input's number of "
            "samples first"
        )
    for number, layer in enumerate(layers[:-1], start=1):
        low, high = (float(bound) for bound in torch.aminmax(layer.detach())) if layer.numel() else (0.0, 1.0)
        if not (low >= 0 and high <= 1):  # "not >=" is also true for NaN
            raise DriftproofError(
                f"states of hidden layer {number} are from {low:.6g} to {high:.6g}, wanted 0 to 1 (the output alone is "
                "not bounded); clamp them, or start from zero"
            )
