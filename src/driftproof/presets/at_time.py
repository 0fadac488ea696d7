"""A device at a time of its life: the noise that training draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from driftproof.defaults import COMPENSATION
from driftproof.errors import DriftproofError
from driftproof.times import format_time, parse_time

if TYPE_CHECKING:
    from driftproof.devices import Device


@dataclass(frozen=True, kw_only=True)
class AtTime:
    """A device as it is at a time after programming: programmed, drifted, read, compensated.

    Attributes:
        device: with laws in every layer, by which as many chips can be drawn as a training wants.
        t_s: seconds after programming; the earliest if there is a range.
        until_s: the latest; times are then drawn log-uniformly. None for the one time.
        compensation: of the drift, as an evaluation takes it; it belongs to the noise.
    """

    device: Device
    t_s: float
    until_s: float | None = None
    compensation: str = COMPENSATION

    def __post_init__(self) -> None:
        """Refuse measured chips, an empty range, and times that cannot be drawn log-uniformly."""
        check_can_be_drawn(self.device)
        if self.until_s is not None and not 0 < self.t_s < self.until_s:
            raise DriftproofError(
                f"times {self.t_s:g} s to {self.until_s:g} s: wanted a range that begins above 0 s and ascends, to be "
                "drawn from log-uniformly"
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
    """Raise DriftproofError for a device of which there are a few chips only, by its name or what a user called it."""
    if device.chips is not None:
        raise DriftproofError(
            f"noise {name or device.name}: a few measured chips would be learnt by heart; fit a preset to them "
            "(driftproof presets fit) and train with that"
        )


def at_time(
    device: Device, t: str | float, until: str | float | None = None, compensation: str = COMPENSATION
) -> AtTime:
    """Return a device at a time, or over a range of times.

    Args:
        device: with laws in every layer.
        t: time after programming, such as ``1d``, or seconds; also a range as text, ``1h..1y``.
        until: the other end of a range.
        compensation: of the drift.

    Raises:
        DriftproofError: measured chips; a range that is none; a time that cannot be read.

    >>> from driftproof.presets import load_preset
    >>> str(at_time(load_preset("pcm-nandakumar-2019"), "1h..30d"))
    'pcm-nandakumar-2019@1h..30d'
    """
    if isinstance(t, str) and ".." in t:
        if until is not None:
            raise DriftproofError(f"time {t!r} is a range already; until={until!r} would be a second end")
        t, until = t.split("..", 1)
    return AtTime(
        device=device,
        t_s=parse_time(t),
        until_s=None if until is None else parse_time(until),
        compensation=compensation,
    )
