"""Devices with some of their laws switched off, which show how much each law costs.

Numbers are drawn by seed, chip, layer and purpose, and the preset is not in the key. So a device and its variants are
the same chips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from driftproof._errors import DriftproofError, did_you_mean
from driftproof.laws._effects import Effect
from driftproof.laws._programming import ExactProgramming

if TYPE_CHECKING:
    from driftproof._devices import Device
    from driftproof._presets.preset import DevicePreset

Law = Effect


def without[D: Device](device: D, *laws: Law) -> D:
    """Return a device without some of its laws, or the device itself if it has none of them.

    - ``levels``: Targets are not rounded to finite levels.
    - ``programming``: Devices hold their targets exactly.
    - ``drift``: Nothing changes with time. A device with a table ``drift`` loses that table (PCM; the relaxation of
      CMO, including the part within the first second). A programming law that is a table in time (Wan, SONOS) keeps its
      earliest time, which then holds at all times: that is its programming, and every later change is drift.
    - ``read``: There is no read noise, neither that of a read-out nor that of each MVM.
    - ``stuck``: No devices are stuck.
    - ``variation``: Devices have nothing in common but their law: nothing differs from wafer to wafer, from die to die
      or from column to column. (Without ``drift`` there is no variation of drift exponents either.)

    Args:
        device: A preset, or a mix, of which all devices lose the laws.
        laws: Names of the laws.

    Raises:
        DriftproofError: If a law is unknown, if programming is switched off and drift is not where both are one table,
            or if the chips are measured.

    >>> from driftproof._presets import load_preset
    >>> frozen = without(load_preset("pcm-nandakumar-2019"), "drift", "read")
    >>> frozen.name, frozen.drift
    ('pcm-nandakumar-2019 [without drift, read]', None)
    >>> without(load_preset("reram-wan-2022"), "drift").programming.t_s
    (1.0,)
    """
    return device.without(*laws)


def preset_without(preset: DevicePreset, effects: tuple[Effect, ...]) -> DevicePreset:
    """Return a preset without some effects; see :func:`without`."""
    known = get_args(Effect)
    for effect in effects:
        if effect not in known:
            raise DriftproofError(f"without {effect!r}{did_you_mean(effect, known)}: wanted some of {', '.join(known)}")
    changes = {effect: _off(preset, effect, effects) for effect in effects}
    shown = ", ".join(effect for effect in effects if changes[effect])
    if not shown:
        return preset
    kept = preset.model_dump() | {"name": f"{preset.name} [without {shown}]"}
    for change in changes.values():
        kept |= change
    return type(preset).model_validate(kept)


def _off(preset: DevicePreset, effect: Effect, others: tuple[Effect, ...]) -> dict[str, Any]:
    """Return the tables of a preset that change when an effect is switched off; none if it does not have the effect."""
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
    if preset.variation is not None and preset.variation.moves_exponents and "variation" not in others:
        changes["variation"] = preset.variation.without_exponents()
    if programming.changes_in_time and "programming" not in others:
        changes["programming"] = programming.without_time()
    return changes
