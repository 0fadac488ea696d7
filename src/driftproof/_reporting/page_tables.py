"""Tables of a report's page as texts: lifetimes, yields and comparisons."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from driftproof._record import Quantity
from driftproof._reporting.gather import Evidence
from driftproof._reporting.lifetime import default_keep, in_words, span_in_words
from driftproof._reporting.shares import LifetimeRow, bars, lifetimes, yields
from driftproof.times import format_time

LEVEL = 0.05
"""Level of the p-values."""


def kept(evidence: Evidence, key: str, keep: float | None) -> list[dict[str, Any]]:
    """Return the lifetimes and the yields of one configuration, one group per preset."""
    threshold = default_keep(evidence.digital(key), evidence.quantity) if keep is None else keep
    groups = []
    for preset in evidence.measured_presets:
        if rows := lifetimes(evidence, key, preset, threshold):
            name = evidence.names[key]
            shares = yields(evidence, key, preset, threshold)
            bar_texts = [bar.words(plural=True) for bar in bars(evidence, key, threshold)]
            groups.append(
                {
                    "preset": preset,
                    "name": name,
                    "bars": bar_texts,
                    "lifetimes": [_lifetime_row(row) for row in rows],
                    "yields": _yield_rows(shares, len(bar_texts)),
                }
            )
    return groups


def _lifetime_row(row: LifetimeRow) -> dict[str, str]:
    of = "the mean" if row.share is None else f"{row.share:.0%} of the chips".replace("%", " %")
    words = {"below": f"not kept at {format_time(row.times[0])}", "held": f"at least {in_words(row.estimate.t_s)}"}
    spans: dict[str, str] = {
        on: "" if span is None else span_in_words(span, row.times).removeprefix("95 % interval ")
        for on, span in row.spans.items()
    }
    return {
        "what": f"{of} {row.bar.words(plural=row.share is not None)}",
        "estimate": words.get(row.estimate.kind, in_words(row.estimate.t_s)),
        **spans,
    }


def _yield_rows(shares: list[dict[str, Any]], bar_count: int) -> list[dict[str, Any]]:
    """Return one row per time, with the shares of the chips for each threshold."""
    rows = []
    for place in range(0, len(shares), bar_count):
        texts = []
        for row in shares[place : place + bar_count]:
            kind = "" if math.isnan(row["share_ci95_new_low"]) else "new_"
            low, high = (100 * row[f"share_ci95_{kind}{end}"] for end in ("low", "high"))
            texts.append((f"{100 * row['share']:.0f}", f"{low:.0f} – {high:.0f}"))
        first = shares[place]
        rows.append({"time": format_time(first["t_s"]), "shares": texts, "valid": first["in_validity"]})
    return rows


def comparison_rows(table: pd.DataFrame, quantity: Quantity) -> list[dict[str, Any]]:
    """Return the rows of the comparisons as texts."""
    rows = []
    for row in table.to_dict("records"):
        kind = "" if math.isnan(row["ci95_new_low"]) else "new_"
        ends = [row[f"ci95_{kind}{end}"] for end in ("low", "high")]
        between = "" if math.isnan(ends[0]) else " – ".join(quantity.difference(end, row["mean_a"]) for end in ends)
        rows.append(
            {
                "a": row["a"],
                "b": row["b"],
                "time": format_time(row["t_s"]),
                "difference": quantity.difference(row["difference"], row["mean_a"]),
                "interval": between,
                "p": p_text(row["p_holm"]),
                "chips": row["chips"],
                "valid": row["in_validity"],
            }
        )
    return rows


def alone_note(table: pd.DataFrame) -> str:
    """Return why an interval excludes 0 although the adjusted p-value is above 0.05; empty if none does."""
    known = table["ci95_new_low"].notna()
    low, high = (table[f"ci95_new_{end}"].where(known, table[f"ci95_{end}"]) for end in ("low", "high"))
    apart = int((((low > 0) | (high < 0)) & (table["p_holm"] > LEVEL)).sum())
    if not apart:
        return ""
    rows = "1 row excludes" if apart == 1 else f"{apart} rows exclude"
    return (
        f"The interval of {rows} 0 with p above {LEVEL:g}: alone, the difference would be significant; among "
        f"{len(table)} comparisons it may be chance."
    )


def p_text(p: float) -> str:
    """Return a p-value for a table.

    >>> [p_text(p) for p in (0.21345, 0.000123, float("nan"))]
    ['0.213', '< 0.001', '']
    """
    return "" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
