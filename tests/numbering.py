"""Numbers of samples that follow each other in the data, for backends that are called by hand."""

from __future__ import annotations

from driftproof._inputs import Inputs, count


def following(first: int, inputs: Inputs) -> range:
    """Return the numbers of some inputs, of which the first one has the number ``first``."""
    return range(first, first + count(inputs))
