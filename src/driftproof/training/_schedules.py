"""The strength of the perturbation at each update: constant, a ramp, random, or adaptive.

An adaptive strength grows while the gradient does not collapse.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, SupportsFloat, final, get_args

import torch

from driftproof._devices import generator
from driftproof._errors import DriftproofError, check_choice
from driftproof._keywords import ChecksKeywords, choice_text, keywords_of, number_text, parse_choice

STRENGTH = 1.0
"""The noise of the device itself."""
Shape = Literal["linear", "quadratic", "cosine"]
_CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "quadratic": lambda x: x * x,
    "cosine": lambda x: (1 - math.cos(math.pi * x)) / 2,
}
type StrengthLike = float | Schedule | str
"""A number, a schedule, or a schedule as text (:func:`as_schedule`)."""


class Schedule(ChecksKeywords, ABC):
    """The strength of a perturbation over a training run.

    Attributes:
        steps: Number of updates (optimizer steps) over which the schedule runs; None for all updates of the training.
    """

    steps: int | None = None

    @property
    @abstractmethod
    def largest(self) -> float:
        """The largest strength that the schedule can return."""

    @abstractmethod
    def at(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength of one update.

        Args:
            step: Index of the update, from 0.
            steps: Number of updates of the training; None if it is not known.
            seed: Seed of random strengths.

        Returns:
            A factor >= 0 without a unit.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    def observe(self, update_norm: float, steps: int | None) -> None:  # most schedules do not need it
        """Receive the Euclidean norm of an update's gradient. It is called once after each update that was not skipped.

        Args:
            update_norm: The norm, before clipping.
            steps: Number of updates of the training; None if it is not known.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the schedule; it is empty for schedules that depend on the step only."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # most schedules have no state
        """Take over the state of a schedule of the same settings."""

    def total(self, steps: int | None) -> int:
        """Return the number of updates that the schedule spans; raise DriftproofError if it is unknown."""
        total = self.steps or steps
        if total is None:
            raise DriftproofError(
                f"strength {self}: it has to know how many updates the run has; give it steps=, or call "
                "method.begin(total_steps)"
            )
        return total


