"""Records of one subject become one record: cells, partial cells, runs, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from driftproof._errors import DriftproofError
from driftproof._record.entries import CellKey
from driftproof._record.old_form import NUMERICS
from driftproof._record.outcome import ROUNDING, Outcome

if TYPE_CHECKING:
    from driftproof._record.store import Record


class Merged(NamedTuple):
    """What a record brought to another: its cells, by what became of them.

    Attributes:
        added: Cells that only this record had.
        extended: Cells of which it has seen other samples.
        equal: Cells of which it had nothing new to say.
    """

    added: int = 0
    extended: int = 0
    equal: int = 0

    @property
    def changed(self) -> int:
        """Number of cells that changed."""
        return self.added + self.extended

    def __str__(self) -> str:
        parts = {"new": self.added, "with more samples": self.extended, "there already": self.equal}
        counted = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
        return f"{sum(self):,} cells" + (f": {counted}" if counted else "")


def merge_all(into: Record, others: Sequence[Record]) -> list[Merged]:
    """Add everything that several records of the same subject hold, in one transaction.

    Raises:
        DriftproofError: As for :meth:`driftproof.Record.merge`, for any of the records. Nothing is added.
    """
    for other in (into, *others):
        _check_form(other)
    with into.all_or_nothing():
        return [_add(into, other) for other in others]


def check_mergeable(records: Sequence[Record]) -> None:
    """Check that records can become one record. Nothing is written.

    Raises:
        DriftproofError: two records have different subjects or contradict each other in a cell or a preset, or one has
            the old form.

    >>> from driftproof import Record
    >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
    ...     check_mergeable([one, other])
    """
    for record in records:
        _check_form(record)
    # All subjects first: comparing cells takes time.
    for first, second in combinations(records, 2):
        _check_subjects(first, second)
    for first, second in combinations(records, 2):
        if not same_file(first, second):
            for key, outcome, _ in second.outcomes():
                _changes(first, second, key, outcome)


def _check_form(record: Record) -> None:
    if record.subject is not None and record.subject.numerics == NUMERICS:
        raise DriftproofError(
            f"{record.where} is a record of an earlier driftproof, whose cells do not say which samples were right, so "
            "it cannot be merged; give it to `driftproof report` together with the others"
        )


def _check_subjects(first: Record, second: Record) -> None:
    """Raise DriftproofError if two records have different subjects, or different presets of one name."""
    differences = first.subject.differences(second.subject) if first.subject and second.subject else []
    if differences:
        raise DriftproofError(
            f"{second.where} cannot be merged with {first.where}: it is about something else "
            f"({'; '.join(differences)}); merge records of one network, data and metric"
        )
    presets = first.presets()
    for name, preset in second.presets().items():
        if name in presets and presets[name].sha256 != preset.sha256:
            raise DriftproofError(
                f"{second.where} cannot be merged with {first.where}: it has a preset {name!r} with other numbers "
                f"(sha256 {preset.sha256[:10]}, there {presets[name].sha256[:10]}); report the two apart"
            )


def _add(into: Record, other: Record) -> Merged:
    """Add everything that a record holds, within a transaction."""
    if other.subject is None:
        return Merged()
    if same_file(into, other):
        return Merged(equal=len(list(into.cell_keys())))
    into.claim(other.subject)
    for entry in other.presets().values():
        into.add_preset(entry)
    for series in other.series().values():
        into.add_series(series)
    _add_display(into, other)
    held = {run.model_dump_json(): number for number, run in into.runs().items()}
    runs = {
        number: held[body] if (body := run.model_dump_json()) in held else into.start_run(run)
        for number, run in other.runs().items()
    }
    counts = dict.fromkeys(Merged._fields, 0)
    for key, outcome, run in other.outcomes():
        what = _changes(into, other, key, outcome)
        if what != "equal":
            into.add(key, outcome, runs[run])
        counts[what] += 1
    return Merged(**counts)


def _changes(into: Record, other: Record, key: CellKey, outcome: Outcome) -> str:
    """Return whether a cell of another record is added, extended or equal; raise DriftproofError if they contradict."""
    mine = into.outcome(key)
    try:
        return "added" if mine is None else "extended" if _extends(mine, outcome) else "equal"
    except DriftproofError as error:
        raise DriftproofError(
            f"{other.where} cannot be merged into {into.where}: {key}: {error}; report the two apart"
        ) from error


def same_file(one: Record, other: Record) -> bool:
    """Whether two records are the same file, which may be locked for other readers while it is written."""
    return one.path is not None and other.path is not None and one.path.samefile(other.path)


def _add_display(into: Record, other: Record) -> None:
    """Add how cells are shown, where ``into`` does not hold it yet."""
    conversions, configurations = into.conversions(), into.configurations()
    for conversion_id, conversion in other.conversions().items():
        if conversion_id not in conversions:
            into.add_conversion(conversion_id, conversion)
    theirs = other.configurations()
    for config_id in other.configuration_order():
        if config_id not in configurations:
            into.add_configuration(config_id, theirs[config_id])
    for config_id, preset, series_id in other.shown():
        into.show(config_id, preset, series_id)


def _extends(mine: Outcome, theirs: Outcome) -> bool:
    """Whether an outcome adds samples to another of the same cell; raise DriftproofError if they contradict."""
    if mine.per_sample is not None and theirs.per_sample is not None:
        mine.joined(theirs)
        return mine.missing(theirs.samples) is not None
    if (mine.mask == theirs.mask).all() and abs(mine.value - theirs.value) > ROUNDING * abs(mine.value):
        raise DriftproofError(f"the two contradict each other, with the values {mine.value:g} and {theirs.value:g}")
    return mine.per_sample is None and theirs.seen > mine.seen
