"""How many threads a command computes with: small networks are slower with several of them on a busy machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from driftproof._cli.console import print_line
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof._mapping import LayerEntry

SMALL_PASS = 1e9
"""Multiply-accumulates of a forward pass below which it has one thread: each of its parts then takes less time than a
thread waits for another one that has lost its core. Two threads made digits-cnn, with 0.1e9, 3 to 8 times slower on a
busy machine, and 1.2 times faster on an idle one."""
CHOSEN_OUTSIDE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables with which a user or a batch system has decided already."""


@contextmanager
def threads_for(
    layers: Sequence[LayerEntry], batch_size: int, threads: int | None = None, *, quiet: bool = False
) -> Iterator[None]:
    """Compute with a number of threads inside the ``with`` block, and say it if it follows from the network's cost.

    Args:
        layers: Layers of the network. If their multiply-accumulates are not known, the number of threads stays.
        batch_size: Number of samples in a forward pass.
        threads: Number of threads that was asked for (default: 1 if a forward pass is small, else as it is, unless an
            environment variable gives it).
        quiet: Whether to say nothing.

    Raises:
        DriftproofError: The number is below 1.
    """
    import torch

    before = torch.get_num_threads()
    if threads is not None and threads < 1:
        raise DriftproofError(f"--threads {threads}: wanted at least 1")
    chosen = threads or (1 if _is_small(layers, batch_size) else before)
    if threads is None and chosen != before:
        macs = sum(layer.macs_per_input or 0 for layer in layers)
        print_line(
            f"threads: 1 of {before}, because the network is small ({macs / 1e6:.2g} million multiply-accumulates for "
            "a sample); --threads N sets another number",
            stderr=True,
            quiet=quiet,
        )
    with exactly(chosen):
        yield


@contextmanager
def exactly(threads: int) -> Iterator[None]:
    """Compute with a number of threads inside the ``with`` block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_small(layers: Sequence[LayerEntry], batch_size: int) -> bool:
    macs = sum(layer.macs_per_input or 0 for layer in layers)
    return bool(0 < macs * batch_size < SMALL_PASS) and not any(name in os.environ for name in CHOSEN_OUTSIDE)
