"""A device with some of its laws switched off: what is left shows what each of them costs.

Numbers are drawn by seed, chip, layer and purpose, never by preset: a device and its variants are the same chips.
"""

from __future__ import annotations

from typing import Any, Literal, get_args, overload

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.presets.laws import PolynomialInTime, SaturatingInTime
from driftproof.presets.mix import DeviceMix
from driftproof.presets.preset import DevicePreset

Law = Literal["levels", "programming", "drift", "read", "stuck"]
"""What can be switched off."""


@overload
def without(device: DevicePreset, *laws: Law) -> DevicePreset: ...
@overload
def without(device: DeviceMix, *laws: Law) -> DeviceMix: ...
def without(device: DevicePreset | DeviceMix, *laws: Law) -> DevicePreset | DeviceMix:
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
        DriftproofError: an unknown law; or no programming but drift, where both are one table.

    >>> from driftproof.presets import load_preset
    >>> frozen = without(load_preset("pcm-nandakumar-2019"), "drift", "read")
    >>> frozen.name, frozen.drift
    ('pcm-nandakumar-2019 [without drift, read]', None)
    >>> without(load_preset("reram-wan-2022"), "drift").programming.t_s
    (1.0,)
    """
    for law in laws:
        if law not in get_args(Law):
            raise DriftproofError(
                f"without {law!r}{did_you_mean(law, get_args(Law))}: wanted some of {', '.join(get_args(Law))}"
            )
    if isinstance(device, DevicePreset):
        return _preset_without(device, laws)
    default = _preset_without(device.default, laws)
    layers = tuple((pattern, _preset_without(part, laws)) for pattern, part in device.layers)
    if default is device.default and all(a is b for (_, a), (_, b) in zip(layers, device.layers, strict=True)):
        return device
    return DeviceMix(f"{device.name} [without {', '.join(laws)}]", default, layers)


def _preset_without(preset: DevicePreset, laws: tuple[Law, ...]) -> DevicePreset:
    changes = {law: _off(preset, law, laws) for law in laws}
    shown = ", ".join(law for law in laws if changes[law])
    if not shown:
        return preset
    kept = preset.model_dump() | {"name": f"{preset.name} [without {shown}]"}
    for change in changes.values():
        kept |= change
    return DevicePreset.model_validate(kept)


def _off(preset: DevicePreset, law: Law, others: tuple[Law, ...]) -> dict[str, Any]:
    """Return the tables of a preset that change when one law is switched off; none if it has no such law."""
    programming = preset.programming
    if law == "programming":
        if isinstance(programming, PolynomialInTime | SaturatingInTime) and "drift" not in others:
            raise DriftproofError(
                f"preset {preset.name}: its programming law is a table in time, drift included; "
                "switch off drift too, or leave programming on"
            )
        return {} if programming.law == "none" else {"programming": {"law": "none"}}
    if law != "drift":
        return {law: None} if getattr(preset, law) is not None else {}
    changes: dict[str, Any] = {} if preset.drift is None else {"drift": None}
    in_time = isinstance(programming, PolynomialInTime | SaturatingInTime) and len(programming.t_s) > 1
    if in_time and "programming" not in others:
        changes["programming"] = {  # all tuples of these laws have one entry a time
            key: value[:1] if isinstance(value, tuple) else value for key, value in programming.model_dump().items()
        }
    return changes
