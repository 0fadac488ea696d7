"""Validation on chips: the numbers of an evaluation, on chips that no evaluation reports on and no training is on."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._chip import Chip, Programmer
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import MappingOptions, TileSize, map_model
from driftproof._presets import load_preset
from driftproof.analysis._fresh_key import fresh_key
from driftproof.data import TensorData, digits
from driftproof.evaluation import Metric
from driftproof.measured import load_measured, save_conductances
from driftproof.periphery import load_periphery
from driftproof.training._closures import key_of
from driftproof.training._noise import DeviceNoise
from driftproof.training._weights import AnalogWeights
from driftproof.zoo import trained_digits_cnn
from plans.tensors import images, labels

POINTS = TensorData("points", torch.eye(4), torch.tensor([0, 1, 2, 0]))
NOISY = "gaussian:0.3"


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


@pytest.fixture
def programmed(monkeypatch: pytest.MonkeyPatch) -> list[Chip]:
    """Every chip that anything programs, in order."""
    chips: list[Chip] = []

    class Noting(Programmer):
        def program(self, *given: Any, **more: Any) -> Chip:
            # a programmer uses a chip's memory again for the next: keep one that has its own
            chips.append(Chip(*given, **more))
            return super().program(*given, **more)

    monkeypatch.setattr("driftproof.evaluation._hardware.Programmer", Noting)
    monkeypatch.setattr("driftproof.training._noise.Programmer", Noting)
    return chips


def weights(chip: Chip) -> tuple[float, ...]:
    return tuple(chip.weight("", 1.0).view(-1).tolist())


def test_validation_is_what_those_chips_compute() -> None:
    data, model, pcm = digits().head(200), trained_digits_cnn(), load_preset("pcm-nandakumar-2019")
    validate = dp.ChipValidation(data=data, preset=pcm, times=["1d", "1y"], chips=2)
    mapping = map_model(model, example=images(data)[:8])
    network, wanted = trained_digits_cnn(), []
    for number in range(2):
        chip = dp.Chip(mapping, pcm, seed=validate.deployment.seed, chip=number)
        for t_s in (86400.0, 365 * 86400.0):
            for name in mapping.weights:
                network.get_parameter(f"{name}.weight").data.copy_(chip.weight(name, t_s))
            wanted.append(100 * float((network(images(data)).argmax(1) == labels(data)).float().mean()))
    assert validate.each(model) == pytest.approx(wanted, abs=0.51)  # one image of 200: rounding at a tie
    assert validate(model) == pytest.approx(sum(wanted) / 4, abs=0.3)
    assert validate(model) == validate(model)


def test_no_chip_of_an_evaluation_or_of_a_training_is_validated_on(programmed: list[Chip]) -> None:
    for seed in (0, 1, 2**62 - 1):
        dp.ChipValidation(data=POINTS, preset=NOISY, times="1s", chips=20, seed=seed)(linear())
    validated = {weights(chip) for chip in programmed}
    assert len(validated) == 3 * 20

    programmed.clear()
    for seed in (0, 1, 2**63 - 1):
        dp.evaluate(linear(), POINTS, presets=NOISY, times="1s", chips=5, seed=seed, progress=False)
    mapping, device = map_model(linear(), example=torch.eye(4)), load_preset(NOISY)
    numbers = [*range(60), *range(990, 1060), *range(9990, 10_020)]
    reported = {weights(Chip(mapping, device, seed=seed, chip=n)) for seed in (0, 1, 2**63 - 1) for n in numbers}
    assert {weights(chip) for chip in programmed if chip.preset.name == NOISY} < reported
    assert len(reported) == 3 * len(numbers)
    assert validated.isdisjoint(reported)

    programmed.clear()
    noise, on_tiles = DeviceNoise(device.at("1s")), AnalogWeights.of(linear(), torch.eye(4))
    for seed in (0, 1, 7, 2**40, 2**62 - 1):
        for key in (*(key_of(seed, update, 0, 1) for update in range(20)), fresh_key(seed, 0), fresh_key(seed, 1)):
            noise.draw(on_tiles, key)
    trained = {weights(chip) for chip in programmed}
    assert len(trained) == 5 * 22
    assert validated.isdisjoint(trained)


def test_the_seed_chooses_the_chips() -> None:
    squares = Metric.of(lambda y, t: float(y.square().mean()), name="squares")

    def values(seed: int) -> list[float]:
        return dp.ChipValidation(data=POINTS, preset=NOISY, times="1s", metric=squares, seed=seed).each(linear())

    first, other = values(0), values(1)
    assert first == values(0)
    assert set(first).isdisjoint(other)
    for seed in (-1, 2**62):
        with pytest.raises(DriftproofError, match=r"seed: wanted a whole number from 0 to 2\^62 - 1"):
            dp.ChipValidation(data=POINTS, preset=NOISY, seed=seed)


def test_the_mapping_decides_what_is_on_chips() -> None:
    data, model = digits().head(100), trained_digits_cnn()

    def value(mapping: MappingOptions) -> float:
        return dp.ChipValidation(data=data, preset="gaussian:0.6", times="1s", chips=2, mapping=mapping)(model)

    assert value(MappingOptions(where="fc2")) > value(MappingOptions()) + 5
    assert value(MappingOptions(tile=TileSize(16, 16))) != value(MappingOptions())


def test_what_the_number_depends_on_is_described() -> None:
    def described(**mapping: Any) -> dict[str, str]:
        options = MappingOptions(**mapping)
        return dp.ChipValidation(data=POINTS, preset=NOISY, mapping=options).describe()

    plain = described()
    assert (plain["tiles"], plain["analog layers"]) == ("512x512, weights relative to the column, clip None", "all")
    assert described(tile=TileSize(16, 8), scale="layer", clip=99.0)["tiles"] == (
        "16x8, weights relative to the layer, clip 99.0"
    )
    assert described(where="inner")["analog layers"] == "inner"
    assert described(where=["conv1", "fc*"])["analog layers"] == "conv1, fc*"
    assert described(where=lambda name, module: True)["analog layers"] == "given in Python"


def test_a_rise_of_the_error_is_worse() -> None:
    data = digits().head(50)
    assert dp.ChipValidation(data=data, preset="ideal").higher_is_better
    squares = dp.ChipValidation(data=(images(data), labels(data)), preset="ideal", metric="mse")
    assert not squares.higher_is_better


def test_no_chips_are_refused() -> None:
    with pytest.raises(DriftproofError, match="0 chips"):
        dp.ChipValidation(data=digits(), preset="ideal", chips=0)


def test_measured_chips_are_refused_for_an_evaluation_has_the_same(tmp_path: Path) -> None:
    mapping = map_model(linear(), example=torch.eye(4))
    save_conductances(Chip(mapping, load_preset("pcm-hermes-1"), seed=0, chip=0), tmp_path, "1s,1d", name="mine")
    with pytest.raises(DriftproofError, match="measured chips have no others of their kind"):
        dp.ChipValidation(data=POINTS, preset=load_measured(tmp_path))


class Odd(nn.Linear):
    """A product that stays digital, since its weight is read by the network's own code."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, None] * self.weight).sum(-1)


