"""What a programmed array keeps for life, as named tensors: to write it to a file, and to have the same array again.

A chip could be drawn again from its key. But a generator's numbers are those of a kind of device and of a version of
torch; what a file holds is the same devices anywhere. Read noise is new at every read-out: it is drawn from its key
again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from driftproof.devices import laws
from driftproof.devices.array import REFERENCE, ProgrammedArray, reference_target
from driftproof.devices.banks import Bank, banks
from driftproof.errors import DriftproofError
from driftproof.presets import DevicePreset
from driftproof.presets.laws import Conductances, ExactProgramming, PolynomialProgramming

_OF_REFERENCE = "reference."


@torch.no_grad()
def stored(array: ProgrammedArray) -> dict[str, Tensor]:
    """Return what the devices of an array keep for life: name → [banks, n], or [n] of one bank.

    >>> from driftproof.devices import program
    >>> from driftproof.presets import load_preset
    >>> array = program(load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]]), seed=0, chip=0, layer="fc")
    >>> {name: list(values.shape) for name, values in stored(array).items()}
    {'first': [2, 2], 'life': [2, 2]}
    """
    found: dict[str, Tensor] = {}
    if array.first is not None:
        found["first"] = array.first
    if array.life is not None:
        found["life"] = array.life
    for purpose in _purposes(array.preset, array.banks):
        found[purpose] = torch.cat([numbers for _, numbers in array._draw(purpose)])
    if array.reference is not None:
        found |= {f"{_OF_REFERENCE}{name}": values for name, values in stored(array.reference).items()}
    return found


@torch.no_grad()
def restore(
    preset: DevicePreset,
    target: Tensor,
    state: dict[str, Tensor],
    *,
    seed: int,
    chip: int,
    layer: str,
    groups: int = 1,
) -> ProgrammedArray:
    """Return the array that :func:`stored` was given.

    Args:
        preset: its device.
        target: [out, in], what was wanted.
        state: what its devices keep for life.
        seed: of the evaluation, for read noise.
        chip: number of the chip.
        layer: canonical name of the layer.
        groups: of a grouped convolution.

    Raises:
        DriftproofError: tensors that are missing, unknown, not float32, or of another shape.

    >>> from driftproof.devices import program
    >>> from driftproof.presets import load_preset
    >>> pcm, target = load_preset("pcm-nandakumar-2019"), torch.tensor([[1.0, -0.5]])
    >>> array = program(pcm, target, seed=0, chip=0, layer="fc")
    >>> again = restore(pcm, target, stored(array), seed=0, chip=0, layer="fc")
    >>> torch.equal(again.net(3600.0), array.net(3600.0))
    True
    """
    own, others = {}, {}
    for name, values in state.items():
        if name.startswith(_OF_REFERENCE):
            others[name.removeprefix(_OF_REFERENCE)] = values
        else:
            own[name] = values
    column = getattr(preset.conductance, "reference", None) == "column"
    reference = None
    if column:
        row = reference_target(target, groups)
        reference = _restore(preset, row, others, REFERENCE, None, (seed, chip, layer))
    elif others:
        raise DriftproofError(f"layer {layer or '(root)'}: a reference column came, which {preset.name} does not have")
    return _restore(preset, target, own, banks(preset.conductance), reference, (seed, chip, layer))


def _restore(
    preset: DevicePreset,
    target: Tensor,
    state: dict[str, Tensor],
    where: tuple[Bank, ...],
    reference: ProgrammedArray | None,
    key: tuple[int, int, str],
) -> ProgrammedArray:
    n = target.numel()
    wanted: dict[str, tuple[int, ...]] = {}
    if not isinstance(preset.programming, ExactProgramming):
        wanted["first"] = (len(where), n)
    if preset.drift is not None:
        wanted["life"] = (len(where), n)
    wanted |= dict.fromkeys(_purposes(preset, where), (n,))
    came = {name: tuple(values.shape) for name, values in state.items()}
    if came != wanted or any(values.dtype != torch.float32 for values in state.values()):
        raise DriftproofError(
            f"layer {key[2] or '(root)'}: the stored devices do not fit {preset.name} and a layer of "
            f"{target.shape[0]} x {target.shape[1]}: wanted {_said(wanted)} of float32, got {_said(came)}; "
            "was the file changed?"
        )
    held = {name: values.to(target.device).contiguous() for name, values in state.items()}
    first, life = held.pop("first", None), held.pop("life", None)
    return ProgrammedArray(preset, *key, target, where, first, life, reference, held or None)


def _purposes(preset: DevicePreset, where: tuple[Bank, ...]) -> list[str]:
    """Return the purposes of the numbers that devices keep for life but draw anew at every reading."""
    law, found = preset.programming, []
    for bank in where:
        if isinstance(preset.conductance, Conductances) and preset.stuck is not None:
            found.append(f"stuck{bank.mark}")
        if isinstance(law, laws.DeviceLaw) and not isinstance(law, PolynomialProgramming):
            steps = len(laws.steps_until(law, math.inf))
            found += [f"step{number}{bank.mark}" for number in range(1, steps + 1)]
    return found


def _said(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"
