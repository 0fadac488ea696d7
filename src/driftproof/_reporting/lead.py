"""The first words of a report: its title, what each network loses, and what the configurations change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from driftproof._record import IDEAL_ANALOG, Quantity
from driftproof._reporting.gather import Evidence
from driftproof._reporting.lifetime import default_keep
from driftproof._reporting.statistics import KINDS
from driftproof._reporting.verdict import Verdict, holds_for, threshold_in_words, verdicts
from driftproof.statistics._crossed import On
from driftproof.times import format_time

HOLDS_FOR_NEW = "new inputs of this kind and other chips of the device"
MOST_SENTENCES = 4
"""Number of verdicts that a first screen has room for; more of them are folded below a summary of them."""
_MOST_GAINS = 4
_MOST_LABELS = 4
_SAME_DIGITAL = 1e-9


def title_of(evidence: Evidence) -> str:
    """Return the title of a report that got none."""
    models = dict.fromkeys(account.subject.model for account in evidence.accounts)
    data = dict.fromkeys(account.subject.data for account in evidence.accounts)
    items = (account.configurations.get(key) for key in evidence.names for account in evidence.accounts)
    labels = [label for label in dict.fromkeys(item.label for item in items if item) if label and label not in models]
    labelled = f" ({', '.join(labels)})" if 0 < len(labels) <= _MOST_LABELS else ""
    return f"{' and '.join(models)}{labelled} {evidence.origin.hardware}, with {' and '.join(data)}"


def lead(evidence: Evidence, key: str, keep: float | None) -> dict[str, Any]:
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
        "key": key,
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


def overview(evidence: Evidence, leads: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return what many verdicts have in common; None if there are few enough to read each of them."""
    found: list[tuple[str, Verdict]] = [(one["key"], verdict) for one in leads for verdict in one["verdicts"]]
    if len(found) <= MOST_SENTENCES:
        return None
    thresholds = list(dict.fromkeys(one["keep"] for one in leads))
    several = f"the threshold of the configuration ({', '.join(thresholds)})"
    losses = sorted(
        (
            (float(row["drop"]), key, verdict.preset, row)
            for key, verdict in found
            if (row := _last(evidence, key, verdict)) is not None
        ),
        key=lambda loss: loss[0],
    )
    return {
        "count": len(found),
        "configurations": len(leads),
        "devices": len({verdict.preset for _, verdict in found}),
        "held": sum(verdict.lifetime is not None and verdict.lifetime.kind == "held" for _, verdict in found),
        "keep": thresholds[0] if len(thresholds) == 1 else several,
        "ends": [_loss_in_words(evidence, *loss[1:]) for loss in (losses[0], losses[-1])] if losses else [],
    }


def _last(evidence: Evidence, key: str, verdict: Verdict) -> pd.Series | None:
    """Return the summary of the last valid time of a preset; None if there is none."""
    rows = evidence.series(key, verdict.preset)
    valid = rows[rows["in_validity"]]
    return None if valid.empty else valid.iloc[-1]


def _loss_in_words(evidence: Evidence, key: str, preset: str, row: pd.Series) -> str:
    on = holds_for(evidence, key, preset)
    ends = [float(row[f"drop_ci95_{KINDS[on]}{end}"]) for end in ("low", "high")]
    where = ", ".join(part for part in (evidence.shown(preset), evidence.names[key]) if part)
    loss = change_in_words(evidence.quantity, float(row["drop"]), float(row["mean"]), ends)
    return f"{loss} on {where} at {format_time(row['t_s'])}"


def change_in_words(
    quantity: Quantity, change: float, reference: float, ends: Sequence[float], *, signed: bool = False
) -> str:
    """Return a change with its 95 % interval.

    >>> from driftproof._record import quantity_of
    >>> change_in_words(quantity_of("accuracy"), 12.5, 83.0, (9.5, 16.0), signed=True)
    '+12.50 points (95 % interval +9.50 to +16.00)'
    """

    def said(value: float) -> str:
        text = quantity.difference(value, reference)
        return f"+{text}" if signed and value > 0 and float(text.replace(",", "")) else text

    unit = " points" if quantity.percent else f" of {quantity.title}"
    between = "" if any(pd.isna(end) for end in ends) else f" (95 % interval {said(ends[0])} to {said(ends[1])})"
    return f"{said(change)}{unit}{between}"


def gains(evidence: Evidence, comparisons: pd.DataFrame | None) -> list[dict[str, str]]:
    """Return what each configuration changes against the first, at the last valid time that both have.

    There is one entry per configuration and device if there are few of them. Otherwise, there is one per configuration,
    with the largest change of all devices.
    """
    if comparisons is None or len(evidence.names) < 2:
        return []
    first, *others = evidence.names.values()
    digital = {name: evidence.digital(key) for key, name in evidence.names.items()}
    changes: dict[str, list[tuple[str, pd.Series]]] = {}
    for name in others:
        for preset in evidence.measured_presets:
            rows = comparisons[(comparisons["b"] == f"{name}, {preset}") & (comparisons["a"] == f"{first}, {preset}")]
            rows = rows[rows["in_validity"].astype(bool)]
            if len(rows):
                changes.setdefault(name, []).append((preset, rows.iloc[-1]))
    if sum(map(len, changes.values())) <= _MOST_GAINS:
        return [
            {"name": name, "first": first, "text": _gain(evidence, preset, row, digital[name] - digital[first])}
            for name, found in changes.items()
            for preset, row in found
        ]
    largest = {name: max(found, key=lambda one: abs(float(one[1]["difference"]))) for name, found in changes.items()}
    return [
        {"name": name, "first": first, "text": "up to " + _gain(evidence, *found, digital[name] - digital[first])}
        for name, found in largest.items()
    ]


def _gain(evidence: Evidence, preset: str, row: pd.Series, digital: float) -> str:
    kind: On = "these" if pd.isna(row["ci95_new_low"]) else "new"
    ends = [float(row[f"ci95_{KINDS[kind]}{end}"]) for end in ("low", "high")]
    change = change_in_words(evidence.quantity, float(row["difference"]), float(row["mean_a"]), ends, signed=True)
    where = f"{change} on {evidence.shown(preset)} at {format_time(float(row['t_s']))}"
    return where + digital_and_drop(evidence.quantity, float(row["difference"]), digital, float(row["mean_a"]))


def digital_and_drop(quantity: Quantity, change: float, digital: float, reference: float) -> str:
    """Return how much of a change the digital network has too, as after a training; empty if it has nothing of it.

    >>> from driftproof._record import quantity_of
    >>> digital_and_drop(quantity_of("accuracy"), 12.5, -0.3, 83.0)
    ': the digital network -0.30, and the drop 12.80 smaller'
    """
    if abs(digital) < _SAME_DIGITAL * max(1.0, abs(reference)):
        return ""
    less = quantity.sign * (change - digital)
    drop = f"{quantity.difference(abs(less), reference)} {'smaller' if less >= 0 else 'larger'}"
    sign = "+" if digital > 0 else ""
    what = "drop" if quantity.higher_is_better else "rise"
    return f": the digital network {sign}{quantity.difference(digital, reference)}, and the {what} {drop}"
