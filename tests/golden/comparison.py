"""Compare a stored cell with a new one: bit for bit, or within stated tolerances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from golden.compute import Cell

SHOWN = 3  # of the numbers that differ


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a number may be from the stored one where another processor or library rounds in another way.

    Attributes:
        logits: of each logit, relative to the cell's largest.
        flipped: of a third of the logits, likewise, if that is more. A converter's code that flips moves all logits of
            a sample, and three samples are stored: one of them may have such a code.
        weights: of each weight and norm, relative to itself, or to a hundredth of the largest of its list if that is
            more.
        value: of the metric, in its unit.
        numbers: of each number of a plan, relative to the largest of them.
    """

    logits: float = 0.0
    flipped: float = 0.0
    weights: float = 0.0
    value: float = 0.0
    numbers: float = 0.0

    def limits(self, key: str, count: int) -> list[float]:
        """Return the largest gaps that an entry of so many numbers may have, in ascending order."""
        if key.endswith("_sha256"):
            return [math.inf] * count
        if key == "logits":
            loose = count // 3
            return [self.logits] * (count - loose) + [max(self.logits, self.flipped)] * loose
        known = {"weights": self.weights, "weight_norms": self.weights, "value": self.value, "names": 0.0}
        return [known.get(key, self.numbers)] * count


def differences(stored: Cell, new: Cell, tolerance: Tolerance | None) -> list[str]:
    """Return one text for each entry that differs; none if the cells agree.

    Args:
        stored: from the golden file.
        new: just computed.
        tolerance: None to want every bit.
    """
    if stored.keys() != new.keys():
        return [f"entries: stored {', '.join(stored)}, new {', '.join(new)}"]
    found = []
    for key, old in stored.items():
        there = gaps(key, old, new[key])
        allowed = tolerance.limits(key, len(there)) if tolerance else [0.0] * len(there)
        if any(gap > limit for gap, limit in zip(there, allowed, strict=True)):
            most = f"largest gap {there[-1]:.3g}, allowed {allowed[-1]:.3g}, " if tolerance else ""
            found.append(f"{key}: {most}{_shown(old, new[key])}")
    return found


def gaps(key: str, old: Any, new: Any) -> list[float]:
    """Return the gaps of an entry's numbers in ascending order, relative as :class:`Tolerance` says.

    What cannot be compared, NaN among it, has an infinite gap.
    """
    if isinstance(old, float) and isinstance(new, float):
        return [_finite(abs(old - new))]
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new) or key == "names":
        return [0.0 if old == new else math.inf]
    largest = max((abs(number) for number in old), default=0.0)
    found = []
    for a, b in zip(old, new, strict=True):
        size = max(abs(a), largest / 100) if key.startswith("weight") else largest
        found.append(0.0 if a == b else _finite(abs(a - b) / size) if size else math.inf)
    return sorted(found)


def _finite(gap: float) -> float:
    return math.inf if math.isnan(gap) else gap


def _shown(old: Any, new: Any) -> str:
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return f"stored {old}, new {new}"
    others = [number for number, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    texts = [f"[{number}] stored {old[number]}, new {new[number]}" for number in others[:SHOWN]]
    return "; ".join(texts + [f"and {len(others) - SHOWN} more"] * (len(others) > SHOWN))
