"""Simulated chips, written as if they had been measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model
from driftproof.measured import load_measured, save_conductances


def simulated(preset: str = "pcm-nandakumar-2019", seed: int = 5, chip: int = 3) -> Chip:
    torch.manual_seed(0)
    return Chip(map_model(nn.Linear(300, 200)), dp.load_preset(preset), seed=seed, chip=chip)


def test_what_was_simulated_says_so(tmp_path: Path) -> None:
    place_ = save_conductances(simulated(), tmp_path / "a", "1s", name='é😀 "x"\\')
    device = load_measured(place_)
    definition = device.definition()
    assert device.name == 'measured:é😀 "x"\\'
    assert definition["summary"] == "Simulated, not measured."
    assert definition["source"]["title"] == "Simulated, not measured"
    assert definition["source"]["where"] == "chip 3 of pcm-nandakumar-2019, seed 5"


@pytest.mark.parametrize("preset", ["pcm-nandakumar-2019", "reram-cmo-2pct"])
def test_a_measured_chip_is_written_again(tmp_path: Path, preset: str) -> None:
    chip = simulated(preset)
    mapping = map_model(nn.Linear(300, 200))
    mapping.weights[""] = chip.weights[""]
    once = load_measured(save_conductances(chip, tmp_path / "a", ["1s", "1d"], name="a"))
    again = Chip(mapping, once, seed=0, chip=0)
    twice = load_measured(save_conductances(again, tmp_path / "b", ["1s", "1d"], name="b"))
    assert twice.sha256 == once.sha256
    assert twice.definition()["source"]["where"] == "chip 0 of measured:a, seed 0"
    # read noise and all, 60,000 weights in more than one block: the same bits as the simulated array
    for t_s in (1.0, 86400.0):
        assert torch.equal(again.arrays[""].net(t_s), chip.arrays[""].net(t_s))


def test_an_interrupted_write_is_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, _: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        save_conductances(simulated(), tmp_path / "a", "1s", name="a")
    assert list((tmp_path / "a").iterdir()) == []


def test_a_layer_that_cannot_be_a_file(tmp_path: Path) -> None:
    model = nn.Sequential()
    model.add_module("a/b", nn.Linear(3, 2))
    chip = Chip(map_model(model), dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    with pytest.raises(DriftproofError, match="layer 'a/b': its name cannot be a file's"):
        save_conductances(chip, tmp_path / "a", "1s", name="a")
    assert not (tmp_path / "a").exists()


def test_layers_of_different_devices_are_not_one_device(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    chip = Chip(map_model(model), dp.load_device("pcm-nandakumar-2019,1=reram-milo-2021"), seed=0, chip=0)
    with pytest.raises(DriftproofError, match=r"reram-milo-2021: only conductances .* of the same kind in all layers"):
        save_conductances(chip, tmp_path / "a", "1s", name="a")
