"""Ratios come from paired runs, and intervals of medians contain what they say."""

from __future__ import annotations

import random

import pytest

from driftproof.bench._paired import median_of, ratio, take_turns
from driftproof.bench._plain import Pass, best_of


def test_steps_take_turns_after_one_uncounted_run() -> None:
    order: list[str] = []

    def step(name: str) -> float:
        order.append(name)
        return float(len(order))

    seconds = take_turns({name: lambda name=name: step(name) for name in "abc"}, rounds=2)  # type: ignore[misc]
    assert order == list("abcabcabc")
    assert seconds == {"a": [4.0, 7.0], "b": [5.0, 8.0], "c": [6.0, 9.0]}


def test_a_ratio_is_the_median_of_ratios_within_rounds() -> None:
    """The machine is 10 times slower in two rounds of five: the ratio of the medians would be 20, or 0.2."""
    assert ratio([2.0, 2.0, 20.0, 20.0, 20.0], [1.0, 1.0, 10.0, 10.0, 10.0]).median == 2.0
    assert ratio([20.0, 2.0, 2.0], [1.0, 1.0, 10.0]).median == 2.0  # 20, 2 and 0.2
    with pytest.raises(ValueError, match="argument"):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("count", "lowest"), [(3, 0.75), (6, 0.96875), (7, 0.984375), (25, 0.95)])
def test_intervals_contain_the_median_as_often_as_they_say(count: int, lowest: float) -> None:
    """4,000 repetitions, lognormal: the share is binomial, and 4.4 standard errors fail once in 100,000 tests."""
    draws, repetitions, contained = random.Random(0), 4_000, 0
    for _ in range(repetitions):
        found = median_of([draws.lognormvariate(0, 1) for _ in range(count)])
        contained += found.low <= 1 <= found.high
    said = found.confidence
    assert said >= lowest
    assert abs(contained / repetitions - said) < 4.4 * (said * (1 - said) / repetitions) ** 0.5


@pytest.mark.parametrize("fastest", range(4))
def test_the_best_pass_is_chosen_by_time(fastest: int) -> None:
    passes = [
        Pass(layout, size, lambda place=2 * a + b: 1.0 if place == fastest else 2.0)  # type: ignore[misc]
        for a, layout in enumerate(("contiguous", "channels-last"))
        for b, size in enumerate((5, 20))
    ]
    best, seconds = best_of(passes, rounds=3)
    assert best is passes[fastest]
    assert seconds[fastest] == min(seconds)
