"""A device's card: what its laws come to, from devices drawn by the one sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from driftproof.devices import ProgrammedArray, program
from driftproof.errors import DriftproofError
from driftproof.presets import DevicePreset
from driftproof.presets.card import Card, Course, Exponent, Shift, Spread, WeightError
from driftproof.times import SECONDS
from driftproof.weight_error import tile_chip

# shares of the range: dense where laws bend, near zero
SHARES = (0.0, 0.01, 0.02, 0.035, *(step / 20 for step in range(1, 21)))
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
ERROR_TIMES_S = (1.0, SECONDS["d"], SECONDS["y"])
BINS = 51  # odd: zero is the middle of one

_PER_TARGET = 10_000
_PER_COURSE = 4_000
_LAST_S = 10 * SECONDS["y"]
_DIGITS = 4
_NO_ERROR = 0.01  # percent: the least range of a histogram


@torch.no_grad()
def device_card(preset: DevicePreset) -> Card:
    """Return the numbers behind the plots of a preset's card, to four digits.

    10,000 devices for each of 24 targets, 4,000 for each of five targets through time (a spread's relative standard
    error is 0.7 % and 1.1 %), and the tile of :func:`driftproof.weight_error.tile_chip`: all of seed 0, in less than
    0.1 s.

    Raises:
        DriftproofError: the laws give a conductance that is not finite.

    >>> from driftproof.presets import load_preset
    >>> card = device_card(load_preset("gaussian:0.05"))
    >>> [f"{error.half:.1f} %" for error in card.errors]
    ['5.0 %', '5.0 %', '5.0 %']
    """
    times = _times_s(preset)
    many, few = _program(preset, SHARES, _PER_TARGET, around=True), _program(preset, LEVELS, _PER_COURSE)
    limit, errors = _errors(preset)
    shown = {plot for law in preset.changing for plot in law.plots}
    return Card(
        unit=preset.conductance.unit,
        valid_s=preset.validity.t_s,
        targets=_round(preset, _targets(preset, SHARES)),
        spreads=tuple(_spread(preset, many, t_s) for t_s in _spread_times_s(preset, "spread in time" in shown)),
        exponent=_exponent(preset, many) if "exponent" in shown else None,
        times_s=times,
        shift=_shift(preset, few, times) if "shift" in shown and "exponent" not in shown else None,
        read_noise=preset.read is not None and preset.read.new_every == "read-out",
        courses=_courses(preset, few, times),
        limit=limit,
        errors=errors,
        notes=_notes(preset, many),
    )


# --- which devices, and when ---


def _targets(preset: DevicePreset, shares: Sequence[float]) -> Tensor:
    """Targets in the card's unit, of shares of the range."""
    return preset.conductance.target(torch.tensor(shares, dtype=torch.float64))


def _program(preset: DevicePreset, shares: Sequence[float], count: int, around: bool = False) -> ProgrammedArray:
    """Program ``count`` weights at each share of the range: [shares, count].

    Rounding to finite levels is an error that depends on where between two levels a weight lies: with ``around``, net
    weights of such presets are spread evenly over one step around their share.
    """
    encoding = preset.conductance
    w = encoding.weight_at(torch.tensor(shares, dtype=torch.float32)[:, None].repeat(1, count))
    if around and preset.levels and not encoding.has_devices:
        step = 2 / (preset.levels.count - 1)
        w += step * ((torch.arange(count, dtype=torch.float32) + 0.5) / count - 0.5)
        w = torch.where(w > 1, 2 - w, w).clamp_(-1, 1)  # what would lie beyond the range is folded back
    return program(preset, w, seed=0, chip=0, layer="card")


def _read(array: ProgrammedArray, t_s: float, read_noise: bool) -> Tensor:
    """What is read of the devices at a time, [shares, count] float64, in the card's unit."""
    if array.preset.conductance.has_devices:
        return array.conductances(t_s, read_noise)[0].double()
    return 100 * array.net(t_s, read_noise).double()


def _spread_times_s(preset: DevicePreset, changes: bool) -> list[float]:
    low, high = preset.validity.t_s
    return sorted({low, min(max(SECONDS["d"], low), high), high}) if changes else [low]


def _times_s(preset: DevicePreset) -> tuple[float, ...]:
    """Times of the courses: three a decade, and those where something happens."""
    grid = [10 ** (step / 3) for step in range(int(3 * math.log10(_LAST_S)) + 1)]
    places, known = [*ERROR_TIMES_S, _LAST_S, *preset.validity.t_s], preset.programming.times_s
    if len(known) <= 12:
        places += known
    places = [t_s for t_s in places if 1 <= t_s <= _LAST_S]
    apart = [t_s for t_s in grid if all(abs(math.log(t_s / place)) > 0.3 for place in places)]
    return tuple(sorted({float(f"{t_s:.{_DIGITS}g}") for t_s in apart} | set(places)))


