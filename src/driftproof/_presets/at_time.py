"""A device at a time after the first read: the noise that training draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from driftproof._defaults import COMPENSATION
from driftproof._errors import DriftproofError
from driftproof.times import format_time, parse_time

if TYPE_CHECKING:
    from driftproof._devices import Device


@dataclass(frozen=True, kw_only=True)
class AtTime:
    """A device at a time after the first read: programmed, drifted, read and compensated.

    Attributes:
        device: Device of which any number of chips can be drawn: a preset or a mix.
        t_s: Seconds after the first read; the earliest time of a range.
        until_s: Latest time of a range, from which times are drawn log-uniformly (default: None, only ``t_s``).
        compensation: Drift compensation, as in an evaluation, which is part of the noise.
    """

    device: Device
    t_s: float
    until_s: float | None = None
    compensation: str = COMPENSATION

    def __post_init__(self) -> None:
        """Raise DriftproofError for measured chips, and for a range from which no time can be drawn log-uniformly."""
        check_can_be_drawn(self.device)
        if self.until_s is not None and not 0 < self.t_s < self.until_s:
            raise DriftproofError(
                f"times {self.t_s:g} s to {self.until_s:g} s: wanted a range that begins above 0 s and ascends; times "
                "are drawn from it log-uniformly"
            )

    def __str__(self) -> str:
        until = "" if self.until_s is None else f"..{format_time(self.until_s)}".replace(" ", "")
        compensation = "" if self.compensation == "tile" else f" ({self.compensation})"
        return f"{self.device.name}@{format_time(self.t_s)}".replace(" ", "") + until + compensation

    @property
    def in_validity(self) -> bool:
        """Whether the device is valid at all these times."""
        return self.device.in_validity(self.t_s) and (self.until_s is None or self.device.in_validity(self.until_s))


def check_can_be_drawn(device: Device, name: str = "") -> None:
    """Raise DriftproofError for measured chips; ``name`` is the user's name for the device."""
    if device.chips is not None:
        raise DriftproofError(
            f"noise {name or device.name}: training would learn a few measured chips by heart; fit a preset to them "
            "(driftproof presets fit) and train with that"
        )


def at_time(
    device: Device, t: str | float, until: str | float | None = None, compensation: str = COMPENSATION
) -> AtTime:
    """Return a device at a time, or over a range of times.

    Args:
        device: A preset or a mix.
        t: Time after the first read in seconds, or as text such as ``1d``, or a range as text such as ``1h..1y``.
        until: End of a range that begins at ``t`` (default: None, one time).
        compensation: Drift compensation.

    Raises:
        DriftproofError: If the chips are measured, the range is empty, or a time cannot be read.

    >>> from driftproof._presets import load_preset
    >>> str(at_time(load_preset("pcm-nandakumar-2019"), "1h..30d"))
    'pcm-nandakumar-2019@1h..30d'
    """
    if isinstance(t, str) and ".." in t:
        if until is not None:
            raise DriftproofError(f"time {t!r} is a range already; until={until!r} would be a second end")
        t, until = t.split("..", 1)
    until_s = None if until is None else parse_time(until)
    return AtTime(device=device, t_s=parse_time(t), until_s=until_s, compensation=compensation)
