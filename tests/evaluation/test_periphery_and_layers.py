"""An evaluation with a periphery, or with chosen layers: what it measures, keeps and refuses."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import driftproof as dp
from driftproof.data import TensorData, digits
from driftproof.periphery import DynamicRange, load_periphery
from driftproof.zoo import trained_digits_cnn

PCM = "pcm-nandakumar-2019"
DATA = digits().head(100)
IMAGES = digits().inputs
assert isinstance(IMAGES, torch.Tensor)
CALIBRATION = TensorData("others", IMAGES[200:300], digits().targets[200:300])
COARSE = load_periphery("standard").with_changes(dac_bits=2, adc_bits=3)


def run(**options: object) -> dp.Record:
    settings = {"presets": [PCM], "times": "1d", "chips": 2, "progress": False}
    return dp.evaluate(trained_digits_cnn(), DATA, **(settings | options))  # type: ignore[arg-type]


def mean(record: dp.Record, preset: str = PCM) -> float:
    cells = record.cells()
    return float(cells.loc[cells["preset"] == preset, "value"].mean())


def test_converters_change_the_result_and_perfect_devices_have_them_too() -> None:
    record = run(periphery=COARSE, calibration=CALIBRATION)
    assert mean(record) < mean(run()) - 5
    assert mean(record, "ideal-analog") < mean(record, "digital") - 5
    (settings,) = record.configurations().values()
    assert settings.periphery == COARSE.name
    assert settings.around == COARSE.definition()
    assert (settings.ranges.data, settings.ranges.samples) == ("others", 100)  # type: ignore[union-attr]


def test_a_seed_repeats_noisy_converters_in_any_batch() -> None:
    settings = {"periphery": "standard", "calibration": CALIBRATION}
    first = run(**settings).cells()["value"]
    assert first.equals(run(**settings, batch_size=33).cells()["value"])


def test_ranges_from_the_evaluated_inputs_are_said() -> None:
    with pytest.warns(dp.DriftproofWarning, match="first 100 of the inputs that are reported on"):
        run(periphery="standard")
    with pytest.raises(dp.DriftproofError, match="measures no input ranges"):
        run(calibration=CALIBRATION)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "periphery .* are clipped")
        run(periphery=load_periphery("standard").with_changes(input_range=DynamicRange()))


def test_configurations_with_other_surroundings_stand_side_by_side(tmp_path: Path) -> None:
    ideal = run(out=tmp_path)
    ideal.close()
    record = run(out=tmp_path, periphery=COARSE, calibration=CALIBRATION)
    assert sorted(set(record.cells()["periphery"])) == sorted(["ideal", COARSE.name])
    page = dp.report(record, tmp_path / "report").read_text(encoding="utf-8")
    assert str(COARSE) in page
    assert "input ranges measured on 100 inputs of others" in page
    record.close()
    for options in ({"where": "!conv1"}, {"scale": "layer"}, {"tile": dp.TileSize(16, 16)}):
        run(out=tmp_path, **options).close()
    record = run(out=tmp_path, clip=99.0)
    found = record.configurations().values()
    assert len(found) == 6
    assert len({item.conversion for item in found}) == 5  # the periphery lies around the same tiles
    assert len(record.conversions()) == 5
    page = dp.report(record, tmp_path).read_text(encoding="utf-8")  # beside the record: it is the report of one
    for words in ("tiles 16 × 16", "weights relative to the layer", "clipped at 99.0 %", "3 analog layers"):
        assert words in page


def test_chosen_layers() -> None:
    record = run(where="fc*")
    (conversion,) = record.conversions().values()
    assert {layer.name: layer.reason for layer in conversion.layers if not layer.analog and "conv" in layer.name} == {
        "conv1": "digital as asked",
        "conv2": "digital as asked",
    }
    assert all(layer.macs_per_input for layer in conversion.layers if layer.name.startswith(("conv", "fc")))


def test_backends_agree_on_cells_between_converters() -> None:
    folded, tiles = (run(periphery="standard", calibration=CALIBRATION, backend=name) for name in ("folded", "tiles"))
    gap = (folded.cells()["value"] - tiles.cells()["value"]).abs().max()
    assert gap <= 1.0  # one of 100 images, whose sum lay at a code's edge


def test_torch_is_left_as_it_was() -> None:
    state = torch.get_rng_state()
    run(periphery="standard", calibration=CALIBRATION)
    assert torch.equal(torch.get_rng_state(), state)
