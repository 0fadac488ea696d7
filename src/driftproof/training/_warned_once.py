"""Warnings that a training has given are not repeated after every epoch."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from driftproof._errors import DriftproofWarning

SHARE = re.compile(r"\d+\.\d(?= %)")
"""A share in a text. It differs for inputs of another length."""


@contextmanager
def not_again(texts: Iterable[str]) -> Iterator[None]:
    """Suppress warnings that were given before, whatever share they name now; all other warnings are given.

    Args:
        texts: Texts of the warnings that were given; empty texts are ignored.

    >>> with not_again(["2 layers, with 3.4 % of the products"]):
    ...     warnings.warn("2 layers, with 5.6 % of the products", DriftproofWarning)
    """
    patterns = [r"\d+\.\d".join(map(re.escape, SHARE.split(text))) for text in texts if text]
    if not patterns:  # changing the filters makes Python repeat warnings of other kinds
        yield
        return
    with warnings.catch_warnings():
        for pattern in patterns:
            warnings.filterwarnings("ignore", rf"{pattern}\Z", DriftproofWarning)
        yield
