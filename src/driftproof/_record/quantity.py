"""The quantity that a metric measures: its unit, its range and its good end. This module needs no torch."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from driftproof._errors import DriftproofError, did_you_mean


class Quantity(BaseModel):
    """The quantity that a metric measures.

    Attributes:
        name: Name of the metric in records and on the command line.
        words: Name of the quantity in sentences and on axes (default: ``name``).
        percent: Whether values are percentages, 0 to 100.
        higher_is_better: Whether a higher value is better.
        lowest: Lowest possible value, None if there is none; percentages always begin at 0.

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
        """Name of the quantity in a sentence."""
        return self.words or self.name

    @property
    def label(self) -> str:
        """Label of an axis: the name with its unit."""
        return f"{self.title} in %" if self.percent else self.title

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1: multiplied by it, higher is better for every metric."""
        return 1 if self.higher_is_better else -1

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest possible value."""
        if self.percent:
            return 0.0, 100.0
        return -math.inf if self.lowest is None else self.lowest, math.inf

    def threshold(self, given: float | str, what: str) -> float:
        """Return a threshold in the unit of the values: a percentage for accuracies, not a share.

        Args:
            given: The threshold, or a text such as ``95`` or ``95%``. A text with ``%`` may be 1 % or below.
            what: Name of the threshold, for messages.

        Raises:
            DriftproofError: It is no value of the quantity, or looks like a share: a percentage in (0, 1].

        >>> Quantity(name="accuracy", percent=True).threshold("0.5 %", "keep")
        0.5
        >>> Quantity(name="accuracy", percent=True).threshold(0.95, "keep")
        Traceback (most recent call last):
        driftproof.DriftproofError: keep = 0.95: accuracy is in percent; write 95 for 95 %, or "0.95%" for 0.95 %
        """
        text = str(given).strip()
        try:
            value = float(text.removesuffix("%") if self.percent else text)
        except ValueError:
            value = math.nan
        low, high = self.ends
        if not (low <= value <= high and math.isfinite(value)):
            span = (
                f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}" if math.isfinite(low) else "any"
            )
            raise DriftproofError(f"{what} = {text}: wanted a value of {self.label}, {span}")
        if self.percent and 0 < value <= 1 and not text.endswith("%"):
            raise DriftproofError(
                f"{what} = {value:g}: {self.title} is in percent; write {100 * value:g} for {100 * value:g} %, or "
                f'"{value:g}%" for {value:g} %'
            )
        return value

    def said(self, value: float) -> str:
        """Return a value for a sentence: a percentage with one decimal, any other value with four digits."""
        return f"{value:.1f} %" if self.percent else self.number(value)

    def number(self, value: float) -> str:
        """Return a value for a table, without its unit."""
        return f"{value:z.2f}" if self.percent else f"{value:z#.4g}".rstrip(".")

    def difference(self, value: float, reference: float) -> str:
        """Return a difference for a table, with as many decimals as ``reference`` has in it.

        >>> QUANTITIES["perplexity"].difference(5.5e-7, reference=59.73)  # rounding, not a change
        '0.00'
        """
        decimals = 2 if self.percent else max(0, 3 - math.floor(math.log10(abs(reference)))) if reference else 4
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
"""Name → quantity of the built-in metrics."""


def quantity_of(name: str) -> Quantity:
    """Return the quantity of a built-in metric.

    Raises:
        DriftproofError: the name is unknown.

    >>> quantity_of("perplexity").higher_is_better
    False
    """
    if name not in QUANTITIES:
        raise DriftproofError(
            f"unknown metric {name!r}{did_you_mean(name, QUANTITIES)}; there are {', '.join(QUANTITIES)}, "
            "and your functions as file.py:callable"
        )
    return QUANTITIES[name]
