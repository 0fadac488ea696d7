"""The settings of an aihwkit configuration that are no periphery's: each is named, with what to use here instead.

aihwkit is not imported. Its groups of settings are dataclasses, which are read field by field, so that a field of
another version of aihwkit is named, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import Enum
from typing import Any

from driftproof._defaults import TILE
from driftproof._errors import did_you_mean

_MODELS = {
    "PCMLikeNoiseModel": "pcm-nandakumar-2019",
    "HermesNoiseModel": "pcm-hermes-2, or pcm-hermes-1 for one device per conductance",
    "ReRamWan2022NoiseModel": "reram-wan-2022",
    "ReRamCMONoiseModel": "reram-cmo-2pct or reram-cmo-02pct",
}
"""aihwkit's noise model → the preset here that has its law."""
COMPENSATIONS = {
    "NoneType": "none",
    "GlobalDriftCompensation": "tile",
    "GlobalDriftCompensationWithExactReference": "exact",
    "PerColumnDriftCompensation": "column",
}
"""aihwkit's drift compensation → the text for ``compensation``."""
_KNOWN = {"forward", "pre_post", "act_quant_config", "noise_model", "drift_compensation", "mapping", "device"}
_KNOWN |= {"modifier", "clip", "remap"}
_UNKNOWN = "there is no such setting here"
_TRAINING = "it acts while aihwkit trains only; here dp.train and its methods train"
_IN_TESTS = (
    "enable_during_test is set, so that aihwkit changes the weights in every test; errors of weights here are those of "
    "the device: choose one that has them, such as gaussian:SIGMA"
)
_REMAPPED = (
    "aihwkit scales weights and outputs anew after each step of a training, which leaves their product as it is; here "
    "weights are scaled when they are mapped: scale='column' or 'layer'"
)
_CLIPPED = "it clips weights while aihwkit trains only; clip=PERCENTILE clips them here, when they are mapped"


def beyond_periphery(config: Any) -> list[str]:
    """Return one text ``NAME = VALUE: what to use`` for each setting that acts beside ``forward`` and ``pre_post``.

    Args:
        config: An aihwkit configuration.
    """
    left = [*_device(config), *_mapping(getattr(config, "mapping", None))]
    modifier, clip, remap = (getattr(config, name, None) for name in ("modifier", "clip", "remap"))
    drops = getattr(modifier, "pdrop", 0.0) > 0 or getattr(modifier, "enable_during_test", False)
    if drops or _is_on(modifier):
        reason = _IN_TESTS if getattr(modifier, "enable_during_test", False) else _TRAINING
        left += listed("modifier", modifier, reason)
    if _is_on(clip) or getattr(clip, "fixed_value", 0.0) > 0:
        left += listed("clip", clip, _CLIPPED)
    if _is_on(remap):
        left += listed("remap", remap, _REMAPPED)
    return left + [text for name, group in attributes(config) for text in _other(config, name, group)]


def _other(config: Any, name: str, group: Any) -> list[str]:
    """Return texts for a group that is known by its name at most."""
    fields = getattr(type(config), "__dataclass_fields__", {})
    if name in _KNOWN:
        return []
    if name not in fields:
        return [f"{name} = {shown(group)}: not known here{did_you_mean(name, fields)}"]
    if isinstance(group, type):
        own = not group.__module__.startswith("aihwkit.")
        return [f"{name} = {group.__name__}: layers here run on aihwkit's own tiles"] if own else []
    usual = getattr(made(type(config)), name, None)  # a kind of configuration has its own, such as a perfect backward
    return listed(name, group, _TRAINING if name in ("backward", "update") else _UNKNOWN, usual)


def _device(config: Any) -> Iterator[str]:
    """Yield the settings that a device and its drift compensation replace here."""
    model = getattr(config, "noise_model", None)
    if model is not None:
        preset, base = _MODELS.get(type(model).__name__), made(type(model))
        constants = dict(attributes(model))
        usual = constants if base is None else dict(attributes(base))
        other = [
            f"{name} = {shown(value)}" for name, value in constants.items() if shown(value) != shown(usual.get(name))
        ]
        advice = "there is no preset with its law: fit one to measurements, or write one"
        if preset is not None:
            advice = f"choose the device: {preset}"
        if preset is not None and other:
            advice += f", which has aihwkit's own constants; {', '.join(other)} would need a preset of your own"
        yield f"noise_model = {shown(model)}: {advice}"
    if hasattr(config, "drift_compensation"):
        kind = type(config.drift_compensation).__name__
        text = COMPENSATIONS.get(kind)
        advice = f"compensation={text!r}" if text else f"choose one of {', '.join(sorted(COMPENSATIONS.values()))}"
        yield f"drift_compensation = {shown(config.drift_compensation)}: {advice}"
    pulsed = dict(attributes(config)).get("device")
    if pulsed is not None and type(pulsed).__name__ != "IdealDevice":
        yield (
            f"device = {shown(pulsed)}: a device that aihwkit trains by pulses; here trained weights are programmed: "
            "choose a device, and train with dp.train"
        )


