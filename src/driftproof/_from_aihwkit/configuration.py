"""A configuration of aihwkit, setting by setting. aihwkit is not imported."""

from __future__ import annotations

from typing import Any

from driftproof._from_aihwkit.found import FromAihwkit
from driftproof._from_aihwkit.mapping import clipping_of, compensation_of, scale_of, tile_of, training_noise_of
from driftproof._from_aihwkit.no_effect import without_effect
from driftproof._from_aihwkit.noise_models import device_of
from driftproof._mapping import MappingOptions
from driftproof.periphery import load_periphery, periphery_from_rpu_config
from driftproof.periphery._beyond import beyond_periphery

_OF_TRAINING = "aihwkit uses it while it learns or sets the ranges; those of the tiles are taken over"


def device_alone(noise_model: Any) -> FromAihwkit:
    """Return the device of a noise model that comes without a configuration."""
    device, left = device_of(noise_model)
    taken = {} if device is None else {"noise_model": f"device {device.name}"}
    return FromAihwkit(device=device, taken_over=taken, not_taken_over=tuple(left))


def configuration(config: Any, *, largest: tuple[int, int] | None = None, with_ranges: bool = False) -> FromAihwkit:
    """Return what is taken over from a configuration, and the rest by name.

    Args:
        config: aihwkit's configuration.
        largest: Rows and columns of the largest layer on tiles (default: None, there is no network).
        with_ranges: Whether the input ranges of the tiles are taken over (default: False).
    """
    found = _taken(config, largest, with_ranges)
    names = {text.partition(" = ")[0] for text in found.not_taken_over}
    further = without_effect(config, lambda other: _outcome(_taken(other, largest, with_ranges)), names)
    return FromAihwkit(**vars(found) | {"not_taken_over": (*found.not_taken_over, *further)})


def _outcome(found: FromAihwkit) -> tuple[object, ...]:
    """Return all that a setting may change: numbers and texts."""
    device = None if found.device is None else found.device.sha256
    return device, str(found.settings), found.noise, found.clip, found.taken_over, found.not_taken_over


def _taken(config: Any, largest: tuple[int, int] | None, with_ranges: bool) -> FromAihwkit:
    """Return what is taken over, and what the parts leave."""
    if hasattr(config, "forward"):
        periphery, left = periphery_from_rpu_config(config)
    else:  # aihwkit's floating point
        periphery, left = load_periphery("ideal"), beyond_periphery(config)
    tile, scale, compensation = tile_of(config, largest), scale_of(config), compensation_of(config)
    noise = training_noise_of(getattr(config, "modifier", None), scale.value)
    clip = clipping_of(getattr(config, "clip", None))
    taken = {"forward, pre_post": f"periphery: {periphery}"}
    names = {*tile.names, *scale.names, *compensation.names, *noise.names, *clip.names}
    device, of_device = None, list[str]()
    if getattr(config, "noise_model", None) is not None:
        device, of_device = device_of(config.noise_model)
        names.add("noise_model")
    taken |= {} if device is None else {"noise_model": f"device {device.name}"}
    taken |= {} if compensation.value is None else {"drift_compensation": f"compensation={compensation.value!r}"}
    by = ", as remap.type says" if "remap.type" in scale.names else ""
    taken["mapping"] = f"tile={tile.value.rows}x{tile.value.columns}, scale={scale.value!r}{by}"
    taken |= {} if noise.value is None else {"modifier": f"training noise {noise.value}"}
    taken |= {} if clip.value is None else {"clip": f"training clips at {clip.value}"}
    kept = [_with_ranges(text) if with_ranges else text for text in left if text.partition(" = ")[0] not in names]
    kept = [text for text in kept if text]
    return FromAihwkit(
        device=device,
        periphery=periphery,
        mapping=MappingOptions(tile=tile.value, scale=scale.value),
        compensation=compensation.value,
        noise=noise.value,
        clip=clip.value,
        taken_over=taken,
        not_taken_over=(*kept, *of_device, *tile.left, *scale.left, *compensation.left, *noise.left, *clip.left),
    )


def _with_ranges(text: str) -> str:
    """Return what is said of a setting of the input ranges if the ranges themselves are taken over."""
    setting = text.partition(":")[0]
    name = setting.partition(" = ")[0]
    if not name.startswith("pre_post.input_range."):
        return text
    return "" if name.endswith(".learn_input_range") else f"{setting}: {_OF_TRAINING}"
