"""No time outside a device's range of validity, for chips on tiles."""

from __future__ import annotations

from typing import Any

from torch import nn

from driftproof.devices import Device
from driftproof.errors import DriftproofError
from driftproof.times import format_time


def check_time(device: Device, t_s: float) -> None:
    """Refuse a time outside a device's range of validity.

    Raises:
        DriftproofError: if it is.
    """
    if not device.in_validity(t_s):
        low, high = (format_time(t) for t in device.validity.t_s)
        raise DriftproofError(
            f"within_validity: {device.name} is valid from {low} to {high}, not at {format_time(t_s)}; drift(t) to a "
            "time in that range, or convert the network without within_validity (and without strict)"
        )


class NotBeforeDrift:
    """A forward pre-hook of a chip that stands at t = 0, where its device is not valid: it refuses to compute."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def __call__(self, _: nn.Module, __: Any) -> None:
        """Refuse."""
        check_time(self.device, 0.0)
