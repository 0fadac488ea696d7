"""Records → tables in a file: every cell, the summary, a table of devices and configurations, paired differences."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from driftproof._errors import DriftproofError, check_choice
from driftproof._files import make_folder, write_atomically
from driftproof._keywords import checks_keywords
from driftproof._record import Quantity, Record, checked_file, record_json
from driftproof._record.table import with_shown_ids
from driftproof._reporting.comparisons import compare
from driftproof._reporting.gather import Evidence, Source, gather
from driftproof._reporting.statistics import PRELIMINARY_BELOW
from driftproof._reporting.text_table import TextTable
from driftproof.times import format_time, parse_time

SUFFIXES = {"csv": "csv", "parquet": "parquet", "json": "json", "latex": "tex", "markdown": "md"}
"""Format → ending of its file."""
TABLES = ("cells", "summary", "pivot", "comparisons")
_FOR_TEXT = ("latex", "markdown")

Table = Literal["cells", "summary", "pivot", "comparisons"]


@checks_keywords
def export(
    records: Source | Sequence[Source],
    format: str,
    out: str | os.PathLike[str],
    *,
    table: Table | None = None,
    time: str | float | None = None,
    against: str | None = None,
) -> Path:
    """Write a table of records to the file ``out`` and return its path.

    ``cells`` has one row per chip, device and time. ``summary`` has the means with their intervals: one row per device,
    configuration and time as data; as text one row per device, with the times as columns. ``pivot`` has devices as rows
    and configurations as columns, at one time. ``comparisons`` is :func:`driftproof.compare`.

    Args:
        records: A record, its folder or its file; or several of them.
        format: ``csv``, ``parquet``, ``json``; or ``latex`` (for booktabs) and ``markdown``, which are for reading.
        out: The file.
        table: Which table (default: ``cells``, and ``summary`` as LaTeX and Markdown). As JSON, the cells of one record
            come with everything else that it holds.
        time: The time of ``pivot``, such as ``1d`` (default: the last that all devices and configurations have).
        against: What is compared with all others in ``comparisons``, as in :func:`driftproof.compare`.

    Raises:
        DriftproofError: The format or the table is unknown, or the one cannot hold the other; ``out`` is a folder;
            Parquet is wanted and pyarrow is not installed; there is nothing to compare.

    >>> import tempfile
    >>> import driftproof as dp
    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> network, data = trained_digits_cnn(), digits().head(50)
    >>> record = dp.evaluate(network, data, presets=["ideal"], times="1s,1d", chips=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lines = export(record, "markdown", f"{folder}/table.md").read_text().splitlines()
    >>> lines[2].split()
    ['|', 'device', '|', 'digital', '|', '1', 's', '|', '1', 'd', '|']
    """
    content = exported(records, format, table=table, time=time, against=against)
    path = checked_file(out, file_name(format, table))
    make_folder(path.parent)
    return write_atomically(path, content)


def default_table(format: str) -> Table:
    """Return the table of a format if none is named."""
    return "summary" if format in _FOR_TEXT else "cells"


def file_name(format: str, table: str | None) -> str:
    """Return the usual name of a table's file, also for a format that :func:`export` will refuse."""
    return f"{table or default_table(format)}.{SUFFIXES.get(format, format)}"


def exported(
    records: Source | Sequence[Source],
    format: str,
    *,
    table: Table | None = None,
    time: str | float | None = None,
    against: str | None = None,
) -> bytes:
    """Return what :func:`export` writes."""
    check_choice("format", format, SUFFIXES)
    table = default_table(format) if table is None else table
    check_choice("table", table, TABLES)
    for name, value, needs in (("time", time, "pivot"), ("against", against, "comparisons")):
        if value is not None and table != needs:
            raise DriftproofError(f"{name} = {value!r} belongs to the table {needs!r}, and the table is {table!r}")
    if table == "cells":
        return _cells(records, format)
    if table == "comparisons":
        data = compare(records, against=against)
        return _as(format, data, lambda: differences_text(data, gather(records).quantity))
    evidence = gather(records)
    if table == "summary":
        return _as(format, evidence.summary, lambda: summary_text(evidence))
    t_s = pivot_time(evidence, time)
    return _as(format, pivot(evidence, t_s), lambda: pivot_text(evidence, t_s))


def _cells(records: Source | Sequence[Source], format: str) -> bytes:
    if format in _FOR_TEXT:
        raise DriftproofError(f"{format}: a table of single cells is data; choose csv, parquet or json, or a summary")
    sources = [records] if isinstance(records, Record | str | os.PathLike) else list(records)
    if format != "json":
        return _data(format, gather(sources).every_cell if len(sources) > 1 else _of_one(sources[0]))
    if len(sources) > 1:
        raise DriftproofError("json holds everything of one record; make one of them with `driftproof merge` first")
    if isinstance(sources[0], Record):
        return record_json(sources[0])
    with Record.open(sources[0]) as opened:
        return record_json(opened)


def _of_one(source: Source) -> pd.DataFrame:
    if isinstance(source, Record):
        return source.cells()
    with Record.open(source) as opened:
        return opened.cells()


def _as(format: str, data: pd.DataFrame, text: Callable[[], TextTable]) -> bytes:
    if format in _FOR_TEXT:
        table = text()
        return (table.latex() if format == "latex" else table.markdown()).encode()
    return _data(format, data)


def _data(format: str, data: pd.DataFrame) -> bytes:
    if format == "csv":
        return with_shown_ids(data).to_csv(index=False, lineterminator="\n").encode()
    if format == "json":
        return (str(data.to_json(orient="records", indent=1, double_precision=15)) + "\n").encode()
    if importlib.util.find_spec("pyarrow") is None:
        raise DriftproofError(
            "Parquet needs pyarrow, which is not installed; run `pip install driftproof[parquet]` or export to csv"
        )
    file = io.BytesIO()
    data.to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def summary_text(evidence: Evidence) -> TextTable:
    """Return the means with their intervals: a row per device and configuration, a column per time."""
    several = len(evidence.names) > 1
    measured = evidence.summary[evidence.summary["chips"] > 0]
    times = sorted(measured["t_s"].unique())
    rows = []
    for preset in evidence.measured_presets:
        for key, name in evidence.names.items():
            if len(evidence.series(key, preset)):
                values = [_cell(evidence, key, preset, t_s) for t_s in times]
                digital = evidence.quantity.number(evidence.digital(key))
                rows.append([preset, *([name] if several else []), digital, *values])
    headings = ["device", *(["configuration"] if several else []), "digital", *map(format_time, times)]
    return TextTable(headings, rows, _notes(evidence, evidence.quantity.label), words=2 if several else 1)


def pivot_time(evidence: Evidence, time: str | float | None) -> float:
    """Return the time of a pivot: one that was measured, by default the last that all series have."""
    measured = evidence.summary[evidence.summary["chips"] > 0]
    times = [set(rows["t_s"]) for _, rows in measured.groupby(["config_id", "preset"])]
    known = set().union(*times)
    if time is not None:
        t_s = parse_time(time)
        if t_s not in known:
            raise DriftproofError(f"time {time}: nothing was measured then; there are {_listed(known)}")
        return t_s
    common = set.intersection(*times) if times else set()
    if not common:
        raise DriftproofError(f"not all series were measured at one time; name a time out of {_listed(known)}")
    return float(max(common))


def pivot(evidence: Evidence, t_s: float) -> pd.DataFrame:
    """Return the means at a time with their intervals: a row per device, three columns per configuration."""
    table = []
    for preset in evidence.measured_presets:
        row: dict[str, object] = {"preset": preset, "t_s": t_s}
        for key, name in evidence.names.items():
            mean, low, high = _interval(evidence, key, preset, t_s)
            row |= {f"{name or 'mean'}": mean, f"{name} low".strip(): low, f"{name} high".strip(): high}
        table.append(row)
    return pd.DataFrame(table)


def pivot_text(evidence: Evidence, t_s: float) -> TextTable:
    """Return :func:`pivot` as texts, with the digital network in the first row."""
    keys = evidence.names
    digital = ["digital", *(evidence.quantity.number(evidence.digital(key)) for key in keys)]
    rows = [[preset, *(_cell(evidence, key, preset, t_s) for key in keys)] for preset in evidence.measured_presets]
    headings = ["device", *(name or evidence.quantity.label for name in keys.values())]
    return TextTable(headings, [digital, *rows], _notes(evidence, f"{evidence.quantity.label} at {format_time(t_s)}"))


def differences_text(table: pd.DataFrame, quantity: Quantity) -> TextTable:
    """Return the table of :func:`driftproof.compare` as texts: a row per pair, a column per time."""
    times = sorted(table["t_s"].unique())
    new = bool(table["ci95_new_low"].notna().all())
    rows = []
    for (a, b), group in table.groupby(["a", "b"], sort=False):
        at = {row["t_s"]: row for row in group.to_dict("records")}
        rows.append([str(b), str(a), *(_difference(at.get(t_s), quantity, new) for t_s in times)])
    holds = "new samples and other chips" if new else "other chips, on these samples"
    notes = [
        f"difference of {quantity.title}{' in points' if quantity.percent else ''}, on the same chips and samples, "
        f"each with its own 95 % interval for {holds}, not adjusted for the number of comparisons"
    ]
    if not table["in_validity"].all():
        notes.append("*: outside the range of validity of a device")
    return TextTable(["compared", "with", *map(format_time, times)], rows, notes, words=2)


def _difference(row: dict[Any, Any] | None, quantity: Quantity, new: bool) -> str:
    if row is None:
        return ""
    kind = "ci95_new" if new else "ci95"
    mean, *ends = (
        quantity.difference(row[name], row["mean_a"]) for name in ("difference", f"{kind}_low", f"{kind}_high")
    )
    interval = "" if pd.isna(row[f"{kind}_low"]) else f" [{ends[0]}, {ends[1]}]"
    return f"{mean}{interval}{'' if row['in_validity'] else ' *'}"


def _interval(evidence: Evidence, key: str, preset: str, t_s: float) -> tuple[float, float, float]:
    """Return the mean of a row and the ends of its interval, for new samples where it is known in all rows."""
    rows = evidence.series(key, preset)
    rows = rows[rows["t_s"] == t_s]
    if rows.empty:
        return (float("nan"),) * 3
    kind = "ci95_new" if evidence.by_sample else "ci95"
    mean, low, high = (float(rows[name].iloc[0]) for name in ("mean", f"{kind}_low", f"{kind}_high"))
    return mean, low, high


def _cell(evidence: Evidence, key: str, preset: str, t_s: float) -> str:
    mean, low, high = _interval(evidence, key, preset, t_s)
    if pd.isna(mean):
        return ""
    number, series = evidence.quantity.number, evidence.series(key, preset)
    valid = bool(series.loc[series["t_s"] == t_s, "in_validity"].iloc[0])
    interval = "" if pd.isna(low) else f" [{number(low)}, {number(high)}]"
    return f"{number(mean)}{interval}{'' if valid else ' *'}"


def _notes(evidence: Evidence, what: str) -> list[str]:
    """Return what the numbers are, and the marks of some of them."""
    measured = evidence.summary[evidence.summary["chips"] > 0]
    counts = sorted(set(measured["chips"]))
    chips = " to ".join(dict.fromkeys(str(count) for count in (counts[0], counts[-1]))) if counts else "0"
    holds = "new samples and other chips" if evidence.by_sample else "other chips, on these samples"
    subjects = {account.subject.model: None for account in evidence.accounts}
    data = {account.subject.data: None for account in evidence.accounts}
    of = f"{', '.join(subjects)} on {', '.join(data)}"
    notes = [f"{what}: {of}; mean over {chips} chips with its 95 % interval for {holds}"]
    if counts and counts[0] < PRELIMINARY_BELOW:
        notes.append(f"preliminary: fewer than {PRELIMINARY_BELOW} chips")
    if not measured["in_validity"].all():
        notes.append("*: outside the range of validity of the device")
    return notes


def _listed(times: set[float]) -> str:
    return ", ".join(format_time(t_s) for t_s in sorted(times))
