"""The page of a report: one HTML file that loads nothing from outside and can be mailed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from driftproof._record import DIGITAL, IDEAL_ANALOG, LAYER_COUNTS, Quantity, Run, count_of, total_of
from driftproof._reporting.cards import card_content
from driftproof._reporting.curves import band_is_percentiles
from driftproof._reporting.device_notes import conditions, device_notes, left_out, time_zeros
from driftproof._reporting.gather import Account, Evidence
from driftproof._reporting.html import data_uri, fill_template
from driftproof._reporting.lifetime import default_keep
from driftproof._reporting.page_tables import comparison_rows, kept
from driftproof._reporting.statistics import ALL_SAMPLES, PRELIMINARY_BELOW, bad_percentile
from driftproof._reporting.verdict import holds_for, threshold_in_words, verdicts
from driftproof._shares import share_text
from driftproof.times import format_time

HOLDS_FOR_NEW = "new inputs of this kind and other chips of the device"
SATURATED_PERCENT = 1.0
"""Percentage of a layer's conversions from which a report shows that they are clipped."""


def page(
    evidence: Evidence,
    over_time_svg: bytes,
    chips_svg: bytes,
    keep: float | None,
    comparisons: pd.DataFrame | None = None,
) -> str:
    """Return the HTML of a report.

    Args:
        evidence: The contents.
        over_time_svg: Figure of the means over time.
        chips_svg: Figure of the chips.
        keep: The threshold; None for the default of each configuration.
        comparisons: Table of comparisons (default: none).
    """
    summary = evidence.summary
    measured = summary[summary["chips"] > 0]
    return fill_template(
        "report.html.j2",
        title=_title(evidence),
        leads=[_lead(evidence, key, keep) for key in evidence.names],
        several=len(evidence.names) > 1,
        quantity=evidence.quantity,
        metric=_metric_in_words(evidence.quantity),
        over_time_svg=data_uri(over_time_svg),
        chips_svg=data_uri(chips_svg),
        band=_band_in_words(evidence),
        any_measured=not measured.empty,
        mixed_cells=evidence.mixed_cells,
        partial_cells=evidence.partial_cells,
        any_stratified=evidence.any_stratified,
        any_out_of_validity=bool((~measured["in_validity"]).any()),
        any_preliminary=bool((measured["chips"] < PRELIMINARY_BELOW).any()),
        any_p5=bool(measured["p5"].notna().any()),
        preliminary_below=PRELIMINARY_BELOW,
        by_sample=evidence.by_sample,
        groups=_groups(evidence),
        kept=[group for key in evidence.names for group in kept(evidence, key, keep)],
        comparisons=[] if comparisons is None else comparison_rows(comparisons, evidence.quantity),
        saturated=_saturated(evidence),
        saturated_above=SATURATED_PERCENT,
        accounts=[_account(evidence, account) for account in evidence.accounts],
        conditions=conditions(evidence.presets),
        device_notes=device_notes(evidence),
        time_zeros=time_zeros(evidence.presets),
        left_out=left_out,
        cards=[card_content(entry) for entry in evidence.presets.values()],
    )


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


def _title(evidence: Evidence) -> str:
    models = dict.fromkeys(account.subject.model for account in evidence.accounts)
    data = dict.fromkeys(account.subject.data for account in evidence.accounts)
    return f"{' and '.join(models)} on simulated analog hardware, with {' and '.join(data)}"


