"""The protocols of devices and of their arrays. Other code uses these, and never asks for a device's class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

from driftproof._devices.read_outs import USE, ReadOut

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof._devices.mvm_read_noise import MvmReadNoise
    from driftproof._devices.saved import SavedDevice
    from driftproof.laws import DriftLaw, Encoding, ProgrammingLaw, ReadLaw
    from driftproof.laws._effects import Effect
    from driftproof.laws._levels import Levels
    from driftproof.laws._stuck import Stuck
    from driftproof.laws._validity import Validity
    from driftproof.laws._variation import Variation


class DeviceLaws(Protocol):
    """One set of laws, from which :func:`driftproof._devices.program` draws devices."""

    @property
    def name(self) -> str:
        """Name of the device, for messages."""

    @property
    def conductance(self) -> Encoding:
        """Encoding of weights as conductances."""

    @property
    def programming(self) -> ProgrammingLaw:
        """Law of the programming noise."""

    @property
    def drift(self) -> DriftLaw | None:
        """Law of the drift, or None."""

    @property
    def read(self) -> ReadLaw | None:
        """Law of the read noise, or None."""

    @property
    def stuck(self) -> Stuck | None:
        """Shares of stuck devices, or None."""

    @property
    def levels(self) -> Levels | None:
        """Levels to which targets are rounded, or None."""

    @property
    def variation(self) -> Variation | None:
        """Deviations that devices of a wafer, a die or a column have in common, or None."""

    @property
    def validity(self) -> Validity:
        """Ranges in which the numbers hold."""


class TimeSpan(Protocol):
    """A range of times."""

    @property
    def t_s(self) -> tuple[float, float]:
        """First and last time, in s after the first read."""


class Array(Protocol):
    """The devices of one layer of one chip. They are programmed or measured once, and can be read at any time."""

    @property
    def target(self) -> Tensor:
        """Target weights [out, in] in [−1, 1], relative to their column's maximum."""

    @property
    def new_at_read_out(self) -> bool:
        """Whether two read-outs at one time can differ in the net weights."""

    def net(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> Tensor:
        """Return the net weights at a time in a read-out, [out, in], relative to the columns' maxima."""

    def nets(self, t_s: float, read_outs: Sequence[ReadOut]) -> list[Tensor]:
        """Return the net weights at a time in several read-outs, each as :meth:`net` returns it, with read noise."""

    def conductances(self, t_s: float, read_noise: bool = True, read_out: ReadOut = USE) -> tuple[Tensor, ...]:
        """Return the conductances at a time in a read-out, one [out, in] in µS per device of a weight."""

    def mvm_read_noise(self, t_s: float, read_out: ReadOut = USE) -> MvmReadNoise | None:
        """Return the read noise at a time that is new in every MVM, or None if there is none."""

    def state(self) -> dict[str, Tensor]:
        """Return the numbers that the devices keep for life, by name; empty if the device itself stores them."""

    def check_perturbed(self) -> None:
        """Raise DriftproofError if the device declares programming noise, but every weight is exact."""


@runtime_checkable
class Device(Protocol):
    """A memory device: a preset, different presets for different layers, or measured chips."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def sha256(self) -> str:
        """Hash of all numbers."""

    @property
    def validity(self) -> TimeSpan:
        """The times for which the numbers hold."""

    @property
    def chips(self) -> int | None:
        """Number of chips, or None if any number of chips can be drawn."""

    @property
    def laws(self) -> DeviceLaws | None:
        """The laws of the device, if all layers share one set of laws, or None."""

    @property
    def parts(self) -> tuple[Device, ...]:
        """The devices that it consists of, each once. A single device is its own part."""

    @property
    def changes_in_time(self) -> bool:
        """Whether the errors of a chip's weights, or their standard deviation, depend on the time.

        Drift, programming errors that are a table in time, and read noise that grows depend on it. Read noise that is
        new at every read-out and equally large at each does not.
        """

    def for_layer(self, layer: str) -> Device:
        """Return the device of one layer, by its canonical name."""

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return whether the targets of a layer are relative to the maximum of their tile's column, or of the layer."""

    def array(
        self,
        layer: str,
        chip: int,
        target: Tensor,
        *,
        seed: int,
        groups: int = 1,
        rows: tuple[slice, ...] = (),
        state: dict[str, Tensor] | None = None,
    ) -> Array:
        """Return one layer of one chip.

        Args:
            layer: Canonical name of the layer.
            chip: Number of the chip, from 0.
            target: Weights [out, in], relative to the maximum that :meth:`relative_to` names; float32 and contiguous.
            seed: Seed of the evaluation.
            groups: Groups of a grouped convolution, whose outputs are ordered by group (default: 1).
            rows: Rows of each row split of the layer's tiles (default: one tile holds all rows).
            state: Result of :meth:`Array.state`, which restores the same devices (default: None, program devices).
        """

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise DriftproofError if the device does not fit these layers."""

    def without(self, *effects: Effect) -> Self:
        """Return the same chips without some effects, or the device itself if it has none of them."""

    def one_die_per_wafer(self) -> Self:
        """Return the same device with every chip from a wafer of its own, for draws that must be independent."""

    def definition(self) -> dict[str, Any]:
        """Return the device as plain JSON values."""

    def saved(self) -> tuple[SavedDevice, dict[str, Tensor]]:
        """Return the form in which a file stores the device: plain values, and tensors by name."""

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after the first read, in s, lies in the range of validity."""
