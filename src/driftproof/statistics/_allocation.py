"""How many more chips to see, and on how many samples of each stratum, until an interval is narrow.

1. A pilot of :data:`PILOT_CHIPS` chips sees some samples of every stratum, from small strata a larger share.
2. The next chips see samples in Neyman's proportion (J. R. Statist. Soc. 97 (1934) 558-625): n_h grows with N_h √v_h.
   The number n of samples of a chip makes (σ² + v(n)) (c + n) least, with the variance σ² of whole chips, the variance
   v(n) that n samples add to a chip, and the cost c of a new chip in samples: where chips are cheap or differ much,
   there are more chips on fewer samples each. σ² is taken as at least a quarter of all variance.
3. From :data:`FIRST_STOP` chips on the interval is looked at. It is narrow enough if its half-width times
   1 + MARGIN / √chips is at most the wanted one. Otherwise as many chips follow as are expected to do it, but at
   most as many as there are. So there are few looks, and the last one seldom comes too early.

Every chip's estimate is unbiased whatever was decided before it, and chips are never seen again on more samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import stdtrit

from driftproof._defaults import CI_OF, CI_ON
from driftproof._errors import DriftproofError, did_you_mean
from driftproof._intervals import CONFIDENCE
from driftproof.statistics._crossed import STOPPED, Crossed, Numbers, On
from driftproof.statistics._strata import Whole
from driftproof.statistics._stratified import Stratified, Tallies, stratified

Wanted = Literal["drop", "mean"]
"""The quantity whose interval is to be narrow."""

PILOT_CHIPS = 4
PILOT_SAMPLES = 128
"""Mean number of samples of a pilot chip; half of the pilot's chips see half as many, and half see half more."""
FIRST_STOP = 10
"""Smallest number of chips after which an interval may be narrow enough."""
MARGIN = 0.5
COST_OF_CHIP = 64.0
"""Cost of one more chip in samples, where it is not known."""
LEAST_SHARE = 0.25
"""The smallest share of the variance of chips' estimates that is counted as that of whole chips."""
UPPER = (1 + CONFIDENCE) / 2
LEAST = 2
"""Smallest number of samples of a stratum that a chip sees, if there are as many."""


@dataclass(frozen=True, eq=False)
class Step:
    """What to measure next: so many samples of every stratum on each of some more chips, [chips, strata]."""

    counts: Whole


def _pilot_counts(sizes: Whole, chip: int) -> Whole:
    """Return the numbers of samples that a chip of the pilot sees, [strata], in proportion to √N_h.

    Chips see fewer and more in turn, so that the costs of a chip and of a sample can be told apart.
    """
    wanted = PILOT_SAMPLES // 2 if chip % 2 == 0 else PILOT_SAMPLES * 3 // 2
    return allocated(np.sqrt(sizes), sizes, wanted)


def allocated(weights: Numbers, sizes: Whole, total: int) -> Whole:
    """Return numbers of samples, [strata], in proportion to weights: at least ``LEAST``, at most all of a stratum.

    >>> allocated(np.array([3.0, 1.0, 0.0]), np.array([50, 100, 100]), 90).tolist()
    [50, 38, 2]
    """
    least = np.minimum(LEAST, sizes)
    counts = least.astype(np.float64)
    free = np.ones(len(sizes), dtype=np.bool_)
    while free.any():
        wanted = max(total - counts[~free].sum(), 0.0) * weights / max(weights[free].sum(), 1e-300)
        out = free & ((wanted > sizes) | (wanted < least))
        if not out.any():
            counts[free] = wanted[free]
            break
        over = out & (wanted > sizes)
        # those that want too many leave less to the others, so that they come first
        out = over if over.any() else out
        counts[out] = np.where(wanted > sizes, sizes, least)[out]
        free &= ~out
    return np.clip(np.floor(counts + 0.5), least, sizes).astype(np.int64)


def _neyman(of: Tallies, chip_cost: float) -> Whole:
    """Return the numbers of samples of a next chip, [strata], that make an interval narrow at the least cost."""
    own = of.sums / of.counts @ of.weights
    within = float(of.within(of.counts).mean())
    total = max(float(own.var(ddof=1)), within)
    chips = max(total - within, LEAST_SHARE * total)
    weights, samples = of.weights * np.sqrt(of.variances), int(of.sizes.sum())
    numbers = [2**power for power in range(5, 64) if 2**power < samples] + [samples]
    choices = [allocated(weights, of.sizes, number) for number in numbers]
    costs = [(chips + float(of.within(counts))) * (chip_cost + int(counts.sum())) for counts in choices]
    return choices[int(np.argmin(costs))]


