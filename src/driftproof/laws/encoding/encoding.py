"""How a weight stands in an array: what all encodings have."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, SerializeAsAny, model_validator

from driftproof.laws.law import Law, Plot
from driftproof.laws.table import NotNegative, Positive

if TYPE_CHECKING:
    from torch import Tensor

Unit = Literal["µS", "% of the column's maximum", "% of the layer's maximum"]


@dataclass(frozen=True)
class Bank:
    """The devices of one place in every weight.

    Attributes:
        mark: its name in the key of randomness.
        sign: +1 carries positive weights, −1 negative ones, 0 both (an offset device, or a net weight).
        weight: its part in w = Σ weight · G / (g_max − g_min).
    """

    mark: str
    sign: float
    weight: float


class Encoding(Law):
    """How a weight w in [−1, 1], relative to a maximum, becomes what is programmed: devices in µS, or itself.

    Attributes:
        has_devices: whether there are devices with conductances; otherwise laws act on the net weight.
    """

    family: ClassVar[str] = "encoding"
    tag_key: ClassVar[str] = "encoding"
    plots: ClassVar[tuple[Plot, ...]] = ()
    has_devices: ClassVar[bool]

    if TYPE_CHECKING:
        encoding: str

    @classmethod
    def _missing(cls) -> list[str]:
        known = hasattr(cls, "has_devices")
        return super()._missing() + ([] if known else ["no has_devices (True or False)"])

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """What a card shows conductances or weights in."""

    @property
    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """The range that a share of 0 to 1 is mapped to, in the unit."""

    @abstractmethod
    def banks(self) -> tuple[Bank, ...]:
        """Return the devices of a weight, in the order in which they are kept and drawn."""

    @abstractmethod
    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return the share of the range that a bank carries for weights w in [−1, 1]: [n], a new tensor."""

    @abstractmethod
    def weight_at(self, share: Tensor) -> Tensor:
        """Return the weights whose first bank carries a share of the range: [n]; :meth:`share` the other way."""

    def target(self, share: Tensor) -> Tensor:
        """Return the target in the unit of what carries a share of the range: [n], a new tensor."""
        low, high = self.ends
        value = share.mul(high - low)
        return value.add_(low) if low else value

    def scales(self) -> list[float]:
        """Return what one µS of each bank counts in the net weight."""
        low, high = self.ends
        return [bank.weight / (high - low) for bank in self.banks()]

    @property
    def zero(self) -> float:
        """What is subtracted from the first bank, in the unit, where no reference column is."""
        return 0.0

    @property
    def has_reference_column(self) -> bool:
        """Whether what is subtracted is a column of devices of its own, one per input."""
        return False

    @property
    def relative_to(self) -> Literal["column", "layer"]:
        """Which maximum w is relative to: its tile's column's, or the whole layer's."""
        return "column"

    @property
    def file_columns(self) -> tuple[str, ...]:
        """What the banks are called in files of conductances; nothing if such files cannot hold them."""
        return ()


class Conductances(Encoding):
    """The range that a device is mapped to."""

    unfinished: ClassVar[bool] = True
    has_devices: ClassVar[bool] = True

    g_min_us: NotNegative
    g_max_us: Positive

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Conductances:
        if self.g_min_us >= self.g_max_us:
            raise ValueError(f"g_min_us = {self.g_min_us} must be below g_max_us = {self.g_max_us}")
        return self

    @property
    def unit(self) -> Unit:
        """Conductances are shown in µS."""
        return "µS"

    @property
    def ends(self) -> tuple[float, float]:
        """g_min and g_max in µS."""
        return self.g_min_us, self.g_max_us


Conductance = Annotated[SerializeAsAny[Encoding], BeforeValidator(Encoding.chosen)]
"""An encoding as a field of a preset."""
DeviceEncoding = Annotated[SerializeAsAny[Conductances], BeforeValidator(Conductances.chosen)]
"""The same, of those that have devices."""
