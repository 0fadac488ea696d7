"""The notebooks run, cell after cell, and are kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from site_pages import notebooks

ALL = sorted(notebooks.FOLDER.glob("*.ipynb"))


def test_there_are_three_and_the_index_names_them() -> None:
    listed = (notebooks.FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(ALL) >= 3
    assert all(f"({path.name})" in listed for path in ALL)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_the_cells_run_in_order(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for kind, code in notebooks.cells(path):
        if kind == "code":
            exec(compile(code, path.name, "exec", dont_inherit=True), names)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_outputs_are_cleared_and_the_page_has_every_cell(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    page = notebooks.page(path)
    assert page.startswith("# ")
    assert all(text in page for _, text in notebooks.cells(path))
