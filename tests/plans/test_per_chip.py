"""Values per chip: pairs by chip, and an interval that covers as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from driftproof._errors import DriftproofError
from driftproof.plans._per_chip import PerChip


def test_differences_are_paired() -> None:
    spread = np.array([80.0, 85.0, 90.0, 88.0])
    before, after = PerChip.of(spread), PerChip.of(spread + np.array([1.0, 1.1, 0.9, 1.0]))
    low, high = (after - before).interval
    assert low > 0.8
    assert high < 1.2
    assert (after - before).mean == pytest.approx(1.0)


def test_the_interval_is_students() -> None:
    values = [1.0, 2.5, 3.0, 7.0]
    wanted = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert PerChip.of(values).interval == pytest.approx(wanted)


def test_the_interval_covers_95_percent() -> None:
    # 4,000 sets of 10 normal differences: the share lies within 0.95 ± 0.0138 but for 1 seed in 15,000 (4 sd)
    draws = np.random.default_rng(7).normal(0.3, 1.0, (4000, 10))
    ends = np.array([PerChip.of(row).interval for row in draws])
    share = float(((ends[:, 0] <= 0.3) & (ends[:, 1] >= 0.3)).mean())
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_one_chip_has_no_interval_and_none_is_refused() -> None:
    assert all(math.isnan(end) for end in PerChip((3.0,)).interval)
    assert all(math.isnan(end) for end in PerChip((3.0,)).within((0.0, 100.0)))
    with pytest.raises(DriftproofError, match="at least one chip"):
        PerChip(())


@pytest.mark.parametrize(("left", "right"), [(3, 2), (2, 3), (1, 4)])
def test_a_difference_of_other_numbers_of_chips_is_refused_and_says_both(left: int, right: int) -> None:
    with pytest.raises(DriftproofError, match=rf"values on {left} and on {right} chips cannot be subtracted"):
        PerChip((90.0,) * left) - PerChip((80.0,) * right)


def test_equal_chips_that_differ_in_samples_have_an_interval() -> None:
    """Each of four chips loses one sample of 50, and each another one: their values are equal by accident."""
    right = np.ones((4, 50), dtype=np.int8)
    right[range(4), range(4)] = 0
    digital = np.ones((4, 50), dtype=np.int8)
    before, after = PerChip((100.0,) * 4, digital), PerChip((98.0,) * 4, right)
    drop = before - after
    assert drop == PerChip((2.0,) * 4)
    # by hand: m² of what neither chip nor sample explains, 4 × 1/4 (1 - 1/4) of each of 4 samples, / (3 × 49)
    error = 100 * math.sqrt(4 * 0.75 / (3 * 49) / (4 * 50))
    low, high = drop.interval
    assert low == pytest.approx(2 - stats.t.ppf(0.975, 3) * error)
    assert high == pytest.approx(2 + stats.t.ppf(0.975, 3) * error)
    assert drop.times(-1).interval == pytest.approx((-high, -low))
    # what is not known, or does not differ in any sample, has nothing to say more
    assert PerChip((2.0,) * 4).interval == (2.0, 2.0)
    assert (before - before).interval == (0.0, 0.0)
    # chips that differ keep Student's interval
    assert PerChip((98.0, 99.0), right[:2]).interval == PerChip((98.0, 99.0)).interval
