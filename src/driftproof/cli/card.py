"""The numbers behind a device card's plots, as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from driftproof.presets.card import Card, Course
from driftproof.times import SECONDS, format_time

TIMES_S = (1.0, SECONDS["d"], SECONDS["y"])


def card_tables(card: Card) -> list[Group]:
    """Return spread and drift per target, courses through time, and errors of weights; each fits in 80 columns."""
    return [_targets(card), *([_shift(card)] if card.shift else []), _courses(card), _errors(card)]


def fit_table(fit: dict[str, Any]) -> Group:
    """Return the numbers of a preset that was fitted to measurements; ``fit`` as ``reporting.cards`` returns it."""
    table = _table("parameter", "value", "95 % interval", "unit")
    for row in fit["rows"]:
        table.add_row(*(escape(text) for text in row))
    return _titled(f"fitted from measurements: {fit['sentence']}", table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _titled(title: str, table: Table, note: str = "") -> Group:
    """Put a title over a table: rich would break a table's own title at its width."""
    return Group("", f"[bold]{escape(title)}[/bold]", table, *([note] if note else []))


def _time(card: Card, t_s: float) -> str:
    return format_time(t_s) + ("" if card.in_validity(t_s) else "*")


def _digits(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _outside(card: Card) -> str:
    return "" if all(card.in_validity(t_s) for t_s in TIMES_S) else "* outside the range of validity"


def _targets(card: Card) -> Group:
    devices, title = card.unit == "µS", f"error of a weight in {card.unit}"
    if devices:
        title = "spread σ of programmed devices in µS, without read noise"
    headings = [f"{'σ' if devices else 'rms'} at {format_time(row.t_s)}" for row in card.spreads]
    if card.exponent:
        title, headings = f"{title}; drift exponent ν", [*headings, "mean of ν", "sd of ν"]
    table = _table("target", *headings)
    for course in card.courses:
        place = min(range(len(card.targets)), key=lambda i: abs(card.targets[i] - course.target))
        cells = [_digits(row.sigma[place]) for row in card.spreads]
        if card.exponent:
            cells += [f"{card.exponent.mean[place]:.3f}", f"{card.exponent.sd[place]:.3f}"]
        table.add_row(f"{course.target:g}", *cells)
    return _titled(title, table, "" if card.exponent or card.shift else "no drift law in this preset")


def _shift(card: Card) -> Group:
    assert card.shift is not None
    table = _table("time", "mean - target", "σ")
    for t_s in TIMES_S:
        place = card.times_s.index(t_s)
        table.add_row(_time(card, t_s), f"{card.shift.mean[place]:z.3f}", f"{card.shift.sd[place]:.3f}")
    title = f"shift and spread of {card.shift.target:.3g} µS in µS, without read noise"
    return _titled(title, table, _outside(card))


def _courses(card: Card) -> Group:
    devices, largest = card.unit == "µS", max(course.target for course in card.courses)
    table = _table("target", *(_time(card, t_s) for t_s in TIMES_S))
    for course in card.courses:
        cells = [_band(course, card.times_s.index(t_s), 2 if largest < 100 else 1) for t_s in TIMES_S]
        table.add_row(f"{course.target:g}", *cells)
    what = f"weight in {card.unit}"
    if devices:
        what = f"conductance in µS, {'with' if card.read_noise else 'without'} read noise, not compensated"
    return _titled(f"{what}: mean (5 to 95 %)", table, _outside(card))


def _band(course: Course, place: int, digits: int) -> str:
    mean, low, high = (f"{row[place]:z.{digits}f}" for row in (course.mean, course.low, course.high))
    return f"{mean} ({low} to {high})"


def _errors(card: Card) -> Group:
    table = _table("time", "at half the range", "normally distributed")
    for error in card.errors:
        table.add_row(_time(card, error.t_s), _digits(error.half), _digits(error.normal))
    unit = "% of the column's maximum" if card.unit == "µS" else card.unit
    return _titled(f"rms error of a tile's weights in {unit}, drift compensated", table, _outside(card))
