"""The page of a report: one HTML file that loads nothing from outside and can be mailed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from driftproof._reporting.cards import card_content
from driftproof._reporting.comparisons import not_compared
from driftproof._reporting.curves import band_is_percentiles
from driftproof._reporting.device_notes import conditions, device_notes, time_zeros
from driftproof._reporting.gather import Evidence
from driftproof._reporting.heat_map import heat_map
from driftproof._reporting.html import data_uri, fill_template
from driftproof._reporting.layer_cells import layer_tables
from driftproof._reporting.lead import gains, lead, overview, title_of
from driftproof._reporting.page_layers import conversions
from driftproof._reporting.page_measures import network_measures
from driftproof._reporting.page_run import what_was_run
from driftproof._reporting.page_summary import summary_groups
from driftproof._reporting.page_tables import comparison_rows, kept
from driftproof._reporting.statistics import PRELIMINARY_BELOW

LONGEST = 30
"""Rows of the longest table that is not folded."""
SATURATED_PERCENT = 1.0
"""Percentage of a layer's conversions from which a report shows that they are clipped."""


def page(
    evidence: Evidence,
    over_time_svg: bytes,
    chips_svg: bytes,
    keep: float | None,
    comparisons: pd.DataFrame | None = None,
    title: str = "",
    files: Sequence[str] = (),
    said: str = "",
) -> str:
    """Return the HTML of a report.

    Args:
        evidence: The contents.
        over_time_svg: Figure of the means over time.
        chips_svg: Figure of the chips.
        keep: The threshold; None for the default of each configuration.
        comparisons: Table of comparisons (default: none).
        title: Title of the page (default: the networks and the data).
        files: Names of the files in the folder of the page, to which it links (default: no links).
        said: What its author says on the first screen, instead of what the others change against the first
            configuration (default: nothing).
    """
    measured = evidence.summary[evidence.summary["chips"] > 0]
    leads = [lead(evidence, key, keep) for key in evidence.names]
    return fill_template(
        "report.html.j2",
        title=title or title_of(evidence),
        leads=leads,
        overview=overview(evidence, leads),
        gains=gains(evidence, comparisons),
        heat_map=heat_map(evidence, keep),
        files=file_links(files),
        several=len(evidence.names) > 1,
        origin=evidence.origin,
        said=said,
        longest=LONGEST,
        quantity=evidence.quantity,
        over_time_svg=data_uri(over_time_svg),
        chips_svg=data_uri(chips_svg),
        band=_band_in_words(evidence),
        by_sample=evidence.by_sample,
        **_what_occurs(evidence, measured),
        preliminary_below=PRELIMINARY_BELOW,
        groups=summary_groups(evidence),
        kept=[group for key in evidence.names for group in kept(evidence, key, keep)],
        comparisons=[] if comparisons is None else comparison_rows(comparisons, evidence.quantity),
        not_compared=not_compared(evidence),
        saturated=_saturated(evidence),
        saturated_above=SATURATED_PERCENT,
        network_measures=network_measures(evidence),
        layer_tables=layer_tables(evidence),
        run=what_was_run(evidence),
        conversions=conversions(evidence),
        conditions=conditions(evidence.presets),
        device_notes=device_notes(evidence),
        time_zeros=time_zeros(evidence.presets),
        cards=[card_content(entry) for entry in evidence.presets.values()],
    )


def file_links(files: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Return (text, name of the file) of links; after the first form of a table or figure, the text is the ending.

    >>> file_links(["a.csv", "b.svg", "a.md"])
    [[('a.csv', 'a.csv'), ('.md', 'a.md')], [('b.svg', 'b.svg')]]
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in files:
        stem, _, ending = name.rpartition(".")
        links = groups.setdefault(stem, [])
        links.append((f".{ending}" if links else name, name))
    return list(groups.values())


def _what_occurs(evidence: Evidence, measured: pd.DataFrame) -> dict[str, Any]:
    """Return what the page and its glossary must speak of."""
    items = [item for account in evidence.accounts for item in account.configurations.values()]
    return {
        "any_measured": not measured.empty,
        "any_out_of_validity": bool((~measured["in_validity"].astype(bool)).any()),
        "any_preliminary": bool((measured["chips"] < PRELIMINARY_BELOW).any()),
        "any_p5": bool(measured["p5"].notna().any()),
        "any_stratified": evidence.any_stratified,
        "any_recalibrated": any(item.recalibration for item in items),
        "any_compensated": any(item.compensation != "none" for item in items),
        "mixed_cells": evidence.mixed_cells,
        "partial_cells": evidence.partial_cells,
    }


def _saturated(evidence: Evidence) -> list[dict[str, str]]:
    """Return the layers that clip more than some conversions, the worst first."""
    table = evidence.saturation.assign(worst=evidence.saturation[["inputs", "outputs"]].max(axis=1))
    rows = table[table["worst"] >= SATURATED_PERCENT].sort_values("worst", ascending=False, kind="stable")
    return [
        {
            "preset": row["preset"],
            "name": evidence.names.get(row["config_id"], ""),
            "layer": row["layer"],
            "inputs": f"{row['inputs']:.1f}",
            "outputs": f"{row['outputs']:.1f}",
        }
        for _, row in rows.iterrows()
        if row["config_id"] in evidence.names
    ]


def _band_in_words(evidence: Evidence) -> str:
    percentiles, extremes = "the middle 90 % of chips (5th to 95th percentile)", "all chips (lowest to highest)"
    which = band_is_percentiles(evidence)
    if which is None:
        return f"{percentiles}, or {extremes} where there are fewer than {PRELIMINARY_BELOW}"
    return percentiles if which else f"{extremes}, as there are fewer than {PRELIMINARY_BELOW}"
