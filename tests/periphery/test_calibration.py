"""Static ranges: exact maxima, quantiles within their bound, moving averages, and loud failures."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor

from driftproof import DriftproofError, DriftproofWarning
from driftproof.periphery import StaticRange
from driftproof.periphery._calibration import QUANTILE_ERROR, RangeStatistics


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def measured(method: StaticRange, *batches: Tensor) -> float:
    statistics = RangeStatistics(method, name="conv1")
    for batch in batches:
        statistics.observe(batch)
    return statistics.value()


def exact_quantile(x: Tensor, q: float) -> float:
    """Return the smallest value that at least the share q of all |x| does not exceed."""
    values = x.abs().flatten().sort().values
    return float(values[math.ceil(q * len(values)) - 1])


CLOUDS = {
    "normal": numbers(200, 500),
    "wide": numbers(100_000).mul(10).exp(),
    "relu": numbers(200, 500).clamp(min=0),
    "negative": -numbers(200, 500).abs() - 3,
    "outlier": torch.cat([numbers(100_000), torch.tensor([1e6])]),
    "levels": numbers(100_000).mul(3).round(),
    "small": 1e-20 * numbers(100_000),
}


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("q", [0.51, 0.75, 0.99, 0.9999, 0.99995, 1.0])
def test_quantile_is_within_its_bound(cloud: str, q: float) -> None:
    x = CLOUDS[cloud]
    exact = exact_quantile(x, q)
    assert exact > 0
    found = measured(StaticRange(method="quantile", quantile=q), x)
    assert exact <= found <= exact * (1 + QUANTILE_ERROR)
    assert found <= float(x.abs().max())


def test_quantile_of_few_values_counts_exactly() -> None:
    x = torch.tensor([4.0, -3.0, 2.0, 1.0, 0.5])
    for q, expected in ((0.2, 0.5), (0.2001, 1.0), (0.4, 1.0), (0.6, 2.0), (0.8, 3.0), (0.81, 4.0), (1.0, 4.0)):
        found = measured(StaticRange(method="quantile", quantile=q), x)
        assert expected <= found <= expected * (1 + QUANTILE_ERROR)
        assert measured(StaticRange(method="moving", quantile=q), x) == expected


def test_quantile_does_not_depend_on_order_and_batches() -> None:
    x = numbers(1000, 30)
    method = StaticRange(method="quantile", quantile=0.99)
    whole = measured(method, x)
    assert measured(method, *torch.split(x, 7)) == whole
    assert measured(method, *torch.split(x.flip(0).t(), 3)) == whole


def test_memory_is_bounded() -> None:
    assert QUANTILE_ERROR == 2**-10
    statistics = RangeStatistics(StaticRange(method="quantile"))
    for seed in range(5):
        statistics.observe(numbers(1000, seed=seed))
    held = [value.numel() * value.element_size() for value in vars(statistics).values() if isinstance(value, Tensor)]
    assert sum(held) <= 2**21
    assert statistics.count == 5000


def test_maximum_is_exact() -> None:
    x = numbers(40, 50)
    assert measured(StaticRange(method="maximum"), *torch.split(x, 10)) == float(x.abs().max())
    assert measured(StaticRange(method="maximum"), torch.tensor([-7.0, 1.0])) == 7


def test_moving_is_a_mean_first_and_fades_then() -> None:
    batches = [torch.full((4,), float(value)) for value in (1, 2, 3, 4, 5)]
    assert measured(StaticRange(method="moving", decay=0.0), *batches) == 3
    assert measured(StaticRange(method="moving", decay=1.0), *batches) == 5
    # decay 1/2: the mean of the first two, then half of each new one
    expected = (((1.5 + 3) / 2 + 4) / 2 + 5) / 2
    assert measured(StaticRange(method="moving", decay=0.5), *batches) == pytest.approx(expected)


def test_moving_takes_the_quantile_of_each_batch_and_leaves_silent_batches_out() -> None:
    one, two = numbers(5000), 3 * numbers(5000, seed=1)
    method = StaticRange(method="moving", quantile=0.9)
    mean = (exact_quantile(one, 0.9) + exact_quantile(two, 0.9)) / 2
    assert measured(method, one, two) == pytest.approx(mean)
    assert measured(method, torch.zeros(9), one, torch.zeros(9), two) == pytest.approx(mean)


@pytest.mark.parametrize("method", ["maximum", "quantile", "moving"])
def test_failures_are_loud(method: str) -> None:
    settings = StaticRange.model_validate({"method": method})
    with pytest.raises(DriftproofError, match="layer conv1: no inputs were observed"):
        measured(settings)
    with pytest.raises(DriftproofError, match="no inputs were observed"):
        measured(settings, torch.zeros(0, 3))
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(DriftproofError, match="layer conv1: 1 of 3 inputs are NaN or infinite"):
            measured(settings, torch.tensor([1.0, bad, 2.0]))
    with pytest.raises(DriftproofError, match=r"inputs are torch\.int64"):
        measured(settings, torch.tensor([1, 2]))
    with pytest.warns(DriftproofWarning, match="all 6 calibration inputs are zero; its input range is set to 1"):
        assert measured(settings, torch.zeros(2, 3)) == 1
    with pytest.warns(DriftproofWarning, match="are zero"):
        assert measured(settings, torch.full((2,), 1e-42)) == 1


def test_a_quantile_that_is_zero_is_no_range() -> None:
    x = torch.zeros(100)
    x[3] = -2.5
    for method in ("quantile", "moving"):
        settings = StaticRange.model_validate({"method": method, "quantile": 0.9})
        with pytest.warns(
            DriftproofWarning, match=r"conv1: the 0.9 quantile .* is zero.* 2.5, is taken. Use a higher quantile"
        ):
            assert measured(settings, x) == 2.5
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert measured(StaticRange.model_validate({"method": method, "quantile": 1.0}), x) == 2.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", ["maximum", "quantile", "moving"])
def test_other_types_are_taken_and_the_value_is_a_float32(dtype: torch.dtype, method: str) -> None:
    settings = StaticRange.model_validate({"method": method})
    x = numbers(500).to(dtype)
    value = measured(settings, x, 2 * x)
    assert value == measured(settings, x.float(), (2 * x).float())
    assert value == float(torch.tensor(value, dtype=torch.float32))


def test_observing_leaves_the_inputs_alone() -> None:
    x = numbers(30).requires_grad_()
    kept = x.detach().clone()
    measured(StaticRange(method="quantile"), x)
    assert torch.equal(x.detach(), kept)
