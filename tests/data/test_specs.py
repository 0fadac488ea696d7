from __future__ import annotations

from pathlib import Path

import pytest

from driftproof._errors import DriftproofError
from driftproof.data import load_data
from driftproof.data._specs import load_inputs


def test_digits() -> None:
    assert (load_data("digits").name, len(load_data("digits"))) == ("digits", 597)


def test_user_data_is_named_without_folders(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\ndef make(): return torch.zeros(4, 2), torch.zeros(4)\ndef wrong(): return 3\n")
    data = load_data(f"{file}:make")
    assert (data.name, len(data)) == ("mine.py:make", 4)
    with pytest.raises(DriftproofError, match=r"mine.py:wrong.*data: data came as int"):
        load_data(f"{file}:wrong")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", r"unknown data 'digit' \(did you mean digits\?\); wanted one of: digits, cifar10:ROOT"),
        ("cifar:/data", r"did you mean cifar10\?"),
        ("imagenet:/data", r"unknown data 'imagenet:/data'.*; wanted one of"),
        ("", r"unknown data ''"),
        ("cifar10", r"no folder; wanted cifar10:ROOT"),
        ("mnist:", r"no folder; wanted mnist:ROOT"),
        ("digits:/data", r"take no folder; use digits"),
        ("cifar10:/no/such/folder", r"no folder /no/such/folder/cifar-10-batches-py"),
        ("nowhere.py:make", r"no file .*nowhere.py"),
    ],
)
def test_specs_that_fail(spec: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        load_data(spec)


def test_a_function_may_return_inputs_alone_where_targets_are_ignored(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\ndef some(): return torch.ones(4, 2)\n", encoding="utf-8")
    data = load_inputs(f"{file}:some")
    assert (data.name, len(data)) == ("mine.py:some", 4)
    with pytest.raises(DriftproofError, match="data came as Tensor"):
        load_data(f"{file}:some")
    assert load_inputs("digits-train").fingerprint() == load_data("digits-train").fingerprint()
