"""Read a folder that :func:`driftproof.save` wrote: the same network, the same chip."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import overload

from pydantic import ValidationError
from torch import nn

from driftproof._chip import Chip
from driftproof._conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof._conversion.network_state import fill
from driftproof._conversion.saved_form import FORMAT, Saved, Tensors
from driftproof._conversion.saving import FORM, WEIGHTS, sha256_of
from driftproof._conversion.verbs import convert_mapped
from driftproof._devices import ONE_READ_OUT, Device
from driftproof._errors import DriftproofError, explained, warn
from driftproof._files import LARGEST_TABLES, check_file, read_tensors
from driftproof._mapping import Mapping, plain_copy
from driftproof._random_state import random_state_kept

_TENSORS = ("target", "scale", "lost")
"""The tensors of a mapped weight."""


@overload
@random_state_kept()
def load(folder: str | Path, model: None = None) -> Chip: ...
@overload
@random_state_kept()
def load(folder: str | Path, model: nn.Module) -> AnalogModel | ProgrammedChip: ...
@random_state_kept()
def load(folder: str | Path, model: nn.Module | None = None) -> AnalogModel | ProgrammedChip | Chip:
    """Return the network or chip that :func:`driftproof.save` wrote, equal bit for bit.

    A programmed network is at the time at which it was saved, and can be moved to other times. Its outputs are equal on
    the same kind of torch device and the same version of torch. Elsewhere its devices are equal, but read noise, which
    is new at every read, has other numbers.

    Args:
        folder: A folder that :func:`driftproof.save` wrote.
        model: A freshly built network of the same architecture, with any weights, on the wanted torch device. It is not
            changed. Without it, the chip alone is returned (default: None).

    Raises:
        DriftproofError: If the folder does not exist, its files are damaged or have another version of the format, or
            if names, shapes, shared weights or settings of layers differ from the network's.

    >>> import tempfile
    >>> import torch
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
        raise DriftproofError(f"{folder / FORM}: the numbers of {device.name} were changed; save it again")
    mapping = saved.mapping.mapping(tensors)
    if model is None:
        if saved.chip is None:
            raise DriftproofError(f"{folder} holds a converted network: give a freshly built one, load(folder, model)")
        return _chip(saved, tensors, mapping, device)
    if saved.network is None:
        raise DriftproofError(f"{folder} holds a chip without a network: load it without a model")
    network = plain_copy(model)
    fill(network, saved.network, tensors, mapping.weights)
    try:
        analog = convert_mapped(
            network,
            device,
            _moved_to(network, mapping),
            saved.compensation,
            copied=True,
            periphery=saved.periphery,
            ranges=saved.ranges,
            within_validity=bool(saved.within_validity),
        )
    except RuntimeError as error:  # tiles of other sizes than the form says
        raise DriftproofError(f"{folder / FORM} is damaged: {error}; save it again") from error
    if saved.chip is None or saved.moment is None:
        return analog
    programmed = ProgrammedChip.on(analog, _chip(saved, tensors, analog.mapping, device))
    if saved.moment.read:
        programmed.drift(saved.moment.t_s)
    analog.passes.restart(saved.moment.next_sample)
    return programmed


def _read(folder: Path) -> tuple[Saved, Tensors]:
    """Return the contents of a folder's two files, checked against each other."""
    form, weights = folder / FORM, folder / WEIGHTS
    for path in (form, weights):
        if not path.is_file():
            raise DriftproofError(f"no {path}; wanted a folder that driftproof.save wrote")
    try:
        content = json.loads(check_file(form, LARGEST_TABLES).read_bytes())
        version = content["format"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
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
        raise DriftproofError(f"{explained(f'{form} is damaged', error)}; save it again") from None
    if sha256_of(weights) != saved.weights_sha256:
        raise DriftproofError(f"{weights} is damaged, or belongs to another {FORM}: its hash differs; save it again")
    # copies, so that the tensors do not depend on the file
    return saved, {name: value.clone() for name, value in read_tensors(weights).items()}


def _moved_to(network: nn.Module, mapping: Mapping) -> Mapping:
    """Return the mapping with its tensors on the torch devices of the network's weights."""
    weights = {}
    for name, mapped in mapping.weights.items():
        torch_device = network.get_submodule(mapped.path).get_parameter(mapped.parameter).device
        there = {part: value.to(torch_device) for part in _TENSORS if (value := getattr(mapped, part)) is not None}
        weights[name] = replace(mapped, **there)
    return replace(mapping, weights=weights)


def _chip(saved: Saved, tensors: Tensors, mapping: Mapping, device: Device) -> Chip:
    assert saved.chip is not None
    state: dict[str, Tensors] = {layer: {} for layer in mapping.weights}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        layer, _, part = rest.rpartition("/")
        if group == "chip" and layer in state:
            state[layer][part] = value
    here = next(iter(mapping.weights.values())).target.device.type
    if here != saved.chip.drawn_on and any(
        part.laws is not None and part.laws.read is not None for part in device.parts
    ):
        warn(
            f"the chip was programmed on {saved.chip.drawn_on} and is loaded on {here}: its devices are the same, its "
            "read noise has the same law and other numbers"
        )
    seed, number = saved.chip.seed, saved.chip.number
    # files of earlier versions: calibration and use were one read-out
    read_outs = saved.chip.read_outs or ONE_READ_OUT
    return Chip(
        mapping,
        device,
        seed=seed,
        chip=number,
        compensation=saved.compensation,
        read_outs=read_outs,
        state=state,
    )
