"""The first paragraph of a report: what a network loses on each preset, and how long it keeps a threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from driftproof._presets.described import changes_in_time
from driftproof._record import Quantity
from driftproof._reporting.gather import Evidence
from driftproof._reporting.lifetime import Lifetime, default_keep, in_words, lifetime, lifetime_between, span_in_words
from driftproof._reporting.statistics import KINDS, PRELIMINARY_BELOW, SummaryRow
from driftproof.statistics import needed
from driftproof.statistics._crossed import On
from driftproof.statistics._needed import Needed
from driftproof.statistics._times import Span
from driftproof.times import format_time

FAR_TOO_MANY = 10**7
"""Number of chips or samples that nobody measures."""


@dataclass(frozen=True)
class Verdict:
    """Two sentences without their subjects, and the lifetime behind the second.

    Attributes:
        preset: Name of the preset.
        loss: What the network loses, such as ``loses 1.3 points of accuracy at 1 s (95 % interval 0.8 to 1.9)``; empty
            if no valid time was measured.
        text: How long it keeps the threshold, such as ``keeps 90 % accuracy for about 40 days (...)``.
        preliminary: Whether a time has few chips.
        lifetime: The lifetime of the mean, None if no valid time was measured.
    """

    preset: str
    loss: str
    text: str
    preliminary: bool
    lifetime: Lifetime | None


def verdicts(evidence: Evidence, key: str, keep: float | None) -> list[Verdict]:
    """Return one verdict per preset of a configuration; times outside validity do not count."""
    threshold = default_keep(evidence.digital(key), evidence.quantity) if keep is None else keep
    return [
        _verdict(evidence, key, preset, threshold)
        for preset in evidence.measured_presets
        if len(evidence.series(key, preset))
    ]


def threshold_in_words(quantity: Quantity, keep: float) -> str:
    """Return a threshold as the object of "keeps".

    >>> from driftproof._record import quantity_of
    >>> [threshold_in_words(quantity_of(name), 23) for name in ("accuracy", "perplexity")]
    ['23 % accuracy', 'perplexity at or below 23']
    """
    if quantity.percent and quantity.higher_is_better:
        return f"{keep:g} % {quantity.title}"
    side = "at or above" if quantity.higher_is_better else "at or below"
    return f"{quantity.title} {side} {keep:g}{' %' if quantity.percent else ''}"


def holds_for(evidence: Evidence, key: str, preset: str) -> On:
    """Return the samples for which the intervals of a preset hold: new ones if the outcomes of samples are known."""
    rows = [row for (config_id, name, _), row in evidence.rows.items() if (config_id, name) == (key, preset)]
    return "new" if all(row.statistics.by_sample for row in rows) else "these"


def _verdict(evidence: Evidence, key: str, preset: str, keep: float) -> Verdict:
    rows = evidence.series(key, preset)
    valid = rows[rows["in_validity"]]
    if valid.empty:
        text = "was measured only outside its range of validity, so nothing is claimed about its lifetime"
        return Verdict(preset, "", text, bool((rows["chips"] < PRELIMINARY_BELOW).any()), None)
    definitions = {name: entry.definition for name, entry in evidence.presets.items()}
    claim = _Claim(
        quantity=evidence.quantity,
        rows=[evidence.rows[key, preset, float(t)] for t in valid["t_s"]],
        table=valid,
        keep=keep,
        on=holds_for(evidence, key, preset),
        constant=preset in definitions and _is_constant(definitions[preset], definitions),
    )
    preliminary = bool((valid["chips"] < PRELIMINARY_BELOW).any())
    return Verdict(preset, claim.loss(), claim.text(), preliminary, claim.mean)


def _is_constant(definition: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the laws of a device have no dependence on time, and the device is valid at more than one time."""
    low, high = definition.get("validity", {}).get("t_s", (0.0, math.inf))
    return low < high and not changes_in_time(definition, others)


