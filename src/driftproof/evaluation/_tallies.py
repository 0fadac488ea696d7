"""Tallies of the built-in metrics: tensors that add up over batches, so that memory does not grow."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._errors import DriftproofError

IGNORED = -100
"""The target of a position that does not count, as in torch's cross entropy and in Hugging Face's models."""


_ENOUGH = 16
"""Samples of a batch from which it is no accident that all outputs lie between 0 and 1."""


def right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [samples whose largest output is their target, samples] of outputs [N, classes] and targets [N]."""
    return _counted(is_right(outputs, targets))


def is_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [N] bool: whether the largest output of a sample is its target.

    One output a sample, [N] or [N, 1], is the logit of class 1 of two: above 0 the answer is 1.
    """
    if outputs.dim() == 1 or (outputs.dim() == 2 and outputs.shape[1] == 1):
        return _is_right_of_two(outputs, targets)
    _check_classes("accuracy", outputs, targets, axes=1)
    return outputs.argmax(dim=1) == targets


def _is_right_of_two(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.numel() != targets.numel() or targets.shape not in (outputs.shape[:1], (len(outputs), 1)):
        raise DriftproofError(
            f"accuracy of one logit a sample, {tuple(outputs.shape)}, wants one target a sample, got "
            f"{tuple(targets.shape)}"
        )
    wanted = targets.flatten()
    if not bool(((wanted == 0) | (wanted == 1)).all()):
        raise DriftproofError(
            f"accuracy of one logit a sample wants targets 0 and 1, got {float(wanted.min()):g} to "
            f"{float(wanted.max()):g}. For numbers use mse; for other classes give a metric of your own"
        )
    if len(outputs) >= _ENOUGH and 0 <= float(outputs.min()) <= float(outputs.max()) <= 1:
        raise DriftproofError(
            "accuracy of one logit a sample: all outputs lie between 0 and 1, as probabilities do. Leave out the "
            "sigmoid at the end, so that a positive output means class 1, or give a metric of your own"
        )
    return (outputs.flatten() > 0) == (wanted == 1)


def right_in_five(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [samples whose target is among the five largest outputs, samples]; outputs [N, classes], targets [N]."""
    return _counted(is_in_five(outputs, targets))