def half_digital() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), Odd(4, 3, bias=False))


def warned(caught: list[warnings.WarningMessage]) -> list[str]:
    return [str(warning.message) for warning in caught]


def test_what_stays_digital_is_said_once_however_often_one_validates() -> None:
    validate = dp.ChipValidation(data=POINTS, preset=NOISY, times="1s")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = [validate(half_digital()) for _ in range(3)]
        assert len(warned(caught)) == 1
        assert re.search("1 weight.* stays digital although where= does not exclude it", warned(caught)[0])
        validate(nn.Sequential(half_digital(), Odd(3, 3)))  # other weights are another matter
        assert len(warned(caught)) == 2
    assert len(set(values)) == 1


def test_a_training_says_once_what_stays_digital() -> None:
    def train(validate: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dp.train(half_digital(), POINTS, epochs=3, batch_size=4, validate=validate)
        return warned(caught)

    def evaluate(network: nn.Module) -> float:
        return len(dp.evaluate(network, POINTS, presets=NOISY, times="1s", chips=1, progress=False).cells())

    validate = dp.ChipValidation(data=POINTS, preset=NOISY, times="1s")
    for given in (validate, evaluate):
        (text,) = train(given)
        assert "stays digital" in text
    assert len(train(validate)) == 1  # every training says it
    # a validation of other layers: both are said
    text, other = train(lambda network: validate(nn.Sequential(network, Odd(3, 3))))
    assert text != other


def test_other_warnings_of_a_validation_are_all_given() -> None:
    def validate(network: nn.Module) -> float:
        warnings.warn("it rains", DriftproofWarning, stacklevel=1)
        return 1.0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dp.train(half_digital(), POINTS, epochs=3, batch_size=4, validate=validate)
    assert [text == "it rains" for text in warned(caught)] == [False, True, True, True]


def test_a_periphery_is_validated_behind_with_ranges_of_the_data() -> None:
    model, data = trained_digits_cnn(), digits("train").head(60)
    given: dict[str, Any] = {"data": data, "preset": "ideal", "chips": 1, "times": "1s"}
    validate = dp.ChipValidation(**given, periphery="standard")
    held = validate.deployment.calibration
    assert held is not None
    assert held.fingerprint() == data.fingerprint()
    coarse = dp.ChipValidation(**given, periphery=load_periphery("standard").with_changes(adc_bits=2))
    assert coarse(model) < validate(model)
