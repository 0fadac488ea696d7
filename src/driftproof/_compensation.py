"""Drift compensation: one digital factor α per tile or per column, measured by reading the array.

α multiplies the tile's output, after the ADC. The choices, as text and as classes with their parameters:

- ``none`` (:class:`NoCompensation`): α = 1.
- ``tile``, ``column`` (:class:`MeanCompensation`): α = mean |G⁺ − G⁻| at the reference time divided by the same mean at
  the time t, over a tile or over one of its columns. Reads of the array with one-hot inputs measure it. The reference
  is read without read noise (a mean of many reads); the later read has the read noise of its time, of a read-out that
  is not the one in which the chip is used (:mod:`driftproof._devices.read_outs`).
- ``exact`` (:class:`ExactCompensation`): the array is compared with the target weights w, as a chip that stores them
  could do: the least-squares factor α = Σ w n / Σ n², where n are the values that are read. (PCM Nandakumar at 1 year,
  Gaussian weights: α is 1.94; the means give 2.01.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

import torch
from torch import Tensor

from driftproof._devices import Device
from driftproof._errors import DriftproofError, aihwkit_hint
from driftproof._keywords import choice_text, parse_choice
from driftproof._mapping import MappedWeight
from driftproof.times import format_time, parse_time

Per = Literal["tile", "column"]
PER: Final = "tile"
Read = Callable[[float, bool], Tensor]
"""Takes a time in s and whether to add read noise; returns an array [out, in], relative to the columns' maxima."""


@dataclass(frozen=True)
class NoCompensation:
    """α = 1."""

    def __str__(self) -> str:
        return "none"

    def reference(self, mapped: MappedWeight, read: Read) -> Tensor | None:
        """Return None: no reference is measured."""
        return None

    def alpha(self, mapped: MappedWeight, read: Read, reference: Tensor | None, t_s: float) -> Tensor:
        """Return ones, [row splits, out]."""
        return torch.ones_like(mapped.scale)


def _check(per: str, *times_s: float) -> None:
    if per not in ("tile", "column"):
        raise DriftproofError(f"compensation per {per!r}: wanted tile or column")
    for time in times_s:
        if isinstance(time, str) or not math.isfinite(time) or time < 0:
            raise DriftproofError(f"compensation: wanted times in s, not negative and finite, got {time!r}")


@dataclass(frozen=True)
class MeanCompensation:
    """α = mean |G⁺ − G⁻| at the reference time / the same mean now.

    Attributes:
        per: Whether there is one factor for each ``tile``, or for each ``column`` of a tile (default: ``tile``).
        reference_s: Time of the reference read, in s after the first read; α is 1 before it (default: 0).
        every_s: Interval in s at whose multiples α is measured, and between which it is kept (default: 0, at every
            read).

    Raises:
        DriftproofError: If ``per`` is unknown, or a time is negative or not finite.
    """

    per: Per = PER
    reference_s: float = 0.0
    every_s: float = 0.0

    def __post_init__(self) -> None:
        """Raise for values that are not a choice or not a time."""
        _check(self.per, self.reference_s, self.every_s)

    def __str__(self) -> str:
        return choice_text(self.per, self, "per")

    def reference(self, mapped: MappedWeight, read: Read) -> Tensor | None:
        """Return the reference, [row splits, out]."""
        return mean_magnitude(mapped, read(self.reference_s, False), self.per)

    def alpha(self, mapped: MappedWeight, read: Read, reference: Tensor | None, t_s: float) -> Tensor:
        """Return α at a time, [row splits, out]."""
        assert reference is not None
        measured_s = _last_multiple(t_s, self.every_s)
        if measured_s < self.reference_s or (self.every_s and measured_s == 0):
            return torch.ones_like(mapped.scale)
        return factor(reference, mean_magnitude(mapped, read(measured_s, True), self.per))


@dataclass(frozen=True)
class ExactCompensation:
    """α = Σ w n / Σ n², where w are the target weights and n the values that are read.

    Attributes:
        per: Whether there is one factor for each ``tile``, or for each ``column`` of a tile (default: ``tile``).
        every_s: Interval in s at whose multiples α is measured, from programming on, and between which it is kept
            (default: 0, at every read).

    Raises:
        DriftproofError: If ``per`` is unknown, or the time is negative or not finite.
    """

    per: Per = PER
    every_s: float = 0.0

    def __post_init__(self) -> None:
        """Raise for values that are not a choice or not a time."""
        _check(self.per, self.every_s)

    def __str__(self) -> str:
        return choice_text("exact", self)

    def reference(self, mapped: MappedWeight, read: Read) -> Tensor | None:
        """Return None: the targets are the reference."""
        return None

    def alpha(self, mapped: MappedWeight, read: Read, reference: Tensor | None, t_s: float) -> Tensor:
        """Return α at a time, [row splits, out]."""
        measured_s = _last_multiple(t_s, self.every_s)
        return least_squares(mapped, mapped.target, read(measured_s, True), self.per)


