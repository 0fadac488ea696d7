"""``driftproof merge``: records of several machines or jobs as one record."""

from __future__ import annotations

import contextlib
from pathlib import Path

from driftproof._cli.console import print_line
from driftproof._errors import DriftproofError


def merge_command(records: list[Path], *, out: Path) -> None:
    """Merge several records into one, for example those of several machines or of the jobs of a cluster.

    The records must be about the same network, data and metric. A cell that several of them hold must be the same in
    all of them; two parts of a cell, measured on different samples, become one. `driftproof report` reads the result.

    Args:
        records (FOLDER): Folders that `driftproof evaluate --out`, `sensitivity --out` or `merge --out` wrote.
        out (FOLDER): Folder for the merged record. If it has a record already, the others are added to it.

    Example:
        driftproof merge from-machine-1 from-machine-2 --out all
    """
    from driftproof._record import Record, check_mergeable

    with contextlib.ExitStack() as opened:
        others = [opened.enter_context(Record.open(folder)) for folder in records]
        for folder, other in zip(records, others, strict=True):
            if other.path is not None and _is_in(out, other.path):
                raise DriftproofError(
                    f"--out {out} is the folder of {folder}, one of the records to merge: the others are added to a "
                    "record that --out has already, so name only the others, or choose another --out folder"
                )
        check_mergeable(others)  # before a folder is made
        into = opened.enter_context(Record.create_or_open(out))
        before = sum(1 for _ in into.cell_keys())
        for folder, merged in zip(records, into.merge(*others), strict=True):
            print_line(f"{folder}: {merged}")
        added = f", {before:,} of them before" if before else ""
        print_line(f"record: {into.where} ({sum(1 for _ in into.cell_keys()):,} cells{added})")


def _is_in(folder: Path, file: Path) -> bool:
    return folder.is_dir() and folder.samefile(file.parent)
