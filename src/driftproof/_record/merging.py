"""Records of one subject become one record: cells, partial cells, runs, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from driftproof._errors import DriftproofError
from driftproof._record.entries import CellKey
from driftproof._record.old_form import NUMERICS
from driftproof._record.outcome import ROUNDING, Outcome
from driftproof._record.store import Record


def merge(into: Record, other: Record) -> int:
    """Add everything that another record of the same subject holds, and return how many cells changed.

    A cell that both records hold stays as it is if they agree. Two partial cells are joined. Every cell keeps its run;
    a joined cell keeps the run that measured it last. Where the two records differ in how they show something, ``into``
    stays as it is.

    Raises:
        DriftproofError: the records have different subjects, one has the old form, or they contradict each other in a
            cell or a preset. Nothing is added in this case.

    >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
    ...     merge(one, other)
    0
    """
    return merge_all(into, [other])[0]


def merge_all(into: Record, others: Sequence[Record]) -> list[int]:
    """Add everything that several records of the same subject hold (:func:`merge`), or nothing if one is refused.

    Returns:
        How many cells each record changed.

    Raises:
        DriftproofError: as for :func:`merge`, for any of the records.

    >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
    ...     merge_all(one, [other, other])
    [0, 0]
    """
    for other in others:
        _check_form(other)
    with into.all_or_nothing():
        return [0 if _same_file(into, other) else _add(into, other) for other in others]


def check_mergeable(records: Sequence[Record]) -> None:
    """Check that records can become one record. Nothing is written.

    Raises:
        DriftproofError: two records have different subjects or contradict each other in a cell or a preset, or one has
            the old form.

    >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
    ...     check_mergeable([one, other])
    """
    for record in records:
        _check_form(record)
    # All subjects first: comparing cells takes time.
    for first, second in combinations(records, 2):
        _check_subjects(first, second)
    for first, second in combinations(records, 2):
        if not _same_file(first, second):
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


def _add(into: Record, other: Record) -> int:
    """Add everything that a record holds, within a transaction, and return how many cells changed."""
    if other.subject is None:
        return 0
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
    changed = 0
    for key, outcome, run in other.outcomes():
        if _changes(into, other, key, outcome):
            into.add(key, outcome, runs[run])
            changed += 1
    return changed


def _changes(into: Record, other: Record, key: CellKey, outcome: Outcome) -> bool:
    """Whether a cell of another record adds to that of ``into``; raise DriftproofError if they contradict."""
    mine = into.outcome(key)
    try:
        return mine is None or _extends(mine, outcome)
    except DriftproofError as error:
        raise DriftproofError(
            f"{other.where} cannot be merged into {into.where}: {key}: {error}; report the two apart"
        ) from error


def _same_file(one: Record, other: Record) -> bool:
    """Whether two records are the same file, which may be locked for other readers while it is written."""
    return one.path is not None and other.path is not None and one.path.samefile(other.path)


def _add_display(into: Record, other: Record) -> None:
    """Add how cells are shown, where ``into`` does not hold it yet."""
    conversions, configurations = into.conversions(), into.configurations()
    for conversion_id, conversion in other.conversions().items():
        if conversion_id not in conversions:
            into.add_conversion(conversion_id, conversion)
    for config_id, configuration in other.configurations().items():
        if config_id not in configurations:
            into.add_configuration(config_id, configuration)
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
