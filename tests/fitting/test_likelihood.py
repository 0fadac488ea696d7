"""The fast likelihood against a slow one, and its derivatives against differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from driftproof.fitting import _likelihood as lk
from driftproof.fitting._estimate import Layout, Search, start_search
from driftproof.fitting._marginals import clipped_log_likelihood
from driftproof.fitting._measurements import Measurements
from driftproof.fitting._repeats import first_parameters, to_readings
from fitting.brute_force import log_likelihood
from fitting.made import made

LAW = {"sigma": 0.34, "m": 0.07, "s": 0.035, "scale": 0.0088, "exponent": -0.65, "q_max": 0.2}
LARGE = LAW | {"sigma": 1.1, "m": 0.05, "s": 0.008}
TIMES = [1.0, 30.0, 1e3, 1e5]


def fast(target: float, times: list[float], readings: list[float], law: dict[str, float], drifts: bool = True) -> float:
    rows = np.full(len(times), target), np.array(times), np.array(readings), np.arange(len(times))
    one = Measurements("one.csv", "", True, ("d",) * len(times), *rows)
    found = to_readings(one, 25.0, 20.0, 250e-9)
    numbers = [
        law["sigma"],
        law["m"],
        math.log(law["s"]),
        math.log(law["scale"]),
        law["exponent"],
        math.log(law["q_max"]),
    ]
    theta = torch.tensor([numbers], dtype=torch.float64)
    if bool(found.silent[0]):
        return float(lk.silent_grid(found, theta).log_likelihood(theta))
    grid = lk.first_grid(found, theta, drifts)
    for _ in range(3):
        grid = grid.adapted(theta)
    return float(grid.log_likelihood(theta))


def slow(target: float, times: list[float], readings: list[float], law: dict[str, float], drifts: bool = True) -> float:
    keywords: dict[str, Any] = {**law, "drifts": drifts}
    return log_likelihood(target, times, readings, **keywords)


@pytest.mark.parametrize(
    ("target", "readings", "law", "within"),
    [
        (25.0, [25.3, 24.9, 21.2, 17.9], LARGE, 1e-4),
        (1.0, [1.1, 0.9, 0.75, 0.5], LAW, 1e-4),
        (1.0, [1.1, 1.2, 1.1, 1.3], LAW, 1e-4),  # hardly drifts: the fold at ν = 0
        (1.0, [0.9, 1.0, 0.9, 1.0], LAW | {"m": 0.01}, 1e-4),
        (1.0, [0.45, 0.4, 0.0, 0.3], LAW, 2e-3),  # one reading clipped at zero
        (0.5, [0.12, 0.1, 0.05, 0.09], LAW, 5e-3),  # where Q meets its maximum the integrand has a kink
        (0.0, [0.02, 0.015, 0.0, 0.008], LAW, 5e-3),
        (0.5, [0.0, 0.0, 0.0, 0.0], LAW, 1e-4),  # never conducts: mostly G_prog = 0
        (2.0, [0.0, 0.0, 0.0, 0.0], LAW | {"q_max": 3.0}, 1e-3),  # ... or read noise that never lets it show
    ],
)
def test_one_device_as_by_brute_force(
    target: float, readings: list[float], law: dict[str, float], within: float
) -> None:
    assert fast(target, TIMES, readings, law) == pytest.approx(slow(target, TIMES, readings, law), abs=within)


def test_one_reading_and_no_drift_as_by_brute_force() -> None:
    assert fast(1.0, [50.0], [0.8], LAW) == pytest.approx(slow(1.0, [50.0], [0.8], LAW), abs=1e-4)
    wanted = slow(25.0, TIMES, [24.0, 25.0, 24.5, 24.0], LARGE, drifts=False)
    assert fast(25.0, TIMES, [24.0, 25.0, 24.5, 24.0], LARGE, drifts=False) == pytest.approx(wanted, abs=1e-4)


def test_a_density_has_integral_one() -> None:
    """One reading: the density over g > 0 and the mass at g = 0 add up to 1."""
    g = np.geomspace(1e-4, 4, 150)
    density = np.array([math.exp(fast(0.5, [1e3], [y], LAW)) for y in g])
    assert np.trapezoid(density, g) + math.exp(fast(0.5, [1e3], [0.0], LAW)) == pytest.approx(1, abs=2e-3)


def test_clipped_spread_is_a_distribution() -> None:
    g = torch.linspace(0, 5, 5001, dtype=torch.float64)
    one = torch.ones_like(g)
    density = clipped_log_likelihood(torch.tensor([0.7, 0.2], dtype=torch.float64), 0.5 * one, one, g).exp()
    assert float(density[0] + density[1:].sum() * 0.001) == pytest.approx(1, abs=1e-3)


@pytest.fixture(scope="module")
def search() -> Search:
    levels = (0.0, 1.0, 10.0, 25.0)
    return begun(made(devices=120, levels=levels), levels, math.log(0.25))


def begun(rows: Measurements, levels: tuple[float, ...], ln_max: float) -> Search:
    """Return a search that has not moved, with the given ln max."""
    readings = to_readings(rows, 25.0, 20.0, 250e-9)
    layout = Layout(levels, (0.0, 25.0), degree=2, drifts=True, free_exponent=True)
    parameters = first_parameters(readings, layout)
    parameters[-1] = ln_max
    return start_search(readings, layout, parameters)


def test_derivatives_are_those_of_differences(search: Search) -> None:
    middle, step = search.parameters, 1e-6
    _, gradient, hessian = search.derivatives(middle, second=True)
    for i in range(len(middle)):
        there = step * torch.eye(len(middle), dtype=torch.float64)[i]
        up, up_gradient, _ = search.derivatives(middle + there)
        down, down_gradient, _ = search.derivatives(middle - there)
        assert (up - down) / (2 * step) == pytest.approx(float(gradient[i]), rel=1e-5, abs=1e-3)
        torch.testing.assert_close((up_gradient - down_gradient) / (2 * step), hessian[i], rtol=1e-4, atol=0.05)


def test_the_quick_profile_of_the_maximum_is_that_of_full_fits() -> None:
    levels = (0.0, 5.0, 25.0)
    rows = made(devices=300, levels=levels, times=(1.0, 100.0, 1e4, 1e6))
    search = begun(rows, levels, math.log(0.2))
    search.climb()
    for factor in (0.9, 1.15):
        ln_max = float(search.parameters[-1]) + math.log(factor)
        other = begun(rows, levels, ln_max)
        other.bounds[:, -1] = ln_max
        other.climb()
        assert float(other.parameters[-1]) == pytest.approx(ln_max)
        assert search.drop_at(-1, ln_max) == pytest.approx(search.value - other.value, abs=0.15)
