"""A network that is no better than chance: one without trained weights, or whose classes are those of other data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from driftproof._errors import warn
from driftproof._inputs import Inputs, call_on_copies
from driftproof._random_state import random_state_kept
from driftproof.evaluation._evaluator import Evaluator
from driftproof.evaluation._score import score

LEVEL = 0.05
"""A network is no better than chance if chance does as well with at least this probability."""
SAMPLES, DRAWS = 1000, 1999
FEWEST, FEW_CLASSES = 20, 5
"""Fewer samples say nothing; the names of fewer classes have too few orders."""
ON = ("accuracy", "top5", "f1")
"""Metrics of a largest output that is the class."""

Classes = npt.NDArray[np.int64]


def warn_of_chance(evaluator: Evaluator) -> None:
    """Warn if the digital network of a classification is no better than chance on up to 1,000 samples of its data."""
    found = _answers(evaluator)
    if found is None:
        return
    answers, targets = found
    p = chance(answers, targets)
    if not p > LEVEL:
        return
    right = 100 * float((answers == targets).mean())
    warn(
        f"the digital network is no better than chance: {right:.1f} % of {len(targets):,} samples are right, and its "
        f"answers in a random order are as often right with a probability of {p:.2f} (of a trained network, below "
        f"{LEVEL:g}). What chips do with it says nothing about a trained one. Load its trained weights (--weights FILE "
        "or in the function of FILE.py); if they are loaded, check that the classes and the scaling of the inputs are "
        "those of its training"
    )


def chance(answers: Classes, targets: Classes) -> float:
    """Return the probability that answers of the same kind are right as often by chance; NaN where that is not known.

    A network with random weights gives like images like answers, and does not guess: its accuracy may be significantly
    above 1/K. But which of its outputs stands for which class is arbitrary. The test therefore gives its
    K classes other names in a random order, and counts how often as many answers are right (a permutation test, exact
    up to its 1,999 draws, with a fixed seed). Without training the p-value is uniform, and 95 of 100 networks have one
    above 0.05; of a trained network nearly every other order is worse.

    Two to four classes have too few orders. There, the answers are exchanged between samples.

    Args:
        answers: Class that the network answers, [N].
        targets: Class of the samples, [N].

    >>> targets = np.arange(100) % 10
    >>> chance(targets, targets) < 0.05, chance((targets + 1) % 10, targets) > 0.05
    (True, True)
    """
    classes = np.unique(targets)
    if len(targets) < FEWEST or len(classes) < 2:
        return np.nan
    random = np.random.default_rng(0)
    right = int((answers == targets).sum())
    if len(classes) < FEW_CLASSES:
        drawn = [int((random.permutation(answers) == targets).sum()) for _ in range(DRAWS)]
    else:
        names = np.unique(np.concatenate([answers, targets]))
        count = np.zeros((len(names), len(names)), dtype=np.int64)
        np.add.at(count, (np.searchsorted(names, answers), np.searchsorted(names, targets)), 1)
        drawn = [int(count[np.arange(len(names)), random.permutation(len(names))].sum()) for _ in range(DRAWS)]
    return (1 + sum(other >= right for other in drawn)) / (1 + DRAWS)


@random_state_kept()
def _answers(evaluator: Evaluator) -> tuple[Classes, Classes] | None:
    """Return answers and targets of samples that are spread over the data; None if the network gives no classes."""
    if evaluator.metric.name not in ON or evaluator.behaviour.joint:
        return None
    seen: list[tuple[Tensor, Tensor]] = []

    def watch(outputs: Any, targets: Tensor) -> None:
        if isinstance(outputs, Tensor) and targets.ndim == 1 and not targets.is_floating_point():
            of_two = outputs.ndim == 1 or outputs.shape[1] == 1
            answers = outputs.flatten() > 0 if of_two else outputs.argmax(dim=1)
            seen.append((answers.long().cpu(), targets.long().cpu()))

    def digital(inputs: Inputs, _: Sequence[int]) -> Any:
        return call_on_copies(evaluator.network, inputs)

    step = -(-len(evaluator.data) // SAMPLES)
    data = evaluator.data.take(range(0, len(evaluator.data), step))
    score(evaluator.metric, digital, data, evaluator.at_once, evaluator.torch_device, "digital", watch=watch)
    if not seen or any(len(answers) != len(targets) for answers, targets in seen):
        return None
    answers, targets = (np.concatenate([part[place].numpy() for part in seen]) for place in (0, 1))
    return answers, targets
