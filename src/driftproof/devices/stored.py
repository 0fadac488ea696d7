"""What a programmed array keeps for life, as named tensors: to write it to a file, and to have the same array again.

A chip could be drawn again from its key. But a generator's numbers are those of a kind of device and of a version of
torch; what a file holds is the same devices anywhere. Read noise is new at every read-out: it is drawn from its key
again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.devices.array import OF_REFERENCE, REFERENCE, ProgrammedArray, kept_purposes
from driftproof.devices.device import DeviceLaws
from driftproof.devices.programming import made_array, reference_target
from driftproof.errors import DriftproofError
from driftproof.laws import Bank


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
) -> ProgrammedArray:
    """Return the array that :meth:`ProgrammedArray.state <driftproof.devices.ProgrammedArray.state>` is of.

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
    >>> again = restore(pcm, target, array.state(), seed=0, chip=0, layer="fc")
    >>> torch.equal(again.net(3600.0), array.net(3600.0))
    True
    """
    own, others = {}, {}
    for name, values in state.items():
        if name.startswith(OF_REFERENCE):
            others[name.removeprefix(OF_REFERENCE)] = values
        else:
            own[name] = values
    reference = None
    if preset.conductance.has_reference_column:
        row = reference_target(target, groups)
        reference = _restore(preset, row, others, REFERENCE, None, (seed, chip, layer))
    elif others:
        raise DriftproofError(f"layer {layer or '(root)'}: a reference column came, which {preset.name} does not have")
    return _restore(preset, target, own, preset.conductance.banks(), reference, (seed, chip, layer))


def _restore(
    preset: DeviceLaws,
    target: Tensor,
    state: dict[str, Tensor],
    where: tuple[Bank, ...],
    reference: ProgrammedArray | None,
    key: tuple[int, int, str],
) -> ProgrammedArray:
    n = target.numel()
    wanted: dict[str, tuple[int, ...]] = {}
    if preset.programming.keeps != "nothing":
        wanted["first"] = (len(where), n)
    if preset.drift is not None:
        wanted["life"] = (len(where), n)
    wanted |= dict.fromkeys(kept_purposes(preset, where), (n,))
    came = {name: tuple(values.shape) for name, values in state.items()}
    if came != wanted or any(values.dtype != torch.float32 for values in state.values()):
        raise DriftproofError(
            f"layer {key[2] or '(root)'}: the stored devices do not fit {preset.name} and a layer of "
            f"{target.shape[0]} x {target.shape[1]}: wanted {_said(wanted)} of float32, got {_said(came)}; "
            "was the file changed?"
        )
    held = {name: values.to(target.device).contiguous() for name, values in state.items()}
    first, life = held.pop("first", None), held.pop("life", None)
    return made_array(preset, key, target, where, first, life, reference, held or None)


def _said(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"
