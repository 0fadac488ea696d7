"""Two records of one subject become one: cells, partial cells, and what says how they came about."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from driftproof.errors import DriftproofError
from driftproof.record.entries import CellKey
from driftproof.record.old_form import NUMERICS
from driftproof.record.outcome import ROUNDING, Outcome
from driftproof.record.store import Record


def merge(into: Record, other: Record) -> int:
    """Add all that another record of the same subject holds, and return how many cells that changed.

    A cell that both hold stays as it is if they agree; two partial cells are joined. Every cell keeps the run that made
    it (of a joined one, the run that saw samples last). Where the two show a thing in other words, those of ``into``
    stay.

    Raises:
        DriftproofError: the records are about different subjects, one has the old form, or they contradict each other
            in a cell or a preset. Nothing is added then.

    >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
    ...     merge(one, other)
    0
    """
    return merge_all(into, [other])[0]


def merge_all(into: Record, others: Sequence[Record]) -> list[int]:
    """Add all that several records of the same subject hold (:func:`merge`), or nothing if one of them is refused.

    Returns:
        How many cells each of them changed.

    Raises:
        DriftproofError: as :func:`merge`, for any of them.

    >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
    ...     merge_all(one, [other, other])
    [0, 0]
    """
    for other in others:
        _check_form(other)
    with into.all_or_nothing():
        return [0 if _same_file(into, other) else _add(into, other) for other in others]


def check_mergeable(records: Sequence[Record]) -> None:
    """See that records can become one, before one is made for them: nothing is written.

    Raises:
        DriftproofError: two are about different subjects, one has the old form, or two contradict each other in a cell
            or a preset.

    >>> with Record.create_or_open(None) as one, Record.create_or_open(None) as other:
    ...     check_mergeable([one, other])
    """
    for record in records:
        _check_form(record)
    # every two before the cells of any two: those take time
    for first, second in combinations(records, 2):
        _check_subjects(first, second)
    for first, second in combinations(records, 2):
        if not _same_file(first, second):
            for key, outcome, _ in second.outcomes():
                _changes(first, second, key, outcome)


def _check_form(record: Record) -> None:
    subject = record.subject
    if subject is not None and subject.numerics == NUMERICS:
        raise DriftproofError(
            f"{record.where} is a record of an earlier driftproof, whose cells do not say which samples were right, so "
            "it cannot be merged; name it beside the others in `driftproof report`"
        )


def _check_subjects(first: Record, second: Record) -> None:
    """Raise DriftproofError if two records are about different things, or have presets of one name."""
    if first.subject is not None and second.subject is not None:
        differences = first.subject.differences(second.subject)
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
    """Add all that a record holds, within a transaction, and return how many cells that changed."""
    subject = other.subject
    if subject is None:
        return 0
    into.claim(subject)
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
            f"{other.where} cannot be merged into {into.where}: {_cell(key)}: {error}; report the two apart"
        ) from error


def _same_file(one: Record, other: Record) -> bool:
    """Whether two records are one file: while it is written to, it may be locked for other readers."""
    return one.path is not None and other.path is not None and one.path.samefile(other.path)


def _add_display(into: Record, other: Record) -> None:
    """Add how cells are shown, where ``into`` does not say it yet."""
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


def _cell(key: CellKey) -> str:
    layers = f", {len(key.digital)} layers digital" if key.digital else ""
    return f"series {key.series}, chip {key.chip}, t_s {key.t_s:g}{layers}"
