"""Run a network over data and measure its outputs, sample by sample where the metric can."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
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
Networks = Callable[[Inputs, Sequence[int]], Sequence[Any]]
"""A function like :data:`Network` that returns the outputs of several networks."""


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

    Raises:
        DriftproofError: The network fails; an output is NaN or infinite; the metric does not take the outputs and
            targets; the value is not a finite number.
    """

    def alone(inputs: Inputs, samples: Sequence[int]) -> list[Any]:
        return [network(inputs, samples)]

    (only,) = scores(metric, alone, data, batch_size, torch_device, [what], indices)
    if isinstance(only, DriftproofError):
        raise only
    return only


def scores(
    metric: Metric,
    networks: Networks,
    data: Data,
    batch_size: int,
    torch_device: torch.device,
    names: Sequence[str],
    indices: Sequence[int] | None = None,
) -> list[Score | DriftproofError]:
    """Return the metric of several networks that compute each batch together. :func:`score` is that of one.

    Args:
        metric: The metric.
        networks: A function of inputs [N, …] and their indices in the data that returns the outputs of each network.
        data: The samples.
        batch_size: Number of samples in a forward pass.
        torch_device: The torch device of the networks.
        names: Name of each measurement in error messages.
        indices: Indices of the samples of ``data`` (default: 0 to N − 1).

    Returns:
        For each network its score, or the error that ended it. Where the common pass fails, that is each one's error.
    """
    indices = range(len(data)) if indices is None else indices
    tallies = [_Tally(metric) for _ in names]
    first = 0
    try:
        for inputs, targets in data.batches(batch_size):
            if not isinstance(targets, Tensor):
                raise DriftproofError(
                    f"targets came as {type(targets).__name__}; wanted a tensor with one entry per sample along axis 0"
                )
            inputs, targets = to_device(inputs, torch_device), targets.to(torch_device)
            number = count(inputs)
            with foreign_code(partial(_failing_on, inputs)):
                returned = networks(inputs, indices[first : first + number])
            for tally, outputs in zip(tallies, returned, strict=True):
                tally.add(outputs, targets)
            if all(tally.error for tally in tallies):
                break
            first += number
    except DriftproofError as error:
        for tally in tallies:
            tally.error = tally.error or error
    return [tally.result(name) for tally, name in zip(tallies, names, strict=True)]


def _failing_on(inputs: Inputs) -> str:
    return f"the network fails on inputs {describe(inputs)}:"


class _Tally:
    """What a metric saw of one network's outputs, batch after batch, and the first error."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.error: DriftproofError | None = None
        self._total: Any = None
        self._gathered: list[Tensor] = []
        self._sizes: set[int] = set()

    def add(self, returned: Any, targets: Tensor) -> None:
        """Add the outputs for one batch. After an error nothing is added."""
        if self.error is not None:
            return
        metric = self.metric
        try:
            outputs = metric.chosen(returned, targets)
            if metric.per_sample is not None:
                self._gathered.append(_entries(metric, metric.per_sample, outputs, targets))
            if metric.one_size:
                self._sizes.add(main_output(outputs).shape[1:].numel())
            if metric.per_sample is None or metric.one_size:
                tally = metric.tally(outputs, targets)
                self._total = tally if self._total is None else self._total + tally
            _check_finite(main_output(outputs), len(targets))
        except DriftproofError as error:
            self.error = error

    def result(self, name: str) -> Score | DriftproofError:
        """Return the score, or the error with the name of the measurement."""
        try:
            if self.error is not None:
                raise self.error
            return self._score()
        except DriftproofError as error:
            named = DriftproofError(f"{name}: {error}")
            named.__cause__ = error
            return named

    def _score(self) -> Score:
        if self._gathered and len(self._sizes) <= 1:
            joined = torch.cat(self._gathered)
            entries = (joined if joined.dtype == torch.bool else joined.float()).numpy()
            return Score(check_value(value_of(entries), self.metric), np.ascontiguousarray(entries))
        return Score(check_value(self.metric.value(self._total), self.metric), None)


def _entries(metric: Metric, per_sample: Callable[[Any, Tensor], Tensor], outputs: Any, targets: Tensor) -> Tensor:
    """Return a metric's entries for the samples of one batch, [N], on the CPU."""
    with foreign_code(partial(_wanting_entries, metric, outputs, targets)):
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


def _wanting_entries(metric: Metric, outputs: Any, targets: Tensor) -> str:
    shapes = f"outputs {tuple(main_output(outputs).shape)} and targets {tuple(targets.shape)}"
    return f"metric {metric.name}: wanted one entry per sample of {shapes}, got"


def _check_finite(outputs: Tensor, samples: int) -> None:
    # one sum instead of three passes: NaN and infinite outputs reach it. A sum that overflows is looked at again
    if outputs.is_floating_point() and math.isfinite(float(outputs.sum())):
        return
    finite = torch.isfinite(outputs)
    if not bool(finite.all()):
        bad = int((~finite).reshape(len(outputs), -1).any(dim=1).sum()) if outputs.dim() else samples
        raise DriftproofError(
            f"the outputs of {bad} of {samples} samples are NaN or infinite. Look for weights or "
            "inputs that are too large; finished cells are kept in the record"
        )
