"""A stage of the periphery is one file and one line that imports it: on both backends, in files, words and records.

Files that the stage touched: ``column_gain.py``, and the import below.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from arrays.layers import LAYERS, TILE, layer_of
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model
from driftproof.arrays import input_ranges
from driftproof.arrays._ranges import Ranges
from driftproof.data import digits
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.periphery import DynamicRange, Periphery, Stage, StaticRange, Sums, load_periphery, write_periphery
from driftproof.zoo import trained_digits_cnn
from house.column_gain import ColumnGain

DAY = 86400.0
STANDARD = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
QUIET = STANDARD.without_noise().with_changes(dac_bits=None, adc_bits=None, adc_full_scale=None)
AROUND = {
    "exact converters": QUIET,
    "static": STANDARD,
    "dynamic": STANDARD.with_changes(input_range=DynamicRange()),
}
PRESET = "pcm-nandakumar-2019"


def with_gain(periphery: Periphery, sigma: float = 0.1) -> Periphery:
    return periphery.with_changes(stages=(ColumnGain(sigma=sigma),))


def computed(name: str, periphery: Periphery, chip: int = 0) -> tuple[Tensor, Tensor]:
    """Return what a layer's chip gives on both backends."""
    layer, x = layer_of(name)
    mapping = map_model(layer, TILE, x)
    made = Chip(mapping, dp.load_preset(PRESET), seed=0, chip=chip)
    ranges = input_ranges(layer, mapping, periphery, [x])
    folded = FoldedNetwork(layer, mapping, x, periphery=periphery, ranges=ranges)
    tiles = TilesNetwork(layer, mapping, periphery, ranges)
    for backend in (folded, tiles):
        backend.load(made, DAY)
    return folded(x), tiles(x)


@pytest.mark.parametrize("kind", AROUND)
@pytest.mark.parametrize("name", LAYERS)
def test_both_backends_have_it(name: str, kind: str) -> None:
    around = AROUND[kind]
    fast, slow = computed(name, with_gain(around))
    plain, _ = computed(name, around)
    moved = float((fast - plain).abs().mean())
    assert moved > 0.02 * float(plain.abs().mean())
    # a sum at the edge of a code may fall on either side
    assert float((fast - slow).abs().mean()) < moved / 20


def test_it_is_what_its_formula_says() -> None:
    """Of one tile's column, the output is the plain one times (1 + σ ξ), whatever the inputs; ξ is the chip's."""
    layer, x = layer_of("linear")
    mapping = map_model(layer, example=x)  # one tile
    gains = []
    for number in range(400):
        made = Chip(mapping, dp.load_preset("ideal"), seed=0, chip=number)
        ranges: Ranges = {"": (10.0,)}
        plain = made.array("", DAY, periphery=QUIET, ranges=ranges).matmul(x)
        found = made.array("", DAY, periphery=with_gain(QUIET, 0.1), ranges=ranges).matmul(x)
        gain = found / plain
        assert torch.allclose(gain, gain[:1].expand_as(gain), rtol=1e-3)
        gains.append(gain[0])
    every = (torch.stack(gains).flatten().double() - 1) / 0.1
    # 4,400 numbers: |z| < 4.9 on mean and on variance, false alarm 1e-6 each
    assert abs(float(every.mean())) * len(every) ** 0.5 < 4.9
    assert abs(float(every.var()) - 1) / (2 / len(every)) ** 0.5 < 4.9


def test_every_adc_has_a_gain_of_its_own() -> None:
    """Of each tile's columns in a forward read, of each tile's rows in a transposed one."""
    layer, _ = layer_of("linear")
    chip = Chip(map_model(layer, TILE), dp.load_preset("ideal"), seed=0, chip=0)
    mapped = chip.weights[""]
    ranges: Ranges = {"": (10.0,) * len(mapped.rows), " (transposed)": (10.0,) * mapped.tiles}
    plain, gained = (chip.array("", DAY, periphery=p, ranges=ranges) for p in (QUIET, with_gain(QUIET)))
    gains = []
    for rows in mapped.rows:  # only one row split is driven
        x = torch.zeros(1, 23)
        x[:, rows] = 1.0
        gains.append((gained.matmul(x) / plain.matmul(x))[0])
    for part in mapped.columns:
        y = torch.zeros(1, 11)
        y[:, part] = 1.0
        gains.append((gained.rmatmul(y) / plain.rmatmul(y))[0])
    every = torch.cat(gains).sub(1).div(0.1)
    assert len(set(every.mul(1000).round().tolist())) > 0.95 * len(every)
    assert 0.6 < float(every.std()) < 1.4  # 102 numbers: |z| < 5.7


def test_it_comes_behind_the_arrays_noise() -> None:
    """An amplifier's gain error acts on noise, too: without a signal the outputs are noise times gain."""
    layer, _ = layer_of("linear")
    chip = Chip(map_model(layer), dp.load_preset("ideal"), seed=0, chip=0)
    noisy, signal = QUIET.with_changes(output_noise=0.04), torch.zeros(6, 23)
    plain, gained = (chip.array("", DAY, periphery=p, ranges={"": (1.0,)}) for p in (noisy, with_gain(noisy)))
    gain = gained.matmul(signal) / plain.matmul(signal)
    assert torch.allclose(gain, gain[:1].expand_as(gain), rtol=1e-4)
    assert float((gain[0] - 1).abs().max()) > 0.05


def test_a_chip_keeps_it_and_another_has_another() -> None:
    first, _ = computed("linear", with_gain(QUIET))
    again, _ = computed("linear", with_gain(QUIET))
    other, _ = computed("linear", with_gain(QUIET), chip=1)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, rtol=0.01)


