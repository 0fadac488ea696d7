"""Read what :func:`driftproof.save` wrote: the same network, the same chip."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import overload

import torch
from pydantic import ValidationError
from torch import nn

from driftproof.chip import Chip
from driftproof.conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof.conversion.network_state import fill
from driftproof.conversion.saved_form import FORMAT, Saved, Tensors
from driftproof.conversion.saving import FORM, WEIGHTS, sha256_of
from driftproof.conversion.verbs import convert_mapped
from driftproof.devices import Device
from driftproof.errors import DriftproofError, warn
from driftproof.mapping import Mapping, plain_copy


@overload
def load(folder: str | Path, model: None = None) -> Chip: ...
@overload
def load(folder: str | Path, model: nn.Module) -> AnalogModel | ProgrammedChip: ...
def load(folder: str | Path, model: nn.Module | None = None) -> AnalogModel | ProgrammedChip | Chip:
    """Return what :func:`driftproof.save` wrote, equal bit for bit.

    A programmed network stands where it stood, and goes to other times as it would have. Its outputs are equal on the
    same kind of device and version of torch. Elsewhere its devices are equal; read noise, which is new at every
    read-out, is drawn by that machine.

    Args:
        folder: that :func:`driftproof.save` wrote.
        model: a freshly built network of the same architecture, with any weights, on the device that is wanted; it is
            not changed. Without one the chip alone is returned.

    Raises:
        DriftproofError: no such folder, damaged files, another version of the format; names, shapes, shared weights or
            settings of layers that differ from the network's.

    >>> import tempfile
    >>> import driftproof as dp
    >>> chip = dp.program(dp.convert(nn.Linear(8, 4), "pcm-nandakumar-2019"), chip=3).drift("1h")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load(dp.save(chip, Path(folder, "saved")), nn.Linear(8, 4))
    >>> x = torch.ones(1, 8)
    >>> again.t_s, torch.equal(again.model(x), chip.model(x))
    (3600.0, True)
    """
    folder = Path(folder).expanduser()
    saved, tensors = _read(folder)
    device = saved.device.device(tensors, folder / WEIGHTS)
    if device.sha256 != saved.device.sha256:
        raise DriftproofError(f"{folder / FORM}: the numbers of {device.name} were changed; save anew")
    mapping = saved.mapping.mapping(tensors)
    if model is None:
        if saved.chip is None:
            raise DriftproofError(f"{folder} holds a converted network: give a freshly built one, load(folder, model)")
        return _chip(saved, tensors, mapping, device)
    if saved.network is None:
        raise DriftproofError(f"{folder} holds a chip without a network: load it without a model")
    network = plain_copy(model)
    fill(network, saved.network, tensors, mapping.weights)
    analog = convert_mapped(
        network,
        device,
        _beside(network, mapping),
        saved.compensation,
        copied=True,
        periphery=saved.periphery,
        ranges=saved.ranges,
        within_validity=bool(saved.within_validity),
    )
    if saved.chip is None or saved.moment is None:
        return analog
    chip = _chip(saved, tensors, analog.mapping, device)
    for layer in analog.tiled.values():
        layer.place(chip)
    programmed = ProgrammedChip(
        analog.model,
        0.0,
        chip,
        analog.tiled,
        analog.passes,
        analog.periphery,
        analog.ranges,
        analog.within_validity,
    )
    if saved.moment.read:
        programmed.drift(saved.moment.t_s)
    analog.passes.restart(saved.moment.next_sample)
    return programmed


def _read(folder: Path) -> tuple[Saved, Tensors]:
    """Return the two files of a folder, checked against each other."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    form, weights = folder / FORM, folder / WEIGHTS
    for path in (form, weights):
        if not path.is_file():
            raise DriftproofError(f"no {path}; wanted a folder that driftproof.save wrote")
    try:
        content = json.loads(form.read_bytes())
        version = content["format"]
    except (ValueError, TypeError, LookupError) as error:
        raise DriftproofError(f"{form} is damaged, or was not written by driftproof.save: {error}") from None
    if version != FORMAT:
        by, here = content.get("driftproof", "another version"), metadata.version("driftproof")
        newer = isinstance(version, int) and version > FORMAT
        advice = "update driftproof" if newer else f"load it with driftproof {by}"
        raise DriftproofError(
            f"{form}: format {version!r}, written by driftproof {by}; driftproof {here} reads format {FORMAT}: {advice}"
        )
    try:
        saved = Saved.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise DriftproofError(f"{form} is damaged: {place}: {fault['msg']}; save anew") from None
    if sha256_of(weights) != saved.weights_sha256:
        raise DriftproofError(f"{weights} is damaged, or belongs to another {FORM}: its hash differs; save anew")
    try:
        # copies, so that nothing depends on the file any more
        return saved, {name: value.clone() for name, value in load_file(weights).items()}
    except (SafetensorError, OSError) as error:
        raise DriftproofError(f"{weights}: not a complete safetensors file ({error})") from None


def _beside(network: nn.Module, mapping: Mapping) -> Mapping:
    """Return the mapping with its tensors where the network's weights are."""
    found = {}
    for name, mapped in mapping.weights.items():
        place = network.get_submodule(mapped.path).get_parameter(mapped.parameter).device
        found[name] = replace(mapped, target=mapped.target.to(place), scale=mapped.scale.to(place))
    return replace(mapping, weights=found)


def _chip(saved: Saved, tensors: Tensors, mapping: Mapping, device: Device) -> Chip:
    assert saved.chip is not None
    state: dict[str, dict[str, torch.Tensor]] = {}
    for layer in mapping.weights:
        prefix = f"chip/{layer}/"
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        state[layer] = {name: value for name, value in own.items() if "/" not in name}
    here = next(iter(mapping.weights.values())).target.device.type
    if here != saved.chip.drawn_on and _has_read_noise(device):
        warn(
            f"the chip was programmed on {saved.chip.drawn_on} and is loaded on {here}: its devices are the same, its "
            "read noise has the same law and other numbers"
        )
    return Chip(
        mapping,
        device,
        seed=saved.chip.seed,
        chip=saved.chip.number,
        compensation=saved.compensation,
        state=state,
    )


def _has_read_noise(device: Device) -> bool:
    return any(part.laws is not None and part.laws.read is not None for part in device.parts)
