"""Record → tables, figures and one HTML file; needs no torch."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from driftproof.errors import DriftproofError
from driftproof.intervals import mean_interval
from driftproof.keywords import checks_keywords
from driftproof.record import FILE_NAME, Quantity
from driftproof.record.atomic import write_atomically
from driftproof.reporting.cards import write_card
from driftproof.reporting.figures import chips, over_time, render
from driftproof.reporting.gather import Source, gather
from driftproof.reporting.html import GENERATOR
from driftproof.reporting.lifetime import Lifetime, default_keep, in_words, lifetime
from driftproof.reporting.page import page
from driftproof.reporting.statistics import SUMMARY_COLUMNS, fifth_percentile, summarise


@checks_keywords
def report(records: Source | Sequence[Source], out: str | os.PathLike[str], keep: float | None = None) -> Path:
    """Write a report into the folder ``out`` and return the path of its ``index.html``.

    Besides the page, which needs none of the other files, these are written: ``cells.csv``, ``summary.csv``,
    ``accuracy_over_time`` (named after the metric) and ``chips`` as SVG and PNG. Each file is replaced whole, the page
    last.

    Args:
        records: a record, its folder or file, or several of them for one report that compares them.
        out: the folder; made if it does not exist.
        keep: the value whose lifetime the report states (accuracies in percent); without it, for each configuration,
            :func:`default_keep`.

    Raises:
        DriftproofError: a record without cells or without its digital row; records that contradict each other, or of
            different metrics; ``keep`` that is no value of the metric; ``out`` is a file.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise DriftproofError(f"{folder} is a file, wanted a folder for the report; choose another --out folder")
    evidence = gather(records)
    _check_keep(keep, evidence.quantity)
    _check_ours(folder)
    if evidence.records > 1 and (folder / FILE_NAME).exists():
        raise DriftproofError(
            f"{folder} holds a record with a report of its own; choose another --out for the one of all"
        )
    over = f"{re.sub(r'[^A-Za-z0-9]+', '_', evidence.quantity.name).strip('_').lower()}_over_time"
    figures = {over: render(over_time, evidence), "chips": render(chips, evidence)}
    html = page(evidence, figures[over][0], figures["chips"][0], keep)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "cells.csv", _csv(evidence.every_cell))
    write_atomically(folder / "summary.csv", _csv(evidence.summary))
    for name, (svg, png) in figures.items():
        write_atomically(folder / f"{name}.svg", svg)
        write_atomically(folder / f"{name}.png", png)
    return write_atomically(folder / "index.html", html.encode())


def _check_keep(keep: float | None, quantity: Quantity) -> None:
    low, high = quantity.ends
    if keep is not None and not (low <= keep <= high and math.isfinite(keep)):
        span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}" if math.isfinite(low) else "any"
        raise DriftproofError(f"keep = {keep}: wanted a value of {quantity.label}, {span}")


def _check_ours(folder: Path) -> None:
    """Refuse to replace a user's own files of the same names."""
    ours = {"index.html": GENERATOR, "cells.csv": "config_id,", "summary.csv": "config_id,"}
    for name, mark in ours.items():
        path = folder / name
        if path.is_file() and mark not in path.read_text(encoding="utf-8", errors="replace")[:2000]:
            raise DriftproofError(f"{path} was not written by driftproof; choose another --out folder, or move it away")


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


__all__ = [
    # The whole report
    "report",
    # One device
    "write_card",
    # Statistics over chips
    "SUMMARY_COLUMNS",
    "fifth_percentile",
    "mean_interval",
    "summarise",
    # Lifetimes
    "Lifetime",
    "default_keep",
    "in_words",
    "lifetime",
]
