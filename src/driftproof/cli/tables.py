"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from driftproof.mapping import LayerEntry
from driftproof.times import format_time


def _table(title: str) -> Table:
    """Return a table that is narrow enough for a terminal of 80 columns."""
    return Table(title=escape(title), title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def summary_table(summary: pd.DataFrame, title: str) -> Table:
    """Return mean, 95 % interval, worst chip and drop per preset and time.

    Args:
        summary: as :func:`driftproof.reporting.summarise` returns it.
        title: above the table.
    """
    table = _table(title)
    table.add_column("preset", overflow="fold")
    for heading in ("time", "mean %", "95 % interval", "worst", "drop", "chips"):
        table.add_column(heading, justify="right", no_wrap=True)
    several = summary["config_id"].nunique() > 1
    outside = False
    for _, group in summary.groupby(["config_id", "preset"], sort=False):
        rows: list[dict[str, Any]] = group.to_dict("records")  # type: ignore[assignment]
        for place, row in enumerate(rows):
            single = row["chips"] == 0
            outside |= not row["in_validity"]
            where = f" {row['label'] or row['backend']}/{row['compensation']}" if several else ""
            table.add_row(
                escape(f"{row['preset']}{where}") if place == 0 else "",
                "" if single else format_time(row["t_s"]) + ("" if row["in_validity"] else " *"),
                f"{row['mean']:.2f}",
                "" if pd.isna(row["ci95_low"]) else f"{row['ci95_low']:.2f} - {row['ci95_high']:.2f}",
                "" if pd.isna(row["worst"]) else f"{row['worst']:.2f}",
                "" if row["preset"] == "digital" else f"{row['drop']:z.2f}",
                "" if single else str(row["chips"]),
            )
        table.add_section()
    if outside:
        table.caption = "* outside the device's range of validity"
    return table


def layer_table(layers: Sequence[LayerEntry], title: str) -> Table:
    """Return every weight-bearing layer: where it is, and why if it is digital."""
    table = _table(title)
    table.add_column("layer")
    table.add_column("kind")
    for heading in ("weight", "weights", "tiles", "MVMs/input"):
        table.add_column(heading, justify="right")
    table.add_column("where")
    for layer in layers:
        table.add_row(
            escape(layer.name or "(root)"),
            layer.kind,
            "x".join(map(str, layer.shape)),
            f"{layer.weights:,}",
            str(layer.tiles or ""),
            "" if layer.mvms_per_input is None else f"{layer.mvms_per_input:,}",
            "analog" if layer.analog else escape(f"digital: {layer.reason}"),
        )
    analog = [layer for layer in layers if layer.analog]
    weights, total = sum(layer.weights for layer in analog), sum(layer.weights for layer in layers)
    table.caption = (
        f"{len(analog)} of {len(layers)} layers on {sum(layer.tiles for layer in analog)} tiles: "
        f"{weights:,} of {total:,} weights ({100 * weights / total:.1f} %) are analog; biases are digital"
    )
    return table
