"""What the converters do, by hand and against a slow reference in exact fractions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from driftproof import DriftproofError
from driftproof.periphery import DynamicRange, Periphery, StaticRange, load_periphery
from driftproof.periphery._converters import (
    adc,
    adc_codes,
    converter_step,
    dac,
    dynamic_range,
    mvm_noise_variances,
    output_factor,
)
from driftproof.periphery._settings import WeightNoise
from periphery.output_noise import add_output_noise

STANDARD = load_periphery("standard")
IDEAL = load_periphery("ideal")
DYNAMIC = STANDARD.with_changes(input_range=DynamicRange())


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference_codes(y: Tensor, bits: int, full_scale: Fraction) -> list[int]:
    """Return the codes of exact arithmetic: Python rounds a fraction half to even."""
    most = 2 ** (bits - 1) - 1
    step = full_scale / most
    return [max(-most, min(most, round(Fraction(value) / step))) for value in y.flatten().tolist()]


@pytest.mark.parametrize("bits", [2, 3, 6, 8, 12])
def test_codes_are_those_of_exact_arithmetic(bits: int) -> None:
    periphery = STANDARD.with_changes(adc_bits=bits)
    y = 5 * numbers(2000).double()  # float32 may decide a near tie otherwise; float64 does not here
    assert adc_codes(y, periphery).tolist() == reference_codes(y, bits, Fraction(10))
    off = torch.tensor(reference_codes(y.float(), bits, Fraction(10))) - adc_codes(y.float(), periphery)
    assert int((off != 0).sum()) <= 2


def test_levels() -> None:
    y = torch.linspace(-20, 20, 100_001)
    codes = adc_codes(y, STANDARD)
    assert torch.unique(codes).tolist() == list(range(-127, 128))
    assert codes.dtype == torch.int32
    levels = adc(y, STANDARD)
    assert len(torch.unique(levels)) <= 257  # ±127 steps and ±full scale may differ in the last bit
    torch.testing.assert_close(levels, codes * (10 / 127), rtol=1e-6, atol=0)
    assert float(levels.abs().max()) == 10.0
    assert converter_step(8, 10.0) == pytest.approx(10 / 127, rel=1e-15)


def test_ties_go_to_the_even_level() -> None:
    halves = STANDARD.with_changes(adc_full_scale=63.5)  # a step of exactly 0.5
    y = torch.tensor([0.25, 0.75, 1.25, -0.25, -0.75, -1.25, 0.0])
    assert adc_codes(y, halves).tolist() == [0, 2, 2, 0, -2, -2, 0]


def test_without_bits_the_adc_clips_and_without_full_scale_it_does_nothing() -> None:
    y = torch.tensor([-12.0, 0.123, 12.0])
    assert adc(y, STANDARD.with_changes(adc_bits=None)).tolist() == [-10.0, float(y[1]), 10.0]
    assert adc(y, STANDARD.with_changes(adc_bits=None, adc_full_scale=None)) is y
    with pytest.raises(DriftproofError, match="has no ADC"):
        adc_codes(y, STANDARD.with_changes(adc_bits=None))


def test_static_range_clips_and_divides() -> None:
    x = torch.tensor([-5.0, -2.0, 0.0, 0.5, 2.0, 7.0])
    exact = STANDARD.with_changes(dac_bits=None)
    assert dac(x, 2.0, exact).tolist() == [-1.0, -1.0, 0.0, 0.25, 1.0, 1.0]
    three = STANDARD.with_changes(dac_bits=3)  # levels −3/3 … 3/3
    torch.testing.assert_close(3 * dac(x, 2.0, three), torch.tensor([-3.0, -3.0, 0.0, 1.0, 3.0, 3.0]))


@pytest.mark.parametrize("bits", [*range(2, 25), None])
def test_no_input_of_the_array_is_beyond_one(bits: int | None) -> None:
    x = 1e3 * numbers(300, 30)
    static, dynamic = STANDARD.with_changes(dac_bits=bits), DYNAMIC.with_changes(dac_bits=bits)
    for reach in (0.1, 0.3, 1.0, 41.0):
        assert float(dac(x, reach, static).abs().max()) == 1
    assert dac(x, dynamic_range(x), dynamic).abs().amax(1).sub(1).abs().max() < 1e-6
    assert dac(x, dynamic_range(x), dynamic).abs().max() <= 1


def test_dynamic_range_uses_the_whole_range_of_each_vector() -> None:
    x = numbers(50, 20) * torch.logspace(-20, 20, 50)[:, None]
    codes = dac(x, dynamic_range(x), DYNAMIC) * 127
    assert codes.abs().amax(dim=1).sub(127).abs().max() < 1e-4
    torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-4)
    torch.testing.assert_close(codes / 127, x / x.abs().amax(1, keepdim=True), rtol=0, atol=0.51 / 127)


@pytest.mark.parametrize("signal", [0.0, -0.0, 1e-45, 1e-39])
def test_vectors_without_signal_give_zeros(signal: float) -> None:
    x = torch.tensor([[signal, 0.0], [1.0, -2.0]])
    values = dac(x, dynamic_range(x), DYNAMIC)
    assert values[0].tolist() == [0.0, 0.0]
    assert values[1, 1] == -1
    assert output_factor(dynamic_range(x), DYNAMIC).tolist() == [[1.0], [2.0]]
    assert dac(x, torch.zeros(()), STANDARD).count_nonzero() == 0


def test_ranges_broadcast() -> None:
    x = numbers(3, 4)
    many = torch.tensor([[0.5], [1.0], [2.0]])
    for i in range(3):
        assert torch.equal(dac(x, many, STANDARD)[i], dac(x[i], float(many[i]), STANDARD))


def test_inputs_stay_as_they_are() -> None:
    x, y = numbers(4, 4), 9 * numbers(4, 4)
    kept_x, kept_y = x.clone(), y.clone()
    for periphery in (STANDARD, DYNAMIC, IDEAL, STANDARD.with_changes(dac_bits=None, adc_bits=None)):
        dac(x, dynamic_range(x), periphery)
        adc(add_output_noise(y, numbers(4, 4), periphery), periphery)
    adc_codes(y, STANDARD)
    assert torch.equal(x, kept_x)
    assert torch.equal(y, kept_y)


def test_the_ideal_periphery_changes_nothing() -> None:
    x = 100 * numbers(3, 5)
    assert dac(x, 1.0, IDEAL) is x
    assert adc(x, IDEAL) is x
    assert torch.equal(add_output_noise(x, numbers(3, 5), IDEAL), x)
    assert output_factor(3.0, IDEAL) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(dtype: torch.dtype) -> None:
    x = (3 * numbers(40, 10)).to(dtype)
    functions: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        lambda v: dac(v, 2.0, STANDARD),
        lambda v: dac(v, dynamic_range(v), DYNAMIC),
        lambda v: adc(v, STANDARD),
        lambda v: adc_codes(v, STANDARD).float(),
    )
    for function in functions:
        assert function(x).dtype == torch.float32
        assert torch.equal(function(x), function(x.float()))


def test_double_precision_stays() -> None:
    x = numbers(5).double()
    assert dac(x, 2.0, STANDARD).dtype == adc(x, STANDARD).dtype == torch.float64
    assert output_factor(dynamic_range(x), DYNAMIC).dtype == torch.float64


def test_messages() -> None:
    x = torch.ones(2)
    with pytest.raises(DriftproofError, match=r"inputs of the periphery are torch\.int64"):
        dac(torch.ones(2, dtype=torch.int64), 1.0, STANDARD)
    with pytest.raises(DriftproofError, match=r"outputs of the periphery are torch\.int64"):
        adc(torch.ones(2, dtype=torch.int64), STANDARD)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(DriftproofError, match=r"input range .*wanted a positive, finite number"):
            dac(x, wrong, STANDARD)
    with pytest.raises(DriftproofError, match="1 NaN of 2"):
        adc_codes(torch.tensor([1.0, float("nan")]), STANDARD)


def test_nan_is_not_hidden() -> None:
    x = torch.tensor([[1.0, float("nan")]])
    assert dac(x, 1.0, STANDARD).isnan().tolist() == [[False, True]]
    assert dac(x, dynamic_range(x), DYNAMIC).isnan().any()
    assert adc(x, STANDARD).isnan().tolist() == [[False, True]]


def test_output_noise_has_the_declared_spread() -> None:
    y = torch.full((1000, 100), 1.0)
    noisy = add_output_noise(y, numbers(1000, 100), STANDARD)
    assert float(noisy.mean()) == pytest.approx(1, abs=0.001)
    assert float(noisy.std()) == pytest.approx(0.04, rel=0.01)


@pytest.mark.parametrize("law", ["constant", "pcm-read"])
def test_weight_noise_is_that_of_noisy_weights(law: str) -> None:
    """The noise at the outputs is what drawing every weight anew in every MVM gives."""
    noise = WeightNoise.model_validate({"law": law, "sigma": 0.1})
    periphery = STANDARD.with_changes(mvm_weight_noise=noise)
    net, x = numbers(3, 6, seed=1).clamp(-1, 1), numbers(6, seed=2)
    variances = mvm_noise_variances(net, periphery)
    assert variances is not None
    spread = 0.1 * (net.abs().sqrt() if law == "pcm-read" else torch.ones_like(net))
    drawn = (net + spread * numbers(20_000, 3, 6, seed=3)) @ x
    torch.testing.assert_close(drawn.var(dim=0), variances @ x.square(), rtol=0.05, atol=0)
    assert mvm_noise_variances(net, STANDARD) is None


def test_undoing_the_range_gives_the_product_back() -> None:
    """With many bits the whole chain is the digital product, whatever the range."""
    fine = Periphery(
        **STANDARD.without_noise().definition() | {"dac_bits": 16, "adc_bits": 20, "adc_full_scale": 100.0}
    )
    weight, x = numbers(7, 30).clamp(-1, 1), 40 * numbers(9, 30, seed=1)
    for periphery, reach in (
        (fine.with_changes(input_range=StaticRange(method="maximum")), float(x.abs().max())),
        (fine.with_changes(input_range=DynamicRange()), dynamic_range(x)),
    ):
        y = adc(dac(x, reach, periphery) @ weight.T, periphery) * output_factor(reach, periphery)
        torch.testing.assert_close(y, x @ weight.T, rtol=0, atol=0.02)
