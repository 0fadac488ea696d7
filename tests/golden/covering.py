"""A pairwise covering design: few rows in which every possible pair of levels of any two factors occurs."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

type Level = tuple[str, str]
"""A factor's name and the name of one of its levels."""
type Pair = tuple[Level, Level]
"""Levels of two different factors; the factor that stands first in the design comes first."""

CANDIDATES = 30
"""Rows that are tried for each row that is taken. More of them make the design hardly smaller."""


def all_pairs(factors: Mapping[str, Sequence[str]]) -> Iterator[Pair]:
    """Yield every pair of levels of two different factors."""
    for first, second in combinations(factors, 2):
        for a in factors[first]:
            for b in factors[second]:
                yield (first, a), (second, b)


def pairs_of(row: Mapping[str, str]) -> Iterator[Pair]:
    """Yield the pairs that a row covers."""
    yield from combinations(row.items(), 2)


def covering(factors: Mapping[str, Sequence[str]], impossible: Collection[Pair], seed: int) -> list[dict[str, str]]:
    """Return rows that cover every pair that is not impossible; the same rows for the same arguments.

    The algorithm is greedy, as in AETG (Cohen et al. 1997): each row starts from a pair that is not yet covered, and
    its other factors follow in a random order, each with the level that covers most new pairs. The best of several
    candidates is taken. Only ``Random.random`` is used, whose numbers Python guarantees for a seed.

    Args:
        factors: name of each factor → names of its levels.
        impossible: pairs that no row may have.
        seed: decides between equally good choices.
    """
    source, names = random.Random(seed), list(factors)
    place = {name: number for number, name in enumerate(names)}
    forbidden = set(impossible)
    left = dict.fromkeys(pair for pair in all_pairs(factors) if pair not in forbidden)
    rows = []

    def pair(a: Level, b: Level) -> Pair:
        return (a, b) if place[a[0]] < place[b[0]] else (b, a)

    def candidate() -> dict[str, str]:
        open_pairs = list(left)
        start = open_pairs[int(source.random() * len(open_pairs))]
        row = dict(start)
        for name in sorted((name for name in names if name not in row), key=lambda _: source.random()):
            best: tuple[int, float, str] | None = None
            for level in factors[name]:
                made = [pair((name, level), fixed) for fixed in row.items()]
                if forbidden.isdisjoint(made):
                    worth = (sum(new in left for new in made), source.random(), level)
                    best = worth if best is None else max(best, worth)
            assert best is not None, f"no level of {name} goes with {row}"
            row[name] = best[2]
        return {name: row[name] for name in names}

    while left:
        rows.append(
            max((candidate() for _ in range(CANDIDATES)), key=lambda row: sum(p in left for p in pairs_of(row)))
        )
        for covered in pairs_of(rows[-1]):
            left.pop(covered, None)
    return rows
