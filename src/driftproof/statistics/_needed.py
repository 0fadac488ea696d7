"""How many chips and samples would decide on which side of a threshold a mean lies."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtri

from driftproof._defaults import ON
from driftproof._intervals import CONFIDENCE
from driftproof.statistics._crossed import Crossed, On, check_on


class Needed(NamedTuple):
    """Numbers of chips and samples."""

    chips: int
    samples: int


def needed(of: Crossed, half_width: float, on: On = ON, confidence: float = CONFIDENCE) -> Needed | None:
    """Return the numbers of chips and samples with which the interval of the mean has a half-width.

    One of the two numbers stays as it is if the other alone can do it, the one that costs fewer passes. Otherwise both
    grow in the proportion that costs the fewest. None where it cannot be told (one chip, one sample).

    Args:
        of: Outcomes of chips on samples, which tell the variances.
        half_width: The wanted half-width, in the unit of the values.
        on: ``these`` samples, which are then as many as they are, or ``new`` ones (default).
        confidence: Confidence of the interval (default: 0.95).

    >>> from driftproof.statistics import crossed
    >>> import numpy as np
    >>> easy, random = np.linspace(0.6, 1.2, 500), np.random.default_rng(0)
    >>> chips = crossed(random.random((10, 500)) < easy)
    >>> needed(chips, 1.0).samples > 2000
    True
    """
    # chips that saw parts of the samples: so will further chips
    variances = of.chip_variance + of.within, of.sample_variance if check_on(on) == "new" else 0.0, of.rest_variance
    if not half_width > 0 or any(math.isnan(v) for v in variances):
        return None
    chip, sample, rest = variances
    wanted = (half_width / float(ndtri((1 + confidence) / 2))) ** 2
    chips, samples = of.chips, of.samples
    if chip / chips + sample / samples + rest / (chips * samples) <= wanted:
        return Needed(chips, samples)
    choices = []
    if (left := wanted - sample / samples) > 0:
        choices.append(Needed(max(chips, math.ceil((chip + rest / samples) / left)), samples))
    if on == "new" and (left := wanted - chip / chips) > 0:
        choices.append(Needed(chips, max(samples, math.ceil((sample + rest / chips) / left))))
    if not choices:
        # the K at which the least N with chip/K + sample/N + rest/(K N) = wanted makes K N least
        product = chip * sample
        more = max(chips, math.ceil((product + math.sqrt(product**2 + product * wanted * rest)) / (sample * wanted)))
        left = wanted - chip / more
        choices.append(Needed(more, max(samples, math.ceil((sample + rest / more) / left))))
    return min(choices, key=lambda choice: choice.chips * choice.samples)
