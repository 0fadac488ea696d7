"""The report of records: one HTML page, its figures and tables."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from driftproof._errors import DriftproofError
from driftproof._files import is_folder, make_folder, write_atomically, write_csv
from driftproof._keywords import checks_keywords
from driftproof._record import FILE_NAME, Quantity
from driftproof._reporting.figures import chips, over_time, render
from driftproof._reporting.gather import Source, gather
from driftproof._reporting.html import GENERATOR, check_written_here
from driftproof._reporting.page import page


@checks_keywords
def report(records: Source | Sequence[Source], out: str | os.PathLike[str], keep: float | None = None) -> Path:
    """Write a report into the folder ``out`` and return the path of its ``index.html``.

    The page needs none of the other files, which are ``cells.csv``, ``summary.csv``, and the figures
    ``accuracy_over_time`` (named after the metric) and ``chips`` as SVG and PNG. Each file is replaced in one step, the
    page last.

    Args:
        records: A record, its folder or its file; or several of them for one report that compares them.
        out: The folder; it is made if it does not exist.
        keep: The threshold whose lifetime the report states (accuracies in percent; default: the threshold of
            :func:`default_keep` for each configuration).

    Raises:
        DriftproofError: a record has no cells or no digital row; records contradict each other or have different
            metrics; ``keep`` is not a value of the metric; ``out`` is a file.
    """
    folder = Path(out)
    is_folder(folder, "the report")
    evidence = gather(records)
    _check_keep(keep, evidence.quantity)
    for name, mark in (("index.html", GENERATOR), ("cells.csv", "config_id,"), ("summary.csv", "config_id,")):
        check_written_here(folder / name, mark)
    if evidence.records > 1 and (folder / FILE_NAME).exists():
        raise DriftproofError(f"{folder} holds a record with its own report; choose another --out for the joint report")
    over = f"{re.sub(r'[^A-Za-z0-9]+', '_', evidence.quantity.name).strip('_').lower()}_over_time"
    figures = {over: render(over_time, evidence), "chips": render(chips, evidence)}
    html = page(evidence, figures[over][0], figures["chips"][0], keep)
    make_folder(folder)
    write_csv(folder / "cells.csv", evidence.every_cell)
    write_csv(folder / "summary.csv", evidence.summary)
    for name, (svg, png) in figures.items():
        write_atomically(folder / f"{name}.svg", svg)
        write_atomically(folder / f"{name}.png", png)
    return write_atomically(folder / "index.html", html.encode())


def _check_keep(keep: float | None, quantity: Quantity) -> None:
    low, high = quantity.ends
    if keep is not None and not (low <= keep <= high and math.isfinite(keep)):
        span = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}" if math.isfinite(low) else "any"
        raise DriftproofError(f"keep = {keep}: wanted a value of {quantity.label}, {span}")
