"""Chips and samples, both random: components, intervals, p-values. Random tests say how often they fail by chance."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from driftproof._errors import DriftproofError
from driftproof.statistics import Crossed, crossed, holm, pigeonhole_interval
from driftproof.statistics._crossed import On
from driftproof.statistics._pigeonhole import pigeonhole

Numbers = npt.NDArray[np.float64]


def drawn(
    random: np.random.Generator, chips: int, samples: int, chip: float, sample: float, rest: float, mean: float = 0.0
) -> Numbers:
    """Return normal outcomes with these standard deviations of their parts."""
    a, b = random.normal(0, chip, (chips, 1)), random.normal(0, sample, (1, samples))
    made: Numbers = mean + a + b + random.normal(0, rest, (chips, samples))
    return made


def slow(y: Numbers) -> tuple[float, float, float]:
    """Return s², c² and m² by their definitions, entry by entry."""
    chips, samples = y.shape
    mean = sum(y[i, j] for i, j in itertools.product(range(chips), range(samples))) / (chips * samples)
    rows = [sum(y[i]) / samples for i in range(chips)]
    columns = [sum(y[:, j]) / chips for j in range(samples)]
    rest = sum((y[i, j] - rows[i] - columns[j] + mean) ** 2 for i, j in itertools.product(range(chips), range(samples)))
    squares = sum((row - mean) ** 2 for row in rows), sum((column - mean) ** 2 for column in columns)
    return squares[0] / (chips - 1), squares[1] / (samples - 1), rest / ((chips - 1) * (samples - 1))


@pytest.mark.parametrize("kind", ["numbers", "bools", "differences", "paired"])
def test_mean_squares_are_those_of_their_definition(kind: str) -> None:
    random = np.random.default_rng(1)
    right, digital = random.random((5, 30)) < 0.8, random.random(30) < 0.9
    other = random.random((5, 30)) < 0.7
    numbers = 1e3 + drawn(random, 5, 30, 1.0, 2.0, 3.0)
    given, reference, y = {
        "numbers": (numbers, None, numbers),
        "bools": (right, None, 100.0 * right),
        "differences": (right, digital, 100.0 * right - 100.0 * digital),
        "paired": (right, other, 100.0 * right - 100.0 * other),
    }[kind]
    of = crossed(given, reference)
    assert (of.chip_square, of.sample_square, of.rest_square) == pytest.approx(slow(y), rel=1e-9)
    assert of.mean == pytest.approx(y.mean(), rel=1e-12, abs=1e-9)
    assert (of.chips, of.samples) == (5, 30)
    # the differences of -1, 0 and 1 in whole numbers, and as numbers
    again = crossed(y)
    assert (of.rest_square, of.sample_third) == pytest.approx((again.rest_square, again.sample_third), rel=1e-9)


def test_the_components_are_estimated_without_bias() -> None:
    """Means of 400 repetitions within 4 standard errors: 3 false alarms in 16,000 seeds."""
    random, true = np.random.default_rng(2), np.array([0.5, 2.0, 3.0]) ** 2
    seen = []
    for _ in range(400):
        of = crossed(drawn(random, 12, 40, *np.sqrt(true)))
        # without the cut at 0, which has a bias of its own
        chip, sample = of.chip_square - of.rest_square / 40, of.sample_square - of.rest_square / 12
        seen.append((chip, sample, of.rest_variance))
    estimates = np.array(seen)
    error = estimates.std(axis=0, ddof=1) / 20
    assert (np.abs(estimates.mean(axis=0) - true) < 4 * error).all()


@pytest.mark.parametrize("on", ["these", "new"])
def test_intervals_cover_the_mean(on: str) -> None:
    """2,000 repetitions, coverage of 0.95: a false alarm outside of 0.95 ± 0.02 in 25,000 seeds (4.1 σ)."""
    random, covered = np.random.default_rng(3), 0
    for _ in range(2000):
        b = random.normal(0, 2.0, (1, 40))
        y = random.normal(0, 0.5, (12, 1)) + b + random.normal(0, 1.0, (12, 40))
        low, high = crossed(y).interval("these" if on == "these" else "new")
        covered += low < (float(b.mean()) if on == "these" else 0.0) < high
    assert 0.93 < covered / 2000 < 0.97


def test_an_interval_for_these_samples_is_too_short_for_new_ones() -> None:
    of = crossed(drawn(np.random.default_rng(4), 25, 50, 0.2, 5.0, 1.0))
    (low, high), (lower, higher) = of.interval("these"), of.interval("new")
    assert lower < low < of.mean < high < higher
    assert higher - lower > 5 * (high - low)


def test_on_these_samples_it_is_the_interval_of_the_chips_means() -> None:
    from driftproof._intervals import mean_interval

    y = drawn(np.random.default_rng(5), 9, 20, 1.0, 1.0, 1.0) ** 2
    assert crossed(y).interval("these") == pytest.approx(mean_interval(y.mean(axis=1)))


def test_a_paired_drop_is_known_better_than_a_mean() -> None:
    """Samples that are hard for the digital network are hard for every chip."""
    random = np.random.default_rng(6)
    hard = random.random(1000) < 0.1
    digital = ~hard
    right = ~hard & (random.random((10, 1000)) < 0.98)
    arms = [high - low for low, high in (crossed(right).interval("new"), crossed(right, digital).interval("new"))]
    assert arms[1] < arms[0] / 2


def test_the_pigeonhole_bootstrap_agrees_with_the_closed_form() -> None:
    """Its variance is s²/K + c²/N + m²/(K N), up to K/(K-1): within 15 % of 2,000 draws (4.7 σ of their variance)."""
    y = drawn(np.random.default_rng(7), 20, 60, 1.0, 3.0, 2.0)
    of = crossed(y)
    means = pigeonhole(y, seed=1)
    expected = of.chip_square / 20 + of.sample_square / 60 + of.rest_square / 1200
    assert means.var() == pytest.approx(expected, rel=0.15)
    assert of.error("new") ** 2 < expected
    low, high = of.interval("new")
    ends = pigeonhole_interval(y, seed=1)
    assert ends == pytest.approx((low, high), abs=0.15 * (high - low))


def test_p_values_agree_with_intervals() -> None:
    random, below = np.random.default_rng(8), 0
    for _ in range(200):
        of = crossed(random.exponential(1.0, (8, 1)) - 0.6 + random.normal(0, 1.0, (8, 30)))
        for on in get_args(On):
            low, high = of.interval(on)
            p = of.p_value(on)
            assert (p < 0.05) == (not low <= 0 <= high)
            below += p < 0.05
    assert 0 < below < 400


def test_p_values_are_uniform_where_nothing_differs() -> None:
    """Kolmogorov-Smirnov at 1,000 p-values: a false alarm in 10,000 seeds."""
    random = np.random.default_rng(9)
    p = [crossed(drawn(random, 12, 30, 1.0, 1.0, 1.0)).p_value("new") for _ in range(1000)]
    assert stats.kstest(p, "uniform").pvalue > 1e-4


def test_equivalence_is_two_one_sided_tests() -> None:
    values = np.array([0.2, -0.1, 0.3, 0.1, 0.0])
    of = Crossed(values, 1, math.nan, math.nan, 0.0)
    symmetric = Crossed(np.array([-0.2, -0.1, 0.0, 0.1, 0.2]) + 0.1, 1, math.nan, math.nan, 0.0)
    error = values.std(ddof=1) / math.sqrt(5)
    upper = stats.t.cdf((symmetric.mean - 0.4) / (symmetric.chip_means.std(ddof=1) / math.sqrt(5)), 4)
    assert symmetric.equivalence(0.4, "these") == pytest.approx(upper)
    # equivalent at 0.05 where the 90 % interval lies inside of the margin
    low, high = of.interval("these", 0.9)
    assert of.equivalence(max(-low, high) + 0.1 * error, "these") < 0.05
    assert of.equivalence(max(-low, high) - 0.1 * error, "these") > 0.05
    assert math.isnan(of.equivalence(1.0, "new"))
    with pytest.raises(DriftproofError, match="margin above 0"):
        of.equivalence(0.0, "these")


def test_nothing_is_claimed_of_one_chip_or_one_sample() -> None:
    one_chip, one_sample = crossed([[1.0, 2.0, 3.0]]), crossed([[1.0], [2.0], [4.0]])
    for of, on in ((one_chip, "these"), (one_chip, "new"), (one_sample, "new")):
        assert all(math.isnan(end) for end in of.interval(on))  # type: ignore[arg-type]
    assert math.isnan(one_chip.chip_variance)
    assert math.isnan(one_sample.sample_variance)
    assert not math.isnan(one_sample.interval("these")[0])


@pytest.mark.parametrize("chips", [2, 3, 10, 25])
def test_chips_whose_means_are_equal_by_accident_have_an_interval(chips: int) -> None:
    """Each chip loses another sample, as good devices do on a small test set."""
    y = np.zeros((chips, 597))
    y[range(chips), range(chips)] = 1.0
    found = crossed(y)
    for on in get_args(On):
        low, high = found.interval(on)
        assert low < found.mean < high
        # as wide as if the same number of losses fell at random: a share p of N K has the error √(p / N K)
        assert found.error(on) == pytest.approx(math.sqrt(1 / (597 * 597 * chips)), rel=0.6)


def test_chips_without_any_difference() -> None:
    same = crossed(np.tile(np.array([True, False, True]), (4, 1)))
    assert same.interval("these") == (same.mean, same.mean)
    low, high = same.interval("new")
    assert low < same.mean < high
    assert crossed(np.ones((4, 3), dtype=bool)).interval("new") == (100.0, 100.0)
    assert crossed(np.ones((4, 3), dtype=bool), np.ones(3, dtype=bool)).p_value("new") == 1.0


@pytest.mark.parametrize(
    ("outcomes", "reference", "message"),
    [
        ([1.0, 2.0], None, r"wanted \[chips, samples\]"),
        (np.ones((0, 3)), None, r"got \[0, 3\]"),
        ([[1.0, math.nan]], None, "not finite"),
        ([[1.0, 2.0]], [1.0, 2.0, 3.0], r"reference of shape \[3\]; wanted \[2\] or \[1, 2\]"),
    ],
)
def test_what_does_not_fit_is_refused(outcomes: object, reference: object, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        crossed(outcomes, reference)  # type: ignore[arg-type]


def test_a_word_for_the_samples_that_is_unknown_is_refused() -> None:
    with pytest.raises(DriftproofError, match="wanted 'these' or 'new'"):
        crossed([[1.0, 2.0], [2.0, 3.0]]).interval("all")  # type: ignore[arg-type]


def test_holm() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.9, 0.001]) == pytest.approx([0.9, 0.002])
    first, nothing, last = holm([0.02, math.nan, 0.5])
    assert (first, last) == (0.04, 0.5)
    assert math.isnan(nothing)
    assert holm([]) == []
    with pytest.raises(DriftproofError, match="from 0 to 1"):
        holm([1.5])


def test_holm_holds_all_together() -> None:
    """2,000 tables of 6 true hypotheses: at most 5 % with an adjusted p-value below 0.05, 7 % here (4 σ)."""
    random = np.random.default_rng(10)
    wrong = sum(min(holm(random.random(6).tolist())) < 0.05 for _ in range(2000))
    assert 0.03 < wrong / 2000 < 0.07
