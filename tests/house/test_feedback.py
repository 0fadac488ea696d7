"""A network that reads its arrays from both sides is evaluated as any other: same evaluator, same conductances.

Files that this network touched: ``feedback.py`` alone.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import MappingOptions, TileSize, map_model
from driftproof.data import digits
from driftproof.evaluation import Deployment, Evaluator, Metric, Trial
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.periphery import StaticRange, load_periphery
from house.feedback import STEPS, Convolutional, Dense, network

YEAR = 31_557_600.0
KINDS = [Dense, Convolutional]
TILE = TileSize(20, 7)
DATA = digits().head(60)
X = cast("Tensor", next(iter(DATA.batches(60)))[0])


def _size(outputs: Tensor, _: Tensor) -> Tensor:
    return outputs[:, 0].abs()


# a number per sample that hides nothing behind a rounded answer
FIRST = Metric.of(lambda outputs, targets: float(_size(outputs, targets).mean()), name="first", per_sample=_size)


def both(model: nn.Module, chip: Chip, t_s: float) -> tuple[Tensor, Tensor]:
    """Return what both backends compute."""
    found = []
    for backend in (FoldedNetwork(model, chip.mapping, X), TilesNetwork(model, chip.mapping)):
        backend.load(chip, t_s)
        found.append(backend(X))
    return found[0], found[1]


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_it_is_analog_and_counted(kind: type[nn.Module]) -> None:
    mapping = map_model(network(kind), TILE, X, all_analog=True)
    layers = {entry.name: entry for entry in mapping.layers if entry.analog}
    assert {name for name, w in mapping.weights.items() if w.both_ways} == set(layers) - {"first"}
    assert mapping.analog_macs == 1
    if kind is Dense:
        second = layers["second"]
        assert second.mvms_per_input == 2 * STEPS
        assert second.macs_per_input == 2 * STEPS * 240
        # 24 rows are two tiles of 12, 10 columns two of 5: driven rows twice, driven columns twice; read the same
        assert second.dac_per_input == STEPS * (2 * 24 + 2 * 10)
        assert second.adc_per_input == STEPS * (2 * 10 + 2 * 24)
    else:
        # 16 positions of the strided convolution, forward and back
        assert layers["second"].mvms_per_input == 2 * STEPS * 16


@pytest.mark.parametrize("backend", ["folded", "tiles"])
@pytest.mark.parametrize("kind", KINDS)
def test_ideal_devices_equal_the_digital_network(kind: type[nn.Module], backend: str) -> None:
    model = network(kind)
    evaluator = Evaluator(model, DATA, FIRST, backend=backend)
    digital = evaluator(Trial(None))
    ideal = evaluator(Trial(Deployment(device="ideal"), chip=0, t_s=YEAR))
    assert digital.per_sample is not None
    assert ideal.per_sample is not None
    assert np.abs(ideal.per_sample - digital.per_sample).max() < 1e-5
    chip = Chip(map_model(model, TILE, X), dp.load_preset("ideal"), seed=0, chip=0)
    for found in both(model, chip, YEAR):
        with torch.no_grad():
            assert float((found - model(X)).abs().max()) < 1e-5


@pytest.mark.parametrize("compensation", ["none", "column"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_read_the_chips_conductances(kind: type[nn.Module], compensation: str) -> None:
    model = network(kind)
    pcm = dp.load_preset("pcm-nandakumar-2019")
    chip = Chip(map_model(model, TILE, X), pcm, seed=0, chip=2, compensation=compensation)
    wanted = copy.deepcopy(model)
    for name in chip.weights:
        wanted.get_submodule(name).weight.data = chip.weight(name, YEAR)
    with torch.no_grad():
        outputs, digital = wanted(X), model(X)
    for found in both(model, chip, YEAR):
        assert float((found - outputs).abs().max()) < 1e-5 * float(outputs.abs().max())
    # if the feedback were digital, or another chip's, it would show
    assert float((outputs - digital).abs().max()) > 0.05 * float(digital.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_converters_of_both_directions_on_both_backends(kind: type[nn.Module]) -> None:
    around = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
    model = network(kind)
    values = {}
    for backend in ("folded", "tiles"):
        evaluator = Evaluator(model, DATA, FIRST, backend=backend)
        deployment = Deployment(
            device="sonos-agrawal-2022", periphery=around, calibration=DATA, mapping=MappingOptions(tile=TILE)
        )
        found = evaluator(Trial(deployment, chip=0, t_s=YEAR))
        values[backend] = found.per_sample
        assert {"compensation_factor", "saturated_inputs", "saturated_outputs"} <= set(found.diagnostics)
        assert set(found.diagnostics["saturated_outputs"]) == {"first", "second"} | (
            {"last"} if kind is Convolutional else set()
        )
        few = evaluator(Trial(deployment, chip=0, t_s=YEAR), samples=[3, 40])
        assert found.per_sample is not None
        assert few.per_sample is not None
        assert np.allclose(few.per_sample, found.per_sample[[3, 40]], atol=1e-3)
    one, other = values["folded"], values["tiles"]
    assert one is not None
    assert other is not None
    digital = Evaluator(model, DATA, FIRST)(Trial(None)).per_sample
    assert digital is not None
    assert np.abs(one - other).mean() < 0.05 * np.abs(one - digital).mean()


def test_a_report_of_it(tmp_path: Path) -> None:
    record = dp.evaluate(network(Dense), DATA, presets=["pcm-nandakumar-2019"], times="1s,1y", chips=2, out=tmp_path)
    assert len(record.cells()) > 4
    assert "second" in dp.report(tmp_path, tmp_path).read_text(encoding="utf-8")


def test_a_saved_chip_reads_from_both_sides(tmp_path: Path) -> None:
    around = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
    analog = dp.convert(network(Dense), "pcm-nandakumar-2019", example=X, periphery=around)
    chip = dp.program(analog).drift("1d")
    again = dp.load(dp.save(chip, tmp_path / "saved"), network(Dense))
    assert isinstance(again, dp.ProgrammedChip)
    assert torch.equal(again.model(X), chip.model(X))
    assert [w.both_ways for w in again.chip.mapping.weights.values()] == [False, True]


def test_wires_of_the_compiled_tile_are_refused() -> None:
    around = load_periphery("standard").with_changes(ir_drop={"scale": 1.0})
    with pytest.raises(DriftproofError, match=r"IR drop.*transposed reads.*columns.*: second.*where="):
        dp.convert(network(Dense), "ideal", example=X, periphery=around)
