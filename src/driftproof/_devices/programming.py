"""Programs the devices of one layer of one chip, or restores them from stored tensors.

A chip could be drawn again from its key. But a generator's numbers depend on the kind of torch device and on the
version of torch, while a file gives the same devices anywhere. Read noise is new at every read-out, so it is drawn from
its key again.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from driftproof._devices.array import OF_REFERENCE, ProgrammedArray
from driftproof._devices.device import Array, DeviceLaws
from driftproof._devices.device_array import DeviceArray
from driftproof._devices.normals import LayerKey
from driftproof._devices.weight_array import WeightArray
from driftproof._errors import DriftproofError
from driftproof.laws._encoding import Bank

REFERENCE = (Bank("ref", 0.0, 1.0),)


@torch.no_grad()
def program(
    preset: DeviceLaws,
    target: Tensor,
    *,
    seed: int,
    chip: int,
    layer: str,
    groups: int = 1,
    rows: tuple[slice, ...] = (),
    memory: Array | None = None,
) -> ProgrammedArray:
    """Program one layer of one chip: draw the numbers that its devices keep for life.

    Args:
        preset: Device whose laws are used.
        target: Weights [out, in] in [−1, 1], relative to their (tile's) column's maximum; float32 and contiguous.
        seed: Seed of the evaluation.
        chip: Number of the chip.
        layer: Canonical name of the layer.
        groups: Groups of a grouped convolution, whose outputs are ordered by group (default: 1).
        rows: Rows of each row split of the layer's tiles (default: one tile holds all rows).
        memory: An array that is not needed any more. Its memory is reused if it has the right size, because fresh
            memory costs more time than the numbers in it (default: None).

    Raises:
        ValueError: If the target is not float32, not contiguous, or not in [−1, 1].

    >>> from driftproof._presets import load_preset
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
    array = _unprogrammed(preset, target, LayerKey(seed, chip, layer), groups, rows)
    if array.reference is not None:
        array = replace(array, reference=_programmed(array.reference, None))
    return _programmed(array, memory if isinstance(memory, ProgrammedArray) else None)


@torch.no_grad()
def restore(
    preset: DeviceLaws,
    target: Tensor,
    state: dict[str, Tensor],
    *,
    seed: int,
    chip: int,
    layer: str,
    groups: int = 1,
    rows: tuple[slice, ...] = (),
) -> ProgrammedArray:
    """Return the array whose :meth:`ProgrammedArray.state <driftproof._devices.ProgrammedArray.state>` was stored.

    Args:
        preset: Device of the array.
        target: Target weights, [out, in].
        state: The stored numbers that its devices keep for life, by name.
        seed: Seed of the evaluation, for read noise.
        chip: Number of the chip.
        layer: Canonical name of the layer.
        groups: Groups of a grouped convolution (default: 1).
        rows: Rows of each row split of the layer's tiles (default: one tile holds all rows).

    Raises:
        DriftproofError: If tensors are missing, unknown, not float32, or of another shape.

    >>> from driftproof._presets import load_preset
    >>> pcm, target = load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]])
    >>> array = program(pcm, target, seed=0, chip=0, layer="fc")
    >>> again = restore(pcm, target, array.state(), seed=0, chip=0, layer="fc")
    >>> torch.equal(again.net(3600.0), array.net(3600.0))
    True
    """
    array = _unprogrammed(preset, target, LayerKey(seed, chip, layer), groups, rows)
    own = {name: values for name, values in state.items() if not name.startswith(OF_REFERENCE)}
    others = {name.removeprefix(OF_REFERENCE): values for name, values in state.items() if name not in own}
    if array.reference is not None:
        array = replace(array, reference=_restored(array.reference, others))
    elif others:
        raise DriftproofError(f"layer {layer or '(root)'}: a reference column came, which {preset.name} does not have")
    return _restored(array, own)


def _unprogrammed(
    preset: DeviceLaws, target: Tensor, key: LayerKey, groups: int, rows: tuple[slice, ...]
) -> ProgrammedArray:
    """Return an array, with its reference column, whose devices have no state yet."""
    encoding, reference = preset.conductance, None
    kind = DeviceArray if encoding.has_devices else WeightArray
    if encoding.has_reference_column:  # devices in the middle of the range hold a weight of 0
        middle = torch.zeros(groups, target.shape[1], device=target.device)
        reference = kind(preset, key, middle, REFERENCE, rows=rows)
    return kind(preset, key, target, encoding.banks(), reference=reference, rows=rows)


def _programmed(array: ProgrammedArray, spent: ProgrammedArray | None) -> ProgrammedArray:
    """Return an array whose devices are programmed, in the memory of a spent one where that fits."""
    state = {}
    for name, shape in array.state_shapes().items():
        memory: Tensor | None = getattr(spent, name, None)
        if memory is None or memory.shape != shape or memory.device != array.target.device:
            memory = torch.empty(shape, device=array.target.device)
        state[name] = memory
    array = replace(array, first=state.get("first"), life=state.get("life"))
    array.fill()
    return array


def _restored(array: ProgrammedArray, state: dict[str, Tensor]) -> ProgrammedArray:
    """Return an array whose devices have a stored state."""
    wanted = array.state_shapes() | array.kept_shapes()
    came = {name: tuple(values.shape) for name, values in state.items()}
    if came != wanted or any(values.dtype != torch.float32 for values in state.values()):
        rows, columns = array.target.shape
        raise DriftproofError(
            f"layer {array.key.layer or '(root)'}: the stored devices do not fit {array.preset.name} and a layer of "
            f"{rows} x {columns}: wanted {_text(wanted)} of float32, got {_text(came)}; was the file changed?"
        )
    kept = {name: values.to(array.target.device).contiguous() for name, values in state.items()}
    return replace(array, first=kept.pop("first", None), life=kept.pop("life", None), kept=kept)


def _text(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"