def chosen(of: Stratified, quantity: str) -> Crossed:
    """Return the statistics of a quantity: of the ``drop`` (chips minus digital) or of the ``mean``."""
    return of.change if check_quantity(quantity) == "drop" else of.value


def check_quantity(quantity: str) -> Wanted:
    """Return the word, or raise DriftproofError."""
    known = get_args(Wanted)
    if quantity not in known:
        raise DriftproofError(f"quantity {quantity!r}{did_you_mean(quantity, known)}; wanted 'drop' or 'mean'")
    return quantity  # type: ignore[return-value]  # checked in the line above


def half_width(of: Crossed, on: On) -> float:
    """Return half of the width of the interval; NaN for one chip."""
    low, high = of.interval(on)
    return (high - low) / 2


def is_narrow(of: Crossed, on: On, wanted: float) -> bool:
    """Whether an interval is narrow enough, with the margin for a stop that comes too early."""
    return of.chips >= FIRST_STOP and half_width(of, on) * float(_margin(of.chips)) <= wanted


def out_of_reach(of: Crossed, on: On, wanted: float) -> bool:
    """Whether no number of chips makes the interval on new inputs narrow enough, because there are too few samples."""
    return on == "new" and of.chips >= 2 * FIRST_STOP and _least(of) > wanted


def _least(of: Crossed) -> float:
    """Return the half-width on new inputs with any number of chips."""
    return float(stdtrit(of.samples - 1, UPPER)) * math.sqrt(of.sample_variance / of.samples)


def next_step(
    sizes: Whole,
    of: Tallies | None,
    wanted: float,
    *,
    quantity: Wanted = CI_OF,
    on: On = CI_ON,
    chip_cost: float = COST_OF_CHIP,
) -> Step | None:
    """Return what to measure next; None if the interval is narrow enough, or can never be.

    Args:
        sizes: Number of samples of each stratum, [strata].
        of: What was seen; None before the first chip.
        wanted: The wanted half-width of the 95 % interval, in the unit of the values; 0 for as narrow as possible.
        quantity: The quantity whose interval is to be narrow: ``drop`` or ``mean``.
        on: The samples for which the interval is to hold: ``these`` or ``new`` ones.
        chip_cost: Cost of one more chip, in samples.

    Raises:
        DriftproofError: The wanted half-width is not a number from 0, or ``quantity`` or ``on`` is another word.

    >>> next_step(np.array([100, 300]), None, 0.5).counts.tolist()
    [[23, 41], [70, 122], [23, 41], [70, 122]]
    """
    if not (math.isfinite(wanted) and wanted >= 0):
        raise DriftproofError(f"half-width {wanted!r}: wanted a number above 0, in the unit of the metric")
    if of is None:
        return Step(np.stack([_pilot_counts(sizes, chip) for chip in range(PILOT_CHIPS)]))
    statistics = chosen(stratified(of), quantity)
    if is_narrow(statistics, on, wanted) or out_of_reach(statistics, on, wanted):
        return None
    counts = _neyman(of, chip_cost)
    more = FIRST_STOP - statistics.chips
    return Step(np.tile(counts, (more if more > 0 else _chips_needed(of, statistics, counts, on, wanted), 1)))


def _chips_needed(of: Tallies, statistics: Crossed, counts: Whole, on: On, wanted: float) -> int:
    """Return how many more chips on some samples are expected to make an interval narrow: at most as many as seen."""
    scale = 100.0 if of.answers else 1.0
    more = np.arange(1, statistics.chips + 1)
    chips = statistics.chips + more
    own = max(statistics.chip_square - statistics.within, LEAST_SHARE * statistics.chip_square)
    each = own + scale**2 * float(of.within(counts))
    variance = (statistics.chips * statistics.chip_square + more * each) / chips**2
    variance += statistics.sample_variance / statistics.samples if on == "new" else 0.0
    # Hall's interval is not symmetric: its half-width has about the same ratio to that of Student's interval
    student = float(stdtrit(statistics.chips - 1, UPPER)) * statistics.error(on)
    shape = half_width(statistics, on) / student if student else 1.0
    arms = shape * stdtrit(chips - 1, UPPER) * np.sqrt(variance) * (1 + STOPPED / np.sqrt(chips))
    enough = np.flatnonzero(arms * _margin(chips) <= wanted)
    return int(more[enough[0] if len(enough) else -1])


def _margin(chips: int | Whole) -> Numbers:
    return np.asarray(1 + MARGIN / np.sqrt(chips))
