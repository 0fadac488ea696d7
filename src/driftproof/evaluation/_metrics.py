"""Metrics: functions of outputs and targets that return one number. They are built-in or given by the user."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from driftproof._errors import DriftproofError, foreign_code
from driftproof._old_paths import old_attribute
from driftproof._outputs import chosen_output, joined, main_output, on_tensors, several
from driftproof._record import QUANTITIES, Quantity, quantity_of
from driftproof._record.outcome import FLIPPED, ROUNDING
from driftproof.data._user_file import is_user_file, user_object
from driftproof.evaluation import _tallies as tallies

ALIASES = {"top-5": "top5"}

type Function = Callable[[Any, Tensor], Any]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that is computed from a network's outputs and its targets.

    Attributes:
        quantity: Name, unit and range of the metric, and whether a higher value is better.
        tally: Function of the outputs [N, …] and targets [N, …] of one batch. Its results add up with ``+`` over
            batches. Outputs are the tensor that the network returns, its ``logits``, or the only one of its tensors
            that fits; see :meth:`chosen`.
        value: Function of the sum of all tallies that returns the metric.
        tolerance: Function of a value and the number of samples. It returns the largest difference that rounding can
            cause when the same network is measured again, for example with another batch size.
        per_sample: Function of the outputs and targets of one batch that returns one entry per sample, [N]: bool if the
            metric is the share of True in percent, numbers if it is the mean of these numbers. None if it is neither;
            a record then cannot say which samples were right, and more samples cannot be added to a cell.
        one_size: Whether ``per_sample`` may be used only if all samples have the same number of outputs. Otherwise the
            mean over samples differs from the metric.
        margin: Function of the outputs and targets of one batch that returns how far each sample is from another entry,
            [N]. None if that is not known.

    >>> import torch
    >>> METRICS["accuracy"](torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    50.0
    """

    quantity: Quantity
    tally: Callable[[Tensor, Tensor], Any]
    value: Callable[[Any], float]
    tolerance: Callable[[float, int], float]
    per_sample: Callable[[Tensor, Tensor], Tensor] | None = None
    one_size: bool = False
    margin: Callable[[Tensor, Tensor], Tensor] | None = None

    slack, own = old_attribute("tolerance"), old_attribute("custom_quantity")

    @property
    def name(self) -> str:
        """The name of the metric in records."""
        return self.quantity.name

    @property
    def custom_quantity(self) -> Quantity | None:
        """The quantity, which a record must keep. None for built-in metrics."""
        return None if self.quantity == QUANTITIES.get(self.name) else self.quantity

    def chosen(self, returned: Any, targets: Tensor) -> Any:
        """Return what the metric sees of a network's outputs.

        It is the tensor that the network returns, or ``logits``, or the only tensor that the metric takes with these
        targets. A metric of the user's own gets all outputs if there are several.

        Raises:
            DriftproofError: A built-in metric takes several of the tensors, or none of them.
        """
        own = self.custom_quantity is not None
        output = chosen_output(returned, len(targets), (lambda _: True) if own else partial(self._takes, targets))
        if output is not None or own:
            return returned if output is None else output
        raise DriftproofError(
            f"the network returns {several(returned)}: which one {self.name} is about is not clear. Call it logits, "
            "return it alone (a wrapper network), or give a metric of your own, which gets all of them"
        )

    def _takes(self, targets: Tensor, outputs: Tensor) -> bool:
        try:
            (self.per_sample or self.tally)(outputs, targets)
        except DriftproofError:
            return False
        return True

    def __call__(self, outputs: Any, targets: Tensor) -> float:
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
            function: Function of the outputs [N, …] and targets [N, …] on the CPU that returns a number. All batches
                are held until the end. Of a network that returns several tensors it gets ``logits`` or ``out``; if
                there is neither, it gets all, in the form in which the network returns them.
            name: Name in the record (default: the name of the function).
            words: Name in the report (default: ``name``).
            higher_is_better: Whether a higher value is better.
            percent: Whether values are percentages, 0 to 100.
            lowest: The lowest possible value, or None.
            per_sample: Function of the outputs and targets of a batch that returns [N], one entry per sample whose
                mean is the metric: bool if ``percent``, else a number. Records then keep the entries, and ``function``
                is not called.

        Raises:
            DriftproofError: There is no name, or it is the name of a built-in metric. Later: the function fails or does
                not return a finite number, or the outputs of different batches have different shapes per sample.

        >>> import torch
        >>> error = Metric.of(lambda y, t: float((y - t).abs().mean()), name="mae", higher_is_better=False, lowest=0)
        >>> error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
        1.0
        """
        name = name or getattr(function, "__name__", type(function).__name__)
        if name in {*QUANTITIES, *ALIASES, "<lambda>"}:
            raise DriftproofError(
                f"metric {name!r}: wanted another name, which a record can keep; "
                "give one: Metric.of(function, name='mine')"
            )
        quantity = Quantity(name=name, words=words, percent=percent, higher_is_better=higher_is_better, lowest=lowest)
        value = partial(_apply, function, name)
        return cls(quantity=quantity, tally=_held, value=value, tolerance=_tolerance_of_function, per_sample=per_sample)


def _apply(function: Function, name: str, held: list[tuple[Any, Tensor]]) -> float:
    """Return a user's function of all outputs and targets."""
    try:
        outputs, targets = (joined(parts) for parts in zip(*held, strict=True))
    except RuntimeError as error:
        shapes = sorted({tuple(main_output(part).shape[1:]) for part, _ in held})
        raise DriftproofError(
            f"metric {name}: the outputs of different batches have different shapes per sample ({shapes}) and cannot "
            "be concatenated; pad the inputs to one length"
        ) from error
    given = f"outputs {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"outputs, {several(outputs)},"
    shapes_of_both = f"{given} and targets {tuple(targets.shape)}"
    with foreign_code(f"metric {name}: wanted a number of {shapes_of_both}, got"):
        return float(function(outputs, targets))


