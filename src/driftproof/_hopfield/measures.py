"""What relaxations were like: residual, iterations, energy; and a complaint about those that run away."""

from __future__ import annotations

import torch

from driftproof._errors import DriftproofError
from driftproof._hopfield.energy import energy
from driftproof._hopfield.relaxation import Relaxed, Schedule

UNBOUNDED = 1e3
"""Output, or residual, above which a relaxation has left the region in which classes are wanted (outputs near 0, 1)."""


@torch.no_grad()
def settled(relaxed: Relaxed, schedule: Schedule) -> Relaxed:
    """Return a relaxation if it has not run away.

    Raises:
        DriftproofError: It has.
    """
    residual, largest = float(relaxed.residual.max()), float(relaxed.states.output.abs().max())
    if not (residual < UNBOUNDED and largest < UNBOUNDED):  # "not <" is also true for NaN
        raise DriftproofError(
            f"the relaxation runs away: after {schedule.iterations} iterations ({schedule.order}) the largest output "
            f"is {largest:.3g} and the largest change of a unit {residual:.3g}. Use the asynchronous order, smaller "
            "gains, or a lower learning rate"
        )
    return relaxed


class Measures:
    """Sums over the free relaxations since they were cleared."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all relaxations."""
        self._samples, self._residual, self._iterations, self._energy = 0, 0.0, 0.0, 0.0

    @torch.no_grad()
    def note(self, relaxed: Relaxed) -> None:
        """Take note of a relaxation of all layers."""
        self._samples += len(relaxed.residual)
        self._residual = max(self._residual, float(relaxed.residual.max()))
        self._iterations += float(relaxed.iterations.sum())
        # the forward products of the last iteration are there, so that the arrays are not read once more
        ups = [up for up in relaxed.states.last_up if up is not None]
        self._energy += float(energy(relaxed.states.layers[1:], ups).sum())

    def means(self) -> dict[str, float]:
        """Return the largest residual, and the means of iterations and energy over samples; empty without any."""
        if not self._samples:
            return {}
        return {
            "residual": self._residual,
            "iterations": self._iterations / self._samples,
            "energy": self._energy / self._samples,
        }
