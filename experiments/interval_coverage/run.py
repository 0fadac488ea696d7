"""How often do the intervals of reports contain the truth? See README.md.

    python experiments/interval_coverage/run.py

Every repetition draws chips and images with replacement from the pool of ../outcome_pool, and its intervals are
compared with the pool's own values. The tables are written beside this file.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof.statistics import chip_spread, chip_yield, crossed, lifetime_span, spread_interval
from driftproof.times import format_time

HERE = Path(__file__).parent
DEVICES = {"PCM": "pcm-nandakumar-2019", "ReRAM": "reram-wan-2022"}
CHIPS, IMAGES, SEED = (25, 10, 5), 2000, 0
# the times that the estimator of a lifetime sees; the truth is that of all times of the pool
SEEN = (1.0, 3600.0, 86400.0, 2592000.0, 31536000.0)
KEEP = (90.0, 89.5, 89.0, 88.5, 88.0, 87.0)  # thresholds of lifetimes, in % and as drops from the digital network
SHARES = (0.5, 0.95)
On = Literal["these", "new"]
ON: tuple[On, On] = ("these", "new")
YIELD_AT = (0.05, 0.25, 0.5, 0.75, 0.95)  # thresholds of yields, as quantiles of the pool's chips

Bits = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
type Spreads = dict[tuple[Any, ...], list[tuple[float, float, float]]]


def pool(device: str) -> tuple[list[float], Bits, Bits]:
    """Return the times in s, whether each answer is right, [times, chips, images], and the digital network's."""
    file = np.load(HERE.parent / "outcome_pool" / f"{device}.npz")
    count = int(file["n_samples"])
    digital = np.unpackbits(file["digital"])[:count].astype(bool)
    return file["t_s"].tolist(), np.unpackbits(file["otherwise"], axis=2)[:, :, :count].astype(bool) ^ digital, digital


