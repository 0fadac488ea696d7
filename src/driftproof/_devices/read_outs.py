"""Read-outs: what two of them at one time share of the read noise, and what is new in each.

A chip is calibrated by one read-out (drift compensation is measured, BatchNorm statistics are re-estimated) and used in
another. Read noise with a spectrum is partly slower than the time between the two. The two read-outs have that part in
common, and a calibration can cancel it. The faster part is new in each.

Two read-outs that take the time T, with a pause P between them, have their middles T + P apart. The part of the
spectrum below the frequency 1/(T + P) counts as slow, the part above it as fast. The variance of the whole is that of
the law, whatever the two times are. Where both are 0, calibration and use are one read-out, and nothing is fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from driftproof._defaults import CALIBRATION_PAUSE_S, READ_OUT_S
from driftproof._errors import DriftproofError, did_you_mean
from driftproof._keywords import ChecksKeywords, number_text
from driftproof.times import parse_time

FastNoise = Literal["read-out", "mvm"]


@dataclass(frozen=True)
class ReadOut:
    """One read-out of a chip at a time.

    Attributes:
        name: Name by which the fast part of its read noise is drawn. Two read-outs of one name are the same.
        period_s: Period in s above which the parts of a spectrum are slow, and common to all read-outs of one time. At
            0 there is one read-out only.
        fast: Whether the fast part is new at each ``read-out``, or new in every ``mvm``.
    """

    name: str
    period_s: float
    fast: FastNoise


@dataclass(frozen=True)
class ReadOuts(ChecksKeywords):
    """The read-out that calibrates a chip, and the one in which it is used.

    Only read noise of a law with a spectrum has a slow part. The drift is that of the trial's time in both read-outs:
    the two times decide nothing but how much of the read noise the read-outs share. If both are 0, calibration and use
    are one read-out, and a calibration cancels read noise that real hardware would have drawn again.

    Attributes:
        duration_s: How long a read-out takes, in s (default: 1).
        pause_s: How long lies between calibration and use, in s (default: 3600).
        fast: How often the fast part is new: ``read-out`` draws it once for each read-out. ``mvm`` draws it in every
            matrix-vector multiplication, as on hardware, and a calibration averages it out. This costs one more product
            per layer and a random number per output: a ResNet-20 takes four times as long (default: ``read-out``).

    Raises:
        DriftproofError: A time is negative or not finite, or ``fast`` is another word.

    >>> str(ReadOuts(pause_s=60, fast="mvm")), str(ReadOuts())
    ('duration_s=1,pause_s=60,fast=mvm', 'duration_s=1,pause_s=3600')
    """

    duration_s: float = READ_OUT_S
    pause_s: float = CALIBRATION_PAUSE_S
    fast: FastNoise = "read-out"

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("duration_s", "pause_s"):
            value = getattr(self, name)
            if isinstance(value, bool | str) or not (math.isfinite(value) and value >= 0):
                raise DriftproofError(f"read-outs: {name} = {value!r}; wanted a time in s, not negative and finite")
            object.__setattr__(self, name, float(value))
        if self.fast not in get_args(FastNoise):
            raise DriftproofError(
                f"read-outs: fast = {self.fast!r}{did_you_mean(str(self.fast), get_args(FastNoise))}; wanted read-out "
                "(new at each read-out) or mvm (new in every matrix-vector multiplication)"
            )

    @staticmethod
    def of(choice: ReadOuts | str | None) -> ReadOuts:
        """Return read-outs from a text such as ``duration_s=10s,pause_s=1d,fast=mvm``; None gives the defaults.

        Raises:
            DriftproofError: A key is unknown or comes twice, or a value does not fit.

        >>> ReadOuts.of("pause_s=1d").pause_s
        86400.0
        """
        if choice is None or isinstance(choice, ReadOuts):
            return choice or ReadOuts()
        if not isinstance(choice, str):
            raise DriftproofError(f"read-outs came as {type(choice).__name__}; wanted a text such as pause_s=1d")
        known, values = ("duration_s", "pause_s", "fast"), {}
        for pair in choice.split(","):
            key, equals, value = pair.strip().partition("=")
            if key not in known or not equals or key in values:
                raise DriftproofError(
                    f"read-outs {choice!r}: wanted key=value pairs of {', '.join(known)}, each once, got {pair!r}"
                    f"{did_you_mean(key, known)}"
                )
            values[key] = value if key == "fast" else parse_time(value)
        return ReadOuts(**values)  # type: ignore[arg-type]  # checked above and by the class

    @property
    def period_s(self) -> float:
        """Time between the middles of the two read-outs, in s; 0 if they are one."""
        return self.duration_s + self.pause_s

    @property
    def use(self) -> ReadOut:
        """The read-out in which the chip is used."""
        return ReadOut("use", self.period_s, self.fast)

    @property
    def calibration(self) -> ReadOut:
        """The read-out in which the chip is calibrated."""
        return ReadOut("calibration", self.period_s, self.fast)

    def definition(self) -> dict[str, float | str]:
        """Return everything that decides numbers as plain JSON values."""
        return {"duration_s": self.duration_s, "pause_s": self.pause_s, "fast": self.fast}

    def __str__(self) -> str:
        fast = "" if self.fast == "read-out" else f",fast={self.fast}"
        return f"duration_s={number_text(self.duration_s)},pause_s={number_text(self.pause_s)}{fast}"


ONE_READ_OUT = ReadOuts(duration_s=0, pause_s=0)
"""Calibration and use in one read-out: a calibration sees the very read noise of the use."""

USE = ReadOuts().use
"""The read-out of use under the default times."""
