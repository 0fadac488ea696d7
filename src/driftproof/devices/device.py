"""What a device is to the rest of the house: arrays of it can be had, and it says what it is; never what kind it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from driftproof.devices.product_noise import ProductNoise
    from driftproof.devices.saved import SavedDevice
    from driftproof.laws import DriftLaw, Effect, Encoding, Levels, ProgrammingLaw, ReadLaw, Stuck, Validity


class DeviceLaws(Protocol):
    """One set of laws, which :func:`driftproof.devices.program` draws devices by."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def conductance(self) -> Encoding:
        """How weights stand in conductances."""

    @property
    def programming(self) -> ProgrammingLaw:
        """What programming does to a target."""

    @property
    def drift(self) -> DriftLaw | None:
        """What time does to a programmed conductance."""

    @property
    def read(self) -> ReadLaw | None:
        """What is added at every read."""

    @property
    def stuck(self) -> Stuck | None:
        """Which devices cannot be programmed."""

    @property
    def levels(self) -> Levels | None:
        """How many levels targets are rounded to."""

    @property
    def validity(self) -> Validity:
        """Where the numbers hold."""


class TimeSpan(Protocol):
    """From when to when."""

    @property
    def t_s(self) -> tuple[float, float]:
        """First and last time in s after programming."""


class Array(Protocol):
    """The devices of one layer of one chip: programmed or measured once, read at any time.

    Attributes:
        target: [out, in], what was wanted: weights relative to their column's maximum, in [−1, 1].
    """

    @property
    def target(self) -> Tensor:
        """[out, in], what was wanted: weights relative to their column's maximum, in [−1, 1]."""

    def net(self, t_s: float, read_noise: bool = True) -> Tensor:
        """Return what the array multiplies by at a time, [out, in], relative to the columns' maxima."""

    def conductances(self, t_s: float, read_noise: bool = True) -> tuple[Tensor, ...]:
        """Return the conductances at a time, one [out, in] in µS per device of a weight."""

    def product_noise(self, t_s: float) -> ProductNoise | None:
        """Return the read noise that is new in every MVM at a time; None if there is none."""

    def state(self) -> dict[str, Tensor]:
        """Return what the devices keep for life, by name; empty if the device itself has all of it."""

    def check_perturbed(self) -> None:
        """Raise DriftproofError if the device declares programming noise and yet every weight is exact."""


@runtime_checkable
class Device(Protocol):
    """A memory device: a preset, different presets for different layers, or measured chips."""

    @property
    def name(self) -> str:
        """What tables show."""

    @property
    def sha256(self) -> str:
        """Hash of all numbers."""

    @property
    def validity(self) -> TimeSpan:
        """The times for which the numbers hold."""

    @property
    def chips(self) -> int | None:
        """How many chips there are; None if as many can be drawn as are wanted."""

    @property
    def laws(self) -> DeviceLaws | None:
        """The laws that its devices are drawn by, if all layers share one set of laws."""

    @property
    def parts(self) -> tuple[Device, ...]:
        """The devices that it consists of, each once; the device itself if it is one."""

    @property
    def changes_in_time(self) -> bool:
        """Whether the errors of a chip's weights, or how large they are, depend on the time.

        They do by drift, by programming errors that are a table in time, and by read noise that grows; not by read
        noise that is new at every read-out and equally large at each.
        """

    def for_layer(self, layer: str) -> Device:
        """Return the device of one layer, by its canonical name."""

    def relative_to(self, layer: str) -> Literal["column", "layer"]:
        """Return which maximum the targets of a layer are relative to: its tile's column's, or the whole layer's."""

    def array(
        self,
        layer: str,
        chip: int,
        target: Tensor,
        *,
        seed: int,
        groups: int = 1,
        state: dict[str, Tensor] | None = None,
        memory: Array | None = None,
    ) -> Array:
        """Return one layer of one chip.

        Args:
            layer: canonical name of the layer.
            chip: number of the chip, from 0.
            target: [out, in], weights relative to what :meth:`relative_to` says; float32, contiguous.
            seed: of the evaluation.
            groups: of a grouped convolution, whose outputs stand group by group.
            state: what :meth:`Array.state` returned, to have the same devices again.
            memory: an array that is not needed any more, whose memory may be written over.
        """

    def check_layers(self, layers: Iterable[str]) -> None:
        """Raise DriftproofError if the device does not fit these layers."""

    def without(self, *effects: Effect) -> Self:
        """Return the same chips without some effects, the device itself if it has none of them."""

    def definition(self) -> dict[str, Any]:
        """Return what it is as plain JSON values."""

    def saved(self) -> tuple[SavedDevice, dict[str, Tensor]]:
        """Return what a file keeps of it, to have the same device again: values, and tensors by name."""

    def in_validity(self, t_s: float) -> bool:
        """Whether a time after programming, in s, lies in the range of validity."""
