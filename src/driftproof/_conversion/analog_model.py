"""A network on aihwkit tiles, and one chip of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from torch import nn
from torch.utils.hooks import RemovableHandle

from driftproof._chip import Chip
from driftproof._compensation import Compensation
from driftproof._conversion.tiles import TiledLayer
from driftproof._devices import Device
from driftproof._errors import DriftproofError
from driftproof._mapping import LayerEntry, Mapping
from driftproof.arrays._passes import Passes
from driftproof.arrays._ranges import Ranges
from driftproof.periphery import Periphery
from driftproof.times import format_time, parse_time


@dataclass(frozen=True)
class AnalogModel:
    """A network on aihwkit tiles that is not programmed yet: it computes like the digital one.

    Attributes:
        model: The network; its converted layers are aihwkit layers.
        preset: The device that :func:`driftproof.program` uses.
        layers: One entry per weight: name, kind, shape, tiles, analog, reason, MVMs per input.
        compensation: The drift compensation.
        mapping: The weights on the tiles.
        periphery: The periphery of the arrays; None if it is ideal.
        ranges: Static input range of each tile row.
        within_validity: Whether its chips refuse times outside the device's range of validity.
    """

    model: nn.Module
    preset: Device
    layers: tuple[LayerEntry, ...]
    compensation: Compensation
    mapping: Mapping = field(repr=False)
    tiled: dict[str, TiledLayer] = field(repr=False)
    passes: Passes = field(repr=False)
    periphery: Periphery | None = None
    ranges: Ranges = field(default_factory=dict, repr=False)
    within_validity: bool = False


@dataclass
class ProgrammedChip:
    """One chip in aihwkit tiles.

    Attributes:
        model: The network as this chip computes it at the time ``t_s``.
        t_s: Time in seconds since programming ended.
        chip: The devices of the chip, and the mapping.
        periphery: The periphery of the arrays; None if it is ideal.
        ranges: Static input range of each tile row.
        within_validity: Whether it refuses times outside the device's range of validity. If the device is not valid at
            t = 0, the chip then does not compute before :meth:`drift`.
    """

    model: nn.Module
    t_s: float
    chip: Chip = field(repr=False)
    tiled: dict[str, TiledLayer] = field(repr=False)
    passes: Passes = field(repr=False)
    periphery: Periphery | None = None
    ranges: Ranges = field(default_factory=dict, repr=False)
    within_validity: bool = False
    _waits: RemovableHandle | None = field(default=None, init=False, repr=False)

    @staticmethod
    def on(analog: AnalogModel, chip: Chip) -> ProgrammedChip:
        """Program a chip into the tiles of a converted network; it is at t = 0, the end of programming."""
        for layer in analog.tiled.values():
            layer.place(chip)
        analog.passes.restart()
        conditions = analog.periphery, analog.ranges, analog.within_validity
        return ProgrammedChip(analog.model, 0.0, chip, analog.tiled, analog.passes, *conditions)

    def __post_init__(self) -> None:
        """Refuse to compute at t = 0 if the device is not valid there."""
        device = self.chip.preset
        if self.within_validity and not device.in_validity(self.t_s):
            self._waits = self.model.register_forward_pre_hook(partial(_check_time, device, self.t_s), prepend=True)

    def drift(self, t_s: float | str) -> ProgrammedChip:
        """Move this chip to a time after the first read, earlier or later than now, and return it.

        Samples are counted from this call on: where a device's read noise is new in every MVM, the first sample after
        the call has the noise of sample 0.

        Args:
            t_s: Time since programming, in seconds, or a text such as ``"1d"``.

        Raises:
            DriftproofError: If ``t_s`` is not a time, or, with ``within_validity``, if it is outside the device's range
                of validity. The chip then stays at its present time.
        """
        t_s = parse_time(t_s)
        if self.within_validity:
            _check_time(self.chip.preset, t_s)
        if self._waits is not None:
            self._waits.remove()
        for layer in self.tiled.values():
            layer.drift(t_s)
        self.passes.restart()
        self.t_s = t_s
        return self


def _check_time(device: Device, t_s: float, *_: object) -> None:
    """Raise DriftproofError for a time outside a device's range of validity; the rest is arguments of a hook."""
    if not device.in_validity(t_s):
        low, high = (format_time(t) for t in device.validity.t_s)
        raise DriftproofError(
            f"within_validity: {device.name} is valid from {low} to {high}, not at {format_time(t_s)}; drift(t) to a "
            "time in that range, or convert the network without within_validity (and without strict)"
        )
