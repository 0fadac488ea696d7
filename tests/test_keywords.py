"""A misspelt keyword of a public function or class is an error that names the nearest one; warnings name the caller."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.data import digits
from driftproof.zoo import trained_digits_cnn

# what takes no options of its own, or is made by the package and not by users
NO_OPTIONS = {
    "AnalogModel",
    "Chip",
    "DevicePreset",
    "DriftproofError",
    "DriftproofWarning",
    "ProgrammedChip",
    "Programmer",
    "Record",
    "TileSize",
    "Training",
    "load",
    "load_device",
    "load_preset",
    "preset_names",
    "summarise",
}
CASES = {name for name in dp.__all__ if name not in NO_OPTIONS} - {"train"}  # that one: tests/training/test_wrong_use


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_misspelt_keyword_is_named(name: str) -> None:
    public: Any = getattr(dp, name)
    with pytest.raises(DriftproofError, match=r"keyword 'sede'.*keywords are "):
        public(sede=1)


def test_the_nearest_keyword_is_named() -> None:
    evaluate: Any = dp.evaluate
    with pytest.raises(DriftproofError, match=r"evaluate.*keyword 'preset' \(did you mean presets\?\)"):
        evaluate(trained_digits_cnn(), digits(), preset="ideal")


def test_a_warning_names_the_line_that_led_to_it() -> None:
    data = digits().head(20)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
        dp.evaluate(trained_digits_cnn(), data, presets="ideal", periphery="standard", times="1s", chips=1)
    found = [warning for warning in caught if warning.category is dp.DriftproofWarning]
    assert len(found) == 2  # inputs of its own for the ranges, and sums beyond the full scale
    assert {(warning.filename, warning.lineno) for warning in found} == {(__file__, line)}


def test_arguments_are_taken_under_their_old_names_with_a_word() -> None:
    evaluate: Any = dp.evaluate
    network, data = trained_digits_cnn(), digits().head(20)
    with pytest.warns(dp.DriftproofWarning, match="evaluate: .*device.* torch_device"):
        old = evaluate(network, data, presets="ideal", times="1s", chips=1, device="cpu")
    new = dp.evaluate(network, data, presets="ideal", times="1s", chips=1, torch_device="cpu")
    assert old.cells()["value"].tolist() == new.cells()["value"].tolist()
    train: Any = dp.train
    with pytest.warns(dp.DriftproofWarning, match="train: .*device.* torch_device"):
        assert len(train(network, data, epochs=1, batch_size=20, lr=1e-3, device="cpu").rows)
    with pytest.raises(DriftproofError, match="keyword 'device'"):
        evaluate(network, data, presets="ideal", device="cpu", torch_device="cpu")
