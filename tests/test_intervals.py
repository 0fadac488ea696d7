"""Intervals cover as often as their docstrings say, and are what their formulas say."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from driftproof._errors import DriftproofError
from driftproof._intervals import bootstrap_draws, bootstrap_interval, mean_interval, paired_interval


def drop(kind: str, sd: float, generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """X of ``mean_interval``'s table: mean 1, standard deviation sd."""
    if kind == "normal":
        return generator.normal(1.0, sd, size)
    if kind == "gamma":
        return generator.gamma(1 / sd**2, sd**2, size)
    s2 = math.log(1 + sd**2)
    return generator.lognormal(-s2 / 2, math.sqrt(s2), size)


# The table in the docstring of mean_interval.
COVERAGE = [
    ("normal", 1 / 3, 10, 0.947), ("gamma", 0.5, 10, 0.950), ("gamma", 1.0, 10, 0.945), ("gamma", 1.5, 10, 0.924),
    ("lognormal", 0.5, 10, 0.945), ("lognormal", 1.0, 10, 0.931), ("lognormal", 1.5, 10, 0.909),
    ("normal", 1 / 3, 25, 0.950), ("gamma", 0.5, 25, 0.952), ("gamma", 1.0, 25, 0.950), ("gamma", 1.5, 25, 0.948),
    ("lognormal", 0.5, 25, 0.949), ("lognormal", 1.0, 25, 0.945), ("lognormal", 1.5, 25, 0.934),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "sd", "n", "documented"), COVERAGE)
def test_coverage_is_as_documented(kind: str, sd: float, n: int, documented: float) -> None:
    """With another seed each case would fail by chance with probability below 1e-4 (z = 4, two-sided 6e-5)."""
    repetitions = 3000
    generator = np.random.default_rng([n, round(100 * sd)])
    mean = 100 - np.minimum(3 * drop(kind, sd, np.random.default_rng(1), (1, 2_000_000)), 90).mean()
    accuracy = 100 - np.minimum(3 * drop(kind, sd, generator, (repetitions, n)), 90)
    intervals = [mean_interval(row) for row in accuracy]
    covered = np.mean([low <= mean <= high for low, high in intervals])
    # The documented figure has an error of its own, that of 40,000 repetitions, and is rounded.
    tolerance = 4 * math.sqrt(documented * (1 - documented) * (1 / repetitions + 1 / 40_000)) + 0.0005
    assert abs(covered - documented) < tolerance


def test_covers_better_than_student_where_accuracy_is_skewed() -> None:
    generator = np.random.default_rng(3)
    accuracy = 100 - 3 * drop("lognormal", 1.0, generator, (4000, 25))
    ours, student = 0, 0
    for row in accuracy:
        low, high = mean_interval(row)
        ours += low <= 97 <= high
        student += abs(row.mean() - 97) <= stats.t.ppf(0.975, 24) * row.std(ddof=1) / 5
    # Documented 0.945 against 0.899; the standard error of a share here is 0.005.
    assert ours - student > 0.025 * 4000


def test_interval_is_students_without_skewness() -> None:
    values = np.array([88.0, 89.0, 90.0, 91.0, 92.0])
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / math.sqrt(5)
    assert mean_interval(values) == pytest.approx((90 - half, 90 + half))
    two = mean_interval([89.0, 91.0], confidence=0.9)
    assert two == pytest.approx((90 - stats.t.ppf(0.95, 1), 90 + stats.t.ppf(0.95, 1)))


def test_interval_solves_halls_equation() -> None:
    values = np.array([90.0, 91.0, 90.5, 89.0, 91.5, 90.2, 88.6, 91.1, 90.1, 89.7])
    n, mean, sd = 10, values.mean(), values.std(ddof=1)
    u = 1.75 * stats.skew(values, bias=False) / (3 * math.sqrt(n))
    for end, quantile in zip(mean_interval(values), (stats.t.ppf(0.975, 9), stats.t.ppf(0.025, 9)), strict=True):
        t = (mean - end) * math.sqrt(n) / sd
        assert t + u * t**2 + u**2 * t**3 / 3 + u / 2 == pytest.approx(quantile)


@pytest.mark.parametrize("n", [3, 5, 10, 25, 100])
def test_one_outlier_stretches_an_arm_by_at_most_the_documented_factor(n: int) -> None:
    values = np.full(n, 91.0)
    values[0] = 10.0
    student = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    low, high = mean_interval(values)
    assert low < values.mean() < high
    assert student < values.mean() - low < 1.8 * student
    assert high - values.mean() < student


def test_one_chip_has_no_interval_and_equal_chips_a_point() -> None:
    assert all(math.isnan(end) for end in mean_interval([90.0]))
    assert mean_interval([90.1] * 7) == pytest.approx((90.1, 90.1))


def test_a_paired_interval_is_students_as_scipy_has_it() -> None:
    differences = np.array([2.0, 1.5, 3.0, -0.5, 2.2])
    for confidence in (0.95, 0.8):
        wanted = stats.ttest_1samp(differences, 0.0).confidence_interval(confidence)
        assert paired_interval(differences, confidence) == pytest.approx((wanted.low, wanted.high))
    assert all(math.isnan(end) for end in paired_interval([1.0]))
    assert paired_interval([0.5, 0.5]) == (0.5, 0.5)


def test_a_paired_interval_covers_where_common_ups_and_downs_are_gone() -> None:
    generator = np.random.default_rng(5)
    common = 100 - 3 * drop("lognormal", 1.0, generator, (4000, 10))
    before = common + generator.normal(0.0, 0.2, common.shape)
    after = common + generator.normal(0.5, 0.2, common.shape)
    intervals = [paired_interval(row) for row in after - before]
    covered = np.mean([low <= 0.5 <= high for low, high in intervals])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)
    # unpaired, the same two lines of chips say nothing
    assert np.mean([high - low for low, high in intervals]) < 0.2 * np.mean(
        [high - low for low, high in map(mean_interval, after[:200])]
    )


def test_a_bootstrap_interval_of_a_ratio_is_scipys() -> None:
    generator = np.random.default_rng(7)
    gap = generator.normal(5.0, 0.5, 25)
    gain = 0.4 * gap + generator.normal(0.0, 0.2, 25)
    drawn = bootstrap_draws(25, np.random.default_rng(0))
    assert drawn.shape == (10_000, 25)
    low, high = bootstrap_interval(gain[drawn].mean(axis=1) / gap[drawn].mean(axis=1))
    wanted = stats.bootstrap(
        (gain, gap),
        lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=0.1 * (high - low))


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
@pytest.mark.parametrize("interval", [mean_interval, paired_interval, bootstrap_interval])
def test_a_confidence_that_is_none_is_refused(interval: Callable[..., object], confidence: float) -> None:
    with pytest.raises(DriftproofError, match=f"confidence {confidence:g}: wanted a number between 0 and 1"):
        interval([1.0, 2.0, 4.0], confidence)


def test_a_bootstrap_of_nothing_is_refused() -> None:
    with pytest.raises(DriftproofError, match="at least one chip and one repetition, got 0 chips"):
        bootstrap_draws(0, np.random.default_rng(0))
    with pytest.raises(DriftproofError, match="got none"):
        bootstrap_interval([])


def test_intervals_need_no_torch() -> None:
    code = "import sys, driftproof._intervals; print([m for m in ('torch', 'pandas', 'aihwkit') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
