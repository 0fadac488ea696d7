"""Today's numbers: cells, trainings and plans are what they were, bit for bit where the processor is the same.

Elsewhere they are within the tolerances of :mod:`golden.tolerances`. A change that has to alter numbers regenerates
the cells that it names (``python tests/golden/regenerate.py ID``), in a commit of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from golden import store
from golden.comparison import differences
from golden.compute import Cell, compute_row
from golden.design import Row, rows
from golden.plans import PLANS
from golden.regenerate import all_names
from golden.tolerances import tolerance_of
from golden.trainings import CASES, compute_training


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("measured")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with store.one_thread():
        yield


@lru_cache(maxsize=3)
def stored(section: str) -> dict[str, Cell]:
    return store.read(section)


def check(section: str, cells: dict[str, Cell]) -> None:
    strict = store.fingerprint() == store.stored_fingerprint()
    faults = []
    for name, cell in cells.items():
        tolerance = None if strict else tolerance_of(name)
        faults += [f"{name}\n  {text}" for text in differences(stored(section)[name], cell, tolerance)]
    mode = "bit for bit" if strict else f"within tolerances, for the stored ones are of {store.stored_fingerprint()}"
    if faults:
        pytest.fail("\n".join([f"{len(faults)} golden entries differ ({mode}):", *faults]), pytrace=False)


def test_the_golden_files_hold_every_cell_and_no_other() -> None:
    for section, names in all_names().items():
        assert stored(section).keys() == names, section
    assert sum(len(row.read_times) for row in rows()) >= 500
    assert len(stored("trainings")) == 20


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_cells_are_what_they_were(row: Row, measured: Path) -> None:
    check("cells", compute_row(row, measured))


@pytest.mark.parametrize("name", CASES)
def test_trainings_end_where_they_ended(name: str) -> None:
    check("trainings", {f"trainings/{name}": compute_training(name)})


@pytest.mark.parametrize("name", PLANS)
def test_plans_find_what_they_found(name: str) -> None:
    check("plans", {name: PLANS[name]()})