def is_in_five(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [N] bool: whether the target of a sample is among its five largest outputs."""
    _check_classes("top5", outputs, targets, axes=1)
    if outputs.shape[1] < 6:
        raise DriftproofError(f"top5 wants at least 6 classes, got {outputs.shape[1]} outputs; use accuracy")
    return (outputs.topk(5, dim=1).indices == targets.unsqueeze(1)).any(dim=1)


def right_tokens(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [right positions, counted positions] of outputs [N, L, classes] and targets [N, L]; nothing is shifted."""
    _check_classes("token-accuracy", outputs, targets, axes=2)
    return _counted((outputs.argmax(dim=2) == targets)[targets != IGNORED])


def _counted(hits: Tensor) -> Tensor:
    return torch.tensor([int(hits.sum()), len(hits)])


def share(sums: Tensor) -> float:
    """Return 100 · right / counted, in percent.

    >>> share(torch.tensor([3, 4]))
    75.0
    """
    _check_counted(int(sums[1]))
    return 100.0 * int(sums[0]) / int(sums[1])


def next_tokens(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [Σ cross entropy in nats, tokens], where each token is predicted from those before it.

    Outputs are [N, L, vocabulary], and targets are the token ids [N, L] themselves. This function shifts them: position
    i of the outputs is compared with position i + 1 of the targets, as Hugging Face's causal language models do with
    ``labels``.
    """
    _check_classes("perplexity", outputs, targets, axes=2)
    if outputs.shape[1] < 2:
        raise DriftproofError("perplexity wants at least 2 tokens per sample: each is predicted from those before it")
    loss = F.cross_entropy(
        outputs[:, :-1].transpose(1, 2).float(), targets[:, 1:].long(), ignore_index=IGNORED, reduction="none"
    )
    return torch.tensor([float(loss.double().sum()), int((targets[:, 1:] != IGNORED).sum())], dtype=torch.float64)


def perplexity(sums: Tensor) -> float:
    """Return exp(mean cross entropy). A network that gives V tokens the same probability has V."""
    _check_counted(int(sums[1]))
    nats = float(sums[0] / sums[1])
    try:
        return math.exp(nats)
    except OverflowError:
        raise DriftproofError(
            f"perplexity: a mean cross entropy of {nats:.4g} nats is too large; the predictions of such a network "
            "are useless: look at its first cells, or choose a device with less noise"
        ) from None


def answers_by_class(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [3, classes] counts: right answers, targets, answers. They count samples, or positions [N, L]."""
    _check_classes("f1", outputs, targets, axes=2 if outputs.dim() == 3 else 1)
    counted = targets != IGNORED
    wanted, answered = targets[counted], outputs.argmax(dim=-1)[counted]
    kinds = (wanted[wanted == answered], wanted, answered)
    return torch.stack([torch.bincount(kind, minlength=outputs.shape[-1]) for kind in kinds]).cpu()


def macro_f1(counts: Tensor) -> float:
    """Return the mean over the classes among the targets of 2 · right / (targets + answers), in percent.

    A class that is answered but is never a target does not count, so that every chip is averaged over the same classes.
    scikit-learn agrees with ``labels=np.unique(targets)``; its default counts such a class with 0.

    >>> round(macro_f1(torch.tensor([[2, 1], [2, 2], [3, 1]])), 2)  # 4/5 and 2/3
    73.33
    """
    hits, wanted, answered = counts.double()
    _check_counted(int(wanted.sum()))
    return 100.0 * float((2 * hits / (wanted + answered))[wanted > 0].mean())


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [Σ (output − target)², count]. Outputs and targets have the same shape; nothing is broadcast."""
    gaps = _squared_gaps(outputs, targets)
    return torch.tensor([float(gaps.sum()), gaps.numel()], dtype=torch.float64)


def sample_squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [N]: the mean of (output − target)² over the outputs of each sample."""
    return _squared_gaps(outputs, targets).reshape(len(outputs), -1).mean(dim=1).float()


def _squared_gaps(outputs: Tensor, targets: Tensor) -> Tensor:
    if outputs.shape != targets.shape:
        raise DriftproofError(
            f"mse wants targets of the outputs' shape {tuple(outputs.shape)}, got {tuple(targets.shape)}"
        )
    return (outputs.double() - targets.double()).square()


def mean(sums: Tensor) -> float:
    """Return Σ / count."""
    return float(sums[0] / sums[1])


def _check_classes(name: str, outputs: Tensor, targets: Tensor, axes: int) -> None:
    """Raise DriftproofError unless targets are classes [N] or [N, L], and outputs have one number for each class.

    Targets [N, L] (``axes`` 2) may be −100 at positions that do not count.
    """
    if targets.dim() != axes or outputs.dim() != axes + 1 or outputs.shape[:-1] != targets.shape:
        wanted = f"[{len(targets)}, classes] and targets [N]" if axes == 1 else "[N, L, classes] and targets [N, L]"
        other = "; outputs [N, L, classes] are for token-accuracy, perplexity or f1" if outputs.dim() > axes + 1 else ""
        raise DriftproofError(
            f"{name} wants outputs of shape {wanted}, got {tuple(outputs.shape)} and {tuple(targets.shape)}{other}"
        )
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise DriftproofError(
            f"{name} wants one integer class per target, got targets {tuple(targets.shape)} {targets.dtype}"
        )
    classes, counted = outputs.shape[-1], targets if axes == 1 else targets[targets != IGNORED]
    low, high = (int(end) for end in counted.aminmax()) if counted.numel() else (0, 0)
    if classes < 2 or low < 0 or high >= classes:
        raise DriftproofError(
            f"{name} wants classes 0 to n - 1 of n outputs, at least 2 (accuracy also takes one logit); got {classes} "
            f"outputs and targets from {low} to {high}. Renumber the classes, or give the network that was trained for "
            "them"
        )


def _check_counted(number: int) -> None:
    if not number:
        raise DriftproofError(f"no target counts: all of them are {IGNORED}; give targets that are not ignored")