@final
@dataclass(frozen=True)
class Constant(Schedule):
    """The same strength at all updates."""

    value: float

    def __post_init__(self) -> None:
        """Check the strength."""
        _check(strength=self.value)

    def __str__(self) -> str:
        return number_text(self.value)

    @property
    def largest(self) -> float:
        """The strength."""
        return self.value

    def at(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength."""
        return self.value


@final
@dataclass(frozen=True)
class Ramp(Schedule):
    """A strength that changes from ``start`` to ``to``.

    The strength is start + (to − start) f(x) with x = (p − delay) / (until − delay), where p is the share of the
    updates that are done, and f(x) = x for ``linear``, x² for ``quadratic`` and ½ (1 − cos πx) for ``cosine``. It is
    ``start`` before ``delay``, and ``to`` from ``until`` on.

    Attributes:
        shape: ``linear``, ``quadratic`` or ``cosine``.
        to: Strength at the end.
        start: Strength at the beginning (default: 0).
        delay: Share of the updates after which the strength begins to change (default: 0).
        until: Share of the updates after which the strength stays constant (default: 1).
        steps: Number of updates over which the ramp runs (default: all updates of the training). Only a training loop
            that does not call :meth:`Method.begin` needs it.

    Raises:
        DriftproofError: An unknown shape or impossible numbers.

    >>> [round(Ramp("quadratic", to=2.0).at(step, 11, 0), 2) for step in (0, 5, 10)]
    [0.0, 0.5, 2.0]
    """

    shape: Shape
    _: KW_ONLY
    to: float
    start: float = 0.0
    delay: float = 0.0
    until: float = 1.0
    steps: int | None = None

    def __post_init__(self) -> None:
        """Check the shape and the numbers."""
        check_choice("ramp", self.shape, _CURVES)
        _check(self.steps, start=self.start, to=self.to)
        if not 0 <= self.delay < self.until <= 1:
            raise DriftproofError(
                f"ramp: delay {self.delay:g} and until {self.until:g} are shares of the run; wanted "
                "0 <= delay < until <= 1"
            )

    def __str__(self) -> str:
        return choice_text(self.shape, self, "shape")

    @property
    def largest(self) -> float:
        """The larger of its ends."""
        return max(self.start, self.to)

    def at(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength of one update."""
        total = self.total(steps)
        done = step / (total - 1) if total > 1 else 1.0  # 1 at the last update
        x = min(1.0, max(0.0, (done - self.delay) / (self.until - self.delay)))
        return self.start + (self.to - self.start) * _CURVES[self.shape](x)


@final
@dataclass(frozen=True)
class Sampled(Schedule):
    """A strength drawn at every update, uniform in [low, high]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the range."""
        _check(low=self.low, high=self.high)
        if self.low >= self.high:
            raise DriftproofError(f"sampled strength: wanted low < high, got {self.low:g} and {self.high:g}")

    def __str__(self) -> str:
        return f"sampled:{number_text(self.low)},{number_text(self.high)}"

    @property
    def largest(self) -> float:
        """The upper end."""
        return self.high

    def at(self, step: int, steps: int | None, seed: int) -> float:
        """Draw the strength of one update. The same update and seed always give the same strength."""
        source = generator(-1 - seed, step, "", "strength", torch.device("cpu"))
        return self.low + (self.high - self.low) * float(torch.rand((), generator=source))


@final
@dataclass(kw_only=True)
class Adaptive(Schedule):
    """A strength that grows linearly to ``to``, but only while the gradient at the perturbed point has not collapsed.

    The norm of the gradient is averaged exponentially. While this mean is below ``collapse`` times the largest value
    that it has had, the strength does not grow.

    Attributes:
        to: Largest strength.
        over: Share of the updates after which ``to`` is reached if the strength never stops growing (default: 0.7).
        collapse: Ratio of the mean to its largest value below which the strength does not grow, between 0 and 1
            (default: 0.3).
        memory: Time constant of the exponential mean, in updates (default: 50).
        steps: Number of updates over which the schedule runs (default: all updates of the training). Only a training
            loop that does not call :meth:`Method.begin` needs it.
    """

    to: float
    over: float = 0.7
    collapse: float = 0.3
    memory: int = 50
    steps: int | None = None
    reached: float = field(default=0.0, init=False)
    mean_norm: float | None = field(default=None, init=False)
    largest_mean: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Check the numbers."""
        _check(self.steps, to=self.to)
        if not 0 < self.over <= 1 or not 0 < self.collapse < 1 or self.memory < 1:
            raise DriftproofError(
                f"adaptive strength: wanted over in (0, 1], collapse in (0, 1) and memory >= 1, got {self.over:g}, "
                f"{self.collapse:g} and {self.memory}"
            )

    def __str__(self) -> str:
        return choice_text("adaptive", self)

    @property
    def largest(self) -> float:
        """The strength that it can reach."""
        return self.to

    @property
    def waiting(self) -> bool:
        """Whether the gradient has collapsed."""
        return self.mean_norm is not None and self.mean_norm < self.collapse * self.largest_mean

    def at(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength that it has reached."""
        self.total(steps)
        return self.reached

    def observe(self, update_norm: float, steps: int | None) -> None:
        """Average the gradient's norm. Let the strength grow by one update's share unless the gradient collapsed."""
        before = update_norm if self.mean_norm is None else self.mean_norm
        self.mean_norm = before + (update_norm - before) / self.memory
        self.largest_mean = max(self.largest_mean, self.mean_norm)
        if not self.waiting:
            self.reached = min(self.to, self.reached + self.to / max(1.0, self.over * self.total(steps)))

    def state_dict(self) -> dict[str, Any]:
        """Return the strength that was reached, the mean of the gradient's norm, and the largest such mean."""
        return {"reached": self.reached, "fast": self.mean_norm, "highest": self.largest_mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the strength that was reached, the mean of the gradient's norm, and the largest such mean."""
        self.reached, self.mean_norm, self.largest_mean = state["reached"], state["fast"], state["highest"]


ramp = Ramp
"""The public name of :class:`Ramp`."""


def as_schedule(choice: StrengthLike) -> Schedule:
    """Return a schedule from a number, a schedule, or a text.

    Texts are ``2``, ``quadratic:to=2,start=0.5,delay=0.1``, ``sampled:0,2`` and ``adaptive:to=2``.

    Raises:
        DriftproofError: Something else; an unknown shape or key.

    >>> as_schedule("quadratic:to=2")
    Ramp(shape='quadratic', to=2.0, start=0.0, delay=0.0, until=1.0, steps=None)
    """
    if isinstance(choice, Schedule):
        return choice
    kinds = {shape: keywords_of(Ramp)[1:] for shape in get_args(Shape)} | {"adaptive": keywords_of(Adaptive)}
    try:
        if isinstance(choice, bool) or not isinstance(choice, str | SupportsFloat):
            raise TypeError
        name, _, rest = choice.partition(":") if isinstance(choice, str) else ("", "", "")
        if name == "sampled":
            return Sampled(*map(float, rest.split(",")))
        if not rest:
            return Constant(float(choice))
        name, values = parse_choice("strength", str(choice), kinds | {"sampled": []})
        made = {key: int(value) if key in ("steps", "memory") else float(value) for key, value in values.items()}
        return Adaptive(**made) if name == "adaptive" else Ramp(shape=name, **made)  # type: ignore[arg-type]
    except DriftproofError:
        raise
    except (TypeError, ValueError):
        raise DriftproofError(
            f"strength {choice!r}: wanted a number, linear|quadratic|cosine:to=2 (also start=, delay=, until=), "
            "sampled:LOW,HIGH or adaptive:to=2"
        ) from None


def _check(steps: int | None = None, **strengths: float) -> None:
    for name, value in strengths.items():
        if not (math.isfinite(value) and value >= 0):
            raise DriftproofError(f"{name} {value!r}: wanted a strength, finite and not negative")
    if steps is not None and steps < 1:
        raise DriftproofError(f"a strength over {steps} updates: wanted at least 1")
