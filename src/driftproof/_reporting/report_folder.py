"""The report of records: one HTML page, its figures and tables."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._files import is_folder, make_folder, write_atomically, write_csv
from driftproof._keywords import checks_keywords
from driftproof._record import FILE_NAME, Quantity
from driftproof._record.table import with_shown_ids
from driftproof._reporting.comparisons import comparison_table
from driftproof._reporting.figures import chips, over_time, render
from driftproof._reporting.gather import Evidence, Source, gather
from driftproof._reporting.html import GENERATOR, check_written_here
from driftproof._reporting.lifetime import default_keep
from driftproof._reporting.page import page
from driftproof._reporting.shares import lifetime_table, yields


@checks_keywords
def report(
    records: Source | Sequence[Source], out: str | os.PathLike[str], keep: float | None = None, title: str = ""
) -> Path:
    """Write a report into the folder ``out`` and return the path of its ``index.html``.

    The page needs none of the other files, to which it links. They are the tables ``cells.csv``, ``summary.csv``,
    ``lifetimes.csv``, ``yields.csv`` and, of several configurations or presets, ``comparisons.csv``; and the figures
    ``accuracy_over_time`` (named after the metric) and ``chips`` as SVG and PNG. Each file is replaced in one step, the
    page last.

    Args:
        records: A record, its folder or its file; or several of them for one report that compares them.
        out: The folder; it is made if it does not exist.
        keep: The threshold whose lifetime the report states (accuracies in percent; default: the threshold of
            :func:`default_keep` for each configuration).
        title: Title of the page (default: the networks and the data).

    Raises:
        DriftproofError: a record has no cells or no digital row; records contradict each other or have different
            metrics; ``keep`` is not a value of the metric; ``out`` is a file.
    """
    folder = Path(out)
    is_folder(folder, "the report")
    evidence = gather(records)
    _check_keep(keep, evidence.quantity)
    tables = _tables(evidence, keep)
    check_written_here(folder / "index.html", GENERATOR)
    for name, table in tables.items():
        check_written_here(folder / name, f"{next(iter(table.columns), 'config_id')},")
    if evidence.records > 1 and (folder / FILE_NAME).exists():
        raise DriftproofError(f"{folder} holds a record with its own report; choose another --out for the joint report")
    over = f"{re.sub(r'[^A-Za-z0-9]+', '_', evidence.quantity.name).strip('_').lower()}_over_time"
    figures = {over: render(over_time, evidence), "chips": render(chips, evidence)}
    files = [*tables, *(f"{name}.{form}" for name in figures for form in ("svg", "png"))]
    html = page(evidence, figures[over][0], figures["chips"][0], keep, tables.get("comparisons.csv"), title, files)
    make_folder(folder)
    for name, table in tables.items():
        write_csv(folder / name, with_shown_ids(table))
    for name, (svg, png) in figures.items():
        write_atomically(folder / f"{name}.svg", svg)
        write_atomically(folder / f"{name}.png", png)
    return write_atomically(folder / "index.html", html.encode())


def _tables(evidence: Evidence, keep: float | None) -> dict[str, pd.DataFrame]:
    """Return the tables of a report by the names of their files."""
    quantity = evidence.quantity
    thresholds = {
        key: default_keep(evidence.digital(key), quantity) if keep is None else keep for key in evidence.names
    }
    shares = [
        row
        for key, threshold in thresholds.items()
        for preset in evidence.measured_presets
        for row in yields(evidence, key, preset, threshold)
    ]
    tables = {
        "cells.csv": evidence.every_cell,
        "summary.csv": evidence.summary,
        "lifetimes.csv": lifetime_table(evidence, thresholds),
        "yields.csv": pd.DataFrame(shares),
        "comparisons.csv": comparison_table(evidence, strict=False),
    }
    return {name: table for name, table in tables.items() if len(table)}


def _check_keep(keep: float | None, quantity: Quantity) -> None:
    low, high = quantity.ends
    if keep is not None and not (low <= keep <= high and math.isfinite(keep)):
        span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}" if math.isfinite(low) else "any"
        raise DriftproofError(f"keep = {keep}: wanted a value of {quantity.label}, {span}")
