"""Statistics of outcomes of chips on samples: means, spreads, yields, lifetimes and comparisons, with intervals.

The functions take plain arrays and need no torch. ``docs/statistics.md`` says which interval is used where, and how
often it was measured to hold.
"""

from driftproof.statistics._allocation import next_step
from driftproof.statistics._crossed import Crossed, crossed
from driftproof.statistics._holm import holm
from driftproof.statistics._needed import needed
from driftproof.statistics._pigeonhole import pigeonhole_interval
from driftproof.statistics._spread import chip_spread, corrected, spread_interval
from driftproof.statistics._strata import Strata, strata_by
from driftproof.statistics._stratified import Tallies, stratified, tallies
from driftproof.statistics._times import lifetime_span
from driftproof.statistics._yields import chip_yield

__all__ = [
    "Crossed",
    "Strata",
    "Tallies",
    "chip_spread",
    "chip_yield",
    "corrected",
    "crossed",
    "holm",
    "lifetime_span",
    "needed",
    "next_step",
    "pigeonhole_interval",
    "spread_interval",
    "strata_by",
    "stratified",
    "tallies",
]
