"""Run a network over data and measure its outputs, sample by sample where the metric can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from driftproof.data import Data
from driftproof.errors import DriftproofError
from driftproof.evaluation.metrics import Metric, check_value
from driftproof.inputs import Inputs, count, describe, main_output, to_device
from driftproof.record import PerSample, value_of

Network = Callable[[Inputs, Sequence[int]], Any]
"""Inputs and their numbers in the data → whatever the network returns."""


class Score(NamedTuple):
    """A metric, and its entry per sample if it has such."""

    value: float
    per_sample: PerSample | None


def score(
    metric: Metric,
    network: Network,
    data: Data,
    batch_size: int,
    device: torch.device,
    what: str,
    numbers: Sequence[int] | None = None,
) -> Score:
    """Return a metric of a network over all data, batch by batch.

    Args:
        metric: what is measured of its main output: the tensor it returns, or the ``logits``, or the first tensor.
        network: inputs [N, …] and their numbers → outputs.
        data: with targets as the metric wants them.
        batch_size: samples per forward pass.
        device: where the network is.
        what: the name of this measurement in an error.
        numbers: of the samples of ``data``; 0 to N − 1 unless given.

    Raises:
        DriftproofError: a network that fails; outputs that are NaN or infinite; outputs or targets that are not what
            the metric wants; a value that is no finite number.
    """
    numbers = range(len(data)) if numbers is None else numbers
    gathered, first = _Gathered(metric), 0
    for inputs, targets in data.batches(batch_size):
        inputs, targets = to_device(inputs, device), _on(targets, device, what)
        try:
            returned = network(inputs, numbers[first : first + count(inputs)])
        except DriftproofError:
            raise
        except Exception as error:  # whatever a network's own code raises
            raise DriftproofError(
                f"{what}: the network fails on inputs {describe(inputs)}: {type(error).__name__}: {error}"
            ) from error
        try:
            outputs = main_output(returned)
            gathered.add(outputs, targets)
            _check_finite(outputs, len(targets))
        except DriftproofError as error:
            raise DriftproofError(f"{what}: {error}") from error
        first += count(inputs)
    try:
        return gathered.score()
    except DriftproofError as error:
        raise DriftproofError(f"{what}: {error}") from error


class _Gathered:
    """What a metric has of the batches so far: entries per sample, or a tally if it has none."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.total: Any = None
        self.entries: list[Tensor] = []
        self.sizes: set[int] = set()

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Take one more batch."""
        if self.metric.per_sample is None:
            self._tally(outputs, targets)
            return
        try:
            entries = torch.as_tensor(self.metric.per_sample(outputs, targets))
        except DriftproofError:
            raise
        except Exception as error:  # whatever a user's own code raises, or returns
            raise DriftproofError(
                f"metric {self.metric.name}: wanted one entry per sample of outputs {tuple(outputs.shape)} and targets "
                f"{tuple(targets.shape)}, got {type(error).__name__}: {error}"
            ) from error
        if entries.shape != targets.shape[:1]:
            raise DriftproofError(
                f"metric {self.metric.name}: wanted one entry per sample, [{len(targets)}], got {list(entries.shape)}"
            )
        if (entries.dtype == torch.bool) != self.metric.quantity.percent:
            raise DriftproofError(
                f"metric {self.metric.name}: entries per sample came as {entries.dtype}; wanted bool of a percentage, "
                "numbers of anything else"
            )
        self.entries.append(entries.cpu())
        if self.metric.one_size:
            self.sizes.add(outputs[0].numel())
            self._tally(outputs, targets)

    def _tally(self, outputs: Tensor, targets: Tensor) -> None:
        tally = self.metric.tally(outputs, targets)
        self.total = tally if self.total is None else self.total + tally

    def score(self) -> Score:
        """Return the value over all batches."""
        metric = self.metric
        if self.entries and len(self.sizes) <= 1:
            joined = torch.cat(self.entries)
            entries = (joined if joined.dtype == torch.bool else joined.float()).numpy()
            return Score(check_value(value_of(entries), metric), np.ascontiguousarray(entries))
        return Score(check_value(metric.value(self.total), metric), None)


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
