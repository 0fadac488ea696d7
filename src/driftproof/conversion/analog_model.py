"""A network on aihwkit tiles, and one chip of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from torch.utils.hooks import RemovableHandle

from driftproof.arrays import Passes, Ranges
from driftproof.chip import Chip
from driftproof.compensation import Compensation
from driftproof.conversion.tiles import TiledLayer
from driftproof.conversion.validity import NotBeforeDrift, check_time
from driftproof.devices import Device
from driftproof.mapping import LayerEntry, Mapping
from driftproof.periphery import Periphery
from driftproof.times import parse_time


@dataclass(frozen=True)
class AnalogModel:
    """A network on aihwkit tiles, not yet programmed: it computes like the digital one.

    Attributes:
        model: the network; its converted layers are aihwkit layers.
        preset: the device that :func:`program` will use.
        layers: one entry per weight-bearing layer: name, kind, shape, tiles, analog, reason, MVMs per input.
        compensation: of the drift.
        mapping: what is on which tile.
        periphery: what is around the arrays; None if it is ideal.
        ranges: static input range of each tile row.
        within_validity: whether its chips refuse times outside the device's range of validity.
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
        model: the network as this chip computes it at the time ``t_s``.
        t_s: seconds since programming ended.
        chip: its devices, and the mapping.
        periphery: what is around the arrays; None if it is ideal.
        ranges: static input range of each tile row.
        within_validity: whether it refuses times outside the device's range of validity. It then does not compute
            before :meth:`drift` if the device is not valid at t = 0.
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

    def __post_init__(self) -> None:
        """Refuse to compute at t = 0 where the device is not valid there."""
        if self.within_validity and not self.chip.preset.in_validity(self.t_s):
            self._waits = self.model.register_forward_pre_hook(NotBeforeDrift(self.chip.preset), prepend=True)

    def drift(self, t_s: float | str) -> ProgrammedChip:
        """Move this chip to ``t_s`` seconds after programming (earlier or later; ``"1d"`` too), and return it.

        Where a device's read noise is new in every product, samples are counted from here on: the first sample after
        this call has the noise of sample 0.

        Raises:
            DriftproofError: something that is no time; a time outside the device's range of validity, if the network
                was converted with ``within_validity``: the chip stays at the time at which it stands.
        """
        t_s = parse_time(t_s)
        if self.within_validity:
            check_time(self.chip.preset, t_s)
        if self._waits is not None:
            self._waits.remove()
            self._waits = None
        for layer in self.tiled.values():
            layer.drift(t_s)
        self.passes.restart()
        self.t_s = t_s
        return self
