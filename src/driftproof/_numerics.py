"""The version of driftproof's numbers: a record is not continued by another one."""

from __future__ import annotations

VERSION = 5
"""Raised by one whenever the same deployment gives other numbers: another law, another key of randomness, another order
of operations in what a chip computes. Records hold it, so that no table mixes two of them."""