def _held(outputs: Any, targets: Tensor) -> list[tuple[Any, Tensor]]:
    return [(on_tensors(Tensor.cpu, outputs), targets.cpu())]


def _tolerance_of_share(_: float, samples: int) -> float:
    """Return one sample, or 1/2000 of the samples if that is more, in percent."""
    return 100.0 * max(1.0, FLIPPED * samples) / samples


def _tolerance_of_f1(value: float, samples: int) -> float:
    """Return the tolerance of the macro F1 score, in percent.

    A changed answer affects two of K classes, each by up to 2 / class size: 4 / N of the mean for classes of equal
    size.
    """
    return 4 * _tolerance_of_share(value, samples)


def _relative_tolerance(value: float, _: int) -> float:
    """Return 1/1000 of the value, for metrics that do not count answers."""
    return ROUNDING * abs(value)


def _tolerance_of_function(value: float, samples: int) -> float:
    """Return the tolerance of F1 relative to the value: how much a changed answer affects the function is not known."""
    return max(4 * max(1.0, FLIPPED * samples) / samples * abs(value), 1e-9)


def _known(name: str, tally: Any, value: Any, tolerance: Callable[[float, int], float], **more: Any) -> Metric:
    return Metric(quantity=quantity_of(name), tally=tally, value=value, tolerance=tolerance, **more)


METRICS = {
    metric.name: metric
    for metric in (
        _known(
            "accuracy",
            tallies.right,
            tallies.share,
            _tolerance_of_share,
            per_sample=tallies.is_right,
            margin=tallies.margin,
        ),
        _known(
            "top5",
            tallies.right_in_five,
            tallies.share,
            _tolerance_of_share,
            per_sample=tallies.is_in_five,
            margin=tallies.margin_in_five,
        ),
        _known("token-accuracy", tallies.right_tokens, tallies.share, _tolerance_of_share),
        _known("f1", tallies.answers_by_class, tallies.macro_f1, _tolerance_of_f1),
        _known("perplexity", tallies.next_tokens, tallies.perplexity, _relative_tolerance),
        _known(
            "mse", tallies.squares, tallies.mean, _relative_tolerance, per_sample=tallies.sample_squares, one_size=True
        ),
    )
}
"""The built-in metrics by name."""


def as_metric(given: str | Metric | Function) -> Metric:
    """Return a metric by its name, ``file.py:callable``, or a function of (outputs, targets).

    Raises:
        DriftproofError: The name is unknown, the file has no such callable, or the metric is of another type.

    >>> as_metric("top-5").name
    'top5'
    """
    if isinstance(given, str) and is_user_file(given):
        name, loaded = user_object(given)
        given = loaded if isinstance(loaded, Metric) else Metric.of(loaded, name=name)
    if isinstance(given, Metric):
        if given.name in METRICS and given != METRICS[given.name]:
            raise DriftproofError(f"metric {given.name!r}: this is the name of a built-in metric; choose another name")
        return given
    if isinstance(given, str):
        name = ALIASES.get(given, given)
        quantity_of(name)
        return METRICS[name]
    if callable(given):
        return Metric.of(given)
    raise DriftproofError(
        f"the metric is of type {type(given).__name__}; wanted a function of (outputs, targets), or "
        f"one of {', '.join(METRICS)}"
    )


def check_value(value: float, metric: Metric) -> float:
    """Return the value if it is a finite number within the metric's range.

    Raises:
        DriftproofError: The value is NaN, infinite, or outside the range.
    """
    low, high = metric.quantity.ends
    if not math.isfinite(value) or not low - 1e-6 <= value <= high + 1e-6:
        within = f" from {low:g} to {high:g}" if math.isfinite(low) or math.isfinite(high) else ""
        raise DriftproofError(f"metric {metric.name} is {value}; wanted a finite number{within}")
    return value