@dataclass(frozen=True)
class _Claim:
    """What the valid times of one preset allow to be said.

    Attributes:
        quantity: The quantity of the values.
        rows: The rows of the valid times, ascending.
        table: The same rows of the summary.
        keep: The threshold.
        on: The samples for which the intervals hold.
        constant: Whether the device does not change with time.
    """

    quantity: Quantity
    rows: list[SummaryRow]
    table: pd.DataFrame
    keep: float
    on: On
    constant: bool

    @property
    def times(self) -> list[float]:
        return [row.key[2] for row in self.rows]

    @property
    def mean(self) -> Lifetime:
        """The lifetime of the mean."""
        return lifetime(self.times, self.table["mean"].tolist(), self.keep, self.quantity.sign)

    @property
    def span(self) -> Span:
        """The interval of the lifetime of the mean; without width where there are no intervals."""
        means = [(row.statistics.value.mean,) * 2 for row in self.rows]
        ends = [row.statistics.value.interval(self.on) for row in self.rows] if self.known else means
        return lifetime_between(self.times, ends, self.keep, self.quantity.sign)

    @property
    def known(self) -> bool:
        """Whether there is an interval at every time."""
        return not any(math.isnan(row.statistics.value.error(self.on)) for row in self.rows)

    def loss(self) -> str:
        """Return what the network loses at the first and the last time."""
        rows = (
            [self.table.iloc[0]] if len(self.table) == 1 or self.constant else [self.table.iloc[0], self.table.iloc[-1]]
        )
        said, before, words = [], "", "95 % interval "
        for row in rows:
            verb, amount = self._changed(float(row["drop"]))
            unit = "" if before else f" points of {self.quantity.title}" if self.quantity.percent else ""
            points = " points" if self.quantity.percent and not unit else unit
            said.append(f"{verb} {amount}{points}" if verb != before else f"{amount}{points}")
            said[-1] += f" at {format_time(row['t_s'])}{self._loss_interval(row, words)}"
            before, words = verb, ""
        return " and ".join(said)

    def _changed(self, drop: float) -> tuple[str, str]:
        quantity = self.quantity
        if quantity.percent:
            return ("gains" if drop < 0 else "loses"), f"{abs(drop):z.1f}"
        return f"has a {quantity.title} {'better' if drop < 0 else 'worse'} by", quantity.number(abs(drop))

    def _loss_interval(self, row: pd.Series, words: str) -> str:
        ends = [float(row[f"drop_ci95_{KINDS[self.on]}{end}"]) for end in ("low", "high")]
        if math.isnan(ends[0]):
            return ""
        low, high = sorted(-end for end in ends) if float(row["drop"]) < 0 else ends
        said = [f"{end:z.1f}" if self.quantity.percent else self.quantity.number(end) for end in (low, high)]
        return f" ({words}{said[0]} to {said[1]})"

    def text(self) -> str:
        """Return how long the threshold is kept, as far as the intervals allow."""
        return self._kept() + ("" if self.known else "; as a time has one chip only, this is not certain")

    def _kept(self) -> str:
        mean, span, last = self.mean, self.span, self.table.iloc[-1]
        keeps = f"keeps {threshold_in_words(self.quantity, self.keep)}"
        if mean.kind == "below":
            when = f"from the first measured time, {format_time(mean.t_s)} ({self._level(self.table.iloc[0])})"
            if span.to_s == mean.t_s:
                return f"is {self._worse} {self._bound} {when}"
            reach = f"but its interval reaches {self._better}: {self._open(0)}"
            return f"is {self._worse} {self._bound} on average {when}, {reach}"
        if mean.kind == "crossed":
            interval = f" ({span_in_words(span, self.times)})" if self.known else ""
            if span.from_s is not None:
                return f"{keeps} for about {in_words(mean.t_s)}{interval}"
            about = f"stays {self._better} {self._bound} on average for about {in_words(mean.t_s)}{interval}"
            return f"{about}; {self._open(0)}"
        if span.from_s != self.times[-1]:
            place = 0 if span.from_s is None else self.times.index(span.from_s) + 1
            stays = f"stays {self._better} {self._bound} on average {self._until} ({self._level(last)})"
            reach = f"but its interval reaches {self._worse} from {format_time(self.times[place])} on"
            return f"{stays}, {reach}: {self._open(place)}"
        if self.constant:
            return f"{keeps} ({self._level(last)}); its noise does not change with time"
        if len(self.times) == 1:
            return f"{keeps} at {format_time(mean.t_s)}, the only valid time measured ({self._level(last)})"
        return f"{keeps} for at least {in_words(mean.t_s)}, the last valid time measured ({self._level(last)})"

    @property
    def _until(self) -> str:
        last = format_time(self.times[-1])
        return f"at {last}" if len(self.times) == 1 or self.constant else f"up to {last}"

    @property
    def _worse(self) -> str:
        return "below" if self.quantity.higher_is_better else "above"

    @property
    def _better(self) -> str:
        return "above" if self.quantity.higher_is_better else "below"

    @property
    def _bound(self) -> str:
        return f"{self.keep:g} %" if self.quantity.percent else f"{self.quantity.title} {self.keep:g}"

    def _open(self, place: int) -> str:
        """Return that it is not decided at a time, and what would decide it."""
        of = self.rows[place].statistics.value
        what = f"{of.chips} chips" + (f" and {of.samples:,} samples" if self.on == "new" else "")
        more = needed(of, abs(of.mean - self.keep), self.on) if of.mean != self.keep else None
        more_text = "" if more is None else f"; {more_in_words(more, of.chips, of.samples)}"
        side = f"{self._better} {self._bound} at {format_time(self.times[place])}"
        return f"whether it is {side} is not decided by {what}{more_text}"

    def _level(self, row: pd.Series) -> str:
        """Return the mean and its interval at one time, with enough decimals to tell the mean from the threshold."""
        quantity, keep = self.quantity, self.keep
        mean = quantity.said(row["mean"])
        if quantity.percent and row["mean"] != keep and mean == quantity.said(keep):
            mean = next((text for text in (f"{row['mean']:.{n}f} %" for n in (2, 3)) if float(text[:-2]) != keep), mean)
        ends = [row[f"ci95_{KINDS[self.on]}{end}"] for end in ("low", "high")]
        if math.isnan(ends[0]):
            return mean
        low, high = (quantity.said(end) for end in ends)
        return f"{mean}, 95 % interval {low.removesuffix(' %')} to {high}"


def more_in_words(more: Needed, chips: int, samples: int) -> str:
    """Return how many chips and samples are needed beyond those that there are.

    >>> more_in_words(Needed(25, 6234), 25, 2000), more_in_words(Needed(31, 2000), 25, 2000)
    ('about 4,200 more samples would decide it', 'about 6 more chips would decide it')
    """
    parts = [
        f"{float(f'{wanted - there:.2g}'):,.0f} more {what}"
        for wanted, there, what in ((more.chips, chips, "chips"), (more.samples, samples, "samples"))
        if wanted > there
    ]
    if max(more) > FAR_TOO_MANY:
        return "the mean is too close to the threshold for any number of samples to decide it"
    if not parts:
        return "a few more chips or samples would decide it"
    return f"about {' and '.join(parts)} would decide it"
