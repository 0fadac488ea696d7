"""Times as text and in seconds: ``1h`` is 3600.0 s, and a year has 365 days.

Times of chips count from the first read that follows programming. A preset whose laws have a time t0 puts this read t0
after the last programming pulse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from driftproof._errors import DriftproofError

__all__ = ["format_time", "parse_time", "parse_times"]

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "y": 365 * 86_400.0}

_NUMBER_UNIT = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_time(time: str | float) -> float:
    """Return a time in seconds.

    Args:
        time: A number of seconds, or text: a number followed by ``s``, ``min``, ``h``, ``d`` or ``y`` (365 d).

    Raises:
        DriftproofError: the text is not a time, or the time is negative or not finite.

    >>> parse_time("30d"), parse_time("1.5 h"), parse_time(20)
    (2592000.0, 5400.0, 20.0)
    """
    wanted = "wanted seconds, or a number with s, min, h, d or y, such as 1s, 1h, 30d, 1y"
    if isinstance(time, str):
        match = _NUMBER_UNIT.fullmatch(time)
        try:
            seconds = float(match[1]) * SECONDS[(match[2] or "s").lower()] if match else math.nan
        except (ValueError, KeyError):
            raise DriftproofError(f"time {time!r}: {wanted}") from None
    else:
        seconds = float(time)
    if not math.isfinite(seconds) or seconds < 0:
        raise DriftproofError(f"time {time!r}: {wanted}, not negative and finite")
    return seconds


def parse_times(times: str | Iterable[str | float]) -> tuple[float, ...]:
    """Return several times in seconds, ascending and without repeats; text is split at commas.

    >>> parse_times("1d,1s,1h")
    (1.0, 3600.0, 86400.0)
    """
    parts = times.split(",") if isinstance(times, str) else list(times)
    seconds = tuple(sorted({parse_time(part) for part in parts}))
    if not seconds:
        raise DriftproofError("no times: name at least one, such as 1s,1d,1y")
    return seconds


def format_time(t_s: float) -> str:
    """Return a short text for a time in seconds.

    >>> [format_time(t) for t in (0, 1, 5400, 86400, 2592000, 31536000)]
    ['0 s', '1 s', '1.5 h', '1 d', '30 d', '1 y']
    """
    for unit in ("y", "d", "h", "min"):
        if t_s >= SECONDS[unit]:
            return f"{t_s / SECONDS[unit]:.3g} {unit}"
    return f"{t_s:.3g} s"
