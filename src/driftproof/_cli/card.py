"""The numbers behind the plots of a device card, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group

from driftproof._cli.tables import OUTSIDE, plain_table, titled
from driftproof._presets.card import Card
from driftproof.times import SECONDS, format_time

TIMES_S = (1.0, SECONDS["d"], SECONDS["y"])


def card_tables(card: Card) -> list[Group]:
    """Return standard deviation and drift per target, courses over time, and errors of weights, in 80 columns."""
    return [_targets(card), *([_shift(card)] if card.shift else []), _courses(card), _errors(card)]


def fit_table(title: str, fit: Mapping[str, Any], *notes: str) -> Group:
    """Return the numbers of a preset that was fitted to measurements.

    Args:
        title: Title of the table.
        fit: What :func:`driftproof._reporting.cards.fit_content` returned.
        notes: Lines below the table.
    """
    return titled(title, plain_table(("parameter", "value", "95 % interval", "unit"), fit["rows"]), *notes)


def _numbers(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> Group:
    return titled(title, plain_table(headings, rows, words=0), note)


def _outside(card: Card) -> str:
    return "" if all(map(card.in_validity, TIMES_S)) else OUTSIDE


def _time(card: Card, t_s: float) -> str:
    return format_time(t_s) + ("" if card.in_validity(t_s) else "*")


def _digits(value: float) -> str:
    return f"{value:#.3g}".rstrip(".")


def _targets(card: Card) -> Group:
    devices = card.unit == "µS"
    title = f"root mean square error of a weight in {card.unit}"
    if devices:
        title = "standard deviation σ of conductances in µS, without read noise"
    headings = ["target", *(f"{'σ' if devices else 'error'} at {format_time(spread.t_s)}" for spread in card.spreads)]
    if card.exponent:
        title, headings = f"{title}; drift exponent ν", [*headings, "mean of ν", "σ of ν"]
    rows = []
    for course in card.courses:
        place = min(range(len(card.targets)), key=lambda i: abs(card.targets[i] - course.target))
        row = [f"{course.target:g}", *(_digits(spread.sigma[place]) for spread in card.spreads)]
        if card.exponent:
            row += [f"{card.exponent.mean[place]:.3f}", f"{card.exponent.sd[place]:.3f}"]
        rows.append(row)
    return _numbers(title, headings, rows, "" if card.exponent or card.shift else "no drift law in this preset")


def _shift(card: Card) -> Group:
    assert card.shift is not None
    places = {t_s: card.times_s.index(t_s) for t_s in TIMES_S}
    rows = [
        (_time(card, t_s), f"{card.shift.mean[place]:z.3f}", f"{card.shift.sd[place]:.3f}")
        for t_s, place in places.items()
    ]
    title = f"shift and standard deviation σ of {card.shift.target:.3g} µS in µS, without read noise"
    return _numbers(title, ("time", "mean - target", "σ"), rows, _outside(card))


def _courses(card: Card) -> Group:
    digits = 2 if max(course.target for course in card.courses) < 100 else 1
    rows = []
    for course in card.courses:
        bands = zip(course.mean, course.low, course.high, strict=True)
        texts = [f"{mean:z.{digits}f} ({low:z.{digits}f} to {high:z.{digits}f})" for mean, low, high in bands]
        rows.append([f"{course.target:g}", *(texts[card.times_s.index(t_s)] for t_s in TIMES_S)])
    quantity = f"weight in {card.unit}"
    if card.unit == "µS":
        quantity = f"conductance in µS, {'with' if card.read_noise else 'without'} read noise, not compensated"
    headings = ["target", *(_time(card, t_s) for t_s in TIMES_S)]
    return _numbers(f"{quantity}: mean (5 to 95 %)", headings, rows, _outside(card))


def _errors(card: Card) -> Group:
    rows = [(_time(card, error.t_s), _digits(error.half), _digits(error.normal)) for error in card.errors]
    unit = "% of the column's maximum" if card.unit == "µS" else card.unit
    title = f"root mean square error of weights in {unit}, drift compensated per tile"
    return _numbers(
        title, ("time", "weights at half the maximum", "normally distributed weights"), rows, _outside(card)
    )