# --- what they do ---


def _spread(preset: DevicePreset, array: ProgrammedArray, t_s: float) -> Spread:
    read = _read(array, t_s, read_noise=False)
    if preset.levels and not preset.conductance.has_devices:
        sigma = (read - 100 * array.target).square().mean(dim=1).sqrt()  # rounding is an error and no spread
    else:
        sigma = read.std(dim=1, correction=0)
    return Spread(t_s=t_s, sigma=_round(preset, sigma))


def _exponent(preset: DevicePreset, array: ProgrammedArray) -> Exponent:
    assert array.life is not None
    nu = array.life[0].view_as(array.target).double()
    return Exponent(mean=_round(preset, nu.mean(dim=1)), sd=_round(preset, nu.std(dim=1, correction=0)))


def _shift(preset: DevicePreset, array: ProgrammedArray, times_s: Sequence[float]) -> Shift:
    middle = LEVELS.index(0.5)
    target = float(_targets(preset, LEVELS)[middle])
    found = [_read(array, t_s, read_noise=False)[middle] - target for t_s in times_s]
    mean, sd = ([float(f(shift)) for shift in found] for f in (torch.mean, torch.std))
    return Shift(target=_round(preset, [target])[0], mean=_round(preset, mean), sd=_round(preset, sd))


def _courses(preset: DevicePreset, array: ProgrammedArray, times_s: Sequence[float]) -> tuple[Course, ...]:
    read = torch.stack([_read(array, t_s, read_noise=True) for t_s in times_s])  # [T, targets, count]
    low, high = torch.quantile(read, torch.tensor([0.05, 0.95], dtype=torch.float64), dim=2)
    mean = read.mean(dim=2)
    return tuple(
        Course(
            target=target,
            mean=_round(preset, mean[:, place]),
            low=_round(preset, low[:, place]),
            high=_round(preset, high[:, place]),
        )
        for place, target in enumerate(_round(preset, _targets(preset, LEVELS)))
    )


def _errors(preset: DevicePreset) -> tuple[float, tuple[WeightError, ...]]:
    """End of the histograms' range in percent, and the errors of a tile's weights."""
    chip, weight = tile_chip(preset)
    found = [100 * (chip.weight("tile", t_s) - weight).double() for t_s in ERROR_TIMES_S]
    normal = [error[1::2, 1:].flatten() for error in found]
    limit = max(_NO_ERROR, *(_widest(preset, error.abs()) for error in normal))
    edges = torch.linspace(-limit, limit, BINS + 1, dtype=torch.float64)
    errors = []
    for t_s, error, of_normal in zip(ERROR_TIMES_S, found, normal, strict=True):
        half, rms = (float(values.square().mean().sqrt()) for values in (error[::2, 1:], of_normal))
        shares = 100 * torch.histogram(of_normal, edges).hist / of_normal.numel()
        half, rms = _round(preset, [half, rms])
        errors.append(WeightError(t_s=t_s, half=half, normal=rms, shares=_round(preset, shares)))
    return limit, tuple(errors)


def _widest(preset: DevicePreset, size: Tensor) -> float:
    """Range that shows 99 % of errors with some room, or all of them, rounded up to two digits."""
    largest, most = _finite(preset, [float(size.max()), float(size.quantile(0.99))])
    wanted = min(largest, 1.25 * most)
    unit = 10 ** (math.floor(math.log10(max(wanted, _NO_ERROR))) - 1)
    return float(f"{math.ceil(wanted / unit) * unit:.2g}")


def _notes(preset: DevicePreset, array: ProgrammedArray) -> tuple[str, ...]:
    notes = []
    if noise := array.product_noise(max(1.0, preset.validity.t_s[0])):
        largest = 100 * float(noise.weights[-1].double().square().mean().sqrt())
        notes.append(
            "Read noise is new in every matrix-vector product and is not in these plots: "
            f"{largest:.2g} % of the column's maximum for the largest weight."
        )
    if preset.stuck:
        notes.append("Stuck devices are in these plots.")
    if preset.levels and not preset.conductance.has_devices:
        notes.append("The error at a weight is the root mean square over one step between levels around it.")
    return tuple(notes)


def _round(preset: DevicePreset, values: Tensor | Sequence[float]) -> tuple[float, ...]:
    numbers = _finite(preset, values.tolist() if isinstance(values, Tensor) else values)
    return tuple(float(f"{number:.{_DIGITS}g}") + 0.0 for number in numbers)  # + 0.0: no negative zeros


def _finite(preset: DevicePreset, numbers: Sequence[float]) -> Sequence[float]:
    if not all(math.isfinite(number) for number in numbers):
        raise DriftproofError(f"preset {preset.name}: its laws give a number that is not finite; look at its constants")
    return numbers
