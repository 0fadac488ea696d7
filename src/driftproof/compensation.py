"""Drift compensation: one digital factor α per tile or per column, measured by reading the array.

α multiplies the tile's output, after the ADC. Its choices, as text and as classes with parameters of their own:

- ``none``: α = 1.
- ``tile``, ``column`` (:class:`MeanCompensation`): α = mean |G⁺ − G⁻| at the reference divided by the same at the time
  t, over a tile or over one of its columns, as a read of the array with one-hot inputs gives it. The reference is read
  without read noise (a mean of many reads), the later read has the read noise of its time.
- ``exact`` (:class:`ExactCompensation`): compared with the target weights instead, as a chip that stores them could:
  the least-squares factor α = Σ w n / Σ n², w the targets and n what is read. (PCM Nandakumar at 1 year, Gaussian
  weights: 1.94, where the means give 2.01.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

import torch
from torch import Tensor

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.mapping import MappedWeight
from driftproof.times import parse_time

Per = Literal["tile", "column"]
PER: Final = "tile"
# an array at a time, with or without read noise: [out, in], relative to the columns' maxima
Read = Callable[[float, bool], Tensor]


@dataclass(frozen=True)
class NoCompensation:
    """α = 1."""

    def __str__(self) -> str:
        return "none"

    def reference(self, mapped: MappedWeight, read: Read) -> Tensor | None:
        """Nothing is measured."""
        return None

    def alpha(self, mapped: MappedWeight, read: Read, now: Tensor, reference: Tensor | None, t_s: float) -> Tensor:
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
    """α = mean |G⁺ − G⁻| at the reference / the same now.

    Attributes:
        per: one factor a ``tile`` or a ``column`` of a tile.
        reference_s: when the reference is read, in s after programming; α is 1 before.
        every_s: α is measured at multiples of this time only and kept in between; 0: at every read-out.
    """

    per: Per = PER
    reference_s: float = 0.0
    every_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that are no choice or no time."""
        _check(self.per, self.reference_s, self.every_s)

    def __str__(self) -> str:
        return self.per + _written(self, "reference_s", "every_s")

    def reference(self, mapped: MappedWeight, read: Read) -> Tensor | None:
        """Measure the reference, [row splits, out]."""
        return mean_magnitude(mapped, read(self.reference_s, False), self.per)

    def alpha(self, mapped: MappedWeight, read: Read, now: Tensor, reference: Tensor | None, t_s: float) -> Tensor:
        """Return α at a time, [row splits, out]; ``now`` is what the array reads then."""
        assert reference is not None
        measured_s = _last_multiple(t_s, self.every_s)
        if measured_s < self.reference_s or (self.every_s and measured_s == 0):
            return torch.ones_like(mapped.scale)
        net = now if measured_s == t_s else read(measured_s, True)
        return factor(reference, mean_magnitude(mapped, net, self.per))


