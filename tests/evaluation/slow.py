"""The digits network, whose passes in worker processes take a fifth of a second."""

from __future__ import annotations

from evaluation.faulty import Faulty, be_slow


def network() -> Faulty:
    return Faulty(be_slow)