Compensation = NoCompensation | MeanCompensation | ExactCompensation
_KINDS: dict[str, Compensation] = {
    "none": NoCompensation(),
    "tile": MeanCompensation("tile"),
    "column": MeanCompensation("column"),
    "exact": ExactCompensation(),
}


def as_compensation(choice: str | Compensation) -> Compensation:
    """Return the compensation for a text: a name, and after a colon its parameters.

    Raises:
        DriftproofError: If a name or parameter is unknown, or a value is not a time.

    >>> as_compensation("tile")
    MeanCompensation(per='tile', reference_s=0.0, every_s=0.0)
    >>> str(as_compensation("exact:per=column,every_s=1d"))
    'exact:per=column,every_s=86400'
    """
    if isinstance(choice, Compensation):
        return choice
    if not isinstance(choice, str):
        raise DriftproofError(
            f"compensation: a {type(choice).__name__} came; wanted a text such as tile or column:every_s=1d"
            f"{aihwkit_hint(choice, 'compensation')}"
        )
    # the names tile and column already determine ``per``
    hidden = {"tile": "per", "column": "per"}
    keys = {name: [f.name for f in fields(kind) if f.name != hidden.get(name)] for name, kind in _KINDS.items()}
    name, values = parse_choice("compensation", choice, keys)
    return replace(_KINDS[name], **{key: v if key == "per" else parse_time(v) for key, v in values.items()})  # type: ignore[arg-type]


LATE_S: Final = 60.0
"""A reference that is read later than this after programming is late, in s."""


def late_reference_text(device: Device, compensation: Compensation, times_s: Iterable[float] = ()) -> str:
    """Return what a late reference read of the compensation leaves out, or an empty text.

    The compensation brings a chip back to what it was at its reference read. Drift before that read stays.

    Args:
        device: The device.
        compensation: Its drift compensation.
        times_s: Times in s after programming at which chips are used (default: none are known).
    """
    if not isinstance(compensation, MeanCompensation) or not device.changes_in_time:
        return ""
    exact = "compensation='exact' (--compensation exact), which compares a chip with its target weights"
    first_s = device.validity.t_s[0]
    if device.chips is not None and max(first_s, compensation.reference_s) > LATE_S:
        read = format_time(max(first_s, compensation.reference_s))
        return (
            f"device {device.name} was first read {format_time(first_s)} after programming, and the reference of the "
            f"drift compensation ({compensation}) is its reading at {read}: what the chips lost before stays lost. "
            f"Use {exact}, or measure the chips soon after programming, too"
        )
    earlier = [t_s for t_s in times_s if t_s < compensation.reference_s]
    if device.chips is not None or (compensation.reference_s <= LATE_S and not earlier):
        return ""
    unused = f", and chips at {format_time(min(earlier))} are not compensated at all" if earlier else ""
    return (
        f"device {device.name}: the reference of the drift compensation ({compensation}) is read "
        f"{format_time(compensation.reference_s)} after programming: what a chip loses before stays lost{unused}. "
        f"Use reference_s=0, a read at the end of programming, or {exact}"
    )


def mean_magnitude(mapped: MappedWeight, net: Tensor, per: Per) -> Tensor:
    """Return the mean |G⁺ − G⁻| of each tile or tile's column, [row splits, out], relative to g_max − g_min."""
    columns = torch.stack([net[:, rows].abs().mean(dim=1) for rows in mapped.rows])
    if per == "tile":
        for part in mapped.columns:
            # all columns of a tile have the same number of devices: the mean of means is the tile's mean
            columns[:, part] = columns[:, part].mean(dim=1, keepdim=True)
    return columns


def least_squares(mapped: MappedWeight, target: Tensor, net: Tensor, per: Per = PER) -> Tensor:
    """Return the α of each tile or column that brings the read values nearest to the targets, [row splits, out].

    α is 1 where all values are zero.
    """
    product = torch.stack([(target[:, rows] * net[:, rows]).sum(dim=1) for rows in mapped.rows])
    square = torch.stack([net[:, rows].square().sum(dim=1) for rows in mapped.rows])
    if per == "tile":
        for part in mapped.columns:
            for sums in (product, square):
                sums[:, part] = sums[:, part].sum(dim=1, keepdim=True)
    return torch.where(square > 0, product / square, 1.0)


def factor(reference: Tensor, now: Tensor) -> Tensor:
    """Return α = reference / now; 1 where the tile or column reads zero.

    >>> factor(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])).tolist()
    [2.0, 1.0]
    """
    return torch.where(now > 0, reference / now, 1.0)


def _last_multiple(t_s: float, every_s: float) -> float:
    """Return the last multiple of ``every_s`` at or before ``t_s``; ``t_s`` if it is a multiple up to rounding."""
    if not every_s or math.isclose(t_s, round(t_s / every_s) * every_s, rel_tol=1e-12):
        return t_s
    return math.floor(t_s / every_s) * every_s
