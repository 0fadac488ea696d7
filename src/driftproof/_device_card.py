"""A device's card: statistics of devices that the sampler draws from its laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import ValidationError
from torch import Tensor

from driftproof._devices import ProgrammedArray, ReadOuts, program
from driftproof._errors import DriftproofError
from driftproof._presets import DevicePreset
from driftproof._presets.card import Card, Course, Exponent, Shift, Spread, WeightError
from driftproof._weight_error import tile_chip
from driftproof.times import SECONDS, format_time

# shares of the range: dense where laws bend, near zero
SHARES = (0.0, 0.01, 0.02, 0.035, *(step / 20 for step in range(1, 21)))
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
ERROR_TIMES_S = (1.0, SECONDS["d"], SECONDS["y"])
BINS = 51  # odd: zero is the middle of one

_PER_TARGET = 10_000
_PER_COURSE = 4_000
_LAST_S = 10 * SECONDS["y"]
_DIGITS = 4
VARIATION_NOTE = "Variation from wafer to wafer, die to die and column to column is not in these plots."
_NO_ERROR = 0.01  # percent: the smallest range of a histogram


@torch.no_grad()
def device_card(preset: DevicePreset) -> Card:
    """Return the numbers behind the plots of a preset's card, to four digits.

    The card has 10,000 devices for each of 24 targets, 4,000 devices for each of five targets over time (the relative
    standard error of a standard deviation is 0.7 % and 1.1 %), and the tile of
    :func:`driftproof._weight_error.tile_chip`. All of them have seed 0. It takes less than 0.1 s.

    Raises:
        DriftproofError: If the laws give a conductance that is not finite.

    >>> from driftproof._presets import load_preset
    >>> card = device_card(load_preset("gaussian:0.05"))
    >>> [f"{error.half:.1f} %" for error in card.errors]
    ['5.0 %', '5.0 %', '5.0 %']
    """
    common, preset = preset.variation, preset.without("variation")
    times = _times_s(preset)
    many, few = _program(preset, SHARES, _PER_TARGET, spread=True), _program(preset, LEVELS, _PER_COURSE)
    shown = {plot for law in preset.changing for plot in law.plots}
    try:
        limit, errors = _errors(preset)
        return Card(
            unit=preset.conductance.unit,
            valid_s=preset.validity.t_s,
            targets=_round(_targets(preset, SHARES)),
            spreads=tuple(_spread(preset, many, t_s) for t_s in _spread_times_s(preset, "spread in time" in shown)),
            exponent=_exponent(many) if "exponent" in shown else None,
            times_s=times,
            shift=_shift(preset, few, times) if "shift" in shown and "exponent" not in shown else None,
            read_noise=preset.read is not None and preset.read.new_every == "read-out",
            courses=_courses(preset, few, times),
            limit=limit,
            errors=errors,
            notes=(*_notes(preset, many), *(() if common is None else (VARIATION_NOTE,))),
        )
    except (ValidationError, OverflowError):
        raise DriftproofError(
            f"preset {preset.name}: its laws give a number that is not finite; look at its constants"
        ) from None


# --- which devices, and when ---


def _targets(preset: DevicePreset, shares: Sequence[float]) -> Tensor:
    """Return the targets of shares of the range, in the card's unit."""
    return preset.conductance.target(torch.tensor(shares, dtype=torch.float64))


def _program(preset: DevicePreset, shares: Sequence[float], count: int, spread: bool = False) -> ProgrammedArray:
    """Program ``count`` weights at each share of the range: [shares, count].

    The error of rounding to finite levels depends on where between two levels a weight lies. With ``spread``, the net
    weights of such presets are spread evenly over one step between levels, with their share in the middle.
    """
    encoding = preset.conductance.plain()
    preset = preset.model_copy(update={"conductance": encoding})
    w = encoding.weight_at(torch.tensor(shares, dtype=torch.float32)[:, None].repeat(1, count))
    if spread and preset.levels and not encoding.has_devices:
        step = 2 / (preset.levels.count - 1)
        w += step * ((torch.arange(count, dtype=torch.float32) + 0.5) / count - 0.5)
        w = torch.where(w > 1, 2 - w, w).clamp_(-1, 1)  # weights beyond the range are folded back
    return program(preset, w, seed=0, chip=0, layer="card")


def _read(array: ProgrammedArray, t_s: float, read_noise: bool) -> Tensor:
    """Return the values read from the devices at a time, [shares, count] float64, in the card's unit."""
    if array.preset.conductance.has_devices:
        return array.conductances(t_s, read_noise)[0].double()
    return 100 * array.net(t_s, read_noise).double()


def _spread_times_s(preset: DevicePreset, changes: bool) -> list[float]:
    low, high = preset.validity.t_s
    return sorted({low, min(max(SECONDS["d"], low), high), high}) if changes else [low]


def _times_s(preset: DevicePreset) -> tuple[float, ...]:
    """Return the times of the courses: three per decade, and the times at which something happens."""
    grid = [10 ** (step / 3) for step in range(int(3 * math.log10(_LAST_S)) + 1)]
    table = preset.programming.times_s
    places = [*ERROR_TIMES_S, _LAST_S, *preset.validity.t_s, *(table if len(table) <= 12 else ())]
    places = [t_s for t_s in places if 1 <= t_s <= _LAST_S]
    apart = [t_s for t_s in grid if all(abs(math.log(t_s / place)) > 0.3 for place in places)]
    return tuple(sorted({float(f"{t_s:.{_DIGITS}g}") for t_s in apart} | set(places)))


