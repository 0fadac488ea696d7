"""The seven algorithms of the study: where their two phases are, and how the output is pulled to its target.

Nudging minimises E + n ½ ‖o − y‖² over all layers (equilibrium propagation, EP). Holding keeps the output at
(1 − n) o* + n y, o* being its free state, and relaxes the hidden layers (coupled learning, CpL). Contrastive learning
(CL) holds the output at the target itself.
"""

from __future__ import annotations

from typing import Any

from driftproof.energy._rule import EnergyBased


class PositiveEP(EnergyBased):
    """Positively-perturbed equilibrium propagation: n1 = 0, n2 = β (Scellier & Bengio 2017)."""

    name, phases, holds_output = "p-ep", (0, 1), False


class NegativeEP(EnergyBased):
    """Negatively-perturbed equilibrium propagation: n1 = −β, n2 = 0 (Scellier et al. 2023)."""

    name, phases, holds_output = "n-ep", (-1, 0), False


class CenteredEP(EnergyBased):
    """Centred equilibrium propagation: n1 = −β, n2 = β (Laborieux et al. 2021).

    >>> import torch
    >>> from driftproof.energy import hopfield_dense
    >>> network, method = hopfield_dense([6, 8, 3]), CenteredEP(beta=0.2)
    >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    >>> x, y = torch.rand(4, 6), torch.eye(3)[[0, 1, 2, 0]]
    >>> def squared_error():
    ...     return (network(x) - y).square().sum() / (2 * len(y))
    >>> losses = [float(method.step(squared_error, network, optimizer)) for _ in range(50)]
    >>> losses[-1] < losses[0]
    True
    """

    name, phases, holds_output = "c-ep", (-1, 1), False


class PositiveCpL(EnergyBased):
    """Positively-perturbed coupled learning: n1 = 0, n2 = β (Stern et al. 2021)."""

    name, phases, holds_output = "p-cpl", (0, 1), True


class NegativeCpL(EnergyBased):
    """Negatively-perturbed coupled learning: n1 = −β, n2 = 0 (Scellier et al. 2023)."""

    name, phases, holds_output = "n-cpl", (-1, 0), True


class CenteredCpL(EnergyBased):
    """Centred coupled learning: n1 = −β, n2 = β (Scellier et al. 2023)."""

    name, phases, holds_output = "c-cpl", (-1, 1), True


class ContrastiveLearning(EnergyBased):
    """Contrastive learning: n1 = 0, n2 = 1, the output is held at the target (Movellan 1991).

    Args:
        options: Options of the other energy-based methods, except ``beta``, which is 1.
    """

    name, phases, holds_output = "cl", (0, 1), True
    fixed = ("beta",)

    def __init__(self, **options: Any) -> None:
        super().__init__(beta=1.0, **options)
