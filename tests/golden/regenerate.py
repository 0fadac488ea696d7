"""Compute golden cells again and print old and new values.

    python tests/golden/regenerate.py ID [ID ...]    the named cells only; * stands for any text
    python tests/golden/regenerate.py --all          everything, if there are no golden files yet

Regenerate in a commit of its own, with the printed values in its message, and name no more cells than have to change.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from golden import store
from golden.comparison import differences
from golden.compute import Cell, compute_row
from golden.design import Row, rows
from golden.plans import PLANS
from golden.trainings import CASES, compute_training


def names_of(row: Row) -> list[str]:
    """Return the names of all cells that a row computes."""
    shared = [f"digital/{row.network}", row.ideal_id] if row.digital == "0" else []
    return [*shared, *(row.cell_id(time) for time in row.read_times)]


def all_names() -> dict[str, set[str]]:
    """Return the names of all cells, by file."""
    return {
        "cells": {name for row in rows() for name in names_of(row)},
        "trainings": {f"trainings/{name}" for name in CASES},
        "plans": set(PLANS),
    }


def computed(wanted: set[str], folder: Path) -> Iterator[tuple[str, str, Cell]]:
    """Yield file, name and content of each wanted cell, once."""
    left = set(wanted)
    for row in rows():
        if left.intersection(names_of(row)):
            for name, cell in compute_row(row, folder).items():
                if name in left:
                    left.discard(name)
                    yield "cells", name, cell
    for name in CASES:
        if f"trainings/{name}" in left:
            yield "trainings", f"trainings/{name}", compute_training(name)
    for name, plan in PLANS.items():
        if name in left:
            yield "plans", name, plan()


def regenerate(wanted: set[str], first: bool) -> int:
    """Write new values of the wanted cells, print what changed unless it is the first time; return how many did."""
    changed, files = 0, {section: store.read(section) for section in store.FILES}
    with tempfile.TemporaryDirectory() as folder:
        for section, name, cell in computed(wanted, Path(folder)):
            old = files[section].get(name)
            gaps = ["there was none"] if old is None else differences(old, cell, None)
            changed += bool(gaps)
            if gaps and not first:
                print("\n  ".join([name, *gaps]))
            files[section][name] = cell
    for section, cells in files.items():
        store.write(section, cells)
    return changed


def main() -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID", help="name of a cell, or a pattern")
    parser.add_argument("--all", action="store_true", help="everything, for the first time")
    given = parser.parse_args()
    with store.one_thread():
        return _run(parser, given)


def _run(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    known = set().union(*all_names().values())
    if given.all == bool(given.ids):
        parser.error("name some cells, or give --all for the first time")
    if given.all:
        if any(path.exists() for path in store.FILES.values()):
            parser.error("there are golden files: name the cells that have to change")
        store.write_fingerprint()
    elif store.fingerprint() != store.stored_fingerprint():
        parser.error(
            f"the stored numbers were made with {store.stored_fingerprint()}, these would be made with "
            f"{store.fingerprint()}: one file cannot hold both"
        )
    wanted = set(known)
    if given.ids:
        matches = {pattern: {name for name in known if fnmatchcase(name, pattern)} for pattern in given.ids}
        if nothing := [pattern for pattern, found in matches.items() if not found]:
            parser.error(f"no cell is called {', '.join(nothing)}")
        wanted = set().union(*matches.values())
    print(f"{regenerate(wanted, given.all)} of {len(wanted)} cells changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
