"""The doctor's question: does this pair of aihwkit and torch work?"""

from __future__ import annotations

from importlib import metadata

import pytest
import torch

from driftproof._conversion import health


def test_the_installed_pair_is_sound() -> None:
    found = health.check_installation()
    assert (found.torch_tile, found.compiled_tile, found.advice) == ("", "", "")


@pytest.mark.parametrize(
    ("torch_version", "wanted"), [("2.15.0+cu132", "aihwkit==1.2.0"), ("2.11.0", "aihwkit==1.1.0")]
)
def test_a_failing_compiled_tile_names_the_pair_to_install(
    monkeypatch: pytest.MonkeyPatch, torch_version: str, wanted: str
) -> None:
    monkeypatch.setattr(torch, "__version__", torch_version)
    monkeypatch.setattr(health, "_try_tile", lambda name: "" if name.startswith("Torch") else "RuntimeError: no")
    found = health.check_installation()
    assert wanted in found.advice
    assert found.compiled_tile == "RuntimeError: no"
    assert not found.torch_tile


def test_no_aihwkit(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert "pip install aihwkit" in health.check_installation().advice


def test_a_tile_that_multiplies_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from aihwkit.nn import AnalogLinear

    right = AnalogLinear.forward
    monkeypatch.setattr(AnalogLinear, "forward", lambda self, x: right(self, x) * 1.01)
    assert "off by" in health.check_installation().torch_tile
