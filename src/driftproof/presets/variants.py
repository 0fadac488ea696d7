"""A device with some of its laws switched off: what is left shows what each of them costs.

Numbers are drawn by seed, chip, layer and purpose, never by preset: a device and its variants are the same chips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.laws.effects import Effect
from driftproof.laws.programming import ExactProgramming
from driftproof.presets.mix import DeviceMix
from driftproof.presets.preset import DevicePreset

if TYPE_CHECKING:
    from driftproof.devices import Device

Law = Effect


def without[D: Device](device: D, *laws: Law) -> D:
    """Return a device without some of its laws; the device itself if it has none of them.

    - ``levels``: targets are not rounded to finite levels.
    - ``programming``: devices hold their targets exactly.
    - ``drift``: nothing changes in time. A law with a table ``drift`` (PCM; the relaxation of CMO, with what relaxes
      within the first second) loses that table. Of a programming law that is itself a table in time (Wan, SONOS) the
      earliest time is kept and holds for ever: that is its programming, and all that comes later is drift.
    - ``read``: no read noise, neither that of a read-out nor that of single products.
    - ``stuck``: no devices are stuck.

    Args:
        device: a preset, or a mix, whose devices all lose them.
        laws: which.

    Raises:
        DriftproofError: an unknown law; no programming but drift, where both are one table; measured chips.

    >>> from driftproof.presets import load_preset
    >>> frozen = without(load_preset("pcm-nandakumar-2019"), "drift", "read")
    >>> frozen.name, frozen.drift
    ('pcm-nandakumar-2019 [without drift, read]', None)
    >>> without(load_preset("reram-wan-2022"), "drift").programming.t_s
    (1.0,)
    """
    return device.without(*laws)


def check_effects(effects: tuple[Effect, ...]) -> None:
    """Raise DriftproofError for what is no effect."""
    for effect in effects:
        if effect not in get_args(Effect):
            raise DriftproofError(
                f"without {effect!r}{did_you_mean(effect, get_args(Effect))}: wanted some of "
                f"{', '.join(get_args(Effect))}"
            )


def preset_without(preset: DevicePreset, effects: tuple[Effect, ...]) -> DevicePreset:
    """Return a preset without some effects; see :func:`without`."""
    check_effects(effects)
    changes = {effect: _off(preset, effect, effects) for effect in effects}
    shown = ", ".join(effect for effect in effects if changes[effect])
    if not shown:
        return preset
    kept = preset.model_dump() | {"name": f"{preset.name} [without {shown}]"}
    for change in changes.values():
        kept |= change
    return DevicePreset.model_validate(kept)


def mix_without(mix: DeviceMix, effects: tuple[Effect, ...]) -> DeviceMix:
    """Return a mix whose devices have lost some effects; see :func:`without`."""
    default = preset_without(mix.default, effects)
    layers = tuple((pattern, preset_without(part, effects)) for pattern, part in mix.layers)
    if default is mix.default and all(a is b for (_, a), (_, b) in zip(layers, mix.layers, strict=True)):
        return mix
    return DeviceMix(f"{mix.name} [without {', '.join(effects)}]", default, layers)


def _off(preset: DevicePreset, effect: Effect, others: tuple[Effect, ...]) -> dict[str, Any]:
    """Return the tables of a preset that change when one effect is switched off; none if it has no such effect."""
    programming = preset.programming
    if effect == "programming":
        if programming.changes_in_time and "drift" not in others:
            raise DriftproofError(
                f"preset {preset.name}: its programming law is a table in time, drift included; "
                "switch off drift too, or leave programming on"
            )
        return {} if programming.keeps == "nothing" else {"programming": ExactProgramming(law="none")}
    if effect != "drift":
        return {effect: None} if getattr(preset, effect) is not None else {}
    changes: dict[str, Any] = {} if preset.drift is None else {"drift": None}
    if programming.changes_in_time and "programming" not in others:
        changes["programming"] = programming.without_time()
    return changes
