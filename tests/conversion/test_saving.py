"""Saved and loaded: the same network and the same chip to the bit."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import driftproof as dp
from conversion.saved_networks import IMAGES, PCM, TOKENS, Language, images, trained
from driftproof._conversion import loading, saving, verbs
from driftproof._conversion.tiles import analog_layer
from driftproof._devices import ONE_READ_OUT, ProgrammedArray, ReadOuts, normals
from driftproof._devices.keys import generator
from driftproof._devices.normals import layer_normals
from driftproof._mapping import TileSize, map_model
from driftproof._presets import load_preset, preset_names
from driftproof.laws._stuck import Stuck
from driftproof.measured import load_measured, save_conductances
from driftproof.measured._device import MeasuredDevice
from driftproof.periphery import load_periphery

Converted = dp.AnalogModel | dp.ProgrammedChip


def load_analog(folder: Path, model: nn.Module) -> dp.AnalogModel:
    found = dp.load(folder, model)
    assert isinstance(found, dp.AnalogModel)
    return found


def load_programmed(folder: Path, model: nn.Module) -> dp.ProgrammedChip:
    found = dp.load(folder, model)
    assert isinstance(found, dp.ProgrammedChip)
    return found


@torch.no_grad()
def outputs(made: Converted, x: torch.Tensor) -> list[torch.Tensor]:
    """Return what a converted network computes; of a programmed one now, and at other times."""
    found = [made.model(x)]
    if isinstance(made, dp.ProgrammedChip):
        found += [made.model(x), made.drift("1h").model(x), made.drift(1.0).model(x), made.drift("1y").model(x)]
    return found


def assert_same(first: Converted, second: Converted, x: torch.Tensor) -> None:
    pairs = list(zip(outputs(first, x), outputs(second, x), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert all(bool(torch.isfinite(a).all()) for a, _ in pairs)


@pytest.mark.parametrize("tile", [TileSize(), TileSize(50, 4)], ids=["one tile", "many tiles"])
@pytest.mark.parametrize("kind", ["images", "language", "root", "layer scale", "clipped", "some digital"])
def test_loaded_equals_saved(kind: str, tile: TileSize, tmp_path: Path) -> None:
    options: dict[str, Any] = {"tile": tile}
    build: Callable[[], nn.Module] = images
    x = IMAGES
    if kind == "language":
        build, x = Language, TOKENS
    elif kind == "root":
        build, x = (lambda: nn.Linear(64, 5)), IMAGES.flatten(1)
    elif kind == "layer scale":
        options["scale"] = "layer"
    elif kind == "clipped":
        options["clip"] = 90.0
    elif kind == "some digital":
        options["where"] = "!4"
    analog = dp.convert(trained(build()), PCM, example=x, compensation="column:reference_s=20", **options)
    again = load_analog(dp.save(analog, tmp_path / "a"), build())
    assert_same(again, analog, x)
    assert again.layers == analog.layers
    assert (again.preset, again.compensation, again.mapping.tile) == (analog.preset, analog.compensation, tile)
    chip = dp.program(analog, seed=3, chip=2).drift("1d")
    loaded = load_programmed(dp.save(chip, tmp_path / "deep" / "b"), build())
    assert loaded.t_s == 86400.0
    assert_same(loaded, chip, x)
    # chips of the loaded network are those of the saved one
    assert_same(dp.program(again, chip=1), dp.program(analog, chip=1), x)
    # and what was loaded can be saved
    assert_same(dp.load(dp.save(loaded, tmp_path / "c"), build()), chip, x)


@pytest.mark.parametrize("preset", [*(n + ":0.1" if "gaussian" in n or n == "uniform" else n for n in preset_names())])
def test_every_preset(preset: str, tmp_path: Path) -> None:
    preset = "levels:15" if preset == "levels" else preset
    analog = dp.convert(trained(images()), preset)
    chip = dp.program(analog, chip=1).drift(100.0)
    with torch.no_grad():
        chip.model(IMAGES)  # the next sample is number 3
    loaded = load_programmed(dp.save(chip, tmp_path / "chip"), images())
    assert loaded.chip.preset == chip.chip.preset
    assert_same(loaded, chip, IMAGES)


def test_a_mix_is_stored_with_all_its_patterns(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 5))

    mix = dp.load_device(f"{PCM},3=gaussian:0.1,0=ideal")
    chip = dp.program(dp.convert(build(), mix), chip=1).drift("1h")
    loaded = load_programmed(dp.save(chip, tmp_path / "chip"), build())
    assert loaded.chip.preset == mix
    assert_same(loaded, chip, IMAGES.flatten(1))


def test_tiles_hold_the_targets_however_aihwkit_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded_otherwise(layer: nn.Module, config: object) -> Any:
        made: Any = analog_layer(layer, config)
        for tile in made.analog_tiles():
            tile.tile.set_weights(torch.nextafter(tile.tile.get_weights(), torch.tensor(0.0)))
        return made

    monkeypatch.setattr(verbs, "analog_layer", rounded_otherwise)
    analog = dp.convert(trained(images()), PCM, tile=TileSize(50, 4))
    assert_same(dp.load(dp.save(analog, tmp_path / "a"), images()), analog, IMAGES)


def test_a_buffer_that_a_network_makes_at_work_is_not_missed(tmp_path: Path) -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not hasattr(self, "cache"):
                self.register_buffer("cache", torch.arange(64.0), persistent=False)
            outputs: torch.Tensor = self.fc(x + self.get_buffer("cache"))
            return outputs

    analog = dp.convert(Lazy(), PCM, example=IMAGES.flatten(1))
    assert "cache" in dict(analog.model.named_buffers())
    assert_same(dp.load(dp.save(analog, tmp_path / "a"), Lazy()), analog, IMAGES.flatten(1))


def test_a_reference_column_of_each_group(tmp_path: Path) -> None:
    preset = next(name for name in preset_names() if "cmo" in name)
    chip = dp.program(dp.convert(trained(Language()), preset, example=TOKENS)).drift("1h")
    array = chip.chip.arrays["groups"]
    assert isinstance(array, ProgrammedArray)
    assert array.reference is not None
    assert_same(dp.load(dp.save(chip, tmp_path / "a"), Language()), chip, TOKENS)


def test_a_chip_just_programmed_was_not_read(tmp_path: Path) -> None:
    chip = dp.program(dp.convert(trained(images()), PCM))
    loaded = dp.load(dp.save(chip, tmp_path / "chip"), images())
    with torch.no_grad():
        fresh = loaded.model(IMAGES)
        assert torch.equal(fresh, chip.model(IMAGES))
        assert not torch.equal(fresh, chip.drift(0.0).model(IMAGES))


@pytest.mark.parametrize("periphery", ["standard", "dynamic"])
def test_a_periphery_and_its_ranges(periphery: str, tmp_path: Path) -> None:
    around = load_periphery("standard")
    if periphery == "dynamic":
        around = around.with_changes(input_range={"kind": "dynamic"})
    analog = dp.convert(trained(images()), PCM, tile=TileSize(50, 4), periphery=around, calibration=IMAGES)
    again = load_analog(dp.save(analog, tmp_path / "a"), images())
    assert (again.periphery, again.ranges) == (around, analog.ranges)
    assert bool(again.ranges) == (periphery == "standard")
    chip = dp.program(again).drift("1h")
    assert_same(dp.load(dp.save(chip, tmp_path / "b"), images()), dp.program(analog).drift("1h"), IMAGES)


def lifelong(preset: str) -> dp.DevicePreset:
    """Return a device that keeps all there is to keep."""
    return dp.load_preset(preset).model_copy(update={"stuck": Stuck(at_g_min=0.1, at_g_max=0.1, at_random=0.1)})


@pytest.mark.parametrize("preset", [PCM, "reram-wan-2022", "sonos-agrawal-2022", "pcm-hermes-2"])
def test_no_device_is_drawn_again(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = lifelong(preset)
    law = device.programming
    if hasattr(law, "time_correlation") and preset == "reram-wan-2022":
        # its spreads grow from the first time to the second, so that steps are possible
        first = {key: getattr(law, key)[:2] for key in ("t_s", "sigma_us", "mean_us") if hasattr(law, key)}
        law = law.model_copy(update=first | {"time_correlation": "increments"})
        device = device.model_copy(update={"programming": law})
    mapping = map_model(trained(images()))
    chip = dp.Chip(mapping, device, seed=1, chip=4)
    nets = {name: [chip.read(name, t).net for t in (0.0, 100.0, 1e6)] for name in mapping.weights}
    folder = dp.save(chip, tmp_path / "chip")

    def only_reading(seed: int, number: int, layer: str, purpose: str, *rest: Any) -> Any:
        assert purpose.startswith("read"), f"{purpose} was drawn again"
        return generator(seed, number, layer, purpose, *rest)

    monkeypatch.setattr(normals, "generator", only_reading)
    again = dp.load(folder)
    assert (again.seed, again.number, again.preset) == (1, 4, device)
    for name, wanted in nets.items():
        assert all(torch.equal(again.read(name, t).net, n) for t, n in zip((0.0, 100.0, 1e6), wanted, strict=True))


def test_other_devices_in_other_layers(tmp_path: Path) -> None:
    analog = dp.convert(trained(images()), f"{PCM},4=reram-wan-2022")
    again = load_analog(dp.save(analog, tmp_path / "a"), images())
    assert again.preset == analog.preset
    assert again.preset.sha256 == analog.preset.sha256
    chip = dp.program(analog)
    assert_same(dp.load(dp.save(chip, tmp_path / "b"), images()), chip, IMAGES)


def test_measured_chips_are_stored_with_their_conductances(tmp_path: Path) -> None:
    model = trained(images())
    mapping = map_model(model)
    for number in range(2):
        drawn = dp.Chip(mapping, dp.load_preset(PCM), seed=0, chip=number)
        save_conductances(drawn, tmp_path / "measured" / f"chip{number}", "1s,1d", name="mine")
    (tmp_path / "measured" / "chip0" / "device.toml").rename(tmp_path / "measured" / "device.toml")
    device = load_measured(tmp_path / "measured")
    chip = dp.program(dp.convert(model, device), chip=1).drift("1h")
    folder = dp.save(chip, tmp_path / "saved")
    for path in (tmp_path / "measured").rglob("*.npz"):
        path.unlink()
    loaded = load_programmed(folder, images())
    assert loaded.chip.preset.sha256 == device.sha256
    assert isinstance(loaded.chip.preset, MeasuredDevice)
    assert loaded.chip.preset.chips == 2
    assert_same(loaded, chip, IMAGES)


def test_a_chip_of_a_saved_network_is_also_a_chip_alone(tmp_path: Path) -> None:
    analog = dp.convert(trained(images()), PCM)
    folder = dp.save(dp.program(analog, seed=5, chip=1).drift("1h"), tmp_path / "chip")
    alone = dp.load(folder)
    assert isinstance(alone, dp.Chip)
    wanted = dp.Chip(analog.mapping, analog.preset, seed=5, chip=1)
    assert torch.equal(alone.weight("4", 10.0), wanted.weight("4", 10.0))


def test_loading_leaves_the_given_network_as_it_was(tmp_path: Path) -> None:
    folder = dp.save(dp.convert(trained(images()), PCM), tmp_path / "a")
    given = images().train()
    before = {name: value.clone() for name, value in given.state_dict().items()}
    dp.load(folder, given)
    assert given.training
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())


def test_the_same_in_another_process(tmp_path: Path) -> None:
    torch.manual_seed(2)
    chip = dp.program(dp.convert(nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 5)), PCM), chip=7).drift("1d")
    folder = dp.save(chip, tmp_path / "chip")
    code = """