# --- statistics ---


def _spread(preset: DevicePreset, array: ProgrammedArray, t_s: float) -> Spread:
    read = _read(array, t_s, read_noise=False)
    if preset.levels and not preset.conductance.has_devices:
        sigma = (read - 100 * array.target).square().mean(dim=1).sqrt()  # rounding is an error, not a random spread
    else:
        sigma = read.std(dim=1, correction=0)
    return Spread(t_s=t_s, sigma=_round(sigma))


def _exponent(array: ProgrammedArray) -> Exponent:
    assert array.life is not None
    nu = array.life[0].view_as(array.target).double()
    return Exponent(mean=_round(nu.mean(dim=1)), sd=_round(nu.std(dim=1, correction=0)))


def _shift(preset: DevicePreset, array: ProgrammedArray, times_s: Sequence[float]) -> Shift:
    middle = LEVELS.index(0.5)
    target = float(_targets(preset, LEVELS)[middle])
    shifts = [_read(array, t_s, read_noise=False)[middle] - target for t_s in times_s]
    mean, sd = ([float(f(shift)) for shift in shifts] for f in (torch.mean, torch.std))
    return Shift(target=_round([target])[0], mean=_round(mean), sd=_round(sd))


def _courses(preset: DevicePreset, array: ProgrammedArray, times_s: Sequence[float]) -> tuple[Course, ...]:
    read = torch.stack([_read(array, t_s, read_noise=True) for t_s in times_s])  # [T, targets, count]
    low, high = torch.quantile(read, torch.tensor([0.05, 0.95], dtype=torch.float64), dim=2)
    mean, targets = read.mean(dim=2), _round(_targets(preset, LEVELS))
    return tuple(
        Course(target=target, mean=_round(mean[:, i]), low=_round(low[:, i]), high=_round(high[:, i]))
        for i, target in enumerate(targets)
    )


def _errors(preset: DevicePreset) -> tuple[float, tuple[WeightError, ...]]:
    """Return the end of the histograms' range in percent, and the errors of a tile's weights."""
    chip, weight = tile_chip(preset)
    errors = [100 * (chip.weight("tile", t_s) - weight).double() for t_s in ERROR_TIMES_S]
    limit = max(_NO_ERROR, *(_widest(error[1::2, 1:].abs()) for error in errors))
    edges = torch.linspace(-limit, limit, BINS + 1, dtype=torch.float64)
    rows = []
    for t_s, error in zip(ERROR_TIMES_S, errors, strict=True):
        normal = error[1::2, 1:].flatten()
        half, rms = _round([float(values.square().mean().sqrt()) for values in (error[::2, 1:], normal)])
        shares = 100 * torch.histogram(normal, edges).hist / normal.numel()
        rows.append(WeightError(t_s=t_s, half=half, normal=rms, shares=_round(shares)))
    return limit, tuple(rows)


def _widest(size: Tensor) -> float:
    """Return a range that shows 99 % of errors with some room, or all of them, rounded up to two digits.

    Raises:
        OverflowError: If an error is not finite.
    """
    if not size.isfinite().all():
        raise OverflowError
    wanted = min(float(size.max()), 1.25 * float(size.flatten().quantile(0.99)))
    unit = 10 ** (math.floor(math.log10(max(wanted, _NO_ERROR))) - 1)
    return float(f"{math.ceil(wanted / unit) * unit:.2g}")


def _notes(preset: DevicePreset, array: ProgrammedArray) -> tuple[str, ...]:
    notes = []
    if noise := array.mvm_read_noise(max(1.0, preset.validity.t_s[0])):
        largest = 100 * float(noise.weights[-1].double().square().mean().sqrt())
        notes.append(
            "Read noise is new in every matrix-vector multiplication and is not in these plots: "
            f"{largest:.2g} % of the column's maximum for the largest weight."
        )
    if array.new_at_read_out and (shares := _common_shares(preset)):
        notes.append(
            f"Of the variance of the read noise, a calibration shares {shares} with a use an hour later. The "
            "rest is new: drift compensation and BatchNorm recalibration cannot cancel it."
        )
    if preset.stuck:
        notes.append("Stuck devices are in these plots.")
    if preset.levels and not preset.conductance.has_devices:
        notes.append("The error at a weight is the root mean square over one step between levels, centred on it.")
    return tuple(notes)


def _common_shares(preset: DevicePreset) -> str:
    """Return the shares of the read noise's variance that two read-outs have in common; empty if they have none."""
    assert preset.read is not None
    period_s = ReadOuts().period_s
    shares = {t_s: 1 - preset.read.fast_share(t_s, period_s) for t_s in ERROR_TIMES_S}
    if not any(shares.values()):
        return ""
    return ", ".join(f"{100 * share:.0f} % at {format_time(t_s)}" for t_s, share in shares.items())


def _round(values: Tensor | Sequence[float]) -> tuple[float, ...]:
    numbers = values.tolist() if isinstance(values, Tensor) else values
    return tuple(float(f"{number:.{_DIGITS}g}") + 0.0 for number in numbers)  # + 0.0: no negative zeros
