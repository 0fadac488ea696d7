"""One device per weight, around a middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from driftproof.laws.encoding.encoding import Bank, Conductances

if TYPE_CHECKING:
    from torch import Tensor


class OffsetEncoding(Conductances):
    """One weight is one device: w = 2 (G − G_ref)/(g_max − g_min), G_ref half-way.

    ``reference = "column"``: G_ref is a device too, one per input, shared by all outputs; it is programmed and relaxes
    like the others. ``reference = "constant"``: it is a number.
    """

    encoding: Literal["offset"]
    reference: Literal["column", "constant"]

    def banks(self) -> tuple[Bank, ...]:
        """Return the one device."""
        return (Bank("+", 0.0, 2.0),)

    def share(self, bank: Bank, w: Tensor) -> Tensor:
        """Return (w + 1)/2."""
        return w.add(1).div_(2)

    def weight_at(self, share: Tensor) -> Tensor:
        """Return 2 · share − 1."""
        return 2 * share - 1

    @property
    def zero(self) -> float:
        """G_ref in µS if it is a number."""
        return (self.g_min_us + self.g_max_us) / 2

    @property
    def has_reference_column(self) -> bool:
        """Whether G_ref is a column of devices."""
        return self.reference == "column"

    @property
    def file_columns(self) -> tuple[str, ...]:
        """Files hold the one device."""
        return ("g_us",)

    def words(self) -> str:
        """Return how a weight stands in the array, in a sentence."""
        what = "a column of such devices, shared by all outputs" if self.has_reference_column else "a number"
        return (
            f"A weight is one device of {self.g_min_us:g} to {self.g_max_us:g} µS, w = 2 (G - G_ref)/(g_max - g_min); "
            f"G_ref = {self.zero:g} µS is {what}."
        )
