"""What is measured: the unit of a metric's values, their range, and which end of it is good. Needs no torch."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from driftproof.errors import DriftproofError, did_you_mean


class Quantity(BaseModel):
    """What the values of a metric are.

    Attributes:
        name: of the metric, as records and the command line call it.
        words: what sentences and axes call it; the name unless said.
        percent: whether values are percentages, 0 to 100.
        higher_is_better: whether 2 is better than 1.
        lowest: the lowest value that can occur, if there is one; 0 of percentages.

    >>> accuracy = Quantity(name="accuracy", percent=True)
    >>> accuracy.label, accuracy.said(91.73), accuracy.number(91.73)
    ('accuracy in %', '91.7 %', '91.73')
    >>> mse = Quantity(name="mse", words="mean squared error", higher_is_better=False, lowest=0)
    >>> mse.label, mse.said(0.0123456), mse.number(0.0123456)
    ('mean squared error', '0.01235', '0.01235')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    words: str = ""
    percent: bool = False
    higher_is_better: bool = True
    lowest: float | None = None

    @property
    def title(self) -> str:
        """What it is called in a sentence."""
        return self.words or self.name

    @property
    def label(self) -> str:
        """What an axis of it is called, with its unit."""
        return f"{self.title} in %" if self.percent else self.title

    @property
    def sign(self) -> int:
        """1 or -1: times this, higher is better for every metric."""
        return 1 if self.higher_is_better else -1

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest value that can occur."""
        if self.percent:
            return 0.0, 100.0
        return -math.inf if self.lowest is None else self.lowest, math.inf

    def said(self, value: float) -> str:
        """Return a value for a sentence: a percentage to one decimal, anything else to four digits."""
        return f"{value:.1f} %" if self.percent else self.number(value)

    def number(self, value: float) -> str:
        """Return a value for a table whose heading names the unit."""
        return f"{value:z.2f}" if self.percent else f"{value:z#.4g}".rstrip(".")

    def difference(self, value: float, beside: float) -> str:
        """Return how far a value is from another one for a table, with the decimals that the other one has there.

        >>> QUANTITIES["perplexity"].difference(5.5e-7, beside=59.73)  # rounding, not a change
        '0.00'
        """
        decimals = 2 if self.percent else max(0, 3 - math.floor(math.log10(abs(beside)))) if beside else 4
        return f"{value:z.{decimals}f}" if abs(value) < 1e4 else self.number(value)


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity(name="accuracy", percent=True),
        Quantity(name="top5", words="top-5 accuracy", percent=True),
        Quantity(name="token-accuracy", words="token accuracy", percent=True),
        Quantity(name="f1", words="macro F1", percent=True),
        Quantity(name="perplexity", higher_is_better=False, lowest=1),
        Quantity(name="mse", words="mean squared error", higher_is_better=False, lowest=0),
    )
}
"""Of the metrics that are known by name."""


def quantity_of(name: str) -> Quantity:
    """Return what a metric that is known by name measures.

    Raises:
        DriftproofError: the name is not one of them.

    >>> quantity_of("perplexity").higher_is_better
    False
    """
    if name not in QUANTITIES:
        raise DriftproofError(
            f"unknown metric {name!r}{did_you_mean(name, QUANTITIES)}; there are {', '.join(QUANTITIES)}, "
            "and a function of your own: file.py:callable"
        )
    return QUANTITIES[name]
