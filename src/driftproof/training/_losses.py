"""Losses by name, or as functions; and distillation, which adds the outputs of a teacher to a loss."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from driftproof._errors import DriftproofError, check_choice
from driftproof._inputs import main_output
from driftproof._keywords import ChecksKeywords
from driftproof._mapping import unwrap

type Loss = Callable[[Any, Tensor], Tensor]
"""A function of the network's output and the targets that returns a scalar."""


def cross_entropy(returned: Any, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits [..., classes] and classes [...]; targets of −100 do not count."""
    outputs = main_output(returned).float()
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def mse(returned: Any, targets: Tensor) -> Tensor:
    """Return the mean squared error of outputs and targets, which have the same shape.

    Raises:
        DriftproofError: Different shapes. Each target [N] would be compared with every output [N, 1].
    """
    outputs = main_output(returned).float()
    if outputs.shape != targets.shape:
        raise DriftproofError(
            f"loss mse: outputs have shape {list(outputs.shape)}, targets {list(targets.shape)}; wanted the same "
            "(for a network with one output, targets[:, None])"
        )
    return F.mse_loss(outputs, targets.float())


def causal(returned: Any, targets: Tensor) -> Tensor:
    """Return the cross-entropy of a causal language model's logits [N, L, vocabulary] and its token ids [N, L]."""
    outputs = main_output(returned).float()
    return F.cross_entropy(outputs[:, :-1].flatten(0, 1), targets[:, 1:].flatten())


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "mse": mse, "causal": causal}


def as_loss(choice: str | Loss) -> tuple[str, Loss]:
    """Return the name of a loss, and the loss.

    Raises:
        DriftproofError: An unknown name.

    >>> as_loss("mse")[0]
    'mse'
    """
    if not isinstance(choice, str):
        return name_of(choice), choice
    check_choice("loss", choice, LOSSES)
    return choice, LOSSES[choice]


def name_of(function: object) -> str:
    """Return the name of a function, or of the class of an object that can be called."""
    return getattr(function, "__name__", type(function).__name__)


@dataclass(frozen=True, kw_only=True)
class Distillation(ChecksKeywords):
    """Distillation: the noisy network learns the outputs of the digital network as well as the labels.

    The loss is (1 − λ) loss + λ T² KL(teacher ‖ network), both softened by the temperature T (Hinton, Vinyals & Dean
    2015).

    Attributes:
        weight: Share λ of the divergence in the loss, in (0, 1] (default: 0.7).
        temperature: Temperature T, above 0 (default: 4).
        teacher: Digital network to learn from (default: the network that training starts from).

    Raises:
        DriftproofError: A weight or a temperature out of range.
    """

    weight: float = 0.7
    temperature: float = 4.0
    teacher: nn.Module | None = None

    def __post_init__(self) -> None:
        """Check weight and temperature."""
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
            loss: Loss of the labels, a scalar.
            outputs: Logits of the network [..., classes].
            teacher: Logits of the teacher, of the same shape.

        >>> import torch
        >>> same = torch.tensor([[1.0, 2.0]])
        >>> round(float(Distillation(weight=0.5).loss(torch.tensor(2.0), same, same)), 6)
        1.0
        """
        t = self.temperature
        mine = F.log_softmax(outputs.float().flatten(0, -2) / t, dim=1)
        theirs = F.log_softmax(teacher.float().flatten(0, -2) / t, dim=1)
        divergence = F.kl_div(mine, theirs, log_target=True, reduction="batchmean")
        return (1 - self.weight) * loss + self.weight * t * t * divergence

    def frozen_teacher(self, start: nn.Module) -> nn.Module:
        """Return a copy of the teacher, by default of the start network, in eval mode and without gradients."""
        return copy.deepcopy(unwrap(start if self.teacher is None else self.teacher)).eval().requires_grad_(False)
