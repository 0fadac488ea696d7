"""Run a network over data and measure its outputs, sample by sample where the metric can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from driftproof._errors import DriftproofError, foreign_code
from driftproof._inputs import Inputs, count, describe, to_device
from driftproof._outputs import main_output
from driftproof._record import PerSample, value_of
from driftproof.data import Data
from driftproof.evaluation._metrics import Metric, check_value

Network = Callable[[Inputs, Sequence[int]], Any]
"""A function that takes inputs and their indices in the data, and returns the network's outputs."""


class Score(NamedTuple):
    """The value of a metric, and one entry per sample (None if the metric has no such entries)."""

    value: float
    per_sample: PerSample | None


def score(
    metric: Metric,
    network: Network,
    data: Data,
    batch_size: int,
    torch_device: torch.device,
    what: str,
    indices: Sequence[int] | None = None,
    watch: Callable[[Any, Tensor], None] | None = None,
) -> Score:
    """Return the metric of a network over data, computed batch by batch.

    Args:
        metric: The metric. It sees the outputs that it chooses (:meth:`Metric.chosen`).
        network: A function of inputs [N, …] and their indices in the data that returns outputs.
        data: The samples, with targets as the metric needs them.
        batch_size: Number of samples in a forward pass.
        torch_device: The torch device of the network.
        what: Name of this measurement in error messages.
        indices: Indices of the samples of ``data`` (default: 0 to N − 1).
        watch: A function that sees the outputs of the metric and the targets of every batch (default: none).

    Raises:
        DriftproofError: The network fails; an output is NaN or infinite; the metric does not take the outputs and
            targets; the value is not a finite number.
    """
    indices = range(len(data)) if indices is None else indices
    total: Any = None
    gathered: list[Tensor] = []
    sizes: set[int] = set()
    first = 0
    try:
        for inputs, targets in data.batches(batch_size):
            if not isinstance(targets, Tensor):
                raise DriftproofError(
                    f"targets came as {type(targets).__name__}; wanted a tensor with one entry per sample along axis 0"
                )
            inputs, targets = to_device(inputs, torch_device), targets.to(torch_device)
            with foreign_code(f"the network fails on inputs {describe(inputs)}:"):
                returned = network(inputs, indices[first : first + count(inputs)])
            outputs = metric.chosen(returned, targets)
            if metric.per_sample is not None:
                gathered.append(_entries(metric, metric.per_sample, outputs, targets))
            if metric.one_size:
                sizes.add(main_output(outputs).shape[1:].numel())
            if metric.per_sample is None or metric.one_size:
                tally = metric.tally(outputs, targets)
                total = tally if total is None else total + tally
            _check_finite(main_output(outputs), len(targets))
            if watch is not None:
                watch(outputs, targets)
            first += count(inputs)
        if gathered and len(sizes) <= 1:
            joined = torch.cat(gathered)
            entries = (joined if joined.dtype == torch.bool else joined.float()).numpy()
            return Score(check_value(value_of(entries), metric), np.ascontiguousarray(entries))
        return Score(check_value(metric.value(total), metric), None)
    except DriftproofError as error:
        raise DriftproofError(f"{what}: {error}") from error


def _entries(metric: Metric, per_sample: Callable[[Any, Tensor], Tensor], outputs: Any, targets: Tensor) -> Tensor:
    """Return a metric's entries for the samples of one batch, [N], on the CPU."""
    shapes = f"outputs {tuple(main_output(outputs).shape)} and targets {tuple(targets.shape)}"
    with foreign_code(f"metric {metric.name}: wanted one entry per sample of {shapes}, got"):
        entries = torch.as_tensor(per_sample(outputs, targets))
    if entries.shape != targets.shape[:1]:
        raise DriftproofError(
            f"metric {metric.name}: wanted one entry per sample, [{len(targets)}], got {list(entries.shape)}"
        )
    if (entries.dtype == torch.bool) != metric.quantity.percent:
        raise DriftproofError(
            f"metric {metric.name}: entries per sample came as {entries.dtype}; wanted bool for a percentage, numbers "
            "for any other metric"
        )
    return entries.cpu()


def _check_finite(outputs: Tensor, samples: int) -> None:
    finite = torch.isfinite(outputs)
    if not bool(finite.all()):
        bad = int((~finite).reshape(len(outputs), -1).any(dim=1).sum()) if outputs.dim() else samples
        raise DriftproofError(
            f"the outputs of {bad} of {samples} samples are NaN or infinite. Look for weights or "
            "inputs that are too large; finished cells are kept in the record"
        )
