"""Comparisons: two networks, devices, compensations or peripheries on the same chips and samples.

A difference is taken chip by chip and sample by sample, so that what two deployments have in common does not count. Its
p-value is adjusted for the number of comparisons in a table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._keywords import checks_keywords
from driftproof._record import Quantity
from driftproof._reporting.against import key_against
from driftproof._reporting.gather import Evidence, Source, gather
from driftproof._reporting.outcomes import Row, same_samples
from driftproof._reporting.statistics import KINDS
from driftproof.statistics import Crossed, crossed, holm
from driftproof.statistics._crossed import On, check_on
from driftproof.times import format_time

COLUMNS = (
    "a",
    "b",
    "t_s",
    "in_validity",
    "chips",
    "n_samples",
    "mean_a",
    "mean_b",
    "difference",
    "ci95_low",
    "ci95_high",
    "ci95_new_low",
    "ci95_new_high",
    "p",
    "p_holm",
    "p_equivalent",
    "p_equivalent_holm",
)


@checks_keywords
def compare(
    records: Source | Sequence[Source],
    *,
    against: str | None = None,
    margin: float | None = None,
    on: On | None = None,
) -> pd.DataFrame:
    """Compare what records hold: other networks, devices, compensations or peripheries with a first one.

    Two cells are compared on the chips and samples that both have. Where both have outcomes of samples, the difference
    is taken sample by sample, and there is an interval for new samples of the same kind.

    Args:
        records: A record, its folder or its file; or several of them.
        against: Name of a configuration, as the table shows it, or of a preset that the others are compared with; a
            part of the name is enough if no other has it, such as ``standard`` or ``6-bit`` (default: the first
            configuration on every preset; with one configuration, the first preset).
        margin: Margin of equivalence in the unit of the metric. If it is given, the table tells whether differences
            are closer to 0 than the margin, by two one-sided tests (default: no such test).
        on: Whether p-values hold for ``these`` samples or for ``new`` ones (default: ``new`` where all outcomes of
            samples are known).

    Returns:
        One row per comparison and time: what was compared (b with a), both means, the difference b - a with its 95 %
        intervals, the p-value of no difference, alone and adjusted for all rows (Holm), and that of a difference of
        ``margin`` or more. An interval is that of one difference alone. It may exclude 0 where the adjusted p-value is
        above 0.05: of 20 comparisons without a difference, one interval excludes 0.

    Raises:
        DriftproofError: There is nothing to compare; the records are of different data or metrics; the margin is not
            above 0; no configuration or preset has the name.
    """
    return compared(records, against=against, margin=margin, on=on)[0]


def compared(
    records: Source | Sequence[Source], *, against: str | None = None, margin: float | None = None, on: On | None = None
) -> tuple[pd.DataFrame, Quantity]:
    """Return the table of :func:`compare` and the metric of its values."""
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise DriftproofError(f"margin = {margin!r}: wanted a number above 0 in the unit of the metric")
    evidence = gather(records)
    table = comparison_table(evidence, against=against, margin=margin, on=None if on is None else check_on(on))
    if table.empty:
        raise DriftproofError(
            "nothing to compare: wanted two configurations on the same preset, or two presets, at the same time and on "
            "the same chips; name two records, or one record with several presets"
        )
    return table, evidence.quantity


@dataclass(frozen=True)
class Pair:
    """Two deployments that are compared: config_id, preset and a name of each."""

    a: tuple[str, str]
    b: tuple[str, str]
    name_a: str
    name_b: str


def comparison_table(
    evidence: Evidence,
    *,
    against: str | None = None,
    margin: float | None = None,
    on: On | None = None,
    strict: bool = True,
) -> pd.DataFrame:
    """Return the table of :func:`compare`; it may be empty.

    Args:
        evidence: What is compared.
        against: As in :func:`compare`.
        margin: As in :func:`compare`.
        on: As in :func:`compare`.
        strict: Whether two deployments on different chips or samples raise an error; otherwise they are left out, and
            :func:`not_compared` names them.
    """
    pairs = [pair for pair in _pairs(evidence, against) if strict or not _differ(evidence, pair)]
    compared = [(pair, t, found) for pair in pairs for t, found in _at_times(evidence, pair)]
    if on is None:
        on = "new" if all(found[0].samples > 1 for _, _, found in compared) else "these"
    rows = [
        _row(pair, t, found, margin, on) | {"in_validity": _valid(evidence, pair, t)} for pair, t, found in compared
    ]
    for column in ("p", "p_equivalent"):
        for row, adjusted in zip(rows, holm([row[column] for row in rows]), strict=True):
            row[f"{column}_holm"] = adjusted
    return pd.DataFrame(rows, columns=list(COLUMNS))


def not_compared(evidence: Evidence) -> list[str]:
    """Return why pairs of configurations have no row in the table of comparisons, one sentence per pair."""
    keys = list(evidence.names)
    pairs = [pair for pair in _pairs(evidence, None) if pair.a[0] != pair.b[0]]
    said: dict[tuple[str, str], str] = {}
    for key in keys[1:]:
        of = [pair for pair in pairs if pair.b[0] == key and all(len(evidence.series(*s)) for s in (pair.a, pair.b))]
        whole = Pair((keys[0], ""), (key, ""), evidence.names[keys[0]], evidence.names[key])
        names = f"{whole.name_a} and {whole.name_b}"
        if reason := _differ(evidence, whole):
            said[whole.a[0], key] = reason
        elif not of:
            said[whole.a[0], key] = f"{names} have no device in common"
        elif not any(True for pair in of for _ in _at_times(evidence, pair)):
            said[whole.a[0], key] = f"{names} have no time, chips and samples in common"
    return list(said.values())


def _pairs(evidence: Evidence, against: str | None) -> Iterator[Pair]:
    keys, presets = list(evidence.names), evidence.measured_presets
    chosen = None if against is None else key_against(evidence, against)
    if len(keys) > 1 and (chosen or against is None):
        first = chosen or keys[0]
        for preset in presets:
            for key in keys:
                if key != first:
                    names = (f"{evidence.names[k]}, {preset}" for k in (first, key))
                    yield Pair((first, preset), (key, preset), *names)
        if against is None and len(presets) == len(keys) == 2:  # two records, each with a device of its own
            yield from _one_each(evidence, keys, presets)
        return
    base = against or (presets[0] if presets else "")
    for key in keys:
        for preset in presets:
            if preset != base:
                names = (f"{evidence.names[key]}, {p}" if evidence.names[key] else p for p in (base, preset))
                yield Pair((key, base), (key, preset), *names)


def _one_each(evidence: Evidence, keys: list[str], presets: list[str]) -> Iterator[Pair]:
    """Yield the pair of two configurations that have no preset in common."""
    have = {key: [preset for preset in presets if len(evidence.series(key, preset))] for key in keys}
    if all(len(there) == 1 for there in have.values()) and have[keys[0]] != have[keys[1]]:
        first, second = ((key, have[key][0]) for key in keys)
        yield Pair(first, second, *(f"{evidence.names[key]}, {preset}" for key, preset in (first, second)))


def _at_times(evidence: Evidence, pair: Pair) -> Iterator[tuple[float, tuple[Crossed, float, float, int]]]:
    """Yield the times that both have, with the difference, both means and the number of samples."""
    times = [evidence.series(*side)["t_s"].tolist() for side in (pair.a, pair.b)]
    if reason := _differ(evidence, pair):
        raise DriftproofError(reason)
    for t in sorted(set(times[0]) & set(times[1])):
        found = _difference(evidence, (*pair.a, t), (*pair.b, t))
        if found is not None:
            yield t, found


def _valid(evidence: Evidence, pair: Pair, t_s: float) -> bool:
    """Whether the devices of both sides are valid at a time."""
    return all(bool(evidence.rows[*side, t_s].cells["in_validity"].all()) for side in (pair.a, pair.b))


def _differ(evidence: Evidence, pair: Pair) -> str:
    """Return how the chips or the samples of two deployments differ, in words; empty if they are the same."""
    seeds, data = [], []
    for key, _ in (pair.a, pair.b):
        account = next(account for account in evidence.accounts if key in account.configurations)
        item = account.configurations[key]
        seeds.append((item.seed, item.device))
        data.append((account.subject.data, account.subject.data_hash))
    if data[0][1] != data[1][1]:
        return (
            f"{pair.name_a} and {pair.name_b} were measured on different samples ({data[0][0]} and {data[1][0]}); a "
            "comparison is paired, so evaluate both on the same data"
        )
    if seeds[0] != seeds[1]:
        return (
            f"{pair.name_a} and {pair.name_b} were measured on different chips (seeds {seeds[0][0]} and {seeds[1][0]}, "
            f"noise drawn on {seeds[0][1]} and {seeds[1][1]}); a comparison is paired, so evaluate both with one seed"
        )
    return ""


def _difference(evidence: Evidence, a: Row, b: Row) -> tuple[Crossed, float, float, int] | None:
    """Return the statistics of b - a on the chips that both have; None if they have none in common."""
    seen = [evidence.outcomes.of(row) for row in (a, b)]
    one, other = seen
    if one is not None and other is not None:
        chips = sorted(set(one.chips) & set(other.chips))
        if chips and same_samples(one.samples, other.samples):
            y_a, y_b = one.on(chips), other.on(chips)
            scale = 100.0 if y_a.dtype == np.bool_ else 1.0
            return crossed(y_b, y_a), scale * float(y_a.mean()), scale * float(y_b.mean()), y_a.shape[1]
    if not evidence.rows[a].whole or not evidence.rows[b].whole:
        return _partial_difference(evidence, a, b)
    values = [evidence.rows[row].cells.set_index("chip")["value"] for row in (a, b)]
    chips = sorted(set(values[0].index) & set(values[1].index))
    if not chips:
        return None
    x_a, x_b = (value.loc[chips].to_numpy(dtype=np.float64) for value in values)
    count = int(evidence.rows[a].cells["n_samples"].min())
    return Crossed(x_b - x_a, 1, math.nan, math.nan, 0.0), float(x_a.mean()), float(x_b.mean()), count


def _partial_difference(evidence: Evidence, a: Row, b: Row) -> tuple[Crossed, float, float, int] | None:
    """Return the statistics of b - a where chips of one or both saw random parts of the samples."""
    one, other = (
        evidence.outcomes.partial(row) or evidence.outcomes.as_partial(row, of) for row, of in ((a, b), (b, a))
    )
    if one is None or other is None or one.drawn != other.drawn:
        return None
    means = [evidence.rows[row].statistics.value for row in (a, b)]
    of = other.difference(one, means[0].samples)
    return None if of is None else (of, means[0].mean, means[1].mean, means[0].samples)


def _row(
    pair: Pair, t_s: float, found: tuple[Crossed, float, float, int], margin: float | None, on: On
) -> dict[str, Any]:
    of, mean_a, mean_b, samples = found
    ends: dict[str, float] = {}
    for samples_of, kind in KINDS.items():
        ends |= zip((f"ci95_{kind}low", f"ci95_{kind}high"), of.interval(samples_of), strict=True)
    return {
        "a": pair.name_a,
        "b": pair.name_b,
        "t_s": t_s,
        "chips": of.chips,
        "n_samples": samples,
        "mean_a": mean_a,
        "mean_b": mean_b,
        "difference": of.mean,
        **ends,
        "p": of.p_value(on),
        "p_equivalent": math.nan if margin is None else of.equivalence(margin, on),
    }


def pair_text(row: dict[str, Any]) -> str:
    """Return what a row compares.

    >>> pair_text({"a": "tile, pcm", "b": "none, pcm", "t_s": 60.0})
    'none, pcm - tile, pcm at 1 min'
    """
    return f"{row['b']} - {row['a']} at {format_time(row['t_s'])}"
