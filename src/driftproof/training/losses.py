"""Losses by name, and a user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.inputs import main_output

type Loss = Callable[[Any, Tensor], Tensor]
"""What the network returns and the targets → a scalar."""


def cross_entropy(returned: Any, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits [..., classes] and classes [...]; targets of −100 do not count."""
    outputs = main_output(returned).float()
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def mse(returned: Any, targets: Tensor) -> Tensor:
    """Mean squared error of outputs and targets of one shape.

    Raises:
        DriftproofError: they have two: targets [N] of outputs [N, 1] would each be compared with all others.
    """
    outputs = main_output(returned).float()
    if outputs.shape != targets.shape:
        raise DriftproofError(
            f"loss mse: outputs have shape {list(outputs.shape)}, targets {list(targets.shape)}; wanted the same (of "
            "a network with one output, targets[:, None])"
        )
    return F.mse_loss(outputs, targets.float())


def causal(returned: Any, targets: Tensor) -> Tensor:
    """Cross-entropy of a causal language model's logits [N, L, vocabulary] and its token ids [N, L]."""
    outputs = main_output(returned).float()
    return F.cross_entropy(outputs[:, :-1].flatten(0, 1), targets[:, 1:].flatten())


LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "mse": mse, "causal": causal}


def as_loss(choice: str | Loss) -> tuple[str, Loss]:
    """Return a loss and its name.

    >>> as_loss("mse")[0]
    'mse'
    """
    if not isinstance(choice, str):
        return getattr(choice, "__name__", type(choice).__name__), choice
    if choice not in LOSSES:
        raise DriftproofError(f"loss {choice!r}{did_you_mean(choice, LOSSES)}: there are {', '.join(LOSSES)}")
    return choice, LOSSES[choice]
