"""Settings are frozen, complete and keyword-only, and say what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from driftproof import DriftproofError
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery
from driftproof.periphery._settings import IRDrop, PeripherySource, WeightNoise

SOURCE = PeripherySource(title="a test", where="here")
STANDARD = load_periphery("standard")
IDEAL = load_periphery("ideal")


def make(**values: Any) -> Periphery:
    return Periphery(**{"name": "mine", "source": SOURCE, "input_range": DynamicRange()} | values)


def test_standard_is_what_its_source_says() -> None:
    assert (STANDARD.dac_bits, STANDARD.adc_bits, STANDARD.adc_full_scale, STANDARD.output_noise) == (8, 8, 10.0, 0.04)
    assert STANDARD.input_range == StaticRange(method="quantile", quantile=0.99995)
    assert STANDARD.mvm_weight_noise is None
    assert STANDARD.ir_drop is None
    assert STANDARD.source.doi == "10.1038/s41467-023-40770-4"
    assert STANDARD.repeatable
    assert not STANDARD.is_ideal


def test_ideal_is_ideal() -> None:
    assert IDEAL.is_ideal
    assert IDEAL.repeatable
    assert str(IDEAL) == "ideal"


@pytest.mark.parametrize(
    "change",
    [
        {"dac_bits": 8},
        {"adc_bits": 8, "adc_full_scale": 10.0},
        {"adc_full_scale": 10.0},
        {"output_noise": 0.1},
        {"mvm_weight_noise": WeightNoise(law="constant", sigma=0.1)},
        {"ir_drop": IRDrop()},
        {},  # the range alone clips
    ],
)
def test_whatever_is_there_is_not_ideal(change: dict[str, Any]) -> None:
    assert not make(**change).is_ideal
    assert make(**change).sha256 != IDEAL.sha256
    if change:
        with pytest.raises(DriftproofError, match=f"input_range is missing, .*{next(iter(change))}"):
            make(**change, input_range=None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"adc_bit": 8}, r"Periphery: unknown key adc_bit \(did you mean adc_bits\?\)"),
        ({"dac_bits": 1}, "dac_bits: .*greater than or equal to 2, got 1"),
        ({"dac_bits": 8.0}, "dac_bits: .*integer, got 8.0"),
        ({"dac_bits": True}, "dac_bits"),
        ({"dac_bits": 25}, "dac_bits: .*24"),
        ({"adc_bits": 8}, "adc_full_scale is missing: an ADC of 8 bits"),
        ({"adc_full_scale": 0.0}, "adc_full_scale"),
        ({"adc_full_scale": float("inf")}, "adc_full_scale"),
        ({"output_noise": -0.1}, "output_noise"),
        ({"output_noise": float("nan")}, "output_noise"),
        ({"output_noise": "0.1"}, "output_noise"),
        ({"name": "Big Name"}, "name"),
        ({"source": None}, "source"),
        ({"input_range": {"kind": "dynamical"}}, "input_range"),
        (
            {"input_range": {"kind": "static", "method": "quantile", "quantil": 0.9}},
            r"unknown key quantil \(did you mean quantile\?\)",
        ),
        ({"mvm_weight_noise": {"law": "constant", "sigma": 0.0}}, "sigma"),
        ({"ir_drop": {"scal": 1.0}}, r"unknown key scal \(did you mean scale\?\)"),
    ],
)
def test_impossible_settings_say_what_is_wrong(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        make(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "maximum", "quantile": 0.9}, "has no quantile"),
        ({"method": "quantile", "decay": 0.1}, "has no decay"),
        ({"method": "maximum", "decay": 0.1}, "has no decay"),
        ({"method": "quantile", "quantile": 0.0}, "greater than 0"),
        ({"method": "quantile", "quantile": 1.1}, "less than or equal to 1"),
        ({"method": "average"}, "method"),
        ({}, "missing key method"),
    ],
)
def test_a_static_range_has_its_methods_parameters_only(values: dict[str, Any], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        StaticRange(**values)


def test_methods_fill_in_what_they_have() -> None:
    assert StaticRange(method="maximum").model_dump(exclude_none=True) == {"kind": "static", "method": "maximum"}
    assert StaticRange(method="moving").decay == 0.01
    assert StaticRange(method="moving", quantile=1.0, decay=0.0).decay == 0.0
    assert StaticRange(method="moving", quantile=0.5).quantile == 0.5


def test_settings_never_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        STANDARD.adc_bits = 6  # type: ignore[misc]
    untyped: Any = Periphery
    with pytest.raises(TypeError):
        untyped("mine")


def test_a_drop_along_the_wires_is_not_repeatable() -> None:
    dropping = STANDARD.with_changes(ir_drop=IRDrop())
    assert not dropping.repeatable
    told = "8-bit in (static), 8-bit out, full scale 10, noise 0.04, IR drop 1"
    assert str(dropping) == f"{told} (wires for devices of 5 µS, not repeatable)"
    own = STANDARD.with_changes(ir_drop={"conductance_ratio": 1 / 0.35 / 25e-6})
    assert str(own) == f"{told} (not repeatable)"


def test_text_for_tables() -> None:
    noise = WeightNoise(law="pcm-read", sigma=0.0175)
    assert str(make(mvm_weight_noise=noise)) == "exact in (dynamic), exact out, weight noise 0.0175 (pcm-read)"


def test_changes_are_checked_and_shown() -> None:
    six = STANDARD.with_changes(adc_bits=6)
    assert (six.name, six.adc_bits, six.dac_bits) == ("standard [adc_bits=6]", 6, 8)
    with pytest.raises(DriftproofError, match="did you mean adc_bits"):
        STANDARD.with_changes(adc_bit=6)
    with pytest.raises(DriftproofError, match="adc_full_scale is missing"):
        STANDARD.with_changes(adc_full_scale=None)


def test_without_noise_keeps_the_rest() -> None:
    noisy = STANDARD.with_changes(mvm_weight_noise=WeightNoise(law="constant", sigma=0.1))
    quiet = noisy.without_noise()
    assert (quiet.output_noise, quiet.mvm_weight_noise) == (0.0, None)
    assert (quiet.dac_bits, quiet.adc_bits, quiet.adc_full_scale, quiet.input_range) == (
        8,
        8,
        10.0,
        STANDARD.input_range,
    )


def test_the_hash_is_of_every_number_and_of_no_text() -> None:
    renamed = Periphery(**STANDARD.definition() | {"name": "other", "summary": "other"})
    assert renamed.sha256 == STANDARD.sha256
    changed = [
        STANDARD.with_changes(**change)
        for change in (
            {"dac_bits": 7},
            {"adc_bits": 7},
            {"adc_full_scale": 12.0},
            {"output_noise": 0.05},
            {"input_range": DynamicRange()},
            {"input_range": StaticRange(method="maximum")},
            {"input_range": StaticRange(method="quantile", quantile=0.9)},
            {"mvm_weight_noise": WeightNoise(law="constant", sigma=0.1)},
            {"mvm_weight_noise": WeightNoise(law="pcm-read", sigma=0.1)},
            {"ir_drop": IRDrop()},
            {"ir_drop": IRDrop(conductance_ratio=1e5)},
        )
    ]
    assert len({STANDARD.sha256, *(one.sha256 for one in changed)}) == 12


def test_ir_drop_is_read_under_its_old_name() -> None:
    ours = {"name": "mine", "input_range": {"kind": "dynamic"}, "source": {"title": "mine", "where": "here"}}
    assert Periphery(**ours, wire_drop={"scale": 2.0}) == Periphery(**ours, ir_drop={"scale": 2.0})  # type: ignore[call-arg]
