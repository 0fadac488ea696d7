"""The search against sets that can all be tried: it reaches the target, wastes nothing, and says what it did."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest

from driftproof.plans._greedy import Step
from driftproof.plans._greedy import greedy as asking


class Worth:
    """Sums of what layers are worth, with what pairs are worth on top; it counts the sets that it is asked for."""

    def __init__(self, single: Mapping[str, float], pairs: Mapping[frozenset[str], float] | None = None) -> None:
        self.single, self.pairs = single, pairs or {}
        self.asked: list[frozenset[str]] = []

    def __call__(self, sets: Sequence[frozenset[str]]) -> list[float]:
        self.asked += list(sets)
        return [self.of(digital) for digital in sets]

    def of(self, digital: frozenset[str]) -> float:
        alone = sum(self.single[name] for name in digital)
        return alone + sum(extra for pair, extra in self.pairs.items() if pair <= digital)


def greedy(macs: Mapping[str, int], worth: Worth, target: float, *, breadth: int | None = None) -> list[Step]:
    """Return the path of a search that is told what sets are worth."""
    search = asking(macs, target, breadth=breadth)
    try:
        sets = next(search)
        while True:
            sets = search.send(worth(sets))
    except StopIteration as stop:
        path: list[Step] = stop.value
        return path


def answer(path: list[Step]) -> Step:
    return [step for step in path if step.kind != "rest"][-1]


def price(digital: Collection[str], macs: Mapping[str, int]) -> int:
    return sum(macs[name] for name in digital)


def test_the_best_per_multiply_accumulate_goes_first() -> None:
    worth = Worth({"a": 1.0, "b": 3.0, "c": 2.0})
    path = greedy({"a": 1, "b": 10, "c": 4}, worth, target=5.9)
    assert [step.layer for step in path] == ["", "a", "c", "b"]
    assert [step.value for step in path] == [0.0, 1.0, 3.0, 6.0]
    assert len(worth.asked) == 1 + 3 + 2 + 1 + 3  # and giving back tries each of three


def test_one_cheap_layer_ends_it_before_the_best_per_mac_does() -> None:
    # "a" is best per MAC and not enough; "b" alone is enough and cheaper than "a" and anything else
    path = greedy({"a": 10, "b": 12, "c": 30}, Worth({"a": 5.0, "b": 5.5, "c": 1.0}), target=5.4)
    assert answer(path).digital == ("b",)


def test_a_dear_layer_that_is_enough_does_not_end_a_search_that_can_be_cheaper() -> None:
    worth = Worth({"a": 1.0, "b": 2.0, "c": 4.0})
    assert answer(greedy({"a": 1, "b": 4, "c": 10}, worth, target=3.0)).digital == ("a", "b")
    # the start, three layers, "b" with "a" but not "c" (dearer than "c" alone), two given back, one rest
    assert len(worth.asked) == 1 + 3 + 1 + 2 + 1


def test_a_layer_that_is_not_needed_any_more_is_given_back() -> None:
    # "a" is the best of all at first, but what it mends "b" and "c" mend together
    pairs = {frozenset("ab"): -1.4, frozenset("ac"): -1.4, frozenset("bc"): 1.0}
    path = greedy({"a": 10, "b": 9, "c": 9}, Worth({"a": 2.0, "b": 1.5, "c": 1.5}, pairs), target=3.2)
    assert [(step.kind, step.layer) for step in path[-3:]] == [("digital", "c"), ("back", "a"), ("rest", "a")]
    assert set(answer(path).digital) == {"b", "c"}


def test_nothing_is_made_digital_where_nothing_is_needed() -> None:
    path = greedy({"a": 1, "b": 2}, Worth({"a": 1.0, "b": 1.0}), target=-1.0)
    assert answer(path).digital == ()
    assert [step.kind for step in path] == ["start", "rest", "rest"]


def test_what_loses_comes_last_whatever_its_price() -> None:
    worth = Worth({"a": -0.5, "b": -0.1, "c": 1.0}, {frozenset("abc"): 5.0})
    path = greedy({"a": 1000, "b": 1, "c": 10}, worth, target=5.0)
    # per multiply-accumulate the loss of "a" would look smaller
    assert [step.layer for step in path] == ["", "c", "b", "a"]


def test_breadth_measures_fewer_sets_and_the_others_if_none_of_the_best_gains() -> None:
    single = {name: 1.0 + place / 10 for place, name in enumerate("abcdefgh")}
    macs = dict.fromkeys(single, 1)
    narrow, full = Worth(single), Worth(single)
    assert [s.digital for s in greedy(macs, narrow, 4.9, breadth=2)] == [s.digital for s in greedy(macs, full, 4.9)]
    assert len(narrow.asked) < len(full.asked)
    # once "h" is digital the next best two do harm: the search looks at the others
    spoilt = Worth(single, {frozenset("gh"): -1.7, frozenset("fh"): -1.6})
    path = greedy(macs, spoilt, 3.05, breadth=2)
    assert answer(path).digital == ("h", "e")
    assert "back" not in {step.kind for step in path}


@pytest.mark.parametrize("number", range(30))
def test_on_any_worth_the_answer_reaches_the_target_and_no_layer_of_it_is_idle(number: int) -> None:
    source = np.random.default_rng(number)
    names = [f"l{i}" for i in range(6)]
    macs = {name: int(source.integers(1, 20)) for name in names}
    pairs = {frozenset(pair): float(source.normal(0, 0.3)) for pair in combinations(names, 2)}
    worth = Worth({name: float(source.normal(0.7, 0.7)) for name in names}, pairs)
    everything = [frozenset(c) for n in range(7) for c in combinations(names, n)]
    target = 0.7 * worth.of(frozenset(names))
    enough = [digital for digital in everything if worth.of(digital) >= target]
    path = greedy(macs, worth, target)
    found = answer(path)
    if frozenset(names) in enough:  # as in a network, where all digital is what a target is measured by
        assert found.value >= target
    if found.value >= target:
        best = min(price(digital, macs) for digital in enough)
        assert best <= price(found.digital, macs)
        if len(found.digital) > 1:
            assert all(worth.of(frozenset(found.digital) - {name}) < target for name in found.digital)
    assert set(path[-1].digital) == set(names)
    assert all(step.value == worth.of(frozenset(step.digital)) for step in path)
    assert len({step.digital for step in path}) == len(path)


def test_without_interactions_and_with_one_price_it_is_optimal() -> None:
    for number in range(20):
        source = np.random.default_rng(100 + number)
        single = {f"l{i}": float(abs(source.normal())) for i in range(7)}
        target = 0.6 * sum(single.values())
        found = answer(greedy(dict.fromkeys(single, 1), Worth(single), target))
        fewest = next(n for n in range(8) if sum(sorted(single.values())[7 - n :]) >= target)
        assert len(found.digital) == fewest
