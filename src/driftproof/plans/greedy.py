"""The greedy search by itself: layers with a price, sets of them with a value, a target; no networks here."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

type Layers = frozenset[str]
type Search[T] = Generator[list[Layers], Sequence[float], T]
"""Yields sets of digital layers, is sent what each is worth (more is better), and returns its result."""

Kind = Literal["start", "digital", "back", "rest"]


@dataclass(frozen=True)
class Step:
    """One step of the path.

    Attributes:
        digital: the digital layers after it, in the order in which they became so.
        kind: ``start`` (all analog); ``digital`` (one more layer, by search); ``back`` (one layer given back to the
            chip); ``rest`` (one more layer beyond the target, by the last ranking, without search).
        layer: which one changed.
        value: what the set is worth.
    """

    digital: tuple[str, ...]
    kind: Kind
    layer: str
    value: float


def greedy(macs: Mapping[str, int], target: float, *, breadth: int | None = None) -> Search[list[Step]]:
    """Ask what sets of digital layers are worth, and return the path from all analog to all digital.

    The search's answer is the last step that is no ``rest``.

    Every round values each layer that is still analog as if it were digital too, and makes that one digital whose gain
    per multiply-accumulate is largest; if none gains, the one that loses least. Whenever single layers of a round would
    reach the target, the cheapest of them (the highest value among equals) is a solution; the search goes on without
    them as long as it could end with fewer multiply-accumulates than the cheapest solution, and some layer gains. The
    path leads to the cheapest solution.

    Then layers are given back, as long as the target holds without them: each time the one with the most
    multiply-accumulates (the highest value among equals). Last, the layers that are left follow by their gain per
    multiply-accumulate as last measured.

    With L layers the search values at most L (L + 1)/2 sets, giving back at most as many, and the rest up to L. It is
    no exhaustive search: that would value 2^L sets.

    Args:
        macs: price of every layer, in the network's order.
        target: what is to be reached. The set of all layers ends the search whether it reaches it or not.
        breadth: measure only so many layers in every round after the first, the best by the ranking so far, and the
            others only if none of these gains; None for all.

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
        found = yield from _valued(now, ranking, breadth)
        merits |= {name: _merit(value - now.value, macs[name]) for name, value in found.items()}
        steps = {name: Step((*now.digital, name), "digital", name, value) for name, value in found.items()}
        if enough := [name for name, value in found.items() if value >= target]:
            solution = [*path, steps[min(enough, key=lambda name: (macs[name], -found[name]))]]
        left = [x for x in found if found[x] < target and _cheaper((*now.digital, x), solution, macs)]
        if not left or (solution and max(found[x] for x in left) <= now.value):
            break
        path = [*path, steps[max(left, key=lambda name: merits[name])]]
    path = solution or path
    path = path + (yield from _given_back(path[-1], macs, target))
    others = sorted((x for x in macs if x not in path[-1].digital), key=lambda x: merits.get(x, (True, 0.0)))
    digital, sets = path[-1].digital, []
    for name in reversed(others):
        digital = (*digital, name)
        sets.append(digital)
    rest = (yield [frozenset(digital) for digital in sets]) if sets else []
    return path + [Step(digital, "rest", digital[-1], value) for digital, value in zip(sets, rest, strict=True)]


def _cheaper(digital: Sequence[str], solution: Sequence[Step], macs: Mapping[str, int]) -> bool:
    """Whether a set costs less than the solution, if there is one."""
    return not solution or _price(digital, macs) < _price(solution[-1].digital, macs)


def _price(digital: Sequence[str], macs: Mapping[str, int]) -> int:
    return sum(macs[name] for name in digital)


def _valued(now: Step, ranking: Sequence[str], breadth: int | None) -> Search[dict[str, float]]:
    """Return what the best layers of a ranking are worth, and the others too if none of the best gains."""
    # in the first round nothing is ranked yet
    first = ranking if breadth is None or not now.digital else ranking[:breadth]
    found = dict(zip(first, (yield [frozenset({*now.digital, name}) for name in first]), strict=True))
    others = ranking[len(first) :]
    if others and max(found.values()) <= now.value:
        found |= dict(zip(others, (yield [frozenset({*now.digital, name}) for name in others]), strict=True))
    return found


def _merit(gain: float, macs: int) -> tuple[bool, float]:
    """Return what a layer is ranked by: per multiply-accumulate if it gains; a loss is no smaller for its price."""
    return (True, gain / max(1, macs)) if gain > 0 else (False, gain)


def _given_back(last: Step, macs: Mapping[str, int], target: float) -> Search[list[Step]]:
    """Return the steps that give layers back to the chip, as long as the target holds without them."""
    steps: list[Step] = []
    now = last
    # a single layer was needed, or else the start would be the answer
    while len(now.digital) > 1 and now.value >= target:
        found = dict(zip(now.digital, (yield [frozenset(now.digital) - {x} for x in now.digital]), strict=True))
        enough = [name for name, value in found.items() if value >= target]
        if not enough:
            break
        given = max(enough, key=lambda name: (macs[name], found[name]))
        kept = tuple(name for name in now.digital if name != given)
        now = Step(kept, "back", given, found[given])
        steps.append(now)
    return steps
