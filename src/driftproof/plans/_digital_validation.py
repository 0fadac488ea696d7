"""Validation of the digital network: one number that a training computes after every epoch, without a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from driftproof._defaults import BATCH_SIZE, METRIC
from driftproof._inputs import call_on_copies
from driftproof._keywords import ChecksKeywords
from driftproof.data import Data
from driftproof.data._adapters import as_data
from driftproof.data._batched import hold
from driftproof.evaluation import Metric
from driftproof.evaluation._metrics import Function, as_metric
from driftproof.evaluation._score import score


@dataclass(kw_only=True)
class DigitalValidation(ChecksKeywords):
    """The metric of the network itself, with exact weights.

    Attributes:
        data: Samples to validate on. Use others than those of the training and of the report.
        metric: Metric, as :func:`driftproof.evaluate` takes it.
        batch_size: Number of samples in a forward pass (default: 250).

    >>> from driftproof.data import digits
    >>> from driftproof.zoo import trained_digits_cnn
    >>> DigitalValidation(data=digits().head(100))(trained_digits_cnn()) > 90
    True
    """

    data: Data | Any
    metric: str | Metric | Function = METRIC
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        """Read the data and the metric."""
        self.data = hold(as_data(self.data))
        self.measured = as_metric(self.metric)

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher metric is better."""
        return self.measured.quantity.sign > 0

    def __call__(self, model: nn.Module) -> float:
        """Return the metric of a network in eval mode."""
        where = next(model.parameters()).device
        whole = score(
            self.measured, lambda x, _: call_on_copies(model, x), self.data, self.batch_size, where, "the validation"
        )
        return whole.value

    def describe(self) -> dict[str, str]:
        """Return everything that the number depends on, as text. Equal descriptions give comparable numbers."""
        return {
            "metric": self.measured.name,
            "data": f"{self.data.name}, {len(self.data)} samples, {self.data.fingerprint()}",
        }
