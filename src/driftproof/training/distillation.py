"""Distillation: the noisy network learns the outputs of the digital one, not the labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from driftproof.errors import DriftproofError
from driftproof.keywords import ChecksKeywords


@dataclass(frozen=True, kw_only=True)
class Distillation(ChecksKeywords):
    """(1 − λ) loss + λ T² KL(teacher ‖ network), both softened by the temperature T (Hinton, Vinyals & Dean 2015).

    Attributes:
        weight: λ, in (0, 1].
        temperature: T.
        teacher: the digital network; the one that training starts from unless said.
    """

    weight: float = 0.7
    temperature: float = 4.0
    teacher: nn.Module | None = None

    def __post_init__(self) -> None:
        """Refuse what is no weight or no temperature."""
        if not 0 < self.weight <= 1 or not (math.isfinite(self.temperature) and self.temperature > 0):
            raise DriftproofError(
                f"distillation: wanted a weight in (0, 1] and a temperature above 0, got {self.weight!r} and "
                f"{self.temperature!r}"
            )

    def __str__(self) -> str:
        return f"{self.weight:g} at temperature {self.temperature:g}"

    def loss(self, loss: Tensor, outputs: Tensor, teacher: Tensor) -> Tensor:
        """Return the mixed loss.

        Args:
            loss: of the labels.
            outputs: logits [..., classes].
            teacher: the teacher's logits, the same shape.

        >>> same = torch.tensor([[1.0, 2.0]])
        >>> round(float(Distillation(weight=0.5).loss(torch.tensor(2.0), same, same)), 6)
        1.0
        """
        t = self.temperature
        mine = F.log_softmax(outputs.float().flatten(0, -2) / t, dim=1)
        theirs = F.log_softmax(teacher.float().flatten(0, -2) / t, dim=1)
        divergence = F.kl_div(mine, theirs, log_target=True, reduction="batchmean")
        return (1 - self.weight) * loss + self.weight * t * t * divergence


@torch.no_grad()
def freeze(network: nn.Module) -> nn.Module:
    """Return a network in eval mode whose parameters take no gradient."""
    return network.eval().requires_grad_(False)
