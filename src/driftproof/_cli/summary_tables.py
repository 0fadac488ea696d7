"""Tables of a summary for a terminal of 80 columns: all rows, or devices by configurations at one time."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import pandas as pd
from rich.console import Group

from driftproof._cli.tables import OUTSIDE, broken, plain_table, titled
from driftproof._defaults import ON
from driftproof._record import DIGITAL, IDEAL_ANALOG, Quantity
from driftproof._reporting.statistics import KINDS, PRELIMINARY_BELOW, STRATIFIED
from driftproof.statistics._crossed import On
from driftproof.times import format_time

NAME_WIDTH, COLUMN_WIDTH, MOST_COLUMNS = 30, 13, 4
"""Characters of a name and of a heading, and the columns that fit into 80 characters with them."""
TOLD_APART = ("label", "model", "periphery", "compensation", "backend")
"""Columns of a summary that tell configurations apart, where nothing better is known."""


def names_of(summary: pd.DataFrame) -> dict[str, str]:
    """Return a name of each configuration of a summary: the values that differ between them; empty for one only."""
    each = summary.drop_duplicates("config_id").set_index("config_id")
    differ = [column for column in TOLD_APART if each[column].nunique() > 1]
    return {str(key): ", ".join(str(row[column]) for column in differ) for key, row in each.iterrows()}


def in_order(summary: pd.DataFrame, presets: Sequence[str] = (), configurations: Sequence[str] = ()) -> pd.DataFrame:
    """Return a summary with presets and configurations in the order in which they were asked for, others last."""
    first = (DIGITAL, IDEAL_ANALOG)
    places = {name: place for place, name in enumerate((*first, *presets))}
    blocks = {name: place for place, name in enumerate(configurations)}
    order = summary.assign(
        _block=summary["config_id"].map(lambda name: blocks.get(name, len(blocks))),
        _place=summary["preset"].map(lambda name: places.get(name, len(places))),
    )
    return order.sort_values(["_block", "_place"], kind="stable", ignore_index=True).drop(columns=["_block", "_place"])


def summary_table(
    summary: pd.DataFrame,
    quantity: Quantity,
    title: str,
    *notes: str,
    on: On = ON,
    names: Mapping[str, str] | None = None,
) -> Group:
    """Return the drop against digital with its 95 % interval, the mean and the worst chip, per preset and time.

    Args:
        summary: Table that :func:`driftproof.summarise` returned.
        quantity: The metric of the values.
        title: Title of the table.
        notes: Further lines below the table.
        on: Samples for which the intervals hold (default: ``new``, where the outcomes of samples are known).
        names: Names of the configurations by their ids (default: what differs between them).
    """
    names = names_of(summary) if names is None else names
    by_sample = bool(summary.loc[summary["chips"] > 1, "drop_ci95_new_low"].notna().any())
    # without worst chips, which are not known, there is room for the number of samples
    parts = bool((summary.loc[summary["chips"] > 0, "sampling"] == STRATIFIED).all())
    digital = summary[summary["preset"] == DIGITAL]
    once, rows = len(digital) > 1 and digital["mean"].nunique() == 1, []
    for (key, preset), group in summary.groupby(["config_id", "preset"], sort=False):
        if once and preset == DIGITAL and key != digital["config_id"].iloc[0]:
            continue
        measured: list[dict[str, Any]] = group.to_dict("records")  # type: ignore[assignment]
        cells = [_cells(row, quantity, on if by_sample else "these", parts) for row in measured]
        if len({tuple(row[1:]) for row in cells}) == 1 < len(cells):  # a device that does not change in time
            cells = [[f"{cells[0][0]} to", *cells[0][1:]], [cells[-1][0], *([""] * (len(cells[0]) - 1))]]
        name = "" if once and preset == DIGITAL else names.get(str(key), "")
        lines = [*broken(str(preset), NAME_WIDTH).splitlines(), *_indented(name)]
        empty = [""] * len(cells[0])
        rows += [[line, *(row or empty)] for line, row in zip_longest(lines, cells, fillvalue="")] + [None]
    mean, drop = "mean %" if quantity.percent else "mean", "drop" if quantity.higher_is_better else "rise"
    last = ("chips", "samples") if parts else ("worst", "chips")
    table = plain_table(("preset", "time", drop, "95 % interval", mean, *last), rows)
    noise = "worst chip, without the noise of the samples" if by_sample else "worst chip"
    about = "samples: those that all chips saw together, more of them where the digital network is in doubt"
    note = about if parts else f"{drop}: compared with digital on the same samples; worst: {noise}"
    for_new = "new samples and other chips" if by_sample and on == "new" else "other chips, on these samples"
    few = summary.loc[(summary["chips"] > 0) & (summary["chips"] < PRELIMINARY_BELOW), "chips"]
    return titled(
        title,
        table,
        note,
        f"95 % interval: of the {drop}, for {for_new}",
        "" if few.empty else f"preliminary: fewer than {PRELIMINARY_BELOW} chips",
        "" if summary["in_validity"].all() else OUTSIDE,
        *notes,
    )


def _indented(name: str) -> list[str]:
    """Return the name of a configuration in lines that stand below the name of a device."""
    return textwrap.wrap(name, NAME_WIDTH, initial_indent="  ", subsequent_indent="  ")


def _cells(row: dict[str, Any], quantity: Quantity, on: On, parts: bool) -> list[str]:
    """Return the cells of a summary's row after its name."""
    without_chips = row["chips"] == 0
    ends = [row[f"drop_ci95_{KINDS[on]}{end}"] for end in ("low", "high")]

    def difference(value: float) -> str:
        return quantity.difference(value, row["mean"])

    worst = "" if pd.isna(row["worst"]) else quantity.number(row["worst"])
    chips = "" if without_chips else str(row["chips"])
    return [
        "" if without_chips else format_time(row["t_s"]) + ("" if row["in_validity"] else " *"),
        "" if row["preset"] == DIGITAL else difference(row["drop"]),
        "" if pd.isna(ends[0]) else " - ".join(difference(end) for end in ends),
        quantity.number(row["mean"]),
        *([chips, f"{row['passes']:,}"] if parts else [worst, chips]),
    ]


