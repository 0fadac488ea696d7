"""Checks of the arguments of an evaluation, made before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from driftproof._device_choice import as_device
from driftproof._devices import Device
from driftproof._errors import DriftproofError
from driftproof._record import DIGITAL, IDEAL_ANALOG
from driftproof.periphery import Periphery
from driftproof.times import format_time

SATURATED = 0.05
"""Share of a layer's conversions above which clipped values are warned of."""


def check_devices(presets: Sequence[Device | str] | Device | str) -> list[Device]:
    """Load devices. Raise DriftproofError if there is none, or if two have the same name."""
    given = list(presets) if isinstance(presets, Sequence) and not isinstance(presets, str) else [presets]
    devices = [as_device(preset) for preset in given]
    if not devices:
        raise DriftproofError("no presets: name at least one device, such as pcm-nandakumar-2019")
    names = [device.name for device in devices]
    for device in names:
        if device in (DIGITAL, IDEAL_ANALOG):
            raise DriftproofError(f"preset {device!r}: every record has a row of this name; choose another name")
        if names.count(device) > 1:
            raise DriftproofError(
                f"{names.count(device)} presets are called {device!r}; give one of them another name, or give it once"
            )
    return devices


def check_numbers(**numbers: int) -> None:
    """Raise DriftproofError unless every number is at least 1."""
    for what, number in numbers.items():
        if number < 1:
            raise DriftproofError(f"{what.replace('_', ' ')}: wanted at least 1, got {number}")


def chip_numbers(chips: int | str | range) -> range:
    """Return the numbers of chips: of the first so many, or from a first to a last one.

    Raises:
        DriftproofError: There is no chip, the first number is below 0, or the text is neither N nor FIRST-LAST.

    >>> chip_numbers(25), chip_numbers("25"), chip_numbers("25-49")
    (range(0, 25), range(0, 25), range(25, 50))
    """
    if isinstance(chips, range):
        numbers = chips
    else:
        first, dash, last = str(chips).partition("-")
        try:
            numbers = range(int(first), int(last) + 1) if dash and first else range(int(chips))
        except ValueError:
            raise DriftproofError(f"chips {chips!r}: wanted a number, or FIRST-LAST such as 25-49") from None
    if not numbers or numbers.step != 1 or numbers.start < 0:
        raise DriftproofError(f"chips: wanted at least 1, got {chips} (they are numbered from 0)")
    return numbers


def check_seed(seed: int, below: int = 2**63, *, lowest: int = 0) -> None:
    """Raise DriftproofError unless a record can hold the seed: a whole number from ``lowest`` to ``below`` − 1."""
    if not lowest <= seed < below:
        raise DriftproofError(f"seed: wanted a whole number from 0 to 2^{below.bit_length() - 1} - 1, got {seed}")


def check_validity(devices: Sequence[Device], times_s: tuple[float, ...]) -> None:
    """Raise DriftproofError if a time is outside the range of validity of a device."""
    for device in devices:
        outside = [t for t in times_s if not device.in_validity(t)]
        if outside:
            ends = device.validity.t_s
            texts = [format_time(t) for t in (*ends, *outside)]
            if {*texts[:2]} & {*texts[2:]}:  # three digits do not tell them apart
                texts = [f"{t:.10g} s" for t in (*ends, *outside)]
            low, high, *others = texts
            raise DriftproofError(
                f"within validity: preset {device.name} is valid from {low} to {high}, not at {', '.join(others)}; "
                "leave these times out, or leave within_validity (--within-validity) out to have them marked"
            )


def check_torch_device(torch_device: str) -> torch.device:
    """Return the torch device ``cpu`` or ``cuda``. Raise DriftproofError if torch cannot use it."""
    if torch_device not in ("cpu", "cuda"):
        raise DriftproofError(f"device {torch_device!r}: wanted cpu or cuda")
    if torch_device == "cuda" and not torch.cuda.is_available():
        raise DriftproofError("device cuda: torch finds no CUDA GPU here; use cpu")
    return torch.device(torch_device)


def wafer_texts(device: Device, chips: int) -> list[str]:
    """Return warnings about chips that share a wafer: intervals over chips count them as independent."""
    texts = []
    for part in device.parts:
        variation = None if part.laws is None else part.laws.variation
        wafer = None if variation is None else variation.wafer
        if variation is None or wafer is None or not any(wafer.spreads) or wafer.dies_per_wafer == 1 or chips < 2:
            continue
        wafers = variation.wafer_of(chips - 1) + 1
        texts.append(
            f"device {part.name}: the {chips} chips are of {wafers} wafer{'s' * (wafers > 1)}. Chips of a wafer are "
            "alike, while intervals over chips count them as independent: they are too narrow. Draw every chip from "
            "its own wafer: variation.wafer.dies_per_wafer=1 (--set)"
        )
    return texts


def saturation_text(periphery: Periphery, diagnostics: Mapping[str, Mapping[str, float]]) -> str:
    """Return a warning about converters that clip more than 5 % of a layer's values, or an empty text.

    Args:
        periphery: Periphery of the arrays.
        diagnostics: Shares ``saturated_inputs`` and ``saturated_outputs`` of each layer, 0 to 1.
    """
    texts = []
    for name, what, advice in (
        ("saturated_outputs", "ADC outputs beyond the full scale", "a larger adc_full_scale, or larger input ranges"),
        ("saturated_inputs", "DAC inputs beyond the input range", "calibration data like these inputs"),
    ):
        shares = {layer: share for layer, share in diagnostics.get(name, {}).items() if share > SATURATED}
        worst = sorted(shares, key=lambda layer: -shares[layer])
        high = [f"{100 * shares[layer]:.2g} % in {layer}" for layer in worst[:3]]
        more = f" and in {len(worst) - 3} more layers" if len(worst) > 3 else ""
        if high:
            texts.append(f"{what} are clipped: {', '.join(high)}{more}; this wants {advice}")
    return f"periphery {periphery.name}: {'. '.join(texts)} (ranges=… gives ranges)" if texts else ""
