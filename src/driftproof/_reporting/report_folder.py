"""The report of records: one HTML page, its figures and tables."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from driftproof._drawing import render_paper, render_svg
from driftproof._errors import DriftproofError
from driftproof._files import is_folder, make_folder, write_atomically, write_csv
from driftproof._keywords import checks_keywords
from driftproof._record import FILE_NAME
from driftproof._record.table import with_shown_ids
from driftproof._reporting.chip_dots import chips, paper_chips
from driftproof._reporting.comparisons import comparison_table
from driftproof._reporting.export_tables import differences_text, summary_text
from driftproof._reporting.gather import Evidence, Source, gather
from driftproof._reporting.html import GENERATOR, check_written_here
from driftproof._reporting.lifetime import default_keep
from driftproof._reporting.over_time import over_time, paper_over_time
from driftproof._reporting.page import page
from driftproof._reporting.shares import lifetime_table, yields
from driftproof._reporting.text_table import MARKS

WIDTHS = (2.0, 20.0)
"""The narrowest and the widest figure in inches."""


@checks_keywords
def report(
    records: Source | Sequence[Source],
    out: str | os.PathLike[str],
    keep: float | str | None = None,
    title: str = "",
    said: str = "",
    width: float | None = None,
) -> Path:
    """Write a report into the folder ``out`` and return the path of its ``index.html``.

    The page needs none of the other files, to which it links. They are the tables ``cells.csv``, ``summary.csv``,
    ``lifetimes.csv``, ``yields.csv`` and, of several configurations or presets, ``comparisons.csv``; ``summary`` and
    ``comparisons`` as LaTeX (``.tex``, for booktabs) and Markdown (``.md``); and two figures for papers,
    ``accuracy_over_time`` (named after the metric) and ``chips``, each as PDF, as SVG with text, and as PNG of 300 dpi.
    They are as wide as one column of a journal, or as its page where there are panels. Each file is replaced in one
    step, the page last.

    Args:
        records: A record, its folder or its file; or several of them for one report that compares them.
        out: The folder; it is made if it does not exist.
        keep: The threshold whose lifetime the report states (accuracies in percent, such as 90; a text such as
            ``"0.5%"`` is needed for 1 % and below; default: the threshold of :func:`default_keep` for each
            configuration).
        title: Title of the page (default: the networks and the data).
        said: A paragraph of yours on the first screen, instead of what the configurations change against the first one
            (default: none).
        width: Width of the figures for papers in inches (default: 3.5, one column of a journal, and 7.16, its page,
            where there are two columns of panels).

    Raises:
        DriftproofError: a record has no cells or no digital row; records contradict each other or have different
            metrics; ``keep`` is not a value of the metric; ``width`` is not from 2 to 20 inches; ``out`` is a file.
    """
    low, high = WIDTHS
    if width is not None and not low <= width <= high:
        raise DriftproofError(f"width {width!r}: wanted the width of figures in inches, from {low:g} to {high:g}")
    folder = Path(out)
    is_folder(folder, "the report")
    evidence = gather(records)
    keep = None if keep is None else evidence.quantity.threshold(keep, "keep")
    tables = _tables(evidence, keep)
    check_written_here(folder / "index.html", GENERATOR)
    for name, table in tables.items():
        check_written_here(folder / name, f"{next(iter(table.columns), 'config_id')},")
    if evidence.records > 1 and (folder / FILE_NAME).exists():
        raise DriftproofError(f"{folder} holds a record with its own report; choose another --out for the joint report")
    over = f"{re.sub(r'[^A-Za-z0-9]+', '_', evidence.quantity.name).strip('_').lower()}_over_time"
    figures = {
        over: render_paper(partial(paper_over_time, width=width), evidence),
        "chips": render_paper(partial(paper_chips, width=width), evidence),
    }
    texts = _texts(evidence, tables.get("comparisons.csv"))
    files = [*tables, *texts, *(f"{name}.{form}" for name, forms in figures.items() for form in forms)]
    html = page(
        evidence,
        render_svg(over_time, evidence),
        render_svg(chips, evidence),
        keep,
        tables.get("comparisons.csv"),
        title,
        files,
        said,
    )
    for name, (mark, _) in texts.items():
        check_written_here(folder / name, mark)
    make_folder(folder)
    for name, table in tables.items():
        write_csv(folder / name, with_shown_ids(table))
    for name, (_, text) in texts.items():
        write_atomically(folder / name, text.encode())
    for name, forms in figures.items():
        for form, content in forms.items():
            write_atomically(folder / f"{name}.{form}", content)
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


def _texts(evidence: Evidence, comparisons: pd.DataFrame | None) -> dict[str, tuple[str, str]]:
    """Return the tables for papers by the names of their files, each with the mark that its file begins with."""
    tables = {"summary": summary_text(evidence)} if evidence.measured_presets else {}
    if comparisons is not None:
        tables["comparisons"] = differences_text(comparisons, evidence.quantity)
    latex = {f"{name}.tex": (MARKS["latex"], table.latex()) for name, table in tables.items()}
    return latex | {f"{name}.md": (MARKS["markdown"], table.markdown()) for name, table in tables.items()}