def _lead(evidence: Evidence, key: str, keep: float | None) -> dict[str, Any]:
    """Return the content of the first paragraph for one configuration."""
    subject = next(account.subject for account in evidence.accounts if key in account.configurations)
    quantity, digital = evidence.quantity, evidence.digital(key)
    rows = evidence.summary[(evidence.summary["config_id"] == key) & (evidence.summary["chips"] > 0)]
    counts = sorted(set(rows["chips"]))
    ideal = evidence.series(key, IDEAL_ANALOG)
    found = verdicts(evidence, key, keep)
    item = next(a.configurations[key] for a in evidence.accounts if key in a.configurations)
    on = {holds_for(evidence, key, verdict.preset) for verdict in found}
    return {
        "name": evidence.names[key],
        "samples": subject.n_samples,
        "compensation": item.compensation,
        "periphery": item.periphery,
        "holds": "other chips of the device, on these samples" if "these" in on else HOLDS_FOR_NEW,
        "model": subject.model,
        "data": subject.data,
        "digital": quantity.said(digital),
        "ideal": quantity.said(float(ideal["mean"].iloc[0])) if len(ideal) else "",
        "keep": threshold_in_words(quantity, default_keep(digital, quantity) if keep is None else keep),
        "verdicts": found,
        "chips": f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "",
        "uneven": bool(rows.groupby("preset")["chips"].nunique().gt(1).any()),
    }


def _metric_in_words(quantity: Quantity) -> str:
    """Return the metric, its unit, and which direction is better."""
    name = quantity.name if quantity.title == quantity.name else f"{quantity.name} ({quantity.title})"
    unit = ", in percent" if quantity.percent else ""
    return f"{name}{unit}; {'higher' if quantity.higher_is_better else 'lower'} is better"


def _band_in_words(evidence: Evidence) -> str:
    percentiles, extremes = "the middle 90 % of chips (5th to 95th percentile)", "all chips (lowest to highest)"
    which = band_is_percentiles(evidence)
    if which is None:
        return f"{percentiles}, or {extremes} where there are fewer than {PRELIMINARY_BELOW}"
    return percentiles if which else f"{extremes}, as there are fewer than {PRELIMINARY_BELOW}"


def _groups(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the rows of the summary, one group per preset and configuration; rows without devices come first."""
    groups = []
    for preset in dict.fromkeys([DIGITAL, IDEAL_ANALOG, *evidence.measured_presets]):
        for key, name in evidence.names.items():
            rows = evidence.series(key, preset)
            if len(rows):
                cells = [_table_row(evidence, key, preset, row) for _, row in rows.iterrows()]
                groups.append({"preset": preset, "name": name, "rows": cells})
    return groups


def _table_row(evidence: Evidence, key: str, preset: str, row: pd.Series) -> dict[str, Any]:
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
        "time": format_time(float(row["t_s"])) if chips else "",
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


def _account(evidence: Evidence, account: Account) -> dict[str, Any]:
    layers = account.conversion.layers
    analog = [layer for layer in layers if layer.analog]
    weights = total_of(layers, "weights")
    return {
        "subject": account.subject,
        "conversion": account.conversion,
        "configurations": [
            (evidence.names[key], key, item) for key, item in account.configurations.items() if key in evidence.names
        ],
        "runs": _run_groups(account.runs),
        "headings": list(LAYER_COUNTS),
        "layers": [(layer, [count_of(layer, name) for name in LAYER_COUNTS.values()]) for layer in layers],
        "weights": weights,
        "tiles": total_of(layers, "tiles"),
        "counts": [total_of(layers, name) for name in LAYER_COUNTS.values()],
        "analog_macs": share_text(layers),
        "weight_layers": sum(bool(layer.shape) for layer in layers),
        "clipped": total_of(layers, "clipped"),
        "analog_share": f"{100 * total_of(analog, 'weights') / weights:.1f}" if weights else "0",
        "analog_layers": len(analog),
    }


def _run_groups(runs: tuple[Run, ...]) -> list[dict[str, Any]]:
    """Return the runs; runs that differ only in their start, as of a command that was repeated, are one entry."""
    groups: dict[str, dict[str, Any]] = {}
    for run in runs:
        same = run.model_dump_json(exclude={"started"})
        group = groups.setdefault(same, {"run": run, "first": run.started, "count": 0})
        group |= {"last": run.started, "count": group["count"] + 1}
    return list(groups.values())
