"""Statistics of outcomes of chips on samples: means, spreads, yields, lifetimes and comparisons, with intervals.

The functions take plain arrays and need no torch. ``docs/statistics.md`` says which interval is used where, and how
often it was measured to hold.
"""

from driftproof.statistics._crossed import Crossed, crossed
from driftproof.statistics._holm import holm
from driftproof.statistics._needed import needed
from driftproof.statistics._pigeonhole import pigeonhole_interval
from driftproof.statistics._spread import chip_spread, corrected, spread_interval
from driftproof.statistics._times import lifetime_span
from driftproof.statistics._yields import chip_yield

__all__ = [
    "Crossed",
    "chip_spread",
    "chip_yield",
    "corrected",
    "crossed",
    "holm",
    "lifetime_span",
    "needed",
    "pigeonhole_interval",
    "spread_interval",
]
