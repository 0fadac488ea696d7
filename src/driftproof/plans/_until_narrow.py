"""Measure chips on parts of the samples until every interval is narrow enough, or the time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from driftproof._errors import warn
from driftproof._record import Outcome, PerSample, Samples, value_of
from driftproof.evaluation import Deployment, Metric, Trial
from driftproof.evaluation._executor import Plan, Request
from driftproof.evaluation._trial import NETWORK_ITSELF
from driftproof.plans._perfect import warn_of_differences
from driftproof.plans._precision import Precision
from driftproof.statistics import Crossed, Strata, Tallies, next_step, stratified, tallies
from driftproof.statistics._allocation import COST_OF_CHIP, FIRST_STOP, chosen, half_width, out_of_reach
from driftproof.statistics._strata import Whole
from driftproof.times import format_time

MACS_PER_WEIGHT = 8000
"""How many multiply-accumulates of a sample take as long as programming and reading a weight (measured, ResNet-20)."""
PERFECT_SAMPLES = 512
"""Number of samples on which perfect devices are measured."""
GROWTH = 4
"""With a budget, the widest interval gets at most a GROWTH-th of its chips more, before all are compared again."""


@dataclass(eq=False)
class _Family:
    """The chips of one deployment at one time.

    Attributes:
        seen: For each chip its number, the numbers of its samples, and its entries on them.
        seconds: Number of samples and duration of each trial.
        closed: Whether nothing more is measured.
    """

    deployment: Deployment
    t_s: float
    strata: Strata
    digital: PerSample
    precision: Precision
    seen: list[tuple[int, Whole, npt.NDArray[np.generic]]] = field(default_factory=list)
    seconds: list[tuple[int, float]] = field(default_factory=list)
    closed: bool = False

    def __str__(self) -> str:
        return f"{self.deployment.device.name} at {format_time(self.t_s)}"

    @property
    def tallies(self) -> Tallies | None:
        return tallies(self.strata, self.digital, self.seen) if self.seen else None

    @property
    def statistics(self) -> Crossed | None:
        of = self.tallies
        return None if of is None else chosen(stratified(of), self.precision.of)

    @property
    def width(self) -> float:
        """Half-width of the interval; infinite where it is not known."""
        of = self.statistics
        return math.inf if of is None or of.chips < FIRST_STOP else half_width(of, self.precision.on)

    def requests(self, chip_cost: float, most: int | None = None) -> list[Request]:
        """Return what to measure next, of at most so many chips; close the family if it is nothing."""
        of, wanted = self.tallies, self.precision.ci
        step = next_step(
            self.strata.sizes, of, wanted, quantity=self.precision.of, on=self.precision.on, chip_cost=chip_cost
        )
        first, last = len(self.seen), self.deployment.device.chips
        counts = [] if step is None else list(step.counts)[:most]
        counts = counts if last is None else counts[: last - first]
        self.closed = not counts
        if self.closed:
            self._tell(no_chip=step is not None)
        return [
            Request(Trial(self.deployment, first + i, self.t_s), self.strata.drawn(first + i, row))
            for i, row in enumerate(counts)
        ]

    def add(self, request: Request, outcome: Outcome) -> None:
        """Add what was measured of a chip; an outcome may cover more samples than were asked for."""
        samples = np.arange(len(self.digital)) if request.samples is None else request.samples
        self.seen.append((request.trial.chip, samples, _entries(outcome, request.samples)))
        self.seconds.append((outcome.seen, outcome.seconds))

    def _tell(self, *, no_chip: bool) -> None:
        of = self.statistics
        if of is None or not self.precision.ci:
            return
        reached = f"{self}: the half-width is {half_width(of, self.precision.on):.2g} instead of {self.precision.ci:g}"
        if no_chip:
            warn(f"{reached}: the device has only {len(self.seen)} measured chips")
        elif out_of_reach(of, self.precision.on, self.precision.ci):
            warn(f"{reached}: {of.samples:,} inputs are too few for new inputs, with any number of chips")


def _entries(outcome: Outcome, samples: Samples | None) -> npt.NDArray[np.generic]:
    """Return the entries of some of the samples that an outcome has seen."""
    assert outcome.per_sample is not None  # checked before
    if samples is None:
        return outcome.per_sample
    return outcome.per_sample[samples if outcome.samples is None else np.searchsorted(outcome.samples, samples)]


def until_narrow(
    deployments: Sequence[Deployment],
    perfect: Sequence[Deployment],
    times_s: Sequence[float],
    precision: Precision,
    strata: Strata,
    metric: Metric,
    *,
    chip_cost: float,
    began: float,
) -> Plan[None]:
    """Ask for chips on random samples of strata until the interval of every deployment at every time is narrow enough.

    Args:
        deployments: Deployments to measure.
        perfect: Deployments with perfect devices, which are measured on some of the samples.
        times_s: Times after the first read in s.
        precision: When enough was measured.
        strata: Strata of the samples.
        metric: The metric; it has an entry for every sample.
        chip_cost: Cost of one more chip in samples.
        began: When the evaluation began, in s of ``time.perf_counter``; a budget counts from there.
    """
    share = min(1.0, PERFECT_SAMPLES / len(strata.of))
    few = strata.drawn(0, np.ceil(share * strata.sizes).astype(np.int64))
    samples = None if len(few) == len(strata.of) else few
    outcomes = yield [Request(NETWORK_ITSELF), *(Request(Trial(each), samples) for each in perfect)]
    digital = outcomes[0]
    assert digital.per_sample is not None
    base = _part(digital, samples)
    rows = zip(perfect, (_part(outcome, samples) for outcome in outcomes[1:]), strict=True)
    warn_of_differences(base, rows, metric.quantity)
    families = [_Family(each, t, strata, digital.per_sample, precision) for each in deployments for t in times_s]
    while any(not family.closed for family in families):
        asked = _asked([family for family in families if not family.closed], precision, chip_cost, began)
        if asked is None:
            break
        # chip after chip, so that a chip is programmed once for all times
        asked.sort(key=lambda pair: (pair[1].trial.chip, families.index(pair[0])))
        outcomes = yield [request for _, request in asked]
        for (family, request), outcome in zip(asked, outcomes, strict=True):
            family.add(request, outcome)


def _asked(
    families: Sequence[_Family], precision: Precision, chip_cost: float, began: float
) -> list[tuple[_Family, Request]] | None:
    """Return what to measure next; None when the time is over."""
    if math.isinf(precision.budget_s) or not families[0].seen:
        return [(family, request) for family in families for request in family.requests(chip_cost)]
    left = precision.budget_s - (time.perf_counter() - began)
    ready = all(len(family.seen) >= FIRST_STOP for family in families)
    widest = max(families, key=lambda family: (family.width, -len(family.seen)))
    # the least durations: the first trials have other things to do
    per_sample = min(seconds / (chip_cost + number) for family in families for number, seconds in family.seconds)
    one = per_sample * (chip_cost + float(np.mean([len(samples) for _, samples, _ in widest.seen])))
    chips = min(int(left / one), max(1, len(widest.seen) // GROWTH) if ready else FIRST_STOP)
    if chips < 1:
        if not ready:
            warn(f"the budget of {precision.budget_s:g} s was over before every interval had {FIRST_STOP} chips")
        return None
    return [(widest, request) for request in widest.requests(chip_cost, chips)]


def cost_of_chip(weights: int, macs: int) -> float:
    """Return the cost of one more chip in samples, as a power of 4 from 4 to 4⁸.

    Programming and reading a weight costs as much as :data:`MACS_PER_WEIGHT` multiply-accumulates of a sample. The cost
    is counted and not timed, so that the same cells are measured on every machine, and by a run that was continued.

    Args:
        weights: Number of weights on the chip.
        macs: Multiply-accumulates of the network's analog layers for a sample; 0 if they are not known.

    >>> cost_of_chip(270_000, 41_000_000), cost_of_chip(1000, 1000)
    (64.0, 4096.0)
    """
    if not macs or not weights:
        return COST_OF_CHIP
    return float(np.clip(4.0 ** round(math.log(MACS_PER_WEIGHT * weights / macs, 4)), 4, 4**8))


def _part(outcome: Outcome, samples: Samples | None) -> Outcome:
    """Return an outcome on some of its samples."""
    entries = _entries(outcome, samples)
    return Outcome(value=value_of(entries), total=outcome.total, samples=samples, per_sample=entries)
