"""Losses by name, or as functions; and distillation, which adds the outputs of a teacher to a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from driftproof._calls.copies import copied
from driftproof._defaults import LOSS
from driftproof._errors import DriftproofError, check_choice
from driftproof._keywords import ChecksKeywords
from driftproof._mapping import unwrap
from driftproof._outputs import chosen_output, several

type Loss = Callable[[Any, Tensor], Tensor]
"""A function of the network's output and the targets that returns a scalar."""
_ROUNDING = 1e-3
IGNORED = -100
"""Target that torch's cross-entropy does not count."""


def cross_entropy(returned: Any, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits and classes; targets of −100 do not count.

    Classes are integers of any width. They fit logits [..., classes], and logits [N, classes, ...] as torch's own
    cross-entropy takes them. Targets of the logits' shape are probabilities of the classes, or one-hot. One logit a
    sample, [N] or [N, 1], has two classes: its targets are 0, 1 or probabilities between (:func:`binary`).

    Raises:
        DriftproofError: Other shapes, classes that the network does not have, or shapes that fit in two ways.
    """
    outputs = _meant("cross-entropy", returned, targets, lambda part: _fits(part, targets))
    if outputs.dim() == 1 or (outputs.dim() == 2 and outputs.shape[1] == 1):
        return binary(outputs, targets)
    logits, targets = with_classes_last(outputs, targets), targets.to(outputs.device)
    if targets.shape == outputs.shape:
        probabilities = with_classes_last(targets, targets).float()
        return F.cross_entropy(logits.flatten(0, -2), probabilities.flatten(0, -2))
    _check_classes("cross-entropy", logits, targets)
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten().long())


def with_classes_last(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return logits as [..., classes], whatever axis the targets say that the classes are on.

    Raises:
        DriftproofError: Shapes that do not fit, or that fit in two ways.

    >>> with_classes_last(torch.zeros(2, 5, 8, 9), torch.zeros(2, 8, 9, dtype=torch.int64)).shape
    torch.Size([2, 8, 9, 5])
    """
    shapes = f"outputs of shape {list(outputs.shape)} and targets {list(targets.shape)} {_name(targets.dtype)}"
    last, second = outputs.shape[:-1] == targets.shape, (outputs.shape[:1] + outputs.shape[2:]) == targets.shape
    if targets.shape == outputs.shape:
        ones = [bool(((targets.double().sum(axis) - 1).abs() < _ROUNDING).all()) for axis in (-1, 1)]
        last, second = ones if outputs.dim() > 2 else (ones[0], False)
        if not last and not second:
            raise DriftproofError(
                f"loss cross-entropy: {shapes} of the same shape would be probabilities of classes, but they do not "
                "sum to 1; for several classes a sample use loss='binary', for other numbers loss='mse'"
            )
    if last and second and outputs.dim() > 2:
        raise DriftproofError(
            f"loss cross-entropy: {shapes} fit with the classes on axis 1 and on the last axis; give a loss of your own"
        )
    if not last and not second:
        raise DriftproofError(
            f"loss cross-entropy: {shapes} do not fit; wanted logits [..., classes] or [N, classes, ...] and one class "
            "for each, or probabilities of the logits' shape. Give loss='mse' or a loss of your own for another task"
        )
    return outputs if last else outputs.movedim(1, -1)


def _fits(outputs: Tensor, targets: Tensor) -> bool:
    """Return whether outputs could be the logits of some targets."""
    if not outputs.is_floating_point():
        return False
    try:
        with_classes_last(outputs, targets)
    except DriftproofError:
        return False
    return True


def _meant(loss: str, returned: Any, targets: Tensor, fits: Callable[[Tensor], bool]) -> Tensor:
    """Return the output that a loss is about, in single precision."""
    output = chosen_output(returned, len(targets), fits)
    if output is None:
        raise DriftproofError(
            f"loss {loss}: the network returns {several(returned)}, and which one is meant is not clear. Call it "
            "logits, or give a loss of your own, which gets all of them"
        )
    return output.float()


def _check_classes(loss: str, logits: Tensor, targets: Tensor, ignored: int | None = IGNORED) -> None:
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        others = "numbers of the outputs' shape" if ignored is None else "other numbers use loss='mse'"
        raise DriftproofError(
            f"loss {loss}: targets are {_name(targets.dtype)}, wanted integers, the number of each class; "
            f"{'or' if ignored is None else 'for'} {others}"
        )
    counted = targets if ignored is None else targets[targets != ignored]
    if counted.numel() and not 0 <= int(counted.min()) <= int(counted.max()) < logits.shape[-1]:
        ways = "" if ignored is None else f" ({ignored} does not count)"
        raise DriftproofError(
            f"loss {loss}: targets from {int(counted.min())} to {int(counted.max())}, but the network has "
            f"{logits.shape[-1]} classes, 0 to {logits.shape[-1] - 1}{ways}; renumber them, or "
            f"{'leave these samples out' if ignored is None else 'give a loss of your own that ignores some'}"
        )


def binary(returned: Any, targets: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of logits and targets in [0, 1], one for each logit.

    Targets may be booleans, integers or numbers. [N] and [N, 1] are taken as the same.

    Raises:
        DriftproofError: Other shapes, or targets outside [0, 1].

    >>> round(float(binary(torch.zeros(3, 1), torch.tensor([0, 1, 1]))), 4)
    0.6931
    """
    outputs = _meant("binary", returned, targets, lambda part: part.numel() == targets.numel())
    wanted = targets.to(outputs.device)
    column = {tuple(outputs.shape), tuple(wanted.shape)} == {(len(outputs),), (len(outputs), 1)}
    if not column and outputs.shape != wanted.shape:
        raise DriftproofError(
            f"loss binary: outputs of shape {list(outputs.shape)}, targets {list(targets.shape)}; wanted one target "
            "for each logit"
        )
    wanted = wanted.reshape(outputs.shape).float()
    if wanted.numel() and not bool(((wanted >= 0) & (wanted <= 1)).all()):
        raise DriftproofError(
            f"loss binary: one logit stands for two classes, so targets are 0, 1 or probabilities between; they are "
            f"from {float(wanted.min()):g} to {float(wanted.max()):g}"
        )
    return F.binary_cross_entropy_with_logits(outputs, wanted)


def mse(returned: Any, targets: Tensor) -> Tensor:
    """Return the mean squared error of outputs and targets, which have the same shape.

    Raises:
        DriftproofError: Different shapes. Each target [N] would be compared with every output [N, 1].
    """
    outputs = _meant("mse", returned, targets, lambda part: part.shape == targets.shape)
    if outputs.shape != targets.shape:
        raise DriftproofError(
            f"loss mse: outputs have shape {list(outputs.shape)}, targets {list(targets.shape)}; wanted the same "
            "(for a network with one output, targets[:, None])"
        )
    return F.mse_loss(outputs, targets.float())


def squared_error(returned: Any, targets: Tensor) -> Tensor:
    """Return the mean over samples of ½ ‖outputs − targets‖², the loss of energy-based methods.

    Targets are numbers of the outputs' shape, or classes [N] of outputs [N, classes], which are taken as one-hot.

    Raises:
        DriftproofError: Other shapes, or classes that the network does not have.

    >>> float(squared_error(torch.zeros(2, 3), torch.tensor([0, 2])))
    0.5
    """
    classes = targets.dim() == 1 and not targets.is_floating_point()
    fits = (lambda part: part.dim() == 2) if classes else (lambda part: part.shape == targets.shape)
    outputs = _meant("squared-error", returned, targets, fits)
    targets = targets.to(outputs.device)
    if classes and outputs.dim() == 2 and len(outputs) == len(targets):
        _check_classes("squared-error", outputs, targets, ignored=None)
        wanted = F.one_hot(targets.long(), outputs.shape[1])
    elif outputs.shape == targets.shape:
        wanted = targets
        if not bool(torch.isfinite(wanted).all()):
            raise DriftproofError("loss squared-error: some targets are not finite; remove or repair these samples")
    else:
        raise DriftproofError(
            f"loss squared-error: outputs have shape {list(outputs.shape)}, targets {list(targets.shape)}; wanted the "
            "same, or outputs [N, classes] and the class of each sample, [N]"
        )
    return (outputs - wanted.float()).square().sum() / (2 * len(outputs))


def causal(returned: Any, targets: Tensor) -> Tensor:
    """Return the cross-entropy of a causal language model's logits [N, L, vocabulary] and its token ids [N, L].

    Raises:
        DriftproofError: Other shapes, or ids that the network does not have.
    """
    outputs = _meant("causal", returned, targets, lambda part: part.dim() == 3 and part.shape[:2] == targets.shape)
    if outputs.dim() != 3 or outputs.shape[:2] != targets.shape:
        raise DriftproofError(
            f"loss causal: outputs of shape {list(outputs.shape)}, targets {list(targets.shape)}; wanted logits "
            "[N, L, vocabulary] and token ids [N, L]"
        )
    _check_classes("causal", outputs, targets)
    return F.cross_entropy(outputs[:, :-1].flatten(0, 1), targets[:, 1:].flatten().long())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


LOSSES: dict[str, Loss] = {
    "cross-entropy": cross_entropy,
    "binary": binary,
    "mse": mse,
    "squared-error": squared_error,
    "causal": causal,
}


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


def usual_loss(network: nn.Module) -> str:
    """Return the name of the loss that a network is trained with unless another one is asked for.

    It is ``squared-error`` for Hopfield networks, which say so in ``usual_loss``, else ``cross-entropy``.

    >>> usual_loss(nn.Linear(3, 2))
    'cross-entropy'
    """
    return getattr(network, "usual_loss", LOSS)


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
        return copied(unwrap(start if self.teacher is None else self.teacher)).eval().requires_grad_(False)
