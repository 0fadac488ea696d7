"""Simulated chips, written as if they had been measured."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import driftproof as dp
from driftproof._chip import Chip
from driftproof._cli.app import app
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model
from driftproof.measured import load_measured, save_conductances
from driftproof.zoo import save_weights, trained_digits_cnn


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


def test_csv_and_npz_are_the_same_chip(tmp_path: Path) -> None:
    npz = load_measured(save_conductances(simulated(), tmp_path / "a", ["1s", "1d"], name="a"))
    csv = load_measured(save_conductances(simulated(), tmp_path / "b", ["1s", "1d"], name="a", file_format="csv"))
    assert (tmp_path / "b" / "(root).csv").read_text().startswith("out,in,t_s,g_plus_us,g_minus_us\n0,0,1.0,")
    assert csv.sha256 == npz.sha256
    assert "files" not in csv.definition()  # the plain form needs no words
    with pytest.raises(DriftproofError, match="file_format 'xls': there are npz, csv"):
        save_conductances(simulated(), tmp_path / "c", "1s", name="c", file_format="xls")  # type: ignore[arg-type]


def test_files_are_not_taken_for_those_of_another_network(tmp_path: Path) -> None:
    chip = simulated()
    device = load_measured(save_conductances(chip, tmp_path / "a", "1s", name="a"))
    target = chip.weights[""].target
    assert device.array("", 0, target).file.t_s == (1.0,)
    with pytest.raises(DriftproofError, match=r"weights of layer .root. are not those for which .*targets_sha256"):
        device.array("", 0, target + 1e-6)
    settings = tmp_path / "a" / "device.toml"
    settings.write_text(settings.read_text().partition("[targets_sha256]")[0])
    assert load_measured(tmp_path / "a").array("", 0, target + 1e-6).target is not None


def test_the_command_writes_the_folder_of_a_network(tmp_path: Path) -> None:
    out = tmp_path / "my_chips"
    words = ["digits-cnn", "--preset", "pcm-nandakumar-2019", "--chips", "2", "--times", "1s,1d", "--out", str(out)]
    result = CliRunner().invoke(app, ["presets", "template", *words, "--file-format", "csv"])
    assert result.exception is None, result.output
    assert "2 chips, 4 layers, simulated: replace the numbers by measured ones" in result.output
    assert f"--preset measured:{out} --times 1s,1d --out {out}-report" in result.output.replace("\n", " ")
    assert [path.name for path in sorted(out.iterdir())] == ["chip1", "chip2", "device.toml"]
    assert [path.name for path in out.glob("*/*") if path.suffix != ".csv"] == []
    assert 'where = "chips 0 to 1 of pcm-nandakumar-2019, seed 0"' in (out / "device.toml").read_text(encoding="utf-8")
    device = load_measured(out)
    mapping = map_model(trained_digits_cnn())
    assert device.name == "measured:my_chips"
    assert device.chips == 2
    assert {error.chip for error in device.layer_errors(mapping)} == {0, 1}
    assert max(error.rms for error in device.layer_errors(mapping)) < 0.1
    result = CliRunner().invoke(app, ["presets", "template", *words])
    assert "is not empty; choose a new folder" in str(result.exception)


def test_the_command_that_goes_on_has_the_mapping_and_the_weights(tmp_path: Path) -> None:
    out, weights = tmp_path / "chips", tmp_path / "w.safetensors"
    save_weights(trained_digits_cnn(), weights)
    words = ["digits-cnn", "--preset", "pcm-nandakumar-2019", "--times", "1s", "--out", str(out)]
    result = CliRunner().invoke(
        app, ["presets", "template", *words, "--weights", str(weights), "--scale", "layer", "--tile", "64x64"]
    )
    assert result.exception is None, result.output
    words = shlex.split(result.output.partition("then: ")[2])
    assert words[:5] == ["driftproof", "evaluate", "digits-cnn", "--data", "DATA"]
    words = ["digits" if word == "DATA" else word for word in words[1:]]
    result = CliRunner().invoke(app, [*words, "--limit", "20", "--quiet"])
    assert result.exception is None, result.output
    page = (tmp_path / "chips-report" / "index.html").read_text(encoding="utf-8")
    assert "digits-cnn on measured chips" in page


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
