"""The rows of a report for what networks measured of themselves, such as the relaxation of a Hopfield network."""

from __future__ import annotations

from typing import Any

import pandas as pd

from driftproof._record import DIGITAL, IDEAL_ANALOG
from driftproof._reporting.gather import Evidence
from driftproof.times import format_time

WORDS = {
    "residual": "residual",
    "iterations": "iterations",
    "energy": "energy",
    "symmetry_error": "symmetry error",
}
"""Measure → its words in a table; another measure is called as the network calls it."""


def network_measures(evidence: Evidence) -> dict[str, Any]:
    """Return the columns and rows of the table; both are empty if no network measures itself."""
    table = evidence.network_measures
    table = table[table["config_id"].isin(evidence.names)]
    names = [name for name in table.columns if name not in ("config_id", "preset", "t_s") and table[name].notna().any()]
    rows = [
        {
            "preset": row["preset"],
            "name": evidence.names[row["config_id"]],
            "time": "" if row["preset"] in (DIGITAL, IDEAL_ANALOG) else format_time(row["t_s"]),
            "numbers": ["" if pd.isna(row[name]) else f"{row[name]:.3g}" for name in names],
        }
        for _, row in table.iterrows()
    ]
    return {"names": [WORDS.get(name, name.replace("_", " ")) for name in names], "rows": rows}
