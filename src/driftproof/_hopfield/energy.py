"""The energy of a Hopfield network, and its local gradient: no automatic differentiation is needed for either."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from driftproof._hopfield.edges import Edge
from driftproof._hopfield.relaxation import States


def energy(layers: Sequence[Tensor], ups: Sequence[Tensor]) -> Tensor:
    """Return the energy Σ ½ ‖s‖² − ⟨s, up⟩ of each sample, [N].

    Args:
        layers: States of the layers behind the edges, [N, …].
        ups: Forward products of the layers before the edges, of the same shapes.
    """
    terms = [((s / 2 - up) * s).flatten(1).sum(1) for s, up in zip(layers, ups, strict=True)]
    return torch.stack(terms).sum(0)


def energy_of(states: States) -> Tensor:
    """Return the energy of each sample at the present states, [N]."""
    return energy(states.layers[1:], [states.product(edge).up for edge in range(len(states.edges))])


@torch.no_grad()
def contrast(low: States, high: States, width: float) -> dict[int, tuple[Tensor, Tensor]]:
    """Return the mean over samples of [∂E(high) − ∂E(low)] / width: edge → gradients of weight and bias.

    Args:
        low: States at the smaller nudging strength n1.
        high: States at the larger one, n2, of the same samples.
        width: n2 − n1.
    """
    number = len(low.output)
    gradients: dict[int, tuple[Tensor, Tensor]] = {}
    for edge, weights in enumerate(low.edges):
        gradients[edge] = _edge_contrast(edge, weights, low, high, 1 / (number * width))
    return gradients


def _edge_contrast(edge: int, weights: Edge, low: States, high: States, factor: float) -> tuple[Tensor, Tensor]:
    if edge == 0:  # both phases have the same inputs, so one product with the difference is enough
        where = low.product(0).where if weights.needs_where else None
        return weights.gradient(low.layers[0], (high.layers[1] - low.layers[1]) * factor, where)
    before = torch.cat([low.layers[edge], high.layers[edge]])
    behind = torch.cat([low.layers[edge + 1] * -factor, high.layers[edge + 1] * factor])
    where = None
    if weights.needs_where:
        parts = [states.product(edge).where for states in (low, high)]
        where = torch.cat([part for part in parts if part is not None])
    return weights.gradient(before, behind, where)
