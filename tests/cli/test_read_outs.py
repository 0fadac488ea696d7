"""``--read-outs``: what it sets, what the record keeps of it, and how it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Any

import pytest

from driftproof._devices import ReadOuts
from driftproof._record import Record

Cli = Callable[..., tuple[int, str, str]]
EVALUATE = ["evaluate", "digits-cnn", "--data", "digits", "--limit", "50", "--times", "1d", "--chips", "1"]


def test_it_sets_the_read_outs_and_the_record_tells_them_apart(cli: Cli, tmp_path: Path) -> None:
    words = [*EVALUATE, "--preset", "pcm-nandakumar-2019", "--out", tmp_path]
    for _ in range(2):
        assert cli(*words)[0] == 0
        assert cli(*words, "--read-outs", "duration_s=10s,pause_s=1d,fast=mvm")[0] == 0
    assert cli("export", tmp_path, "--format", "json")[0] == 0
    written: dict[str, Any] = json.loads((tmp_path / "cells.json").read_text())
    texts = ["duration_s=1,pause_s=3600", "duration_s=10,pause_s=86400,fast=mvm"]
    assert sorted(item["read_outs"] for item in written["configurations"].values()) == texts
    with Record.open(tmp_path) as record:
        assert len(record.runs()) == 2  # the second time, nothing is left to measure
    page = (tmp_path / "index.html").read_text()
    for text in texts:
        assert f"calibrated in a read-out of its own ({text})" in page
        assert f"read-outs {text}" in page  # the names of the two configurations


@pytest.mark.parametrize("text", ["pause=1d", "fast=never", "pause_s=-1", "duration_s"])
@pytest.mark.parametrize("command", ["evaluate", "sensitivity"])
def test_what_it_refuses_leaves_nothing(cli: Cli, tmp_path: Path, command: str, text: str) -> None:
    words = [command, "digits-cnn", "--data", "digits", "--preset", "ideal", "--out", tmp_path / "out"]
    code, _, error = cli(*words, "--read-outs", text)
    assert code == 2
    assert text.partition("=")[2] in error
    assert not (tmp_path / "out").exists()


def test_its_help_states_the_defaults() -> None:
    from driftproof._cli.deployment_groups import DeploymentOptions

    said = cleandoc(DeploymentOptions.__doc__ or "").partition("read_outs (TIMES):")[2].partition("periphery (")[0]
    default = said.rpartition("Default: ")[2].strip().rstrip(".")
    assert ReadOuts.of(default) == ReadOuts()
    example = next(word for word in said.split() if word.startswith("duration_s=10s")).rstrip(".")
    assert ReadOuts.of(example) == ReadOuts(duration_s=10, pause_s=86_400, fast="mvm")
