"""A worker, as its driver sees it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from driftproof.evaluation._worker import Task


@dataclass(eq=False)
class Hand(ABC):
    """One worker, as its driver sees it.

    Attributes:
        given: Numbers of the requests that it computes now.
        rest: Numbers of the requests that it gets next: they need the chip that it has programmed.
        at_once: Number of samples that its forward passes take.
        parcels: Number of the parcels that it has.
        ready: Whether it has started.
        since: When it was last heard of.
    """

    given: list[int] = field(default_factory=list)
    rest: deque[int] = field(default_factory=deque)
    at_once: int = 0
    parcels: int = 0
    ready: bool = False
    since: float = field(default_factory=monotonic)

    @abstractmethod
    def send(self, parcels: Sequence[Any], task: Task) -> None:
        """Send parcels that it does not have yet, and a task."""

    @abstractmethod
    def stop(self) -> None:
        """End the worker, whatever it does."""


@dataclass(frozen=True)
class Lost:
    """A worker is gone.

    Attributes:
        how: How, as the end of a sentence about the worker.
        killed: Whether the system may have killed it, as it does where memory is short.
    """

    how: str
    killed: bool = False
