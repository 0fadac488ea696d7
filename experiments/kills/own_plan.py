"""A plan of a user's own: it sees some samples of every chip, and all samples of the chips that look bad.

python own_plan.py FOLDER [CHIPS]
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from driftproof import Deployment, Evaluator, Record, Trial
from driftproof.data import digits
from driftproof.evaluation import ask, run
from driftproof.zoo import trained_digits_cnn


def worst_first(deployment: Deployment, chips: int) -> Generator[Any, list[Any], float]:
    """Ask for 40 samples of each chip, one after the other; of the worse half ask for all samples."""
    values = []
    for chip in range(chips):
        (outcome,) = yield ask([Trial(deployment, chip, 86_400.0)], samples=range(40))
        values.append(outcome.value)
    worse = sorted(range(chips), key=lambda chip: values[chip])[: chips // 2]
    outcomes = yield ask(Trial(deployment, chip, 86_400.0) for chip in worse)
    return float(min(outcome.value for outcome in outcomes))


def main() -> None:
    folder, chips = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    evaluator = Evaluator(trained_digits_cnn(), digits().head(100), name="digits-cnn")
    with Record.create_or_open(folder) as record:
        print(run(worst_first(Deployment(device="pcm-hermes-1"), chips), evaluator, record))


if __name__ == "__main__":
    main()
