from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys

import pandas as pd
import pytest

from driftproof.errors import DriftproofError
from driftproof.record import CELL_COLUMNS, Record, export
from driftproof.record.atomic import write_atomically
from synthetic_record import begin, fill, preset


@pytest.fixture
def record():
    with Record.create_or_open(None) as made:
        key, number = begin(made, label='a, "b"')
        fill(made, key, number, preset("pcm"), {0.1 + 0.2: [90.0, 1 / 3]})
        yield made


def test_csv_holds_every_digit(record, tmp_path):
    table = pd.read_csv(export(record, "csv", tmp_path / "new" / "cells.csv"))
    assert tuple(table.columns) == CELL_COLUMNS
    assert table["value"].tolist() == [91.73, 91.73, 90.0, 1 / 3]
    assert table["t_s"].tolist() == [0.0, 0.0, 0.1 + 0.2, 0.1 + 0.2]
    assert set(table["label"]) == {'a, "b"'}


def test_json_says_everything(record, tmp_path):
    content = json.loads(export(record, "json", tmp_path / "cells.json").read_text())
    assert content["subject"]["model"] == "resnet20"
    assert content["presets"]["pcm"]["definition"]["drift"]["t0_s"] == 20.0
    assert [cell["run"] for cell in content["cells"]] == [1, 1, 1, 1]
    assert {cell["config_id"] for cell in content["cells"]} == set(content["configurations"])
    assert content["runs"]["1"]["commit"] == "abcdef0"


def test_parquet(record, tmp_path):
    out = tmp_path / "cells.parquet"
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(DriftproofError, match=r"pip install driftproof\[parquet\]"):
            export(record, "parquet", out)
    else:
        table = pd.read_parquet(io.BytesIO(export(record, "parquet", out).read_bytes()))
        assert table["value"].tolist() == record.cells()["value"].tolist()


def test_mistakes(record, tmp_path):
    with pytest.raises(DriftproofError, match=r"'jsn': wanted one of csv, parquet, json \(did you mean json\?\)"):
        export(record, "jsn", tmp_path / "x")
    with pytest.raises(DriftproofError, match="is a folder"):
        export(record, "csv", tmp_path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "page"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_record_and_report_need_no_torch():
    imports = "import sys, driftproof.record, driftproof.reporting"
    code = f"{imports}; print(*{{'torch', 'aihwkit', 'torchvision'}} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""
