"""The relaxation of a Hopfield network: its layers move to the minimum of the energy, given their neighbours.

A layer's minimum has a closed form: clamp(drive, 0, 1) for hidden layers and the drive itself for the output, where the
drive is the sum of the forward product from below and the feedback from above. (With max pooling it is the minimum of
an upper bound of the energy that touches it at the present state, as long as the layer above is not negative.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from driftproof._errors import DriftproofError, check_choice, whole_number
from driftproof._hopfield.edges import Edge, ForwardProduct

Order = Literal["asynchronous", "synchronous"]
ORDER: Order = "asynchronous"


@dataclass(frozen=True)
class Pull:
    """What is done to the output in a perturbed phase.

    Attributes:
        target: Wanted outputs y [N, classes].
        nudging: Strength n of each sample, [N, 1]: the relaxation minimises E + n ½ ‖o − y‖² (default: none).
        held: Outputs that are held, [N, classes]; only the hidden layers move (default: none).
    """

    target: Tensor | None = None
    nudging: Tensor | None = None
    held: Tensor | None = None


FREE = Pull()
"""The free phase: nothing is done to the output."""


class States:
    """The layers of a batch of samples, and the forward products that are known of them.

    Args:
        edges: Edges of the network.
        inputs: Inputs [N, …], the layer before the first edge.
        layers: States of the layers behind the edges.
        cached: Whether a forward product is kept until the layer before its edge changes.
        first: Forward product of the inputs, if it is known.
        at_zero: Whether all layers are at zero. A layer there feeds nothing back, so no array is read for it.

    Attributes:
        layers: The inputs, and the states of all layers.
    """

    def __init__(
        self,
        edges: Sequence[Edge],
        inputs: Tensor,
        layers: Sequence[Tensor],
        *,
        cached: bool = True,
        first: ForwardProduct | None = None,
        at_zero: bool = False,
    ) -> None:
        self.edges, self.cached = edges, cached
        self.layers = [inputs, *layers]
        self._at_zero = [False, *[at_zero] * len(layers)]
        self._known: list[ForwardProduct | None] = [None] * len(edges)
        self._known[0] = first
        self.last_up: list[Tensor | None] = [None] * len(edges)

    @property
    def output(self) -> Tensor:
        """State of the output layer, [N, classes]."""
        return self.layers[-1]

    def product(self, edge: int) -> ForwardProduct:
        """Return the forward product of an edge for the present state of the layer before it."""
        known = self._known[edge]
        if known is None or not self.cached:
            known = self._known[edge] = self.edges[edge].product(self.layers[edge])
        return known

    def put_back(self, before: Sequence[Tensor], samples: Tensor) -> None:
        """Put the layers of some samples, booleans [N], back to what they were. Their forward products stay behind."""
        for layer in range(1, len(self.layers)):
            now = self.layers[layer]
            self.layers[layer] = torch.where(samples.view(-1, *[1] * (now.dim() - 1)), before[layer], now)

    def forget(self) -> None:
        """Forget the forward products of all layers but the inputs, because the layers are others now."""
        self._known[1:] = [None] * (len(self.edges) - 1)

    def drive(self, layer: int) -> Tensor:
        """Return the drive of a layer (from 1): the forward product from below plus the feedback from above."""
        up = self.last_up[layer - 1] = self.product(layer - 1).up
        if layer == len(self.edges):
            return up
        if self._at_zero[layer + 1]:
            return up.clone()
        edge = self.edges[layer]
        where = self.product(layer).where if edge.needs_where else None
        return edge.add_feedback(up, self.layers[layer + 1], where)

    def update(self, layers: Sequence[int], pull: Pull) -> None:
        """Move some layers to their minima, all from the present states."""
        for layer, state in [(layer, self._minimum(layer, pull)) for layer in layers]:
            self.layers[layer] = state
            self._at_zero[layer] = False
            if layer < len(self.edges):
                self._known[layer] = None

    def _minimum(self, layer: int, pull: Pull) -> Tensor:
        if layer < len(self.edges):
            drive = self.drive(layer)
            return drive.clamp(0, 1) if drive.requires_grad else drive.clamp_(0, 1)
        if pull.held is not None:
            return pull.held
        drive = self.drive(layer)
        if pull.nudging is None or pull.target is None:
            return drive
        return torch.addcmul(drive, pull.nudging, pull.target) / (1 + pull.nudging)


@dataclass(frozen=True)
class Relaxed:
    """The end of a relaxation.

    Attributes:
        states: States at the end.
        iterations: Number of iterations of each sample, [N].
        residual: Largest change of any unit in a sample's last iteration, [N].
        halfway: The same at half of the iterations, [N].
    """

    states: States
    iterations: Tensor
    residual: Tensor
    halfway: Tensor


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, and in which order, a network relaxes.

    Attributes:
        iterations: Number of iterations; with a tolerance the largest number.
        tolerance: Residual below which a sample rests (default: none, all iterations are made).
        order: ``asynchronous``: the odd layers move first, then the even ones, so that the energy never rises.
            ``synchronous``: all layers move at once, from their old values.

    Raises:
        DriftproofError: Less than one iteration, a tolerance that is not above 0 and finite, or an unknown order.
    """

    iterations: int
    tolerance: float | None = None
    order: Order = ORDER

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice("order", self.order, get_args(Order))
        whole = whole_number("relaxation: iterations", self.iterations)
        if whole < 1 or (self.tolerance is not None and not 0 < self.tolerance < math.inf):
            raise DriftproofError(
                f"relaxation: wanted at least one iteration and a tolerance above 0 or None, got {self.iterations} "
                f"and {self.tolerance}"
            )
        object.__setattr__(self, "iterations", whole)

    def groups(self, layers: int) -> list[list[int]]:
        """Return the layers (from 1) that move at once, group by group.

        >>> Schedule(iterations=1).groups(5)
        [[1, 3, 5], [2, 4]]
        """
        every = list(range(1, layers + 1))
        return [every[0::2], every[1::2]] if self.order == "asynchronous" and layers > 1 else [every]