def _mapping(mapping: Any) -> Iterator[str]:
    """Yield the settings of ``mapping`` that are not what is done here."""
    values = dict(attributes(mapping))
    rows, columns = values.pop("max_input_size", TILE[0]), values.pop("max_output_size", TILE[1])
    if mapping is not None:
        size = f"tile=TileSize(rows={rows}, columns={columns})"
        if not rows or not columns:  # 0 is no limit
            size = "tile=TileSize(ROWS, COLUMNS) as large as the largest layer"
        yield f"mapping.max_input_size, mapping.max_output_size = {rows}, {columns}: {size}"
    if not values.pop("digital_bias", True):
        yield "mapping.digital_bias = False: biases are digital here, not one more row of the array"
    omega, columnwise = values.pop("weight_scaling_omega", 1.0), values.pop("weight_scaling_columnwise", True)
    if omega != 1.0:
        yield (
            f"mapping.weight_scaling_omega = {omega}: here the largest weight of each column of a tile "
            "(scale='column') or of the layer (scale='layer') has the whole conductance range"
        )
    elif not columnwise:
        yield "mapping.weight_scaling_columnwise = False: scale='layer' is near to it (here the default is 'column')"
    for name, value in values.items():
        if shown(value) != shown(default_of(type(mapping), name)):
            trained = "learned scales are part of the weights once the network is digital (convert_to_digital)"
            reason = trained if "scaling" in name else _UNKNOWN
            yield f"mapping.{name} = {shown(value)}: {reason}"


def _is_on(group: Any) -> bool:
    """Return whether a group's ``type`` is not None's."""
    kind = getattr(group, "type", None)
    return getattr(kind, "value", kind) not in (None, "None")


def listed(name: str, group: Any, reason: str, usual: Any = None) -> list[str]:
    """Return one text for each setting of a group that is not as usual (default: not its field's default)."""
    parts = attributes(group)
    if not parts:
        return [] if shown(group) == shown(usual) else [f"{name} = {shown(group)}: {reason}"]
    return [
        f"{name}.{part} = {shown(value)}: {reason}"
        for part, value in parts
        if shown(value) != shown(getattr(usual, part, default_of(type(group), part)))
    ]


def shown(value: Any) -> str:
    """Return a setting in one line: of a group its class, with the settings that are not its defaults."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{shown(key)}: {shown(one)}' for key, one in value.items())}}}"
    if value is None or isinstance(value, bool | int | float | str):
        return str(value)
    kind = type(value)
    parts = [
        f"{name}={shown(one)}"
        for name, one in attributes(value)
        if not dataclasses.is_dataclass(kind) or shown(one) != shown(default_of(kind, name))
    ]
    return f"{kind.__name__}({', '.join(parts)})"


def attributes(group: Any) -> list[tuple[str, Any]]:
    """Return the settings of a group by name: a dataclass's fields, and whatever else was set on it."""
    if group is None or isinstance(group, type | Enum | bool | int | float | str | list | tuple | dict):
        return []
    names = dict.fromkeys([*getattr(type(group), "__dataclass_fields__", {}), *getattr(group, "__dict__", {})])
    kept = [name for name in names if not name.startswith(("_", "bindings_")) and hasattr(group, name)]
    return [(name, getattr(group, name)) for name in kept]


NOTHING = object()


def default_of(kind: type, name: str) -> Any:
    """Return the default of a field in aihwkit's first class that has it: presets change defaults in subclasses."""
    for base in reversed(kind.__mro__):
        field = base.__dict__.get("__dataclass_fields__", {}).get(name)
        if field is None:
            continue
        if field.default is not dataclasses.MISSING:
            return field.default
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
    return NOTHING


def made(kind: type) -> Any:
    """Return an object with the class's own constants, or None if it cannot be made without arguments."""
    try:
        return kind()
    except Exception:  # a user's noise model may want arguments
        return None
