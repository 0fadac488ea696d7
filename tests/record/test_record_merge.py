"""Two records of one subject become one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftproof._errors import DriftproofError
from driftproof._record import CellKey, Conditions, Merged, Outcome, Record, check_mergeable, value_of
from synthetic_record import begin, conditions, configuration, conversion, fill, key_of, outcome, preset, run, subject

TOTAL = 40


def right(seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.random.default_rng(seed).random(TOTAL) > 0.3


def measured(folder: Path | None, chips: range, command: str = "one", **about: Any) -> Record:
    """Return a record of some chips of two presets at two times, every sample of them."""
    record = Record.create_or_open(folder)
    made, _ = begin(record, n_samples=TOTAL, **about)
    number = record.start_run(run(command=command))
    for name in ("pcm", "reram"):
        series = fill(record, made, number, preset(name), {})
        for chip in chips:
            for t_s in (1.0, 10.0):
                entries = right(chip + int(t_s))
                record.add(CellKey(series.id, chip, t_s), outcome(value_of(entries), TOTAL, per_sample=entries), number)
    return record


def part(samples: list[int], **changes: Any) -> Outcome:
    entries = right(0)[samples]
    return outcome(value_of(entries), TOTAL, samples=np.array(samples), per_sample=entries, **changes)


def contents(record: Record) -> dict[CellKey, tuple[Any, ...]]:
    """Return all that a record holds of its cells, beside the run."""
    return {
        key: (seen.value, seen.mask.tolist(), None if seen.per_sample is None else seen.per_sample.tolist())
        for key, seen, _ in record.outcomes()
    }


def test_two_records_merged_are_one(tmp_path: Path) -> None:
    with (
        measured(tmp_path / "one", range(3)) as one,
        measured(None, range(3, 5), command="two") as two,
        measured(None, range(5)) as whole,
    ):
        # two cells are in both: of the digital network and of perfect devices
        assert one.merge(two) == [Merged(added=2 * 2 * 2, equal=2)]
        assert contents(one) == contents(whole)
        assert one.cells().equals(whole.cells())
        assert one.shown() == whole.shown()
        commands = {key.chip: one.runs()[number].command for key, _, number in one.outcomes() if key.t_s}
        assert commands == {0: "one", 1: "one", 2: "one", 3: "two", 4: "two"}
        assert one.merge(two) == [Merged(equal=2 + 2 * 2 * 2)]  # once more changes nothing
        assert [item.command for item in one.runs().values()] == [run().command, "one", "two"]
    with Record.open(tmp_path / "one") as again:
        assert len(again.cells()) == 2 + 20


def test_an_empty_record_takes_all(tmp_path: Path) -> None:
    with measured(None, range(2)) as one, Record.create_or_open(tmp_path / "new") as into:
        into.merge(one)
        assert into.cells().equals(one.cells())
        assert into.subject == one.subject
        assert into.presets() == one.presets()
        assert into.conversions() == one.conversions()
        assert into.merge(Record.create_or_open(None), into) == [Merged(), Merged(equal=2 + 2 * 2 * 2)]


def cell(record: Record, made: Conditions) -> CellKey:
    return CellKey(fill(record, made, 1, preset("pcm"), {}).id, 7, 1.0, ("fc",))


def test_partial_cells_are_joined_and_name_the_run_that_came_last() -> None:
    with Record.create_or_open(None) as one, Record.create_or_open(None) as two:
        for record, samples in ((one, [1, 2, 3]), (two, [3, 4])):
            made, number = begin(record, n_samples=TOTAL)
            number = record.start_run(run(command=f"of {len(samples)}"))
            record.add(cell(record, made), part(samples), number)
        assert one.merge(two) == [Merged(extended=1, equal=2)]
        held = one.outcome(cell(one, made))
        assert held is not None
        assert held.samples is not None
        assert held.samples.tolist() == [1, 2, 3, 4]
        assert held.per_sample is not None
        assert held.per_sample.tolist() == right(0)[1:5].tolist()
        (number,) = [number for key, _, number in one.outcomes() if key.digital]
        assert one.runs()[number].command == "of 2"
        assert one.merge(two) == [Merged(equal=3)]


@pytest.mark.parametrize("samples", [[3, 4], [3], [1, 2, 3]])
def test_contradictions_are_refused_and_nothing_is_added(samples: list[int]) -> None:
    with Record.create_or_open(None) as one, Record.create_or_open(None) as two:
        for record, seen in ((one, part([1, 2, 3])), (two, part(samples))):
            made, number = begin(record, n_samples=TOTAL)
            if record is two:
                fill(two, made, number, preset("another"), {1.0: [90.0]})
                entries = np.asarray(seen.per_sample).copy()
                entries[samples.index(3)] ^= True
                seen = outcome(value_of(entries), TOTAL, samples=np.array(samples), per_sample=entries)
            record.add(cell(record, made), seen, number)
        before, shown = contents(one), one.shown()
        with pytest.raises(DriftproofError) as caught:
            one.merge(two)
        message = str(caught.value)
        assert "in memory cannot be merged into in memory" in message
        assert "chip 7, t_s 1, 1 layers digital" in message
        assert "contradict each other on 1 of" in message
        assert message.endswith("report the two apart")
        assert (contents(one), one.shown(), len(one.runs()), set(one.presets())) == (before, shown, 1, {"pcm"})


def test_without_entries_the_larger_stays_and_two_values_contradict() -> None:
    def of(count: int, value: float) -> Record:
        record = Record.create_or_open(None)
        made, number = begin(record, n_samples=TOTAL)
        samples = None if count == TOTAL else np.arange(count)
        record.add(cell(record, made), outcome(value, TOTAL, samples=samples), number)
        return record

    def held(record: Record) -> list[tuple[float, int]]:
        return [(seen.value, seen.seen) for key, seen, _ in record.outcomes() if key.digital]

    with of(10, 50.0) as small, of(TOTAL, 60.0) as large, of(TOTAL, 60.0001) as rounded, of(TOTAL, 61.0) as other:
        assert large.merge(small, rounded) == [Merged(equal=3)] * 2
        assert held(large) == [(60.0, TOTAL)]
        assert small.merge(large) == [Merged(extended=1, equal=2)]
        assert held(small) == [(60.0, TOTAL)]
        with pytest.raises(DriftproofError, match=r"contradict each other, with the values 60 and 61; report the two"):
            large.merge(other)


def test_other_subjects_and_other_numerics_are_refused_by_name() -> None:
    with measured(None, range(1)) as one, measured(None, range(1), model_hash="other") as other:
        with pytest.raises(
            DriftproofError, match=r"about something else \(model_hash: .* 'other' now\); choose another"
        ):
            one.merge(other)
        with (
            measured(None, range(1), numerics=2) as newer,
            pytest.raises(DriftproofError, match="numerics: 1 in the record, 2 now"),
        ):
            one.merge(newer)
        assert len(one.cells()) == 2 + 4


def test_another_preset_of_one_name_is_refused_and_nothing_is_added() -> None:
    with measured(None, range(1)) as one, Record.create_or_open(None) as other:
        made, number = begin(other, n_samples=TOTAL, decided={"seed": 1})
        fill(other, made, number, preset("pcm").model_copy(update={"sha256": "x"}), {1.0: [90.0]})
        with pytest.raises(DriftproofError, match="'pcm' with other numbers"):
            one.merge(other)
        assert len(one.configurations()) == 1


def test_what_is_shown_stays_and_what_is_new_is_added() -> None:
    with measured(None, range(1), label="mine") as one, measured(None, range(1), label="theirs") as other:
        layers = conversion().layers[:1]
        made = conditions()
        second, _ = begin(other, n_samples=TOTAL, label="second", decided={"seed": 1})
        other.add_conversion(made.conversion_id, conversion(layers=layers))
        one.merge(other)
        assert one.configurations() == {
            key_of(one, made): configuration(made, label="mine"),
            key_of(one, second): configuration(second, label="second"),
        }
        assert one.conversions() == {made.conversion_id: conversion()}
        assert one.subject == subject(n_samples=TOTAL)


def test_names_are_for_people(tmp_path: Path) -> None:
    with measured(tmp_path, range(1)) as one, measured(None, range(1, 2), model="renamed", data="copy") as other:
        one.merge(other)
        assert set(one.cells()["model"]) == {"resnet20"}
        assert set(one.cells()["chip"]) == {0, 1}


def contradicting(chip: int) -> Record:
    """Return a record that says of one chip what no other says."""
    record = measured(None, range(5, 6))
    made, number = begin(record, n_samples=TOTAL)
    series, entries = fill(record, made, number, preset("pcm"), {}), ~right(chip + 1)
    record.add(CellKey(series.id, chip, 1.0), outcome(value_of(entries), TOTAL, per_sample=entries), number)
    return record


def test_several_records_are_merged_all_or_none() -> None:
    with measured(None, range(1)) as into, measured(None, range(1, 3)) as one, measured(None, range(2, 4)) as two:
        before = contents(into)
        for bad, message in (
            (measured(None, range(1), model_hash="other"), "about something else"),
            (contradicting(0), "contradict each other"),  # what is there
            (contradicting(1), "contradict each other"),  # what came with it
        ):
            with pytest.raises(DriftproofError, match=message):
                into.merge(one, two, bad)
            assert contents(into) == before
        assert [(part.changed, sum(part)) for part in into.merge(one, two, one)] == [(8, 10), (4, 10), (0, 10)]
        with measured(None, range(4)) as whole:
            assert contents(into) == contents(whole)


def test_whether_records_can_be_merged_is_known_before() -> None:
    with measured(None, range(2)) as one, measured(None, range(1, 3)) as two, Record.create_or_open(None) as nothing:
        check_mergeable([])
        check_mergeable([one])
        check_mergeable([nothing, one, nothing, two, one])
        other = Record.create_or_open(None)
        made, number = begin(other, n_samples=TOTAL, decided={"seed": 1})
        fill(other, made, number, preset("pcm").model_copy(update={"sha256": "x"}), {1.0: [90.0]})
        for bad, message in (
            (measured(None, range(1), numerics=2), "numerics: 1 in the record, 2 now"),
            (contradicting(2), "contradict each other on"),
            (other, "a preset 'pcm' with other numbers"),
        ):
            with pytest.raises(DriftproofError, match=message):
                check_mergeable([one, two, bad])
            check_mergeable([bad])