def sweep_table(summary: pd.DataFrame, quantity: Quantity, names: Mapping[str, str], on: On = ON) -> Group:
    """Return the means of devices by configurations at the last time, with intervals.

    Args:
        summary: Table that :func:`driftproof.summarise` returned.
        quantity: The metric of the values.
        names: Names of the configurations that are compared.
        on: Samples for which the intervals hold (default: ``new``, where the outcomes of samples are known).
    """
    chips = summary[summary["chips"] > 0]
    last = float(chips["t_s"].max())
    shown = summary[(summary["t_s"] == last) | (summary["preset"] == IDEAL_ANALOG)]
    presets = [name for name in dict.fromkeys(shown["preset"]) if name != DIGITAL]
    rows = {(row["config_id"], row["preset"]): row for row in shown.to_dict("records")}
    kind = KINDS[on] if chips["ci95_new_low"].notna().any() else ""
    short, what = _without_common_word(names)

    def cell(key: str, preset: str) -> str:
        row = rows.get((key, preset))
        if row is None:
            return ""
        low, high = (row[f"ci95_{kind}{end}"] for end in ("low", "high"))
        within = "" if math.isnan(low) else f"{quantity.number(low)} - {quantity.number(high)}"
        return f"{quantity.number(row['mean'])}\n{within}".rstrip()

    if min(len(names), len(presets)) > MOST_COLUMNS:
        table = plain_table(
            ("preset", what, "mean\n95 % interval"),
            [[broken(preset, NAME_WIDTH), short[key], cell(key, preset)] for preset in presets for key in names],
            words=2,
        )
    elif len(names) <= MOST_COLUMNS:
        headings = [broken(short[key], COLUMN_WIDTH) for key in names]
        table = plain_table(
            (f"preset / {what}", *headings),
            [[broken(preset, 24), *(cell(key, preset) for key in names)] for preset in presets],
        )
    else:
        headings = [broken(preset, COLUMN_WIDTH) for preset in presets]
        table = plain_table(
            (f"{what} / preset", *headings),
            [[broken(short[key], 24), *(cell(key, preset) for preset in presets)] for key in names],
        )
    digital = summary.loc[summary["preset"] == DIGITAL, "mean"]
    same = digital.nunique() == 1
    outside = not chips.loc[chips["t_s"] == last, "in_validity"].all()
    return titled(
        f"{quantity.label} at {format_time(last)}: mean over chips, and its 95 % interval",
        table,
        f"digital: {quantity.said(float(digital.iloc[0]))}" if same else "",
        f"at {format_time(last)} a device here is outside its range of validity" if outside else "",
    )


def _without_common_word(names: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return names without their first word, and that word, if it is the same in all and stands for all of them."""
    words = {name.partition(" ")[0] for name in names.values()}
    if len(words) == 1 and all(" " in name and "," not in name for name in names.values()):
        return {key: name.partition(" ")[2] for key, name in names.items()}, words.pop()
    return dict(names), "configuration"
