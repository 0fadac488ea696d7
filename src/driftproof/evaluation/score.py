"""Run a network over data and measure its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from driftproof.data import Data
from driftproof.errors import DriftproofError
from driftproof.evaluation.metrics import Metric, check_value
from driftproof.inputs import Inputs, count, describe, main_output, to_device

Network = Callable[[Inputs, int], Any]
"""Inputs and the number of the first of them in the data → whatever the network returns."""


def score(metric: Metric, network: Network, data: Data, batch_size: int, device: torch.device, what: str) -> float:
    """Return a metric of a network over all data, batch by batch.

    Args:
        metric: what is measured of its main output: the tensor it returns, or the ``logits``, or the first tensor.
        network: inputs [N, …] and the number of the first of them in the data → outputs.
        data: with targets as the metric wants them.
        batch_size: samples per forward pass.
        device: where the network is.
        what: the name of this measurement in an error.

    Raises:
        DriftproofError: a network that fails; outputs that are NaN or infinite; outputs or targets that are not what
            the metric wants; a value that is no finite number.
    """
    total, first = None, 0
    for inputs, targets in data.batches(batch_size):
        inputs, targets = to_device(inputs, device), _on(targets, device, what)
        try:
            returned = network(inputs, first)
        except DriftproofError:
            raise
        except Exception as error:  # whatever a network's own code raises
            raise DriftproofError(
                f"{what}: the network fails on inputs {describe(inputs)}: {type(error).__name__}: {error}"
            ) from error
        try:
            outputs = main_output(returned)
            tally = metric.tally(outputs, targets)
            _check_finite(outputs, len(targets))
        except DriftproofError as error:
            raise DriftproofError(f"{what}: {error}") from error
        total = tally if total is None else total + tally
        first += count(inputs)
    try:
        return check_value(metric.value(total), metric)
    except DriftproofError as error:
        raise DriftproofError(f"{what}: {error}") from error


def _on(targets: Any, device: torch.device, what: str) -> Tensor:
    if not isinstance(targets, Tensor):
        raise DriftproofError(
            f"{what}: targets came as {type(targets).__name__}; wanted a tensor with one entry a sample along axis 0"
        )
    return targets.to(device)


def _check_finite(outputs: Tensor, samples: int) -> None:
    finite = torch.isfinite(outputs)
    if not bool(finite.all()):
        bad = int((~finite).reshape(len(outputs), -1).any(dim=1).sum()) if outputs.dim() else samples
        raise DriftproofError(
            f"the outputs of {bad} of {samples} samples are NaN or infinite. Look for weights or "
            "inputs that are too large; finished cells are kept in the record"
        )
