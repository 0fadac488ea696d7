"""Programs the devices of one layer of one chip, or restores them from stored tensors.

A chip could be drawn again from its key. But a generator's numbers depend on the kind of torch device and on the
version of torch, while a file gives the same devices anywhere. Read noise is new at every read-out, so it is drawn from
its key again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from driftproof._devices.array import OF_REFERENCE, ProgrammedArray
from driftproof._devices.device import Array, DeviceLaws
from driftproof._devices.device_array import DeviceArray
from driftproof._devices.line import Line, Memory, longest
from driftproof._devices.normals import LayerKey, padded_size
from driftproof._devices.weight_array import WeightArray
from driftproof._errors import DriftproofError
from driftproof.laws._encoding import Bank

REFERENCE = (Bank("ref", 0.0, 1.0),)


@dataclass(frozen=True)
class Target:
    """The weights of a layer that is to be programmed.

    Attributes:
        layer: Canonical name of the layer.
        weights: Weights [out, in] in [−1, 1], relative to their (tile's) column's maximum; float32 and contiguous.
        groups: Groups of a grouped convolution, whose outputs are ordered by group (default: 1).
        rows: Rows of each row split of the layer's tiles (default: one tile holds all rows).

    Raises:
        ValueError: If the weights are not float32, not contiguous, or not in [−1, 1].
    """

    layer: str
    weights: Tensor
    groups: int = 1
    rows: tuple[slice, ...] = ()

    def __post_init__(self) -> None:
        """Check the weights."""
        target = self.weights
        if target.dtype != torch.float32 or not target.is_contiguous() or target.dim() != 2:
            raise ValueError(f"target: wanted a contiguous float32 matrix, got {target.dtype} {tuple(target.shape)}")
        low, high = (float(end) for end in target.aminmax()) if target.numel() else (0.0, 0.0)
        if not -1.0 <= low <= high <= 1.0:
            raise ValueError(
                f"target: wanted weights relative to their column's maximum, got |w| up to {max(-low, high):.6g}"
            )


def program(
    preset: DeviceLaws,
    target: Tensor,
    *,
    seed: int,
    chip: int,
    layer: str,
    groups: int = 1,
    rows: tuple[slice, ...] = (),
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

    Raises:
        ValueError: If the target is not float32, not contiguous, or not in [−1, 1].

    >>> from driftproof._presets import load_preset
    >>> array = program(load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]]), seed=0, chip=0, layer="fc")
    >>> array.net(t_s=3600.0).shape
    torch.Size([1, 2])
    """
    programmed = program_layers(preset, [Target(layer, target, groups, rows)], seed=seed, chip=chip)
    array = programmed.arrays[layer]
    assert isinstance(array, ProgrammedArray)
    return array


@dataclass(frozen=True)
class Programmed:
    """Layers of one chip.

    Attributes:
        arrays: The layers by name.
        lines: The lines in which those with devices lie.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)


@torch.no_grad()
def program_layers(
    preset: DeviceLaws, targets: Sequence[Target], *, seed: int, chip: int, spent: Programmed | None = None
) -> Programmed:
    """Program several layers of one chip, each as :func:`program` does, small ones together.

    Args:
        preset: Device whose laws are used.
        targets: The layers.
        seed: Seed of the evaluation.
        chip: Number of the chip.
        spent: Layers that are not needed any more. Their memory is reused where it fits, because fresh memory costs
            more time than the numbers in it (default: None).
    """
    old, made = spent or Programmed(), Programmed()
    keys = [LayerKey(seed, chip, target.layer) for target in targets]
    if not preset.conductance.has_devices:
        for key, target in zip(keys, targets, strict=True):
            made.arrays[key.layer] = _weights(preset, target, key, old.arrays.get(key.layer))
        return made
    memory = {tuple(line.layers): line for line in old.lines}
    for group in _groups([_devices(preset, target, key) for key, target in zip(keys, targets, strict=True)]):
        line = Line.made(group, memory.get(tuple(array.key.layer for array in group)))
        line.fill()
        made.lines.append(line)
        made.arrays.update({array.key.layer: array for array in line.arrays})
    return made


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
    key, of = LayerKey(seed, chip, layer), Target(layer, target, groups, rows)
    if not preset.conductance.has_devices:
        return _with_state(WeightArray(preset, key, target, preset.conductance.banks(), rows=rows), state)
    array = _devices(preset, of, key)
    own = {name: values for name, values in state.items() if not name.startswith(OF_REFERENCE)}
    others = {name.removeprefix(OF_REFERENCE): values for name, values in state.items() if name not in own}
    if array.reference is not None:
        array = replace(array, reference=_padded(_with_state(array.reference, others)))
    elif others:
        raise DriftproofError(f"layer {layer or '(root)'}: a reference column came, which {preset.name} does not have")
    return _padded(_with_state(array, own))


def _weights(preset: DeviceLaws, target: Target, key: LayerKey, spent: Array | None) -> WeightArray:
    """Return a programmed layer without devices, in the memory of a spent one where that fits."""
    array = WeightArray(preset, key, target.weights, preset.conductance.banks(), rows=target.rows)
    shape = array.state_shapes().get("first")
    if shape is not None:
        memory: Tensor | None = getattr(spent, "first", None)
        if memory is None or memory.shape != shape or memory.device != target.weights.device:
            memory = torch.empty(shape, device=target.weights.device)
        array = replace(array, first=memory)
    array.fill()
    return array


def _devices(preset: DeviceLaws, target: Target, key: LayerKey) -> DeviceArray:
    """Return a layer, with its programmed reference column, whose own devices have no state yet."""
    encoding, reference = preset.conductance, None
    if encoding.has_reference_column:  # devices in the middle of the range hold a weight of 0
        middle = torch.zeros(target.groups, target.weights.shape[1], device=target.weights.device)
        reference = DeviceArray(preset, key, middle, REFERENCE, rows=target.rows)
    return DeviceArray(preset, key, target.weights, encoding.banks(), reference=reference, rows=target.rows)


def _groups(arrays: Sequence[DeviceArray]) -> Iterator[list[DeviceArray]]:
    """Yield the layers that lie in one line, in order."""
    group: list[DeviceArray] = []
    size = 0
    for array in arrays:
        more = padded_size(array.target.numel())
        if group and (size + more > longest(array.target.device) or array.reference is not None):
            yield group
            group, size = [], 0
        group.append(array)
        size += more
    if group:
        yield group


def _with_state[A: ProgrammedArray](array: A, state: dict[str, Tensor]) -> A:
    """Return a layer with a stored state."""
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


def _padded(array: DeviceArray) -> DeviceArray:
    """Return a layer that has its state in the memory of a line, with the devices that pad it."""
    memory = Memory.of(array)
    own = memory.part(slice(0, array.target.numel()))
    return replace(array, memory=memory, first=own.first, life=own.life)


def _text(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"
