"""One call for everything that a user of aihwkit has: a network, a configuration, a noise model, or a file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from driftproof._conversion.import_aihwkit import DigitalCopy, digital_copy, loaded, read_checkpoint
from driftproof._errors import DriftproofError
from driftproof._from_aihwkit.configuration import configuration, device_alone
from driftproof._from_aihwkit.found import FromAihwkit
from driftproof._keywords import checks_keywords
from driftproof._mapping import MappingOptions
from driftproof._random_state import random_state_kept
from driftproof.periphery._beyond import shown

_WANTED = (
    "wanted a network with aihwkit's layers, a configuration such as InferenceRPUConfig, a noise model, a state dict, "
    "or the path of a checkpoint"
)


@checks_keywords
@random_state_kept()
def from_aihwkit(source: Any, network: nn.Module | None = None, *, trust_pickle: bool = False) -> FromAihwkit:
    """Return what driftproof has for a network, a configuration or a checkpoint of aihwkit, and list the rest.

    The result has the digital network with the trained weights, a device with the law and the numbers of the noise
    model, the periphery, the mapping, the drift compensation, the input ranges that the tiles learned, and the noise of
    a training; ``not_taken_over`` names every other setting that acts in aihwkit or is not its default.

    Args:
        source: A network with layers on aihwkit's tiles, wholly or in part; an ``rpu_config``; a noise model; a state
            dict of such a network; or the path of a file that ``torch.save`` wrote of a network or of a state dict.
        network: The network for a state dict: the digital one, or the analog one that was saved. It is not changed.
        trust_pickle: Whether a file may make objects of any class, which can run code that is in the file (default:
            False, only tensors and the classes of aihwkit and torch.nn are made).

    Raises:
        DriftproofError: The source is something else, or has no layer on aihwkit's tiles; a state dict comes without a
            network, or fits it not; a file cannot be read, or needs ``trust_pickle``; aihwkit is missing.

    >>> from aihwkit.inference import PCMLikeNoiseModel
    >>> from aihwkit.simulator.configs import InferenceRPUConfig
    >>> config = InferenceRPUConfig(noise_model=PCMLikeNoiseModel(prog_noise_scale=1.2))
    >>> found = from_aihwkit(config)
    >>> found.device.name, found.compensation, str(found.periphery)
    ('pcm-nandakumar-2019 [prog_noise_scale=1.2]', 'tile', '7-bit in (dynamic), 9-bit out, full scale 12, noise 0.06')
    >>> found.not_taken_over[0]
    'forward.bound_management = Iterative: an ADC that saturates, saturates here'
    """
    if isinstance(source, str | Path):
        source = read_checkpoint(Path(source).expanduser(), trust_pickle=trust_pickle)
    if isinstance(source, Mapping):
        source = loaded(source, network)
    elif network is not None:
        raise DriftproofError(f"network= belongs to a state dict, and a {type(source).__name__} came: leave it out")
    if isinstance(source, nn.Module):
        return _of_network(digital_copy(source))
    if hasattr(source, "mapping") or hasattr(getattr(source, "forward", None), "is_perfect"):
        return configuration(source)
    if hasattr(source, "g_converter") and hasattr(source, "apply_programming_noise"):
        return device_alone(source)
    raise DriftproofError(f"from_aihwkit: a {type(source).__name__} came; {_WANTED}")


def _of_network(made: DigitalCopy) -> FromAihwkit:
    """Return what is taken over from a network: its weights and ranges, and the configuration of most of its layers."""
    texts = {name: shown(layer.config) for name, layer in made.layers.items()}
    common = Counter(texts.values()).most_common(1)[0][0]
    config = next(layer.config for name, layer in made.layers.items() if texts[name] == common)
    largest = tuple(max(layer.size[axis] for layer in made.layers.values()) for axis in (0, 1))
    found = configuration(config, largest=(largest[0], largest[1]), with_ranges=bool(made.ranges))
    assert found.mapping is not None
    left = [
        f"rpu_config of {name} = {text}: it differs from that of the other layers, which is taken for all"
        for name, text in texts.items()
        if text != common
    ]
    ranges = made.ranges if found.periphery is not None and not found.periphery.is_ideal else {}
    if made.ranges and not ranges:
        left.append(f"input ranges = {_shown(made.ranges)}: the periphery is ideal and clips no inputs")
    left += _trained_scale(made, config, found.mapping.scale)
    where = tuple(made.layers) if made.digital else None
    layers = f"{len(made.layers)} layers on tiles" + (f", {len(made.digital)} digital" if made.digital else "")
    taken = {"network": f"{type(made.network).__name__}, {layers}"}
    if ranges:
        taken["input ranges of the tiles"] = f"ranges={_shown(ranges)}"
    return replace(
        found,
        network=made.network,
        mapping=MappingOptions(tile=found.mapping.tile, scale=found.mapping.scale, where=where),
        ranges=ranges,
        taken_over=taken | dict(found.taken_over),
        not_taken_over=(*made.notes, *left, *found.not_taken_over),
    )


def _trained_scale(made: DigitalCopy, config: Any, scale: str) -> list[str]:
    """Return a text about tiles whose largest weights are no longer those of the conversion, as after a training.

    aihwkit keeps the tile as it was trained. Here weights are mapped again, and the largest has the whole range.
    """
    omega = float(getattr(getattr(config, "mapping", None), "weight_scaling_omega", 0.0))
    ends = {name: layer.largest for name, layer in made.layers.items()}
    if scale == "layer":  # the other columns of a tile may be smaller in both programs
        ends = {name: (high, high) for name, (_, high) in ends.items()}
    off = {
        name: each
        for name, each in ends.items()
        if omega and not all(math.isclose(x, omega, rel_tol=0.01) for x in each)
    }
    if not off:
        return []
    low, high = min(each[0] for each in off.values()), max(each[1] for each in off.values())
    found = f"{low:.3g}" if math.isclose(low, high, rel_tol=1e-3) else f"{low:.3g} to {high:.3g}"
    names = ", ".join(list(off)[:_SHOWN]) + (f" and {len(off) - _SHOWN} more" if len(off) > _SHOWN else "")
    columns = (
        "; the errors of aihwkit's devices are relative to the largest weight of the tile, here to that of the column"
        if scale == "column"
        else ""
    )
    return [
        f"largest weights of a {scale} on the tiles of {names} = {found}: training has changed them from "
        f"{omega:g}, and here each is mapped to the whole conductance range, 1, again. aihwkit keeps the smaller "
        f"weights, for which noise, ADC and full scale of the periphery are larger{columns}"
    ]


_SHOWN = 4


def _shown(ranges: Mapping[str, float | list[float]]) -> str:
    parts = [
        f"{name}: {', '.join(f'{one:.4g}' for one in (value if isinstance(value, list) else [value]))}"
        for name, value in ranges.items()
    ]
    return f"{{{', '.join(parts[:4])}{f', and {len(parts) - 4} more layers' if len(parts) > 4 else ''}}}"
