"""One device per weight, offset by a reference."""

from __future__ import annotations

from typing import Literal

from driftproof.laws._encoding.encoding import Bank, Conductances
from driftproof.laws._table import Tensor


class OffsetEncoding(Conductances):
    """A weight is one device: w = 2 (G − G_ref)/(g_max − g_min), where G_ref is the middle of the range.

    With ``reference = "column"``, G_ref is a device too. There is one per input, all outputs share it, and it is
    programmed and relaxes like the others. With ``reference = "constant"``, G_ref is a number.
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
        """G_ref in µS, for a reference that is a number."""
        return (self.g_min_us + self.g_max_us) / 2

    @property
    def has_reference_column(self) -> bool:
        """Whether G_ref is a column of devices."""
        return self.reference == "column"

    @property
    def condition(self) -> str:
        """The kind of the reference, which decides how much of a drift that all devices share stays in the weights."""
        return "drifting reference column" if self.has_reference_column else "digital reference"

    @property
    def file_columns(self) -> tuple[str, ...]:
        """The column of the one device in files of conductances."""
        return ("g_us",)

    def words(self) -> str:
        """Return a sentence about how a weight is stored in the array."""
        reference = (
            "a column of such devices, shared by all outputs" if self.has_reference_column else "a digital number"
        )
        return (
            f"A weight is one device of {self.g_min_us:g} to {self.g_max_us:g} µS, w = 2 (G - G_ref)/(g_max - g_min); "
            f"G_ref = {self.zero:g} µS is {reference}."
        )
