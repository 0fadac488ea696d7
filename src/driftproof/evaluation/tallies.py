"""What the metrics known by name count in a batch: tensors that add up over batches, so that memory does not grow."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof.errors import DriftproofError

IGNORED = -100
"""The target of a position that does not count, as in torch's cross entropy and at Hugging Face."""


def right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [samples whose largest output is their target, samples] of outputs [N, classes] and targets [N]."""
    return _counted(is_right(outputs, targets))


def is_right(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [N] bool: whether the largest output of a sample is its target."""
    _check_samples("accuracy", outputs, targets)
    return outputs.argmax(dim=1) == targets


def right_in_five(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [samples whose target is among the five largest outputs, samples]; outputs [N, classes], targets [N]."""
    return _counted(is_in_five(outputs, targets))


def is_in_five(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [N] bool: whether the target of a sample is among its five largest outputs."""
    _check_samples("top5", outputs, targets)
    if outputs.shape[1] < 6:
        raise DriftproofError(f"top5 wants at least 6 classes, got {outputs.shape[1]} outputs; use accuracy")
    return (outputs.topk(5, dim=1).indices == targets.unsqueeze(1)).any(dim=1)


def _counted(hits: Tensor) -> Tensor:
    return torch.tensor([int(hits.sum()), len(hits)])


def right_tokens(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [right, counted] positions of outputs [N, L, classes] and targets [N, L]; nothing is shifted."""
    _check_tokens("token-accuracy", "classes", outputs, targets)
    counted = targets != IGNORED
    return torch.tensor([int(((outputs.argmax(dim=2) == targets) & counted).sum()), int(counted.sum())])


def share(sums: Tensor) -> float:
    """Return 100 · right / counted, in percent.

    >>> share(torch.tensor([3, 4]))
    75.0
    """
    _check_counted(int(sums[1]))
    return 100.0 * int(sums[0]) / int(sums[1])


def next_tokens(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [Σ cross entropy in nats, tokens], each token predicted from those before it.

    Outputs are [N, L, vocabulary], targets the token ids [N, L] themselves: the shift is made here, position i of the
    outputs against position i + 1 of the targets, as Hugging Face's causal language models do with ``labels``.
    """
    _check_tokens("perplexity", "vocabulary", outputs, targets)
    if outputs.shape[1] < 2:
        raise DriftproofError("perplexity wants at least 2 tokens a sample: each is predicted from those before it")
    loss = F.cross_entropy(
        outputs[:, :-1].transpose(1, 2).float(), targets[:, 1:].long(), ignore_index=IGNORED, reduction="none"
    )
    return torch.tensor([float(loss.double().sum()), int((targets[:, 1:] != IGNORED).sum())], dtype=torch.float64)


def perplexity(sums: Tensor) -> float:
    """Return exp(mean cross entropy): of V equally likely tokens, V."""
    _check_counted(int(sums[1]))
    nats = float(sums[0] / sums[1])
    try:
        return math.exp(nats)
    except OverflowError:
        raise DriftproofError(
            f"perplexity: a mean cross entropy of {nats:.4g} nats is too large for a number; such a network predicts "
            "nothing: look at its first cells, or choose a gentler device"
        ) from None


def answers_by_class(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [3, classes] counts: right answers, targets, answers; of samples, or of positions as in token-accuracy."""
    if outputs.dim() == 3:
        _check_tokens("f1", "classes", outputs, targets)
    else:
        _check_samples("f1", outputs, targets)
    counted = targets != IGNORED
    wanted, said = targets[counted], outputs.argmax(dim=-1)[counted]
    kinds = (wanted[wanted == said], wanted, said)
    return torch.stack([torch.bincount(kind, minlength=outputs.shape[-1]) for kind in kinds]).cpu()


def macro_f1(counts: Tensor) -> float:
    """Return the mean over the classes among the targets of 2 · right / (targets + answers), in percent.

    A class that is answered but never a target does not enter, so that every chip is averaged over the same classes;
    scikit-learn's default adds it with 0, and agrees with ``labels=np.unique(targets)``.

    >>> round(macro_f1(torch.tensor([[2, 1], [2, 2], [3, 1]])), 2)  # 4/5 and 2/3
    73.33
    """
    hits, wanted, said = counts.double()
    _check_counted(int(wanted.sum()))
    return 100.0 * float((2 * hits / (wanted + said))[wanted > 0].mean())


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [Σ (output − target)², numbers]; both are of one shape, nothing is broadcast."""
    gaps = _squared_gaps(outputs, targets)
    return torch.tensor([float(gaps.sum()), gaps.numel()], dtype=torch.float64)


def squares_of_samples(outputs: Tensor, targets: Tensor) -> Tensor:
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


def _check_samples(name: str, outputs: Tensor, targets: Tensor) -> None:
    """Raise unless outputs are [N, classes] and targets [N] classes."""
    if outputs.dim() != 2 or len(outputs) != len(targets):
        raise DriftproofError(
            f"{name} wants outputs of shape [{len(targets)}, classes], got {tuple(outputs.shape)}{_other(outputs)}"
        )
    if targets.dim() != 1 or targets.is_floating_point() or targets.dtype == torch.bool:
        raise DriftproofError(
            f"{name} wants one integer class per sample, got targets {tuple(targets.shape)} {targets.dtype}"
        )
    _check_range(name, outputs.shape[1], targets)


def _check_tokens(name: str, what: str, outputs: Tensor, targets: Tensor) -> None:
    """Raise unless outputs are [N, L, classes] and targets [N, L] classes, or −100 for positions that do not count."""
    if outputs.dim() != 3 or targets.shape != outputs.shape[:2]:
        raise DriftproofError(
            f"{name} wants outputs of shape [N, L, {what}] and targets [N, L], got {tuple(outputs.shape)} and "
            f"{tuple(targets.shape)}"
        )
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise DriftproofError(f"{name} wants integer targets, got {targets.dtype}")
    _check_range(name, outputs.shape[2], targets[targets != IGNORED])


def _check_range(name: str, classes: int, targets: Tensor) -> None:
    low, high = (int(targets.min()), int(targets.max())) if targets.numel() else (0, 0)
    if classes < 2 or low < 0 or high >= classes:
        raise DriftproofError(
            f"{name} wants classes 0 to n - 1 of n outputs, at least 2; got {classes} outputs and "
            f"targets from {low} to {high}. Renumber the classes, or give the "
            "network that was trained for them"
        )


def _check_counted(number: int) -> None:
    if not number:
        raise DriftproofError(f"no target counts: all of them are {IGNORED}; give targets that are not ignored")


def _other(outputs: Tensor) -> str:
    return "; outputs [N, L, classes] are for token-accuracy, perplexity or f1" if outputs.dim() == 3 else ""
