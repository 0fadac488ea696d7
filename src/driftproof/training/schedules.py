"""How strong the perturbation is at each update: constant, ramps, drawn at random, growing while training bears it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, final

import torch

from driftproof.devices import generator
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.keywords import ChecksKeywords, checks_keywords

STRENGTH = 1.0
"""Noise as strong as the device's own."""
Shape = Literal["linear", "quadratic", "cosine"]
_CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "quadratic": lambda x: x * x,
    "cosine": lambda x: (1 - math.cos(math.pi * x)) / 2,
}


class Schedule(ChecksKeywords, ABC):
    """The strength of a perturbation over a training run.

    Attributes:
        steps: how many updates it spans; None for as many as the run has.
    """

    steps: int | None = None

    @property
    @abstractmethod
    def largest(self) -> float:
        """The largest strength that it can give."""

    @abstractmethod
    def level(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength of update ``step`` (from 0) of ``steps``."""

    @abstractmethod
    def __str__(self) -> str: ...

    def observe(self, update_norm: float, steps: int | None) -> None:  # most schedules do not look
        """Take note of the norm of an update's gradient; once after each update that was made."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the schedule has become; nothing for one that is a function of the step."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # most are functions of the step
        """Become what a schedule was."""


@final
@dataclass(frozen=True)
class Constant(Schedule):
    """The same strength at all times."""

    value: float

    def __post_init__(self) -> None:
        """Refuse what is no strength."""
        _check(strength=self.value)

    def __str__(self) -> str:
        return _text(self.value)

    @property
    def largest(self) -> float:
        """The strength."""
        return self.value

    def level(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength."""
        return self.value


@final
@dataclass(frozen=True, kw_only=True)
class Ramp(Schedule):
    """A strength that changes from ``start`` to ``to``: start + (to − start) f(x), x = (p − delay)/(until − delay).

    p is the share of the updates that are done, f is x, x² or ½ (1 − cos πx). Before ``delay`` the strength is
    ``start``, from ``until`` on ``to``.

    Attributes:
        shape: ``linear``, ``quadratic`` or ``cosine``.
        to: strength at the end.
        start: strength at the beginning.
        delay: share of the updates before it begins to change.
        until: share of the updates after which it stays.
        steps: how many updates it spans, for a loop of your own; ``driftproof.train`` knows it.
    """

    shape: Shape
    to: float
    start: float = 0.0
    delay: float = 0.0
    until: float = 1.0
    steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse unknown shapes and impossible numbers."""
        if self.shape not in _CURVES:
            raise DriftproofError(
                f"ramp {self.shape!r}{did_you_mean(str(self.shape), _CURVES)}: there are {', '.join(_CURVES)}"
            )
        _check(start=self.start, to=self.to)
        if not 0 <= self.delay < self.until <= 1:
            raise DriftproofError(
                f"ramp: delay {self.delay:g} and until {self.until:g} are shares of the run; wanted "
                "0 <= delay < until <= 1"
            )
        _check_steps(self.steps)

    def __str__(self) -> str:
        return _written(self.shape, self)

    @property
    def largest(self) -> float:
        """The larger of its ends."""
        return max(self.start, self.to)

    def level(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength of one update."""
        total = self.steps or steps
        if total is None:
            raise DriftproofError(
                f"ramp {self}: it has to know how many updates the run has; give it steps=, or call "
                "method.begin(total_steps)"
            )
        done = step / (total - 1) if total > 1 else 1.0  # 1 at the last update
        x = min(1.0, max(0.0, (done - self.delay) / (self.until - self.delay)))
        return self.start + (self.to - self.start) * _CURVES[self.shape](x)


@final
@dataclass(frozen=True)
class Sampled(Schedule):
    """A strength drawn anew at every update, uniform in [low, high]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        _check(low=self.low, high=self.high)
        if self.low >= self.high:
            raise DriftproofError(f"sampled strength: wanted low < high, got {self.low:g} and {self.high:g}")

    def __str__(self) -> str:
        return f"sampled:{_text(self.low)},{_text(self.high)}"

    @property
    def largest(self) -> float:
        """The upper end."""
        return self.high

    def level(self, step: int, steps: int | None, seed: int) -> float:
        """Draw the strength of one update; the same update always has the same."""
        source = generator(-1 - seed, step, "", "strength", torch.device("cpu"))
        return self.low + (self.high - self.low) * float(torch.rand((), generator=source))


@final
@dataclass(kw_only=True)
class Adaptive(Schedule):
    """A strength that grows linearly to ``to``, but only while the gradient at the perturbed point has not collapsed.

    The norm of the update's gradient is followed by two exponential means, a fast one and the largest value that it
    has had. While fast / largest is below ``collapse``, the strength stays where it is.

    Attributes:
        to: strength that it grows to at most.
        over: share of the updates in which it gets there, if it never has to wait.
        collapse: ratio below which it waits.
        memory: of the fast mean, in updates.
        steps: how many updates it spans, for a loop of your own.
    """

    to: float
    over: float = 0.7
    collapse: float = 0.3
    memory: int = 50
    steps: int | None = None
    reached: float = field(default=0.0, init=False)
    fast: float | None = field(default=None, init=False)
    highest: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        _check(to=self.to)
        _check_steps(self.steps)
        if not 0 < self.over <= 1 or not 0 < self.collapse < 1 or self.memory < 1:
            raise DriftproofError(
                f"adaptive strength: wanted over in (0, 1], collapse in (0, 1) and memory >= 1, got {self.over:g}, "
                f"{self.collapse:g} and {self.memory}"
            )

    def __str__(self) -> str:
        return _written("adaptive", self)

    @property
    def largest(self) -> float:
        """The strength that it may reach."""
        return self.to

    @property
    def waiting(self) -> bool:
        """Whether the gradient has collapsed."""
        return self.fast is not None and self.fast < self.collapse * self.highest

    def level(self, step: int, steps: int | None, seed: int) -> float:
        """Return the strength that it has reached."""
        self._total(steps)
        return self.reached

    def observe(self, update_norm: float, steps: int | None) -> None:
        """Follow the gradient's norm, and grow by one update's share if it has not collapsed."""
        self.fast = update_norm if self.fast is None else self.fast + (update_norm - self.fast) / self.memory
        self.highest = max(self.highest, self.fast)
        if not self.waiting:
            self.reached = min(self.to, self.reached + self.to / max(1.0, self.over * self._total(steps)))

    def _total(self, steps: int | None) -> int:
        total = self.steps or steps
        if total is None:
            raise DriftproofError(
                f"strength {self}: it has to know how many updates the run has; give it steps=, or call "
                "method.begin(total_steps)"
            )
        return total

    def state_dict(self) -> dict[str, Any]:
        """Return where it is."""
        return {"reached": self.reached, "fast": self.fast, "highest": self.highest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where one was."""
        self.reached, self.fast, self.highest = state["reached"], state["fast"], state["highest"]


@checks_keywords
def ramp(
    shape: Shape,
    *,
    to: float,
    start: float = Ramp.start,
    delay: float = Ramp.delay,
    until: float = Ramp.until,
    steps: int | None = None,
) -> Ramp:
    """Return a :class:`Ramp`.

    >>> [round(ramp("quadratic", to=2.0).level(step, 11, 0), 2) for step in (0, 5, 10)]
    [0.0, 0.5, 2.0]
    """
    return Ramp(shape=shape, to=to, start=start, delay=delay, until=until, steps=steps)


def _written(name: str, schedule: Ramp | Adaptive) -> str:
    """Return a schedule as ``as_schedule`` reads it: what it is raised to, and what differs from the defaults."""
    pairs = [
        f"{part.name}={_text(getattr(schedule, part.name))}"
        for part in fields(schedule)
        if part.init and part.name != "shape" and getattr(schedule, part.name) != part.default
    ]
    return f"{name}:{','.join(pairs)}"


def _text(value: float) -> str:
    """Return a number, short if that is all of it."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise DriftproofError(f"{name} {value!r}: wanted a strength, finite and not negative")


def _check_steps(steps: int | None) -> None:
    if steps is not None and steps < 1:
        raise DriftproofError(f"a strength over {steps} updates: wanted at least 1")
