"""Base classes of the encodings: how a weight is stored in an array."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, SerializeAsAny, model_validator

from driftproof.laws._law import Law
from driftproof.laws._table import NotNegative, Positive, Tensor

Unit = Literal["µS", "% of the column's maximum", "% of the layer's maximum"]


@dataclass(frozen=True)
class Bank:
    """One device of every weight, such as the positive devices of all pairs.

    Attributes:
        mark: Name of the bank in the keys of randomness.
        sign: +1 if it carries positive weights, −1 if negative ones, 0 if both (an offset device, or a net weight).
        weight: Factor of its conductance G in w = Σ weight · G / (g_max − g_min).
        pair: Number of its pair, from 0, where a weight has several pairs (default: 0).
    """

    mark: str
    sign: float
    weight: float
    pair: int = 0


class Encoding(Law):
    """Base class of the encodings: how a weight w in [−1, 1], relative to a maximum, becomes conductances.

    Attributes:
        has_devices: Whether the weight becomes conductances of devices. If not, laws act on the net weight.
    """

    family = "encoding"
    tag_key = "encoding"
    plots = ()
    has_devices: ClassVar[bool]

    if TYPE_CHECKING:
        encoding: str

    @classmethod
    def _missing(cls) -> list[str]:
        return super()._missing() + ([] if hasattr(cls, "has_devices") else ["no has_devices (True or False)"])

    @property
    @abstractmethod
    def unit(self) -> Unit:
        """The unit in which a card shows conductances or weights."""

    @property
    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """The range to which a share of 0 to 1 is mapped, in the unit."""

    @abstractmethod
    def banks(self) -> tuple[Bank, ...]:
        """Return the banks of a weight, in the order in which they are stored and drawn."""

    @abstractmethod
    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return the share of the range that a bank carries for weights w [n] in [−1, 1], as a new tensor [n]."""

    @abstractmethod
    def weight_at(self, share: Tensor) -> Tensor:
        """Return the weights [n] whose first bank carries a share of the range; the inverse of :meth:`share`."""

    def plain(self) -> Encoding:
        """Return the encoding for plots of single devices: :meth:`weight_at` can give its first bank any share."""
        return self

    def target(self, share: Tensor) -> Tensor:
        """Return the target of a share of the range, in the unit, as a new tensor [n]."""
        low, high = self.ends
        value = share.mul(high - low)
        return value.add_(low) if low else value

    def scales(self) -> list[float]:
        """Return the part of the net weight that one µS of each bank makes up."""
        low, high = self.ends
        return [bank.weight / (high - low) for bank in self.banks()]

    @property
    def zero(self) -> float:
        """The number that is subtracted from the first bank, in the unit, where there is no reference column."""
        return 0.0

    @property
    def has_reference_column(self) -> bool:
        """Whether a column of reference devices, one per input, is subtracted."""
        return False

    @property
    def condition(self) -> str:
        """The condition that a reader of a result must know, in a few words; empty if there is none."""
        return ""

    @property
    def relative_to(self) -> Literal["column", "layer"]:
        """Whether w is relative to the maximum of its tile's column, or to that of the whole layer."""
        return "column"

    @property
    def file_columns(self) -> tuple[str, ...]:
        """The columns of the banks in files of conductances; empty if such files cannot hold the encoding."""
        return ()


class Conductances(Encoding):
    """Base class of the encodings that have devices: the range of conductances to which weights are mapped."""

    unfinished = True
    has_devices = True

    g_min_us: NotNegative
    g_max_us: Positive

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Conductances:
        if self.g_min_us >= self.g_max_us:
            raise ValueError(f"g_min_us = {self.g_min_us} must be below g_max_us = {self.g_max_us}")
        return self

    @property
    def unit(self) -> Unit:
        """µS, the unit of conductances."""
        return "µS"

    @property
    def ends(self) -> tuple[float, float]:
        """g_min and g_max in µS."""
        return self.g_min_us, self.g_max_us


Conductance = Annotated[SerializeAsAny[Encoding], BeforeValidator(Encoding.chosen)]
"""An encoding as a field of a preset."""
DeviceEncoding = Annotated[SerializeAsAny[Conductances], BeforeValidator(Conductances.chosen)]
"""An encoding that has devices, as a field of a table."""