class Coverage:
    """Counts of intervals that lie above and below the truth, and their half-widths."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], list[tuple[bool, bool, float]]] = defaultdict(list)

    def add(self, key: tuple[Any, ...], truth: float, low: float, high: float) -> None:
        self.rows[key].append((truth < low, truth > high, (high - low) / 2))

    def table(self) -> pd.DataFrame:
        names = ("quantity", "on", "chips", "device", "time", "threshold")
        rows = []
        for key, seen in self.rows.items():
            above, below, arms = (np.array(column, dtype=float) for column in zip(*seen, strict=True))
            counts = {"repetitions": len(seen), "covered": 100 - 100 * (above.mean() + below.mean())}
            misses = {"truth_below": 100 * above.mean(), "truth_above": 100 * below.mean()}
            rows.append(dict(zip(names, key, strict=True)) | counts | misses | {"half_width": np.median(arms)})
        return pd.DataFrame(rows)


def crossing(times: Sequence[float], values: Numbers, threshold: float) -> float:
    """Return the time at which values fall below a threshold, linear in ln t; 0 if at once, inf if never."""
    below = np.flatnonzero(values < threshold)
    if not len(below):
        return math.inf
    if not (i := int(below[0])):
        return 0.0
    share = (values[i - 1] - threshold) / (values[i - 1] - values[i])
    return float(times[i - 1] * (times[i] / times[i - 1]) ** share)


def ends(span: Any) -> tuple[float, float]:
    return (0.0 if span.from_s is None else span.from_s), (math.inf if span.to_s is None else span.to_s)


def one(name: str, chips: int, repetitions: int, coverage: Coverage, spreads: Spreads) -> None:
    """Add the repetitions of one device and number of chips."""
    times, right, digital = pool(DEVICES[name])
    values = 100 * right.mean(axis=2)  # [times, chips of the pool]
    levels = {"accuracy": values, "drop": values - 100 * digital.mean()}
    bars = {what: np.quantile(table, YIELD_AT, axis=1) for what, table in levels.items()}
    seen = [times.index(t) for t in SEEN if t in times]
    random = np.random.default_rng([SEED, chips, len(times)])
    for _ in range(repetitions):
        i, j = random.integers(right.shape[1], size=chips), random.integers(right.shape[2], size=IMAGES)
        those = right[:, :, j]
        drawn, base = those[:, i], digital[j]
        truths = {"accuracy": 100 * those.mean(axis=2)}
        truths["drop"] = truths["accuracy"] - 100 * base.mean()
        for what in ("accuracy", "drop"):
            every = [crossed(rows, base if what == "drop" else None) for rows in drawn]
            for place, (t, of) in enumerate(zip(times, every, strict=True)):
                cell = (chips, name, format_time(t))
                for on in ON:
                    table = (truths if on == "these" else levels)[what][place]
                    coverage.add((what, on, *cell, ""), table.mean(), *of.interval(on))
                    for quantile, bar in zip(YIELD_AT, bars[what][:, place], strict=True):
                        got, true = chip_yield(of, bar, on=on), float((table >= bar).mean())
                        coverage.add((f"yield of {what}", on, *cell, quantile), true, got.low, got.high)
                if what == "accuracy":
                    true = float(values[place].std())
                    coverage.add(("spread", "new", *cell, ""), true, *spread_interval(of))
                    spreads[cell].append((true, chip_spread(of), math.sqrt(of.chip_square)))
            if len(seen) > 2:
                lifetimes(coverage, (chips, name), times, seen, every, what, truths[what], levels[what])


def lifetimes(
    coverage: Coverage,
    key: tuple[int, str],
    times: Sequence[float],
    seen: Sequence[int],
    every: Sequence[Any],
    what: str,
    here: Numbers,
    anywhere: Numbers,
) -> None:
    """Add the lifetimes of the mean and of shares of the chips."""
    for keep in KEEP:
        bar = keep if what == "accuracy" else keep - 91.5
        for on in ON:
            table = here if on == "these" else anywhere
            shown = [times[place] for place in seen]
            lows, highs = zip(*(every[place].interval(on) for place in seen), strict=True)
            truth = crossing(times, table.mean(axis=1), bar)
            coverage.add(
                (f"lifetime of {what}", on, *key, "", bar), truth, *ends(lifetime_span(shown, lows, highs, bar))
            )
            yields = [chip_yield(every[place], bar, on=on) for place in seen]
            for share in SHARES:
                span = lifetime_span(shown, [y.low for y in yields], [y.high for y in yields], share)
                true = crossing(times, (table >= bar).mean(axis=1), share)
                coverage.add((f"lifetime of {share:.0%} of chips, {what}", on, *key, "", bar), true, *ends(span))


def means(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield one row per quantity: the average over cells, and the cell that is covered least."""
    for key, rows in table.groupby(["quantity", "on", "chips"], sort=False):
        shares = {name: rows[name].mean() for name in ("covered", "truth_below", "truth_above")}
        yield (
            dict(zip(("quantity", "on", "chips"), key, strict=True))
            | shares
            | {
                "least_covered_cell": rows["covered"].min(),
                "cells": len(rows),
                "repetitions": rows["repetitions"].iloc[0],
            }
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000, help="repetitions for each number of chips")
    arguments = parser.parse_args()
    coverage = Coverage()
    spreads: Spreads = defaultdict(list)
    for chips in CHIPS:
        for name in DEVICES:
            start = time.monotonic()
            one(name, chips, arguments.repetitions, coverage, spreads)
            print(f"{name}, {chips} chips: {time.monotonic() - start:.0f} s", flush=True)
    table = coverage.table()
    rows = []
    for (chips, name, when), seen in spreads.items():
        true, estimate, measured = np.array(seen).mean(axis=0)
        biases = {"corrected": 100 * (estimate / true - 1), "measured": 100 * (measured / true - 1)}
        rows.append({"chips": chips, "device": name, "time": when, "true_sd": true} | biases)
    summary = pd.DataFrame(means(table))
    for file, written in (("cells", table), ("coverage", summary), ("spread_bias", pd.DataFrame(rows))):
        written.round(4).to_csv(HERE / f"{file}.csv", index=False, lineterminator="\n")
    print(summary.round(2).to_string(index=False))
    print(pd.DataFrame(rows).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
