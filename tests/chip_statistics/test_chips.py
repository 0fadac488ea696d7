"""Spread, yield, lifetime and the numbers that would decide. Random tests say how often they fail by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chip_statistics.test_crossed import drawn
from driftproof._errors import DriftproofError
from driftproof.statistics import chip_spread, chip_yield, corrected, crossed, lifetime_span, needed, spread_interval
from driftproof.statistics._times import Span
from driftproof.statistics._yields import clopper_pearson


def test_the_noise_of_the_samples_is_taken_out_of_the_spread() -> None:
    """Mean of 300 repetitions within 5 % of the truth, 4.5 standard errors; the measured one is 40 % too large."""
    random = np.random.default_rng(1)
    seen = [crossed(drawn(random, 25, 100, 1.0, 2.0, 10.0)) for _ in range(300)]
    assert np.mean([chip_spread(of) for of in seen]) == pytest.approx(1.0, rel=0.05)
    assert np.mean([math.sqrt(of.chip_square) for of in seen]) > 1.35


def test_corrected_values_have_the_spread_of_the_chips() -> None:
    of = crossed(drawn(np.random.default_rng(2), 25, 200, 1.0, 2.0, 5.0))
    values = corrected(of)
    assert values.std(ddof=1) == pytest.approx(chip_spread(of))
    assert values.mean() == pytest.approx(of.mean)
    assert (np.argsort(values) == np.argsort(of.chip_means)).all()
    assert values.min() > of.chip_means.min()
    # chips that differ by no more than the noise of the samples are alike
    alike = crossed(drawn(np.random.default_rng(3), 4, 50, 0.0, 1.0, 1.0))
    if alike.chip_variance == 0:
        assert corrected(alike) == pytest.approx(np.full(4, alike.mean))


def test_the_interval_of_the_spread_covers() -> None:
    """1,000 repetitions of normal chips: at least 93.5 %; the true coverage is 97 %, 6 σ higher."""
    random, covered = np.random.default_rng(4), 0
    for _ in range(1000):
        low, high = spread_interval(crossed(drawn(random, 25, 100, 1.0, 2.0, 5.0)))
        covered += low <= 1.0 <= high
    assert covered / 1000 > 0.935
    assert all(math.isnan(end) for end in spread_interval(crossed(np.eye(4))))


def test_clopper_and_pearson() -> None:
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 0.30850), abs=1e-5)
    assert clopper_pearson(10, 10) == pytest.approx((0.69150, 1.0), abs=1e-5)
    assert clopper_pearson(8, 10) == pytest.approx((0.44390, 0.97479), abs=1e-5)


def test_yield_counts_chips_on_the_good_side() -> None:
    of = crossed(np.array([[1.0, 3.0], [2.0, 4.0], [5.0, 7.0], [0.0, 2.0]]))  # means 2, 3, 6, 1
    assert chip_yield(of, 2.0, on="these").share == 0.75
    assert chip_yield(of, 2.0, sign=-1, on="these").share == 0.5
    with pytest.raises(DriftproofError, match="higher is better"):
        chip_yield(of, 2.0, sign=0)


def test_yield_on_new_samples_covers_and_is_wider() -> None:
    """1,000 repetitions: at least 93.5 %. The interval of these samples, taken for new ones, covers too rarely."""
    random, covered, taken = np.random.default_rng(5), 0, 0
    for _ in range(1000):
        of = crossed(drawn(random, 25, 100, 1.0, 5.0, 5.0))
        here, new = chip_yield(of, -0.5, on="these"), chip_yield(of, -0.5, on="new")
        assert new.low <= here.low <= here.high <= new.high
        true = 0.691462  # P(Z > -0.5)
        covered += new.low <= true <= new.high
        taken += here.low <= true <= here.high
    assert covered / 1000 > 0.935
    assert taken / 1000 < 0.9


def test_yield_is_unknown_for_new_samples_without_their_outcomes() -> None:
    of = crossed(np.array([[90.0], [91.0], [89.0]]))
    assert math.isnan(chip_yield(of, 90.0).low)
    assert chip_yield(of, 90.0, on="these").share == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("lows", "highs", "span"),
    [
        ([91, 91, 91], [92, 92, 92], Span(100, None)),
        ([91, 89, 88], [92, 91, 89], Span(1, 100)),
        ([91, 91, 88], [92, 92, 89], Span(10, 100)),
        ([89, 89, 88], [92, 92, 91], Span(None, None)),
        ([88, 88, 88], [89, 89, 89], Span(None, 1)),
        ([91, 89, 91], [92, 91, 92], Span(1, None)),
    ],
)
def test_lifetimes_lie_between_measured_times(lows: list[float], highs: list[float], span: Span) -> None:
    assert lifetime_span([1, 10, 100], lows, highs, 90) == span


def test_a_lifetime_needs_times() -> None:
    with pytest.raises(DriftproofError, match="0 times"):
        lifetime_span([], [], [], 90)
    with pytest.raises(DriftproofError, match="2 times came with 1 and 2 ends"):
        lifetime_span([1, 2], [1], [1, 2], 90)


@pytest.mark.parametrize("arm", [0.05, 0.2, 0.5])
@pytest.mark.parametrize(("chip", "sample", "rest"), [(0.3, 20.0, 15.0), (3.0, 1.0, 15.0), (2.0, 20.0, 5.0)])
def test_the_needed_numbers_give_the_half_width(arm: float, chip: float, sample: float, rest: float) -> None:
    of = crossed(drawn(np.random.default_rng(6), 10, 300, chip, sample, rest))

    def half_width(chips: int, samples: int) -> float:
        parts = of.chip_variance / chips + of.sample_variance / samples + of.rest_variance / (chips * samples)
        return 1.959964 * math.sqrt(parts)

    found = needed(of, arm)
    assert found is not None
    assert half_width(*found) <= arm * (1 + 1e-9)
    assert found.chips >= 10
    assert found.samples >= 300
    if found.samples > 300:
        assert half_width(found.chips, found.samples - 1) > arm * (1 - 1e-6)
    if found.chips > 10 and found.samples == 300:
        assert half_width(found.chips - 1, 300) > arm
    # nothing that costs fewer passes does it: a coarse grid of other numbers
    for chips in (10, 11, 15, 30, 100, 1000, 10_000):
        for samples in (300, 500, 2000, 20_000, 10**6, 10**8):
            if half_width(chips, samples) <= arm:
                assert chips * samples > 0.98 * found.chips * found.samples


def test_enough_is_enough_and_one_chip_cannot_tell() -> None:
    of = crossed(drawn(np.random.default_rng(7), 10, 300, 1.0, 1.0, 1.0))
    assert needed(of, 100.0) == (10, 300)
    assert needed(crossed([[1.0, 2.0]]), 1.0) is None
    these = needed(of, 0.01, "these")
    assert these is not None
    assert these.samples == 300
