"""Metrics: outputs and targets → one number, by name or a function of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from driftproof.data.user_file import is_user_file, user_object
from driftproof.defaults import METRIC
from driftproof.errors import DriftproofError
from driftproof.evaluation import tallies
from driftproof.record import QUANTITIES, Quantity, quantity_of

DEFAULT_METRIC = METRIC
ALIASES = {"top-5": "top5"}
FLIPPED = 1 / 2000
"""Share of samples whose answer another batch size or number of threads may change: the last bit decides."""
ROUNDING = 1e-3
"""Relative change of a real-valued metric that rounding stays below, and another network does not."""

type Function = Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is measured of a network's outputs.

    Attributes:
        quantity: name, unit, range, and which end is good.
        tally: outputs and targets of one batch → what adds up with ``+`` over batches. Outputs are the network's main
            output (:func:`driftproof.inputs.main_output`).
        value: the sum of all tallies → the number.
        slack: a value and how many samples → how far the same network may be from it with another batch size.
        per_sample: outputs and targets of one batch → one entry per sample, [N]: bool if the metric is the share of
            True in percent, a number if it is the mean of these numbers. None if it is neither: then a record cannot
            say which samples were right, and a cell cannot be extended sample by sample.
        one_size: whether entries per sample only count if all samples have equally many outputs: of samples of several
            sizes, the mean over samples is not the metric.

    >>> METRICS["accuracy"](torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    50.0
    """

    quantity: Quantity
    tally: Callable[[Tensor, Tensor], Any]
    value: Callable[[Any], float]
    slack: Callable[[float, int], float]
    per_sample: Callable[[Tensor, Tensor], Tensor] | None = None
    one_size: bool = False

    @property
    def name(self) -> str:
        """How records call it."""
        return self.quantity.name

    @property
    def own(self) -> Quantity | None:
        """What a record must say of it because the name does not: nothing of those known by name."""
        return None if self.quantity == QUANTITIES.get(self.name) else self.quantity

    def __call__(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the metric of one batch."""
        return self.value(self.tally(outputs, targets))

    @classmethod
    def of(
        cls,
        function: Function,
        *,
        name: str = "",
        words: str = "",
        higher_is_better: bool = True,
        percent: bool = False,
        lowest: float | None = None,
        per_sample: Function | None = None,
    ) -> Metric:
        """Return the metric of a function of all outputs and all targets.

        Args:
            function: main outputs [N, …] and targets [N, …] on the CPU → a number. All batches are held until the end.
            name: in the record; the function's own unless said.
            words: what the report calls it; the name unless said.
            higher_is_better: whether 2 is better than 1.
            percent: whether values are percentages, 0 to 100.
            lowest: the lowest value that can occur, if there is one.
            per_sample: main outputs and targets of a batch → [N], one entry per sample whose mean is the metric: bool
                if ``percent``, else a number. Records then keep them, and ``function`` is not called.

        Raises:
            DriftproofError: no name, or that of a metric known by name; later: a function that fails or returns no
                finite number; batches whose outputs are of several shapes.

        >>> error = Metric.of(lambda y, t: float((y - t).abs().mean()), name="mae", higher_is_better=False, lowest=0)
        >>> error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
        1.0
        """
        name = name or getattr(function, "__name__", type(function).__name__)
        if name in {*QUANTITIES, *ALIASES, "<lambda>"}:
            raise DriftproofError(
                f"metric {name!r}: wanted a name of its own, which a record can keep; "
                "give one: Metric.of(function, name='mine')"
            )
        quantity = Quantity(name=name, words=words, percent=percent, higher_is_better=higher_is_better, lowest=lowest)
        return cls(
            quantity=quantity,
            tally=_held,
            value=_Applied(function, name),
            slack=_slack_of_own,
            per_sample=per_sample,
        )


@dataclass(frozen=True)
class _Applied:
    """A user's function on all that was held."""

    function: Function
    name: str

    def __call__(self, held: list[tuple[Tensor, Tensor]]) -> float:
        try:
            outputs, targets = (torch.cat(parts) for parts in zip(*held, strict=True))
        except RuntimeError as error:
            shapes = sorted({tuple(part.shape[1:]) for part, _ in held})
            raise DriftproofError(
                f"metric {self.name}: batches of outputs of several shapes a sample ({shapes}) cannot be put together; "
                "pad the inputs to one length"
            ) from error
        try:
            return float(self.function(outputs, targets))
        except DriftproofError:
            raise
        except Exception as error:  # whatever a user's own code raises, or returns
            raise DriftproofError(
                f"metric {self.name}: wanted a number of outputs {tuple(outputs.shape)} and targets "
                f"{tuple(targets.shape)}, got {type(error).__name__}: {error}"
            ) from error


def _held(outputs: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(outputs.cpu(), targets.cpu())]


def _slack_of_answers(_: float, samples: int) -> float:
    """One sample, or the share of them that may flip, in percent."""
    return 100.0 * max(1.0, FLIPPED * samples) / samples


def _slack_of_f1(value: float, samples: int) -> float:
    """A flipped answer changes two of K classes by up to 2 / size each; of classes of one size, 4 / N of the mean."""
    return 4 * _slack_of_answers(value, samples)


def _slack_of_numbers(value: float, _: int) -> float:
    return ROUNDING * abs(value)


def _slack_of_own(value: float, samples: int) -> float:
    """Answers may flip inside; how they enter is not known, so as in F1, of the value itself."""
    return max(4 * max(1.0, FLIPPED * samples) / samples * abs(value), 1e-9)


def _known(name: str, tally: Any, value: Any, slack: Callable[[float, int], float], **more: Any) -> Metric:
    return Metric(quantity=quantity_of(name), tally=tally, value=value, slack=slack, **more)


METRICS = {
    metric.name: metric
    for metric in (
        _known("accuracy", tallies.right, tallies.share, _slack_of_answers, per_sample=tallies.is_right),
        _known("top5", tallies.right_in_five, tallies.share, _slack_of_answers, per_sample=tallies.is_in_five),
        _known("token-accuracy", tallies.right_tokens, tallies.share, _slack_of_answers),
        _known("f1", tallies.answers_by_class, tallies.macro_f1, _slack_of_f1),
        _known("perplexity", tallies.next_tokens, tallies.perplexity, _slack_of_numbers),
        _known(
            "mse",
            tallies.squares,
            tallies.mean,
            _slack_of_numbers,
            per_sample=tallies.squares_of_samples,
            one_size=True,
        ),
    )
}
"""The metrics known by name."""


def as_metric(given: str | Metric | Function) -> Metric:
    """Return a metric by its name, ``file.py:callable``, or a function of (outputs, targets).

    Raises:
        DriftproofError: an unknown name; a file without that callable; what is none of these.

    >>> as_metric("top-5").name
    'top5'
    """
    if isinstance(given, str) and is_user_file(given):
        name, found = user_object(given)
        given = found if isinstance(found, Metric) else Metric.of(found, name=name)
    if isinstance(given, Metric):
        if given.name in METRICS and given != METRICS[given.name]:
            raise DriftproofError(f"metric {given.name!r}: the name stands for another one; choose a name of its own")
        return given
    if isinstance(given, str):
        name = ALIASES.get(given, given)
        quantity_of(name)
        return METRICS[name]
    if callable(given):
        return Metric.of(given)
    raise DriftproofError(
        f"metric came as {type(given).__name__}; wanted a function of (outputs, targets), or "
        f"one of {', '.join(METRICS)}"
    )


def check_value(value: float, metric: Metric) -> float:
    """Return a metric's value if it is one: a finite number within the metric's range.

    Raises:
        DriftproofError: NaN, infinite, or beyond an end.
    """
    low, high = metric.quantity.ends
    if not math.isfinite(value) or not low - 1e-6 <= value <= high + 1e-6:
        within = f" from {low:g} to {high:g}" if math.isfinite(low) or math.isfinite(high) else ""
        raise DriftproofError(f"metric {metric.name} is {value}; wanted a finite number{within}")
    return value
