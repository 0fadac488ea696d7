"""What the tests of the differences from aihwkit share: our devices, and assertions that tell what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from driftproof._devices import ProgrammedArray, program
from driftproof._presets import load_preset

N = 200_000  # a spread of so many devices is known to 0.16 %, a correlation to 0.0022


def ours(name: str, target: Tensor, changes: Mapping[str, Any] | None = None) -> ProgrammedArray:
    return program(load_preset(name, changes), target, seed=0, chip=0, layer="fc")


def device(name: str, w: float, changes: Mapping[str, Any] | None = None) -> ProgrammedArray:
    """N devices of ours that hold one weight."""
    return ours(name, torch.full((1, N), w), changes)


def advice(row: str) -> str:
    return f"aihwkit no longer does what row {row} of docs/aihwkit.md says: update docs/aihwkit.md and this test"


def assert_shows(row: str, theirs: float, number: float, rel: float = 0.02) -> None:
    """Assert that aihwkit still gives the number that docs/aihwkit.md reports."""
    assert theirs == pytest.approx(number, rel=rel, abs=1e-9), f"{theirs:.6g} instead of {number:.6g}. {advice(row)}"


@contextmanager
def still_raises(row: str, error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except error:
        return
    pytest.fail(advice(row))


@contextmanager
def still_accepts(row: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a newer aihwkit raises
        pytest.fail(f"{type(error).__name__}: {error}. {advice(row)}")
