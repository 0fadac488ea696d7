"""What a training has warned of once is not said again after every epoch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from driftproof.errors import DriftproofWarning

SHARE = re.compile(r"\d+\.\d(?= %)")
"""A share in a text: it is another one where the inputs have another length."""


@contextmanager
def not_again(texts: Iterable[str]) -> Iterator[None]:
    """Leave out, inside, the warnings that were given already, whatever share they name now; all others are given.

    Args:
        texts: what was said; empty ones stand for nothing.

    >>> with not_again(["2 layers, with 3.4 % of the products"]):
    ...     warnings.warn("2 layers, with 5.6 % of the products", DriftproofWarning)
    """
    patterns = [r"\d+\.\d".join(map(re.escape, SHARE.split(text))) for text in texts if text]
    if not patterns:  # Python shows warnings of other kinds anew whenever filters change: only where it has to be
        yield
        return
    with warnings.catch_warnings():
        for pattern in patterns:
            warnings.filterwarnings("ignore", rf"{pattern}\Z", DriftproofWarning)
        yield
