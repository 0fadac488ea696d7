"""What relaxations were like: residual, iterations, energy; and a complaint about those that run away."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof._hopfield.edges import Edge
from driftproof._hopfield.energy import energy
from driftproof._hopfield.relaxation import Relaxed, Schedule
from driftproof._own_measures import WeightOf

UNBOUNDED = 1e3
"""Output, or residual, above which a relaxation has left the region in which classes are wanted (outputs near 0, 1)."""
RESTLESS, SHORTEST = 0.02, 8
"""Residual below which a unit counts as at rest, and iterations from which on a relaxation can be judged."""


@torch.no_grad()
def settled(relaxed: Relaxed, schedule: Schedule, advice: str = "smaller gains, or a lower learning rate") -> Relaxed:
    """Return a relaxation if it has not run away.

    Args:
        relaxed: The relaxation.
        schedule: Its length and order.
        advice: What else may help.

    Raises:
        DriftproofError: It has.
    """
    residual, largest = float(relaxed.residual.max()), float(relaxed.states.output.abs().max())
    if not (residual < UNBOUNDED and largest < UNBOUNDED):  # "not <" is also true for NaN
        raise DriftproofError(
            f"the relaxation runs away: after {schedule.iterations} iterations ({schedule.order}) the largest output "
            f"is {largest:.3g} and the largest change of a unit {residual:.3g}. Use the asynchronous order, {advice}"
        )
    return relaxed


def restless_text(relaxed: Relaxed, schedule: Schedule) -> str:
    """Return a text if most samples of a batch are not coming to rest, else an empty one."""
    moving = (relaxed.residual > max(RESTLESS, schedule.tolerance or 0.0)) & (relaxed.residual >= relaxed.halfway)
    if schedule.iterations < SHORTEST or float(moving.float().mean()) <= 1 / 2:
        return ""
    halfway, end = (float(of.median()) for of in (relaxed.halfway, relaxed.residual))
    advice = "; the asynchronous order never raises the energy" if schedule.order == "synchronous" else ""
    return (
        f"the relaxation does not settle: the largest change of a unit is {halfway:.2g} at half of "
        f"{schedule.iterations} iterations and {end:.2g} at the end (medians over {len(moving)} samples), so that the "
        f"answers depend on where it is stopped{advice}. (Read noise that is new in every MVM keeps a chip moving, too)"
    )


def symmetry_error(edges: Sequence[Edge], weight_of: WeightOf) -> float:
    """Return ‖W_forward − W_back‖ / ‖W_forward‖ over all edges with feedback.

    Args:
        edges: Edges of a network; nothing is fed back to its inputs.
        weight_of: Effective weights of a chip.
    """
    difference, size = 0.0, 0.0
    for number, edge in enumerate(edges[1:], start=1):
        forward, back = (_effective(number, edge, name, weight_of) for name in ("weight", edge.back_name))
        difference += float((forward - back).square().sum())
        size += float(forward.square().sum())
    return math.sqrt(difference / size) if size else 0.0


def _effective(number: int, edge: Edge, name: str, weight_of: WeightOf) -> Tensor:
    # a layer's name leaves out "weight"
    found = weight_of(f"edges.{number}" if name == "weight" else f"edges.{number}.{name}")
    stored: Tensor = getattr(edge, name)
    return (stored.detach() if found is None else found).double()


class Measures:
    """Sums over the free relaxations since they were cleared."""

    def __init__(self) -> None:
        self.told = False
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
