"""Loops over numbers that numba compiles for the processor at hand.

Where one formula would be a chain of torch's operators, each of which reads and writes all of memory, a compiled loop
passes once. Every loop has the same steps in the same order as a chain of operators, without contractions, so that both
give the same numbers to the last bit. The chain is what runs on a GPU, and without numba.

A loop is compiled at its first call, in about a second. numba keeps the result beside the source, or in the user's
cache folder if that cannot be written to.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from driftproof._errors import warn


@cache
def loops(name: str) -> ModuleType | None:
    """Return a module of compiled loops, or None, which is said once, if numba cannot compile here.

    Args:
        name: Full name of the module. It imports numba through :func:`compiled` when it is imported.
    """
    return importlib.import_module(name) if _can_compile() else None


@cache
def _can_compile() -> bool:
    try:
        import numba
    except ImportError as error:
        reason = f"numba cannot be imported ({error}); `pip install numba` gives it"
    else:
        settings: Any = numba.config
        if not settings.DISABLE_JIT:
            return True
        reason = "NUMBA_DISABLE_JIT is set"
    warn(
        f"{reason}. Converters and the noise of single MVMs are computed operator by operator instead: the "
        "same numbers, in about 3 and 40 times the time"
    )
    return False


def compiled[Loop: Callable[..., Any]](loop: Loop) -> Loop:
    """Compile a loop at its first call. Other threads go on while it runs.

    >>> @compiled
    ... def total(numbers):
    ...     result = 0.0
    ...     for number in numbers:
    ...         result += number
    ...     return result
    >>> import numpy as np
    >>> total(np.ones(5))
    5.0
    """
    import numba

    compile_when_called: Any = numba.njit
    try:
        made: Loop = compile_when_called(nogil=True, cache=True)(loop)
    except RuntimeError:  # no folder for the cache can be written to
        made = compile_when_called(nogil=True)(loop)
    return made