def relax(states: States, schedule: Schedule, pull: Pull = FREE) -> Relaxed:
    """Relax a batch; each sample's end does not depend on the other samples.

    Args:
        states: States to start from. They are moved.
        schedule: Length and order.
        pull: What is done to the output.
    """
    groups, number = schedule.groups(len(states.edges)), len(states.layers[0])
    made = torch.full((number,), schedule.iterations)
    moving: Tensor | None = None
    residual = halfway = torch.zeros(number)
    half, last = (schedule.iterations - 1) // 2, schedule.iterations - 1
    for iteration in range(schedule.iterations):
        measured = schedule.tolerance is not None or iteration in (half, last)
        before = list(states.layers) if measured else []
        for group in groups:
            states.update(group, pull)
        if not measured:
            continue
        change = _largest_change(before, states.layers)
        if moving is None:
            moving = torch.ones_like(change, dtype=torch.bool)
        elif not bool(moving.all()):  # a sample that rests stays as it was
            states.put_back(before, ~moving)
        residual = torch.where(moving.cpu(), change.cpu(), residual)
        halfway = residual if iteration == half else halfway
        if schedule.tolerance is not None:
            resting = moving & (change < schedule.tolerance)
            made[resting.cpu()] = iteration + 1
            moving = moving & ~resting
            if not bool(moving.any()):
                break
    if schedule.tolerance is not None:  # until here, products of samples that rest were of no consequence
        states.forget()
    return Relaxed(states, made, residual, halfway)


@torch.no_grad()
def _largest_change(before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
    pairs = zip(before[1:], after[1:], strict=True)
    return torch.stack([(a - b).abs().flatten(1).amax(1) for a, b in pairs]).amax(0)
