"""torch's global random state, restored after code that is not part of the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def random_state_kept(seed: int | None = None) -> Iterator[None]:
    """Restore the random state of the CPU, and of all GPUs if one is in use, afterwards.

    Args:
        seed: Seed of the random state inside, for dropout and the like (default: the state from outside).

    >>> before = torch.get_rng_state()
    >>> with random_state_kept():
    ...     _ = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    used = bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if used else []):
        if seed is not None:
            torch.manual_seed(seed)
        yield
