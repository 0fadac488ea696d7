"""A record as CSV, Parquet and JSON."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from driftproof._errors import DriftproofError
from driftproof._files import write_atomically
from driftproof._record import CELL_COLUMNS, CellKey, Record
from driftproof._reporting import export
from synthetic_record import begin, fill, outcome, preset


@pytest.fixture
def record() -> Iterator[Record]:
    with Record.create_or_open(None) as made:
        conditions, number = begin(made, label='a, "b"')
        series = fill(made, conditions, number, preset("pcm"), {0.1 + 0.2: [90.0, 1 / 3]})
        noticed = {"fc": {"clipped": math.nan}}
        kept = outcome(50.0, samples=np.arange(100), diagnostics=noticed, in_validity=False)
        made.add(CellKey(series.id, 0, 7.0, ("conv1", "fc")), kept, number)
        yield made


def test_csv_holds_every_digit(record: Record, tmp_path: Path) -> None:
    table = pd.read_csv(export(record, "csv", tmp_path / "new" / "cells.csv"))
    assert tuple(table.columns) == CELL_COLUMNS
    assert table["value"].tolist() == [91.73, 91.73, 90.0, 1 / 3, 50.0]
    assert table["t_s"].tolist() == [0.0, 0.0, 0.1 + 0.2, 0.1 + 0.2, 7.0]
    assert table["n_samples"].tolist() == [10_000] * 4 + [100]
    assert table["digital"].fillna("").tolist() == [""] * 4 + ["conv1 fc"]
    assert set(table["label"]) == {'a, "b"'}


def test_json_says_everything(record: Record, tmp_path: Path) -> None:
    content = json.loads(export(record, "json", tmp_path / "cells.json").read_text())
    assert content["subject"]["model"] == "resnet20"
    assert content["presets"]["pcm"]["definition"]["drift"]["t0_s"] == 20.0
    assert [cell["run"] for cell in content["cells"]] == [1, 1, 1, 1, 1]
    assert content["cells"][-1]["digital"] == ["conv1", "fc"]
    assert content["cells"][-1]["diagnostics"] == {"fc": {"clipped": None}}
    (configuration,) = content["configurations"].values()
    layers = content["conversions"][configuration["conversion"]]["layers"]
    assert [layer["name"] for layer in layers] == ["conv1", "bn1", "fc"]
    seeds = {item["conditions"]["seed"] for item in content["series"].values() if item["conditions"]}
    assert (len(content["series"]), seeds) == (3, {0})
    assert {cell["config_id"] for cell in content["cells"]} == set(content["configurations"])
    assert content["runs"]["1"]["commit"] == "abcdef0"


def test_parquet(record: Record, tmp_path: Path) -> None:
    out = tmp_path / "cells.parquet"
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(DriftproofError, match=r"pip install driftproof\[parquet\]"):
            export(record, "parquet", out)
    else:
        table = pd.read_parquet(io.BytesIO(export(record, "parquet", out).read_bytes()))
        assert table["value"].tolist() == record.cells()["value"].tolist()


def test_mistakes(record: Record, tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=r"'jsn' \(did you mean json\?\): there are csv, parquet, json, latex"):
        export(record, "jsn", tmp_path / "x")
    with pytest.raises(DriftproofError, match="is a folder"):
        export(record, "csv", tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "page"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_record_and_report_need_no_torch() -> None:
    imports = "import sys, driftproof._record, driftproof._reporting"
    code = f"{imports}; print(*{{'torch', 'aihwkit', 'torchvision'}} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""
