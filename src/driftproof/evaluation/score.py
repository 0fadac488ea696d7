"""Run a network over data and count: accuracy in percent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from driftproof.data import Data
from driftproof.errors import DriftproofError

METRIC = "accuracy"


def accuracy(
    network: Callable[[Tensor, int], Tensor], data: Data, batch_size: int, device: torch.device, what: str
) -> float:
    """Return the share of samples whose largest output is their target, in percent.

    Args:
        network: inputs [N, …] and the number of the first of them in the data → outputs [N, classes].
        data: with integer targets [N].
        batch_size: samples per forward pass.
        device: where the network is.
        what: the name of this measurement in an error.

    Raises:
        DriftproofError: outputs that are NaN or infinite, or not [N, classes]; targets that are no classes.
    """
    right, first = torch.zeros((), dtype=torch.int64, device=device), 0
    for inputs, targets in data.batches(batch_size):
        inputs, targets = inputs.to(device), targets.to(device)
        try:
            outputs = network(inputs, first)
        except DriftproofError:
            raise
        except Exception as error:  # whatever a network's own code raises
            raise DriftproofError(
                f"{what}: the network fails on inputs of shape {tuple(inputs.shape)}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(outputs, Tensor) or outputs.dim() != 2 or len(outputs) != len(targets):
            shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise DriftproofError(f"{what}: accuracy wants outputs of shape [{len(targets)}, classes], got {shape}")
        if targets.dim() != 1 or targets.is_floating_point() or targets.dtype == torch.bool:
            raise DriftproofError(
                f"{what}: accuracy wants one integer class per sample, "
                f"got targets {tuple(targets.shape)} {targets.dtype}"
            )
        classes = outputs.shape[1]
        if classes < 2 or int(targets.min()) < 0 or int(targets.max()) >= classes:
            raise DriftproofError(
                f"{what}: accuracy wants classes 0 to n - 1 of n outputs, at least 2; got {classes} outputs and "
                f"targets from {int(targets.min())} to {int(targets.max())}. Renumber the classes, or give the "
                "network that was trained for them"
            )
        if not bool(torch.isfinite(outputs).all()):
            bad = int((~torch.isfinite(outputs)).any(dim=1).sum())
            raise DriftproofError(
                f"{what}: the outputs of {bad} of {len(targets)} samples are NaN or infinite. Look for weights or "
                "inputs that are too large; finished cells are kept in the record"
            )
        right += (outputs.argmax(dim=1) == targets).sum()
        first += len(inputs)
    return 100.0 * int(right) / len(data)
