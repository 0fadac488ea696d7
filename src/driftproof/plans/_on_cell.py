"""An executor that tells a function of the user each cell that was measured, once it is in the record."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from driftproof._record import Outcome
from driftproof.evaluation import Evaluator, Trial
from driftproof.evaluation._executor import Executor, Request, Serial

type OnCell = Callable[[dict[str, Any]], object]
"""A function that is called with a cell: its device, chip and time, what was measured, and how many cells there are."""


@dataclass(frozen=True)
class Telling:
    """An executor that computes with another one and tells what it yields.

    Attributes:
        on_cell: Function that is called with each cell.
        executor: Executor that computes (default: one cell after the other, in this process).
    """

    on_cell: OnCell
    executor: Executor | None = None

    def outcomes(self, evaluator: Evaluator, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Yield the outcomes of the executor; tell each when the next one is wanted, because it is then kept."""
        inner = (self.executor or Serial()).outcomes(evaluator, requests)
        try:
            for done, (number, outcome) in enumerate(inner, start=1):
                yield number, outcome
                self.on_cell(_cell(requests[number].trial, outcome) | {"done": done, "total": len(requests)})
        finally:
            if isinstance(inner, Generator):
                inner.close()  # its workers stop with this generator

    def machine(self) -> dict[str, str]:
        """Return what the executor notes."""
        return (self.executor or Serial()).machine()


def _cell(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    """Return a cell as plain values; the digital network has no device."""
    of = trial.deployment
    facts = {"device": "digital"}
    if of is not None:
        facts = {"device": of.device.name, "compensation": str(of.compensation), "periphery": of.periphery.name}
    return {**facts, "chip": trial.chip, "t_s": trial.t_s, "value": outcome.value, "seconds": outcome.seconds}