import sys, torch, driftproof as dp
from safetensors.torch import save_file
from torch import nn
chip = dp.load(sys.argv[1], nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 5)))
with torch.no_grad():
    save_file({"a": chip.model(torch.ones(2, 64)), "b": chip.drift("1y").model(torch.ones(2, 64))}, sys.argv[2])
"""
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "outputs")], check=True)
    from safetensors.torch import load_file

    there = load_file(tmp_path / "outputs")
    with torch.no_grad():
        assert torch.equal(there["a"], chip.model(torch.ones(2, 64)))
        assert torch.equal(there["b"], chip.drift("1y").model(torch.ones(2, 64)))


def test_the_folder_holds_tensors_and_json_only(tmp_path: Path) -> None:
    folder = dp.save(dp.program(dp.convert(trained(Language()), PCM, example=TOKENS)), tmp_path / "chip")
    assert {path.name for path in folder.iterdir()} == {"converted.json", "weights.safetensors"}
    assert [path.name for path in tmp_path.iterdir()] == ["chip"]
    assert folder.stat().st_mode & 0o777 == 0o755
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in folder.iterdir())
    content = (folder / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert {"target/head", "scale/head", "network/table.weight", "chip/head/first", "chip/head/life"} <= set(header)
    assert "network/head.weight" not in header
    assert "network/other_norm.weight" not in header  # once, whatever names it has
    form = json.loads((folder / "converted.json").read_text())
    assert form["device"]["preset"]["drift"] == dp.load_preset(PCM).definition()["drift"]
    assert not any(isinstance(value, float) and value != value for value in form.values())


def test_state_is_neither_pickled_nor_run() -> None:
    for module in (saving, loading):
        source = Path(str(module.__file__)).read_text()
        assert "pickle" not in source
        assert "torch.load" not in source


@pytest.mark.parametrize("read_outs", ["duration_s=10,pause_s=60", "fast=mvm", "duration_s=0,pause_s=0"])
def test_a_chip_is_saved_with_its_read_outs(read_outs: str, tmp_path: Path) -> None:
    chip = dp.program(dp.convert(trained(images()), PCM, compensation="column"), chip=1, read_outs=read_outs).drift(
        "1d"
    )
    loaded = load_programmed(dp.save(chip, tmp_path / "chip"), images())
    assert loaded.chip.read_outs == chip.chip.read_outs == ReadOuts.of(read_outs)
    assert_same(loaded, chip, IMAGES)


@pytest.mark.parametrize("preset", [PCM, "reram-cmo-2pct"])
def test_a_chip_saved_by_an_earlier_version_has_one_read_out(preset: str, tmp_path: Path) -> None:
    """Their files have no key ``read_outs``. All their read noise has the key of what is now the slow part."""
    analog = dp.convert(trained(images()), preset, compensation="exact:per=column")
    chip = dp.program(analog, chip=1, read_outs=ONE_READ_OUT).drift("1d")
    folder = dp.save(chip, tmp_path / "chip")
    form = json.loads((folder / saving.FORM).read_text())
    del form["chip"]["read_outs"]
    (folder / saving.FORM).write_text(json.dumps(form))
    loaded = load_programmed(folder, images())
    assert loaded.chip.read_outs == ONE_READ_OUT
    assert_same(loaded, chip, IMAGES)
    array, read = loaded.chip.arrays["4"], load_preset(preset).read
    assert read is not None
    assert isinstance(array, ProgrammedArray)
    quiet, programmed = (array.conductances(t_s, read_noise=False)[0] for t_s in (86400.0, 0.0))
    (_, numbers), *none = layer_normals(array.target, 0, 1, "4", "read+", 86400.0)
    assert not none
    largest = array.preset.validity.g_us[1]  # type: ignore[index]
    sigma = read.sigma_us(quiet.clone(), programmed / largest, 86400.0)
    wanted = (quiet + sigma * numbers.view_as(sigma)).clamp(min=0)
    for read_out in (loaded.chip.read_outs.use, loaded.chip.read_outs.calibration):
        torch.testing.assert_close(array.conductances(86400.0, read_out=read_out)[0], wanted)
    again = json.loads((dp.save(loaded, tmp_path / "again") / saving.FORM).read_text())
    assert again["chip"]["read_outs"] == str(ONE_READ_OUT)
