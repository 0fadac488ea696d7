"""The table of a report's summary as texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from driftproof._record import DIGITAL, IDEAL_ANALOG
from driftproof._reporting.gather import Evidence
from driftproof._reporting.repeated import runs_of
from driftproof._reporting.statistics import ALL_SAMPLES, PRELIMINARY_BELOW, SummaryRow, bad_percentile
from driftproof.times import format_time


def summary_groups(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the rows of the summary, one group per preset and configuration; rows without devices come first.

    Rows without devices are listed once for all configurations with the same value, and rows of a preset whose chips
    have the same values at several times once for these times.
    """
    groups = [{"preset": "without devices", "name": "", "rows": _without_devices(evidence)}]
    for preset in evidence.measured_presets:
        for key, name in evidence.names.items():
            table = {float(row["t_s"]): row for _, row in evidence.series(key, preset).iterrows()}
            if table:
                runs = runs_of([evidence.rows[key, preset, t] for t in table])
                rows = [_run_row(evidence, key, preset, table[run[0].key[2]], run) for run in runs]
                groups.append({"preset": preset, "name": name, "rows": rows})
    return groups


def _without_devices(evidence: Evidence) -> list[dict[str, Any]]:
    rows = []
    for preset in (DIGITAL, IDEAL_ANALOG):
        shared: dict[tuple[str, ...], tuple[dict[str, Any], list[str]]] = {}
        for key, name in evidence.names.items():
            for _, row in evidence.series(key, preset).iterrows():
                texts = _texts(evidence, key, preset, row)
                shared.setdefault((texts["mean"], texts["drop"]), (texts, []))[1].append(name)
        for texts, names in shared.values():
            which = "" if len(names) == len(evidence.names) else f" ({', '.join(names)})"
            rows.append(texts | {"time": f"{preset}{which}"})
    return rows


def _run_row(evidence: Evidence, key: str, preset: str, row: pd.Series, run: Sequence[SummaryRow]) -> dict[str, Any]:
    times = [format_time(each.key[2]) for each in run]
    time = times[0] if len(run) == 1 else f"{times[0]} to {times[-1]} ({len(run)} times)"
    return _texts(evidence, key, preset, row) | {"time": time}


def _texts(evidence: Evidence, key: str, preset: str, row: pd.Series) -> dict[str, Any]:
    """Return a row of the summary as texts."""
    quantity = evidence.quantity

    def number(column: str) -> str:
        return "" if pd.isna(row[column]) else quantity.number(row[column])

    def ends(column: str) -> str:
        low, high = (row[f"{column}_{end}"] for end in ("low", "high"))
        return "" if pd.isna(low) else f"{quantity.number(low)} – {quantity.number(high)}"

    def difference(column: str) -> str:
        return quantity.difference(row[column], row["mean"])

    def difference_ends(column: str) -> str:
        names = [f"{column}_{end}" for end in ("low", "high")]
        return "" if pd.isna(row[names[0]]) else " – ".join(difference(name) for name in names)

    chips = int(row["chips"])
    p5 = number("p5")
    if p5:
        measured = evidence.rows[key, preset, float(row["t_s"])].cells["value"]
        bound = bad_percentile(measured, quantity)[1]
        p5 += f" ({'≥' if quantity.higher_is_better else '≤'} {quantity.number(bound)})"
    return {
        "valid": bool(row["in_validity"]),
        "mean": number("mean"),
        "these": ends("ci95"),
        "new": ends("ci95_new"),
        "spread": difference("std") if number("std") else "",
        "worst": number("worst"),
        "p5": p5,
        "drop": difference("drop") if preset != DIGITAL else "",
        "drop_new": difference_ends("drop_ci95_new") or difference_ends("drop_ci95"),
        "chips": str(chips) if chips else "",
        "sampling": "" if row["sampling"] == ALL_SAMPLES else f"{int(row['passes']):,} samples in all",
        "preliminary": 0 < chips < PRELIMINARY_BELOW,
    }
