"""Program one layer of one chip."""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.devices.array import REFERENCE, ProgrammedArray
from driftproof.devices.device import Array, DeviceLaws
from driftproof.devices.device_array import DeviceArray
from driftproof.devices.weight_array import WeightArray
from driftproof.laws import Bank


def reference_target(target: Tensor, groups: int) -> Tensor:
    """Return the target of a reference column, [groups, in]: offset devices half-way, that hold a weight of zero."""
    return torch.zeros(groups, target.shape[1], device=target.device)


@torch.no_grad()
def program(
    preset: DeviceLaws,
    target: Tensor,
    *,
    seed: int,
    chip: int,
    layer: str,
    groups: int = 1,
    memory: Array | None = None,
) -> ProgrammedArray:
    """Program one layer of one chip: draw what its devices keep for life.

    Args:
        preset: the device.
        target: [out, in], weights relative to their (tile's) column's maximum, in [−1, 1]; float32, contiguous.
        seed: of the evaluation.
        chip: number of the chip.
        layer: canonical name of the layer.
        groups: of a grouped convolution, whose outputs stand group by group: each has rows of its own.
        memory: an array that is not needed any more: its memory is written over if it fits. (New memory costs more
            time than the numbers in it.)

    Raises:
        ValueError: if the target is not float32, not contiguous, or not in [−1, 1].

    >>> from driftproof.presets import load_preset
    >>> array = program(load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]]), seed=0, chip=0, layer="fc")
    >>> array.net(t_s=3600.0).shape
    torch.Size([1, 2])
    """
    if target.dtype != torch.float32 or not target.is_contiguous() or target.dim() != 2:
        raise ValueError(f"target: wanted a contiguous float32 matrix, got {target.dtype} {tuple(target.shape)}")
    low, high = (float(end) for end in target.aminmax()) if target.numel() else (0.0, 0.0)
    if not -1.0 <= low <= high <= 1.0:
        raise ValueError(
            f"target: wanted weights relative to their column's maximum, got |w| up to {max(-low, high):.6g}"
        )
    spent = memory if isinstance(memory, ProgrammedArray) else None
    reference, encoding = None, preset.conductance
    if encoding.has_reference_column:
        reference = _program(preset, reference_target(target, groups), seed, chip, layer, REFERENCE, None, None)
    return _program(preset, target, seed, chip, layer, encoding.banks(), reference, spent)


def _program(
    preset: DeviceLaws,
    target: Tensor,
    seed: int,
    chip: int,
    layer: str,
    where: tuple[Bank, ...],
    reference: ProgrammedArray | None,
    memory: ProgrammedArray | None,
) -> ProgrammedArray:
    shape, quiet = (len(where), target.numel()), preset.programming.keeps == "nothing"
    first = None if quiet else _room(shape, target, memory.first if memory else None)
    life = None if preset.drift is None else _room(shape, target, memory.life if memory else None)
    array = made_array(preset, (seed, chip, layer), target, where, first, life, reference)
    array.fill()
    return array


def made_array(
    preset: DeviceLaws,
    key: tuple[int, int, str],
    target: Tensor,
    where: tuple[Bank, ...],
    first: Tensor | None,
    life: Tensor | None,
    reference: ProgrammedArray | None,
    kept: dict[str, Tensor] | None = None,
) -> ProgrammedArray:
    """Return an array of devices or of net weights, as the encoding wants; the arguments are its attributes."""
    kind = DeviceArray if preset.conductance.has_devices else WeightArray
    return kind(preset, *key, target, where, first, life, reference, kept)


def _room(shape: tuple[int, int], target: Tensor, spent: Tensor | None) -> Tensor:
    """Return memory for the state of the devices: that of a spent array if it has the shape."""
    if spent is not None and spent.shape == shape and spent.device == target.device:
        return spent
    return torch.empty(shape, device=target.device)
