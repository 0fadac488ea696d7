"""The lines of the demo: its curves at three times, how long each keeps the threshold, the gains and the caveat."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from driftproof._cli.demo_curves import CURVES, DEVICE, GAINS, GROUPS, KEEP, NETWORK, TRAINED, Curve
from driftproof._reporting import compare
from driftproof._reporting.device_notes import device_notes
from driftproof._reporting.gather import Evidence, gather
from driftproof._reporting.shares import lifetimes
from driftproof.statistics._times import Span
from driftproof.times import format_time, parse_times

SHOWN = ("1s", "1d", "1y")
WIDTH = 80
NAME, CELL = 15, 16
"""Widths of the columns of names and of values."""


def story(folders: Mapping[Curve, Path]) -> Iterator[str]:
    """Yield the lines that the demo prints, of at most 80 columns.

    Args:
        folders: The folder of the record of each curve.
    """
    evidence = gather(list(folders.values()))
    keys = dict(zip(CURVES, evidence.names, strict=True))  # in the order of the folders
    plain, trained = (evidence.digital(keys[curve]) for curve in GROUPS["drift compensated"])
    images = evidence.accounts[0].subject.n_samples
    chips = int(evidence.series(keys[CURVES[0]], DEVICE)["chips"].min())
    yield f"{NETWORK} on {chips} chips of {DEVICE}: % of {images} digits, with 95 % intervals"
    yield (
        f"{'':{NAME}}"
        + "".join(f" {format_time(t):^{CELL - 1}}" for t in parse_times(SHOWN))
        + f"  keeps {KEEP:g} % for"
    )
    yield f"digital: plain {plain:.1f}, {TRAINED} {trained:.1f}"
    for heading, curves in GROUPS.items():
        yield heading
        for curve in curves:
            yield _row(evidence, keys[curve], curve.network)
    yield ""
    yield from _wrapped(gains(folders))
    yield from _wrapped(_caveat(evidence))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _row(evidence: Evidence, key: str, name: str) -> str:
    rows = {row["t_s"]: row for row in evidence.series(key, DEVICE).to_dict("records")}
    cells = [f" {_with_interval(rows[t], 'mean'):^{CELL - 1}}" for t in parse_times(SHOWN)]
    return f"  {name:{NAME - 2}}{''.join(cells)}  {_kept(evidence, key)}"


def _with_interval(row: Mapping[Hashable, Any], value: str) -> str:
    """Return a value with its interval, which holds for new samples; there is none for one chip."""
    low, high = row["ci95_new_low"], row["ci95_new_high"]
    return f"{row[value]:.1f}" if math.isnan(low) else f"{row[value]:.1f} {low:.1f}-{high:.1f}"


def _kept(evidence: Evidence, key: str) -> str:
    """Return for how long the mean keeps the threshold: the measured times between which its interval lies."""
    mean = lifetimes(evidence, key, DEVICE, KEEP)[0]
    span = mean.spans["new"] or mean.spans["these"]
    return f"about {format_time(mean.estimate.t_s)}" if span is None else span_in_short(span, mean.times[0])


def span_in_short(span: Span, first_s: float) -> str:
    """Return the interval of a lifetime in at most 15 letters.

    >>> [span_in_short(Span(*ends), 1) for ends in ((60, 86400), (60, None), (None, 60), (None, 1), (None, None))]
    ['1 min to 1 d', 'at least 1 min', 'at most 1 min', 'below 1 s', 'not decided']
    """
    start, end = (None if end is None else format_time(end) for end in (span.from_s, span.to_s))
    if start:
        return f"{start} to {end}" if end else f"at least {start}"
    return "not decided" if not end else f"below {end}" if span.to_s == first_s else f"at most {end}"


def gains(folders: Mapping[Curve, Path]) -> str:
    """Return the differences at the last time, on the same chips and images."""
    said, t_s = [], 0.0
    for what, (without, with_it) in GAINS.items():
        last = compare([folders[without], folders[with_it]]).iloc[-1]
        low, high = last["ci95_new_low"], last["ci95_new_high"]
        interval = "" if math.isnan(low) else f" [{low:.1f}, {high:.1f}]"
        said.append(f"{what} {last['difference']:+.1f}{interval}")
        t_s = float(last["t_s"])
    return f"Gains on the same chips at {format_time(t_s)}, in points: {'; '.join(said)}."


def _caveat(evidence: Evidence) -> str:
    """Return the first caveat of the device without its reasons."""
    notes = {note["name"]: note["caveats"] for note in device_notes(evidence)}
    return f"Caveat: {notes[DEVICE][0].partition(':')[0]}."
