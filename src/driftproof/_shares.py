"""Shares of a network's multiply-accumulates, from the table of its layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

ACTIVATIONS = "(activations)"
"""Name of the row for products of activations with activations, which no array can compute."""


class Row(Protocol):
    """What a row of the table of layers tells of the multiply-accumulates."""

    @property
    def name(self) -> str:
        """Name of the layer."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight; empty if there is none."""

    @property
    def analog(self) -> bool:
        """Whether its products are computed on tiles."""

    @property
    def unasked(self) -> bool:
        """Whether it is digital although nobody asked for that."""

    @property
    def macs_per_input(self) -> int | None:
        """Multiply-accumulates per sample; None if they are not known."""


def uncounted(rows: Iterable[Row]) -> list[str]:
    """Return the names of products whose multiply-accumulates could not be counted."""
    return [row.name for row in rows if row.macs_per_input is None and (row.unasked or not row.shape)]


def analog_share(rows: Iterable[Row], *, with_weights: bool = False) -> float | None:
    """Return the share of the multiply-accumulates that is computed on tiles; None if they could not be counted.

    Args:
        rows: The table of a network's layers.
        with_weights: Whether products of activations with activations are left out (default: False).
    """
    counted = [row for row in rows if not (with_weights and row.name == ACTIVATIONS)]
    total = sum(row.macs_per_input or 0 for row in counted)
    if not total or uncounted(counted):
        return None
    return sum(row.macs_per_input or 0 for row in counted if row.analog) / total


def share_text(rows: Iterable[Row]) -> str:
    """Return a phrase that says which share of the multiply-accumulates is analog; empty if nothing was counted."""
    rows = list(rows)
    share, weighted = analog_share(rows), analog_share(rows, with_weights=True)
    if share is None:
        names = uncounted(rows)
        if not names or not any(row.macs_per_input for row in rows):
            return ""
        return f"a share of the multiply-accumulates that cannot be counted because of {', '.join(names)}"
    if share == weighted:
        return f"{100 * share:.1f} % of the multiply-accumulates with weights"
    return f"{100 * share:.1f} % of all multiply-accumulates and {100 * (weighted or 0):.1f} % of those with weights"
