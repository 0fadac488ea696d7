"""Two records of one subject become one: cells, partial cells, and what says how they came about."""

from __future__ import annotations

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
    subject = other.subject
    if subject is None:
        return 0
    if subject.numerics == NUMERICS:
        raise DriftproofError(
            f"{other.where} is a record of an earlier driftproof, whose cells do not say which samples were right, so "
            "it cannot be merged; name it beside the others in `driftproof report`"
        )
    with into.all_or_nothing():
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
            mine = into.outcome(key)
            try:
                if mine is None or _extends(mine, outcome):
                    into.add(key, outcome, runs[run])
                    changed += 1
            except DriftproofError as error:
                raise DriftproofError(
                    f"{other.where} cannot be merged into {into.where}: {_cell(key)}: {error}; report the two apart"
                ) from error
        return changed


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