@dataclass(frozen=True)
class ExactCompensation:
    """α = Σ w n / Σ n² against the target weights w.

    Attributes:
        per: one factor a ``tile`` or a ``column`` of a tile.
        every_s: α is measured at multiples of this time only (the first is programming); 0: at every read-out.
    """

    per: Per = PER
    every_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that are no choice or no time."""
        _check(self.per, self.every_s)

    def __str__(self) -> str:
        return "exact" + _written(self, "per", "every_s")

    def reference(self, mapped: MappedWeight, read: Read) -> Tensor | None:
        """Nothing is measured: the reference is the targets."""
        return None

    def alpha(self, mapped: MappedWeight, read: Read, now: Tensor, reference: Tensor | None, t_s: float) -> Tensor:
        """Return α at a time, [row splits, out]; ``now`` is what the array reads then."""
        measured_s = _last_multiple(t_s, self.every_s)
        net = now if measured_s == t_s else read(measured_s, True)
        return least_squares(mapped, mapped.target, net, self.per)


Compensation = NoCompensation | MeanCompensation | ExactCompensation
_KINDS: dict[str, Compensation] = {
    "none": NoCompensation(),
    "tile": MeanCompensation("tile"),
    "column": MeanCompensation("column"),
    "exact": ExactCompensation(),
}


def as_compensation(choice: str | Compensation) -> Compensation:
    """Return a compensation by its text: a name, and after a colon its parameters.

    Raises:
        DriftproofError: unknown name or parameter, or a value that is no time.

    >>> as_compensation("tile")
    MeanCompensation(per='tile', reference_s=0.0, every_s=0.0)
    >>> str(as_compensation("exact:per=column,every_s=1d"))
    'exact:per=column,every_s=86400'
    """
    if isinstance(choice, Compensation):
        return choice
    if not isinstance(choice, str):
        raise DriftproofError(f"compensation {choice!r}: wanted a text such as tile or column:every_s=1d")
    name, colon, text = choice.partition(":")
    if name not in _KINDS:
        raise DriftproofError(
            f"unknown compensation {choice!r}{did_you_mean(name, _KINDS)}; there are {', '.join(_KINDS)}"
        )
    kind = _KINDS[name]
    # the mean's names say already whether it is per tile or per column
    known = [f.name for f in fields(kind) if not (isinstance(kind, MeanCompensation) and f.name == "per")]
    values: dict[str, Any] = {}
    for pair in text.split(",") if colon else []:
        key, equals, value = pair.partition("=")
        if key not in known or not equals or key in values:
            raise DriftproofError(
                f"compensation {choice!r}: wanted key=value pairs of {', '.join(known) or '(it has no parameters)'}, "
                f"each once, got {pair!r}{did_you_mean(key, known)}"
            )
        if key == "per" and value not in ("tile", "column"):
            raise DriftproofError(f"compensation {choice!r}: per is tile or column, got {value!r}")
        values[key] = value if key == "per" else parse_time(value)
    made: Compensation = type(kind)(**{f.name: getattr(kind, f.name) for f in fields(kind)} | values)
    return made


def mean_magnitude(mapped: MappedWeight, net: Tensor, per: Per) -> Tensor:
    """Mean |G⁺ − G⁻| of each tile or each tile's column, [row splits, out], relative to g_max − g_min."""
    columns = torch.stack([net[:, rows].abs().mean(dim=1) for rows in mapped.rows])
    if per == "tile":
        for part in mapped.columns:
            # every column of a tile has equally many devices: the mean of means is the tile's mean
            columns[:, part] = columns[:, part].mean(dim=1, keepdim=True)
    return columns


def least_squares(mapped: MappedWeight, target: Tensor, net: Tensor, per: Per = PER) -> Tensor:
    """α of each tile (or column) that brings what is read nearest to the targets, [row splits, out]; 1 for zeros."""
    product = torch.stack([(target[:, rows] * net[:, rows]).sum(dim=1) for rows in mapped.rows])
    square = torch.stack([net[:, rows].square().sum(dim=1) for rows in mapped.rows])
    if per == "tile":
        for part in mapped.columns:
            for sums in (product, square):
                sums[:, part] = sums[:, part].sum(dim=1, keepdim=True)
    return torch.where(square > 0, product / square, 1.0)


def factor(reference: Tensor, now: Tensor) -> Tensor:
    """α = reference / now; 1 where nothing is left to compensate (the tile or column reads zero).

    >>> factor(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])).tolist()
    [2.0, 1.0]
    """
    return torch.where(now > 0, reference / now, 1.0)


def _last_multiple(t_s: float, every_s: float) -> float:
    """Return the last multiple of a time, at or before another; ``t_s`` itself if it is one but for rounding."""
    if not every_s or math.isclose(t_s, round(t_s / every_s) * every_s, rel_tol=1e-12):
        return t_s
    return math.floor(t_s / every_s) * every_s


def _written(choice: Compensation, *names: str) -> str:
    """Return the parameters that differ from their defaults, as :func:`as_compensation` reads them."""
    defaults = {f.name: f.default for f in fields(choice)}
    changed = {name: getattr(choice, name) for name in names if getattr(choice, name) != defaults[name]}
    pairs = [
        f"{name}={repr(float(value)).removesuffix('.0')}" if isinstance(value, float) else f"{name}={value}"
        for name, value in changed.items()
    ]
    return f":{','.join(pairs)}" if pairs else ""
