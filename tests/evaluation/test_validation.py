"""Validation on chips: the numbers of an evaluation, on chips that no evaluation reports on."""

from __future__ import annotations

import pytest

import driftproof as dp
from driftproof.data import digits
from driftproof.errors import DriftproofError
from driftproof.evaluation.validation import FIRST_CHIP
from driftproof.mapping import map_model
from driftproof.zoo import trained_digits_cnn


def test_validation_is_what_those_chips_compute() -> None:
    data, model, pcm = digits().head(200), trained_digits_cnn(), dp.load_preset("pcm-nandakumar-2019")
    validate = dp.ChipValidation(data=data, preset=pcm, times=["1d", "1y"], chips=2)
    mapping = map_model(model, example=data.inputs[:8])
    network, wanted = trained_digits_cnn(), []
    for number in (FIRST_CHIP, FIRST_CHIP + 1):
        chip = dp.Chip(mapping, pcm, seed=0, chip=number)
        for t_s in (86400.0, 365 * 86400.0):
            for name in mapping.weights:
                network.get_submodule(name).weight.data.copy_(chip.weight(name, t_s))
            wanted.append(100 * float((network(data.inputs).argmax(1) == data.targets).float().mean()))
    assert validate.each(model) == pytest.approx(wanted, abs=0.51)  # one image of 200: rounding at a tie
    assert validate(model) == pytest.approx(sum(wanted) / 4, abs=0.3)
    assert validate(model) == validate(model)


def test_a_rise_of_the_error_is_worse() -> None:
    data = digits().head(50)
    assert dp.ChipValidation(data=data, preset="ideal").higher_is_better
    squares = dp.ChipValidation(data=(data.inputs, data.targets), preset="ideal", metric="mse")
    assert not squares.higher_is_better


def test_no_chips_are_refused() -> None:
    with pytest.raises(DriftproofError, match="0 chips"):
        dp.ChipValidation(data=digits(), preset="ideal", chips=0)
