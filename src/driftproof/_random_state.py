"""The global random states of Python, NumPy and torch, kept as they are for the user."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class RandomState(NamedTuple):
    """The state of all global generators."""

    python: tuple[object, ...]
    numpy: dict[str, object]
    cpu: Tensor
    cuda: list[Tensor]

    @classmethod
    def now(cls) -> RandomState:
        """Return the present state. A GPU that was not used yet is left out."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        return cls(random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state(), cuda)  # noqa: NPY002

    def restore(self) -> None:
        """Make this the present state."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


@contextmanager
def random_state_kept(seed: int | None = None) -> Iterator[RandomState]:
    """Put the random states back when the block ends.

    Args:
        seed: torch's seed inside the block (default: the present state).

    >>> before = torch.get_rng_state()
    >>> with random_state_kept():
    ...     _ = torch.rand(3)
    >>> torch.equal(before, torch.get_rng_state())
    True
    """
    state = RandomState.now()
    try:
        if seed is not None:
            torch.manual_seed(seed)
        yield state
    finally:
        state.restore()
