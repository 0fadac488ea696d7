"""The micro-batches of one update: what closures may be, and which draw belongs to which."""

from __future__ import annotations

from collections.abc import Sequence

from driftproof.errors import DriftproofError
from driftproof.training.noise import Key
from driftproof.training.parallel import processes
from driftproof.training.passes import Closure

MOST_SHARDS = 1 << 16


def as_closures(closure: Closure | Sequence[Closure]) -> list[Closure]:
    """Return one closure or several as a list, or raise DriftproofError for what is none."""
    closures = list(closure) if isinstance(closure, Sequence) else [closure]
    if not closures:
        raise DriftproofError("no closure came; wanted at least one function that returns the loss of a batch")
    for one in closures:
        if not callable(one):
            raise DriftproofError(
                f"the closure came as {type(one).__name__}; wanted a function that makes a forward pass and returns "
                "the loss: it may be called several times"
            )
    return closures


def key_of(seed: int, updates: int, index: int, shards: int) -> Key:
    """Return the key of one micro-batch: counted over the processes, each of which has equally many."""
    rank, world = processes()
    if world * shards > MOST_SHARDS:
        raise DriftproofError(f"{shards} micro-batches in {world} processes: more than {MOST_SHARDS} in one update")
    return Key(seed, updates * MOST_SHARDS + rank * shards + index)


def shards_of(closures: list[Closure], size: int) -> list[list[Closure]]:
    """Return the closures of each micro-batch, for a method that wants so many."""
    if size == 1 or len(closures) == 1:
        return [[closure] for closure in closures]
    if len(closures) % size:
        raise DriftproofError(f"{len(closures)} closures came; this method wants one, or a multiple of {size}")
    return [closures[start : start + size] for start in range(0, len(closures), size)]
