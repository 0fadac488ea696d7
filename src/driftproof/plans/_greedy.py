"""The greedy search, without networks: layers have a price, sets of layers have a value, and there is a target."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

type Layers = frozenset[str]
type Search[T] = Generator[list[Layers], Sequence[float], T]
"""A generator that yields sets of digital layers, is sent their values (more is better), and returns its result."""

Kind = Literal["start", "digital", "back", "rest"]


@dataclass(frozen=True)
class Step:
    """One step of the path.

    Attributes:
        digital: Names of the digital layers after the step, in the order in which they became digital.
        kind: ``start`` (all analog), ``digital`` (one more digital layer, by search), ``back`` (one layer analog
            again), or ``rest`` (one more digital layer beyond the target, by the last ranking, without search).
        layer: Name of the layer that changed.
        value: Value of the set.
    """

    digital: tuple[str, ...]
    kind: Kind
    layer: str
    value: float


def greedy(macs: Mapping[str, int], target: float, *, breadth: int | None = None) -> Search[list[Step]]:
    """Ask for values of sets of digital layers, and return the path from all analog to all digital.

    The answer of the search is the last step whose kind is not ``rest``.

    1. Every round asks for the values with each analog layer made digital in turn. It makes the layer digital whose
       gain per multiply-accumulate is largest, or the layer that loses least if none gains. If single layers of a round
       reach the target, the cheapest of them (the one with the highest value among equals) is a solution. The search
       continues without these layers as long as it can end with fewer multiply-accumulates than the cheapest solution
       and some layer gains. The path leads to the cheapest solution.
    2. Layers become analog again, as long as the target holds without them: each time the layer with the most
       multiply-accumulates (the one with the highest value among equals).
    3. The other layers follow in the order of their last measured gain per multiply-accumulate.

    With L layers, part 1 asks for at most L (L + 1)/2 sets, part 2 for at most as many, and part 3 for at most L. The
    search is not exhaustive: that would take 2^L sets.

    Args:
        macs: Price of every layer, in the network's order.
        target: Value to reach. The search ends at the set of all layers, whether that reaches the target or not.
        breadth: Number of layers in every round after the first. They are the best by the ranking so far; the other
            layers are measured only if none of these gains (default: all layers).

    >>> worth = {"a": 1.0, "b": 2.0, "c": 4.0}
    >>> search = greedy({"a": 1, "b": 4, "c": 10}, target=3.0)
    >>> sets = next(search)
    >>> try:
    ...     while True:
    ...         sets = search.send([sum(worth[x] for x in digital) for digital in sets])
    ... except StopIteration as stop:
    ...     [(step.kind, step.layer, step.value) for step in stop.value]
    [('start', '', 0), ('digital', 'a', 1.0), ('digital', 'b', 3.0), ('rest', 'c', 7.0)]
    """
    (all_analog,) = yield [frozenset()]
    path = [Step((), "start", "", all_analog)]
    merits: dict[str, tuple[bool, float]] = {}
    solution: list[Step] = path if path[-1].value >= target else []
    while path[-1].value < target:
        now = path[-1]
        names = [x for x in macs if x not in now.digital and _cheaper((*now.digital, x), solution, macs)]
        if not names:
            break
        ranking = sorted(names, key=lambda x: merits.get(x, (True, 0.0)), reverse=True)
        values = yield from _valued(now, ranking, breadth)
        merits |= {name: _merit(value - now.value, macs[name]) for name, value in values.items()}
        steps = {name: Step((*now.digital, name), "digital", name, value) for name, value in values.items()}
        if enough := [name for name, value in values.items() if value >= target]:
            solution = [*path, steps[min(enough, key=lambda name: (macs[name], -values[name]))]]
        left = [x for x in values if values[x] < target and _cheaper((*now.digital, x), solution, macs)]
        if not left or (solution and max(values[x] for x in left) <= now.value):
            break
        path = [*path, steps[max(left, key=lambda name: merits[name])]]
    path = solution or path
    path = path + (yield from _given_back(path[-1], macs, target))
    digital = path[-1].digital
    others = sorted((x for x in macs if x not in digital), key=lambda x: merits.get(x, (True, 0.0)))
    sets = list(accumulate(reversed(others), lambda names, name: (*names, name), initial=digital))[1:]
    rest = (yield [frozenset(names) for names in sets]) if sets else []
    return path + [Step(names, "rest", names[-1], value) for names, value in zip(sets, rest, strict=True)]


def _cheaper(digital: Sequence[str], solution: Sequence[Step], macs: Mapping[str, int]) -> bool:
    """Whether a set costs less than the solution, or there is no solution."""
    return not solution or _price(digital, macs) < _price(solution[-1].digital, macs)


def _price(digital: Sequence[str], macs: Mapping[str, int]) -> int:
    return sum(macs[name] for name in digital)


def _valued(now: Step, ranking: Sequence[str], breadth: int | None) -> Search[dict[str, float]]:
    """Return the values of the best layers of a ranking, and also of the others if none of the best gains."""
    # in the first round there is no ranking yet
    first = ranking if breadth is None or not now.digital else ranking[:breadth]
    values = dict(zip(first, (yield [frozenset({*now.digital, name}) for name in first]), strict=True))
    others = ranking[len(first) :]
    if others and max(values.values()) <= now.value:
        values |= dict(zip(others, (yield [frozenset({*now.digital, name}) for name in others]), strict=True))
    return values


def _merit(gain: float, macs: int) -> tuple[bool, float]:
    """Return the rank of a layer: its gain per multiply-accumulate, or its loss, which does not depend on its price."""
    return (True, gain / max(1, macs)) if gain > 0 else (False, gain)


def _given_back(last: Step, macs: Mapping[str, int], target: float) -> Search[list[Step]]:
    """Return the steps that make layers analog again, as long as the target holds without them."""
    steps: list[Step] = []
    now = last
    # a single layer was needed: otherwise the start would be the answer
    while len(now.digital) > 1 and now.value >= target:
        values = dict(zip(now.digital, (yield [frozenset(now.digital) - {x} for x in now.digital]), strict=True))
        enough = [name for name, value in values.items() if value >= target]
        if not enough:
            break
        given = max(enough, key=lambda name: (macs[name], values[name]))
        now = Step(tuple(name for name in now.digital if name != given), "back", given, values[given])
        steps.append(now)
    return steps
