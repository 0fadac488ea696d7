"""Net weights, without devices."""

from __future__ import annotations

from typing import Literal

from driftproof._defaults import SCALE
from driftproof.laws._encoding.encoding import Bank, Encoding, Unit
from driftproof.laws._table import Tensor


class WeightEncoding(Encoding):
    """A weight has no devices: laws act on the net weight, relative to the largest one of its column or layer."""

    has_devices = False

    encoding: Literal["weight"]
    scale: Literal["column", "layer"] = SCALE

    @property
    def unit(self) -> Unit:
        """Percent of the maximum that weights are relative to."""
        return "% of the layer's maximum" if self.scale == "layer" else "% of the column's maximum"

    @property
    def ends(self) -> tuple[float, float]:
        """0 and 100 %."""
        return 0.0, 100.0

    def banks(self) -> tuple[Bank, ...]:
        """Return one bank, the weight itself."""
        return (Bank("+", 0.0, 1.0),)

    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return w: a weight is its own share, negative ones too."""
        return w.clone()

    def weight_at(self, share: Tensor) -> Tensor:
        """Return the share."""
        return share

    @property
    def relative_to(self) -> Literal["column", "layer"]:
        """Whether w is relative to the maximum of its tile's column, or to that of the whole layer."""
        return self.scale

    def words(self) -> str:
        """Return a sentence that says that there are no devices."""
        return f"Devices are not modelled: the laws act on a weight w relative to the largest one of its {self.scale}."
