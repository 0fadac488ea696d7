"""No devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from driftproof.defaults import SCALE
from driftproof.laws.encoding.encoding import Bank, Encoding, Unit

if TYPE_CHECKING:
    from torch import Tensor


class WeightEncoding(Encoding):
    """No devices: the law acts on the net weight, relative to the largest of its column or of its layer."""

    has_devices: ClassVar[bool] = False

    encoding: Literal["weight"]
    scale: Literal["column", "layer"] = SCALE

    @property
    def unit(self) -> Unit:
        """Weights are shown in percent of what they are relative to."""
        return "% of the layer's maximum" if self.scale == "layer" else "% of the column's maximum"

    @property
    def ends(self) -> tuple[float, float]:
        """0 and 100 %."""
        return 0.0, 100.0

    def banks(self) -> tuple[Bank, ...]:
        """Return one place, the weight itself."""
        return (Bank("+", 0.0, 1.0),)

    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return w: a weight is its own share, negative ones too."""
        return w.clone()

    def weight_at(self, share: Tensor) -> Tensor:
        """Return the share."""
        return share

    @property
    def relative_to(self) -> Literal["column", "layer"]:
        """Which maximum w is relative to."""
        return self.scale

    def words(self) -> str:
        """Return how a weight stands in the array, in a sentence."""
        return f"Devices are not modelled: the laws act on a weight w relative to the largest one of its {self.scale}."