def test_it_stands_in_files_and_words(tmp_path: Path) -> None:
    noisy = with_gain(STANDARD)
    file = write_periphery(noisy, tmp_path / "mine.toml")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    assert tables["stages"] == [{"stage": "column-gain", "sigma": 0.1}]
    assert load_periphery(file).definition() == noisy.definition()
    assert str(noisy).endswith(", column gain error 0.1")
    assert noisy.sha256 != STANDARD.sha256
    assert noisy.sha256 != with_gain(STANDARD, 0.2).sha256


def test_an_evaluation_and_its_report_have_it(tmp_path: Path) -> None:
    data, network = digits().head(200), trained_digits_cnn()
    found = []
    for around in (STANDARD, with_gain(STANDARD, 0.5)):
        record = dp.evaluate(
            network, data, presets=["ideal"], times="1s", chips=2, periphery=around, calibration=data, out=tmp_path
        )
        cells = record.cells()
        mine = cells.periphery.str.contains("column gain") == bool(around.stages)
        found.append(cells[mine & (cells.preset == "ideal")].value.tolist())
    page = dp.report(tmp_path, tmp_path).read_text(encoding="utf-8")
    assert "column gain error 0.5" in page
    assert max(found[1]) < min(found[0])


class Amplifier(Stage):
    """Noise of its own behind the array's."""

    stage: Literal["amplifier-noise"] = "amplifier-noise"
    sigma: float

    def apply(self, sums: Sums) -> Tensor:
        return sums.values + self.sigma * sums.new(f"amplifier{self.sigma:g}")

    def __str__(self) -> str:
        return f"amplifier noise {self.sigma:g}"


def test_noise_of_a_stage_is_its_own() -> None:
    """Variances add: σ² = .03² + .04² + .12², on both backends; 20,000 numbers, |z| < 5."""
    around = QUIET.with_changes(output_noise=0.03, stages=(Amplifier(sigma=0.04), Amplifier(sigma=0.12)))
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data.fill_(0.25)
    x = torch.ones(20_000, 4)
    mapping = map_model(layer, example=x[:2])
    chip = Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0)
    ranges: Ranges = {"": (1.0,)}
    folded = FoldedNetwork(layer, mapping, x[:2], periphery=around, ranges=ranges)
    for backend in (folded, TilesNetwork(layer, mapping, around, ranges)):
        backend.load(chip, 1.0)
        spread = float(backend(x).std()) / 0.25
        assert abs(spread / 0.13 - 1) < 5 / (2 * len(x)) ** 0.5


def test_what_a_stage_returns_is_looked_at() -> None:
    class Short(Stage):
        stage: Literal["short"] = "short"

        def apply(self, sums: Sums) -> Tensor:
            return sums.values[:1]

        def __str__(self) -> str:
            return "short"

    layer, x = layer_of("linear")
    chip = Chip(map_model(layer), dp.load_preset("ideal"), seed=0, chip=0)
    array = chip.array("", DAY, periphery=QUIET.with_changes(stages=(Short(),)), ranges={"": (1.0,)})
    with pytest.raises(DriftproofError, match=r"stage Short gave \[1, 11\] for sums of shape \[5, 11\]"):
        array.matmul(x)


def test_wrong_stages_are_refused() -> None:
    with pytest.raises(
        DriftproofError, match=r"stages\.0\.stage: there is no 'column-gian' \(did you mean column-gain\?\)"
    ):
        Periphery(**STANDARD.definition() | {"stages": [{"stage": "column-gian", "sigma": 0.1}]})
    with pytest.raises(DriftproofError, match="ColumnGain: unknown key sigmas"):
        Periphery(**STANDARD.definition() | {"stages": [{"stage": "column-gain", "sigmas": 0.1}]})
    with pytest.raises(DriftproofError, match="ir_drop"):
        with_gain(STANDARD.with_changes(ir_drop={"scale": 1.0}))


def test_a_class_without_all_parts_cannot_be_made() -> None:
    with pytest.raises(TypeError, match=r"stage Silent is not complete: .*no apply\(\)"):

        class Silent(Stage):
            stage: Literal["silent"] = "silent"

            def __str__(self) -> str:
                return "silent"

    with pytest.raises(TypeError, match=r"stage Wordless .*no __str__\(\)"):

        class Wordless(Stage):
            stage: Literal["wordless"] = "wordless"

            def apply(self, sums: Sums) -> Tensor:
                return sums.values

    with pytest.raises(TypeError, match=r"stage Nameless .*stage: Literal"):

        class Nameless(Stage):
            def apply(self, sums: Sums) -> Tensor:
                return sums.values

            def __str__(self) -> str:
                return "nameless"

    with pytest.raises(TypeError, match="Second: ColumnGain has the tag 'column-gain' already"):

        class Second(Stage):
            stage: Literal["column-gain"] = "column-gain"

            def apply(self, sums: Sums) -> Tensor:
                return sums.values

            def __str__(self) -> str:
                return "second"


def test_a_saved_network_keeps_it(tmp_path: Path) -> None:
    layer: Any = nn.Linear(23, 11)
    x = layer_of("linear")[1]
    analog = dp.convert(layer, PRESET, example=x, periphery=with_gain(STANDARD))
    chip = dp.program(analog, chip=1)
    start = chip.model(x)  # the end of programming: the gains are there already
    assert torch.equal(dp.program(analog, chip=1).model(x), start)
    assert not torch.allclose(dp.program(dp.convert(layer, PRESET, example=x, periphery=QUIET), chip=1).model(x), start)
    chip.drift(DAY)
    again = dp.load(dp.save(chip, tmp_path / "saved"), nn.Linear(23, 11))
    assert torch.equal(again.model(x), chip.model(x))
