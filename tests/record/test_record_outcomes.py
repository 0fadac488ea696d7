"""What a trial came to, sample by sample: kept exactly, extended, and never contradicted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import CellKey, Outcome, Record, as_samples, value_of
from synthetic_record import begin, fill, preset

TOTAL = 21


@dataclass
class Place:
    """A record of data with ``TOTAL`` samples, and a cell in it."""

    record: Record
    key: CellKey
    number: int

    def add(self, outcome: Outcome) -> Outcome:
        return self.record.add(self.key, outcome, self.number)

    def held(self) -> Outcome:
        found = self.record.outcome(self.key)
        assert found is not None
        return found


@pytest.fixture
def place() -> Iterator[Place]:
    with Record.create_or_open(None) as record:
        made, number = begin(record, n_samples=TOTAL)
        series = fill(record, made, number, preset("pcm"), {})
        yield Place(record, CellKey(series.id, 2, 3600.0), number)


def seen(samples: list[int] | None, entries: npt.NDArray[Any] | None, **more: Any) -> Outcome:
    """Return an outcome of some of ``TOTAL`` samples, whose value follows from its entries."""
    numbers = None if samples is None else np.array(samples)
    more = {"value": None if entries is None else value_of(entries)} | more
    return Outcome(total=TOTAL, samples=numbers, per_sample=entries, **more)


def bits(numbers: list[int]) -> npt.NDArray[np.bool_]:
    """Return what is right of some samples: every one but those that 3 divides."""
    return np.array(numbers) % 3 > 0


@pytest.mark.parametrize("samples", [None, [20], [0, 7, 8, 15, 16, 20], list(range(8)), list(range(1, 21))])
@pytest.mark.parametrize("kind", ["bits", "float32", "none"])
def test_outcomes_come_out_as_they_went_in(place: Place, samples: list[int] | None, kind: str) -> None:
    numbers = list(range(TOTAL)) if samples is None else samples
    entries: dict[str, npt.NDArray[Any] | None] = {
        "bits": bits(numbers),
        "float32": np.random.default_rng(0).normal(size=len(numbers)).astype(np.float32),
        "none": None,
    }
    given = seen(
        samples, entries[kind], value=1 / 3, seconds=0.25, in_validity=False, diagnostics={"fc": {"clipped": 3}}
    )
    assert place.add(given) is given
    held = place.held()
    assert (held.value, held.total, held.seen, held.seconds) == (given.value, TOTAL, len(numbers), 0.25)
    assert not held.in_validity
    assert held.diagnostics == {"fc": {"clipped": 3}}
    assert held.mask.tolist() == [number in numbers for number in range(TOTAL)]
    assert (held.samples is None) == (samples is None)
    if kind == "none":
        assert held.per_sample is None
    else:
        assert held.per_sample is not None
        assert held.per_sample.dtype == (np.bool_ if kind == "bits" else np.float32)
        assert np.array_equal(held.per_sample, given.per_sample)  # type: ignore[arg-type]
    assert place.record.cells()["n_samples"].iloc[-1] == len(numbers)


def test_entries_are_kept_as_they_come_out() -> None:
    assert seen(None, np.linspace(0, 1, TOTAL)).per_sample.dtype == np.float32  # type: ignore[union-attr]
    assert seen(None, np.ones(TOTAL, dtype=np.int64)).per_sample.dtype == np.float32  # type: ignore[union-attr]
    assert seen(list(range(TOTAL)), None, value=1.0).samples is None


@pytest.mark.parametrize("samples", [[2, 0], [1, 1], [-1, 3], [3, TOTAL], []])
def test_samples_that_are_none_are_refused(samples: list[int]) -> None:
    with pytest.raises(DriftproofError, match=rf"ascending numbers from 0 to {TOTAL - 1}, each once, got \["):
        seen(samples, None, value=1.0)


def test_one_entry_per_sample() -> None:
    with pytest.raises(DriftproofError, match=r"an outcome of 2 samples came with entries of shape \[3\]"):
        seen([0, 1], np.array([True, False, True]))
    with pytest.raises(DriftproofError, match=r"entries of shape \[2, 1\]"):
        seen([0, 1], np.array([[True], [False]]))


def test_what_is_missing(place: Place) -> None:
    record, key = place.record, place.key
    assert record.missing(key) == (True, None)
    found, asked = record.missing(key, as_samples([1, 2], TOTAL))
    assert (found, None if asked is None else asked.tolist()) == (True, [1, 2])
    place.add(seen([0, 1], bits([0, 1])))
    for wanted, left in (([0, 1], None), ([1], None), ([1, 5, 9], [5, 9]), (None, list(range(2, TOTAL)))):
        found, asked = record.missing(key, as_samples(wanted, TOTAL))
        assert found == (left is not None)
        assert (None if asked is None else asked.tolist()) == left
    place.add(seen(list(range(2, TOTAL)), bits(list(range(2, TOTAL)))))
    assert record.missing(key) == (False, None)
    assert place.held().samples is None


def test_partial_cells_are_extended(place: Place) -> None:
    odd = [1, 3, 5]
    place.add(seen(odd, bits(odd), seconds=1.0, diagnostics={"first": 1}))
    even = [0, 2, 20]
    joined = place.add(seen(even, bits(even), seconds=0.5, diagnostics={"second": 2}))
    held = place.held()
    for outcome in (joined, held):
        assert outcome.samples is not None
        assert outcome.samples.tolist() == [0, 1, 2, 3, 5, 20]
        assert outcome.per_sample is not None
        assert outcome.per_sample.tolist() == bits([0, 1, 2, 3, 5, 20]).tolist()
        assert outcome.value == pytest.approx(100 * 4 / 6)
        assert (outcome.seconds, outcome.diagnostics) == (1.5, {"second": 2})
    rest = seen(None, bits(list(range(TOTAL))))
    assert place.add(rest).samples is None
    assert place.held().value == pytest.approx(100 * 14 / 21)


def test_numbers_are_joined_too_and_what_was_there_stays(place: Place) -> None:
    place.add(seen([0, 1], np.array([1.0, 2.0])))
    near = seen([1, 2], np.array([2.0 * (1 + 1e-5), 6.0]))
    assert place.add(near).value == 3.0
    assert place.held().per_sample.tolist() == [1.0, 2.0, 6.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        (np.array([True, True]), np.array([False, True]), 1),
        (np.array([1.0, 2.0]), np.array([2.1, 3.0]), 1),
        (np.array([1.0, 0.0]), np.array([0.01, 3.0]), 1),
    ],
)
def test_outcomes_that_contradict_each_other_are_refused(
    place: Place, first: npt.NDArray[Any], second: npt.NDArray[Any], apart: int
) -> None:
    before = place.add(seen([0, 1], first))
    with pytest.raises(DriftproofError) as caught:
        place.add(seen([1, 2], second))
    said = f"cell {place.key.series}, chip 2, t_s 3600 of the record in memory: two outcomes contradict each other on "
    assert str(caught.value) == f"{said}{apart} of 1 samples"
    assert place.held().value == before.value
    assert place.held().seen == 2


def test_one_answer_in_thousands_may_flip_on_another_machine() -> None:
    right = np.ones(4000, dtype=np.bool_)
    for flips, fine in ((2, True), (3, False)):
        other = right.copy()
        other[:flips] = False
        one, two = (Outcome(value=value_of(part), total=4000, per_sample=part) for part in (right, other))
        if fine:
            assert one.joined(two).value == 100.0
        else:
            with pytest.raises(DriftproofError, match="on 3 of 4000 samples"):
                one.joined(two)


def test_without_entries_an_outcome_gives_way_to_a_larger_one_only(place: Place) -> None:
    record, key = place.record, place.key
    place.add(seen([0, 1, 2], None, value=50.0))
    assert record.missing(key, as_samples([0, 2], TOTAL)) == (False, None)
    found, asked = record.missing(key, as_samples([2, 9], TOTAL))
    assert found
    assert asked is not None
    assert asked.tolist() == [0, 1, 2, 9]  # measured together, as they cannot be joined
    for samples in ([2, 9], [7, 8, 9]):
        with pytest.raises(DriftproofError, match=rf"has an outcome of 3 samples, now {len(samples)}; .* more samples"):
            place.add(seen(samples, None, value=40.0))
    place.add(seen([0, 1, 2, 9], None, value=60.0))
    assert (place.held().value, place.held().seen) == (60.0, 4)
    assert record.missing(key) == (True, None)
    place.add(seen(None, None, value=70.0))
    assert record.missing(key) == (False, None)
    with pytest.raises(DriftproofError, match="already in the record"):
        place.add(seen([0], None, value=10.0))


def test_entries_are_not_given_up(place: Place) -> None:
    place.add(seen([0, 1], bits([0, 1])))
    with pytest.raises(DriftproofError, match="no entries per sample, so one cannot extend the other"):
        place.add(seen(None, None, value=70.0))
    with pytest.raises(DriftproofError, match="outcomes of 21 and of 4 samples cannot be joined"):
        place.held().joined(Outcome(value=1.0, total=4))


def test_diagnostics_are_whatever_was_noticed(place: Place) -> None:
    noticed = {
        "ratio": np.float32(0.5),
        "nothing to divide by": float("nan"),
        "by layer": {"fc": np.array([1, 2]), "conv": (1, None, "text", True)},
    }
    place.add(seen(None, None, value=1.0, diagnostics=noticed))
    wanted = {
        "ratio": 0.5,
        "nothing to divide by": None,
        "by layer": {"fc": [1, 2], "conv": [1, None, "text", True]},
    }
    assert place.held().diagnostics == wanted
    shown = [cell.diagnostics for cell, _ in place.record.entries()]
    assert shown[-1] == wanted


def test_samples_by_number_and_by_mask() -> None:
    mask = np.zeros(TOTAL, dtype=np.bool_)
    mask[[3, 20]] = True
    for given in ([20, 3], mask, np.array([3, 20])):
        found = as_samples(given, TOTAL)
        assert found is not None
        assert found.tolist() == [3, 20]
    assert as_samples(range(TOTAL), TOTAL) is None
    for wrong, said in (
        ([], "at least one whole number"),
        ([0.5], "at least one whole number"),
        ([1, 1], "different numbers from 0 to 20"),
        ([TOTAL], "different numbers from 0 to 20"),
        (mask[:-1], r"a mask of shape \(20,\), wanted \[21\]"),
    ):
        with pytest.raises(DriftproofError, match=f"samples: .*{said}"):
            as_samples(wrong, TOTAL)  # type: ignore[arg-type]
