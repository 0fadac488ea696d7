"""The page: one HTML file that asks for nothing from outside and can be mailed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from driftproof.record import DIGITAL, IDEAL_ANALOG, LAYER_COUNTS, Layer, Quantity, Run, count_of, total_of
from driftproof.reporting.cards import card_content
from driftproof.reporting.figures import band_is_percentiles
from driftproof.reporting.gather import Account, Evidence
from driftproof.reporting.html import data_uri, fill_template
from driftproof.reporting.lifetime import default_keep
from driftproof.reporting.statistics import PRELIMINARY_BELOW, bad_percentile
from driftproof.reporting.verdict import threshold_in_words, verdicts
from driftproof.times import format_time


def page(evidence: Evidence, over_time_svg: bytes, chips_svg: bytes, keep: float | None) -> str:
    """Return the HTML of a report; ``keep`` is a threshold, None for the default of each configuration."""
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
        any_out_of_validity=bool((~measured["in_validity"]).any()),
        any_preliminary=bool((measured["chips"] < PRELIMINARY_BELOW).any()),
        any_p5=bool(measured["p5"].notna().any()),
        preliminary_below=PRELIMINARY_BELOW,
        groups=_groups(evidence),
        accounts=[_account(evidence, account) for account in evidence.accounts],
        cards=[card_content(entry) for entry in evidence.presets.values()],
    )


def _title(evidence: Evidence) -> str:
    models = list(dict.fromkeys(account.subject.model for account in evidence.accounts))
    data = list(dict.fromkeys(account.subject.data for account in evidence.accounts))
    return f"{' and '.join(models)} on analog hardware, with {' and '.join(data)}"


def _lead(evidence: Evidence, key: str, keep: float | None) -> dict[str, Any]:
    """Everything the first paragraph says about one configuration."""
    account = next(account for account in evidence.accounts if key in account.configurations)
    quantity, digital = evidence.quantity, evidence.digital(key)
    found = verdicts(evidence, key, keep)
    rows = evidence.summary[(evidence.summary["config_id"] == key) & (evidence.summary["chips"] > 0)]
    counts = sorted(set(rows["chips"]))
    ideal = evidence.series(key, IDEAL_ANALOG)
    uneven = rows.groupby("preset")["chips"].nunique().gt(1).any() if len(rows) else False
    return {
        "name": evidence.names[key],
        "model": account.subject.model,
        "data": account.subject.data,
        "digital": quantity.said(digital),
        "ideal": quantity.said(float(ideal["mean"].iloc[0])) if len(ideal) else "",
        "keep": threshold_in_words(quantity, default_keep(digital, quantity) if keep is None else keep),
        "verdicts": found,
        "chips": f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "",
        "uneven": bool(uneven),
    }


def _metric_in_words(quantity: Quantity) -> str:
    """The metric, its unit, and which way is good."""
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
    """The summary table's rows, one group per preset and configuration; rows without devices first."""
    groups = []
    for preset in dict.fromkeys([DIGITAL, IDEAL_ANALOG, *evidence.measured_presets]):
        for key, name in evidence.names.items():
            rows = evidence.series(key, preset)
            if len(rows):
                shown = [_table_row(evidence, key, preset, row) for _, row in rows.iterrows()]
                groups.append({"preset": preset, "name": name, "rows": shown})
    return groups


def _table_row(evidence: Evidence, key: str, preset: str, row: pd.Series) -> dict[str, Any]:
    quantity = evidence.quantity

    def number(column: str) -> str:
        return "" if pd.isna(row[column]) else quantity.number(row[column])

    chips = int(row["chips"])
    p5 = number("p5")
    if p5:
        bound = bad_percentile(evidence.chips(key, preset, float(row["t_s"])), quantity)[1]
        p5 += f" ({'≥' if quantity.higher_is_better else '≤'} {quantity.number(bound)})"
    return {
        "time": format_time(float(row["t_s"])) if chips else "",
        "valid": bool(row["in_validity"]),
        "mean": number("mean"),
        "interval": f"{number('ci95_low')} – {number('ci95_high')}" if number("ci95_low") else "",
        "worst": number("worst"),
        "p5": p5,
        "drop": quantity.difference(row["drop"], row["mean"]) if preset != DIGITAL else "",
        "chips": str(chips) if chips else "",
        "preliminary": 0 < chips < PRELIMINARY_BELOW,
    }


def _account(evidence: Evidence, account: Account) -> dict[str, Any]:
    layers = account.conversion.layers
    weights = sum(layer.weights for layer in layers)
    analog = sum(layer.weights for layer in layers if layer.analog)
    macs = sum(layer.macs_per_input or 0 for layer in layers)
    analog_macs = sum(layer.macs_per_input or 0 for layer in layers if layer.analog)
    used = {key: item for key, item in account.configurations.items() if key in evidence.names}
    return {
        "subject": account.subject,
        "conversion": account.conversion,
        "configurations": [(evidence.names[key], key, item) for key, item in used.items()],
        "runs": _run_groups(account.runs),
        "headings": list(LAYER_COUNTS),
        "layers": [
            (layer, _shape(layer), [count_of(layer, name) for name in LAYER_COUNTS.values()]) for layer in layers
        ],
        "weights": weights,
        "tiles": sum(layer.tiles for layer in layers),
        "counts": [total_of(layers, name) for name in LAYER_COUNTS.values()],
        "analog_macs": f"{100 * analog_macs / macs:.1f}" if macs else "",
        "clipped": sum(layer.clipped for layer in layers),
        "analog_share": f"{100 * analog / weights:.1f}" if weights else "0",
        "analog_layers": sum(layer.analog for layer in layers),
    }


def _shape(layer: Layer) -> str:
    return " × ".join(str(size) for size in layer.shape)


def _run_groups(runs: tuple[Run, ...]) -> list[dict[str, Any]]:
    """Runs that differ in nothing but their start are one entry: a command repeated until the record was full."""
    groups: dict[str, dict[str, Any]] = {}
    for run in runs:
        same = run.model_dump_json(exclude={"started"})
        group = groups.setdefault(same, {"run": run, "first": run.started, "last": run.started, "count": 0})
        group["last"] = run.started
        group["count"] += 1
    return list(groups.values())
