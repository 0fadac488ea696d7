"""A network without training is told apart from a trained one, at stated rates."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from driftproof._errors import DriftproofWarning
from driftproof._random_state import random_state_kept
from driftproof.data import digits
from driftproof.evaluation import Evaluator
from driftproof.evaluation._chance import LEVEL, chance, warn_of_chance
from driftproof.zoo import digits_cnn, trained_digits_cnn

NETWORKS = 60


def p_values(classes: int) -> list[float]:
    """Return the p-values of random networks on images of some digits."""
    data = digits()
    few = data.take([place for place, label in enumerate(data.targets.tolist()) if label < classes][:400])
    found = []
    for seed in range(NETWORKS):
        with random_state_kept(seed), torch.no_grad():
            answers = digits_cnn().eval()(few.inputs)[:, :classes].argmax(dim=1)
        found.append(chance(answers.numpy(), few.targets.numpy()))
    return found


def test_random_networks_are_no_better_than_chance() -> None:
    """Each p is below LEVEL in 5 % of cases: of 60, 10 or more are with a probability of 0.1 %."""
    found = p_values(10)
    assert sum(p <= LEVEL for p in found) < 10
    assert np.median(found) > 0.2  # as uniform values: the standard deviation of their median 0.5 is 0.065


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
def test_a_trained_network_gives_no_alarm(classes: int) -> None:
    data = digits()
    few = data.take([place for place, label in enumerate(data.targets.tolist()) if label < classes][:60])
    with torch.no_grad():
        answers = trained_digits_cnn().eval()(few.inputs).argmax(dim=1)
    assert chance(answers.numpy(), few.targets.numpy()) < LEVEL


def test_a_network_that_is_barely_trained_gives_no_alarm() -> None:
    """15 % right of ten classes, evenly, on 1,000 samples: better than every other order of the classes."""
    random, targets = np.random.default_rng(0), np.arange(1000) % 10
    answers = np.where(random.random(1000) < 0.06, targets, random.integers(0, 10, 1000))
    assert chance(answers, targets) < LEVEL


def test_what_says_nothing_is_not_judged() -> None:
    ones = np.ones(100, dtype=np.int64)
    assert np.isnan(chance(ones, ones))
    assert np.isnan(chance(np.arange(10), np.arange(10)))


def test_the_warning_says_what_to_do() -> None:
    with random_state_kept(0):
        network = digits_cnn()
    with pytest.warns(DriftproofWarning, match=r"no better than chance: .* Load its trained weights \(--weights FILE"):
        warn_of_chance(Evaluator(network, digits()))


def test_wrong_classes_are_told_and_other_metrics_are_not() -> None:
    class Renamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = trained_digits_cnn()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).roll(1, dims=1)  # type: ignore[no-any-return]

    with pytest.warns(DriftproofWarning, match="check that the classes"):
        warn_of_chance(Evaluator(Renamed(), digits()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_chance(Evaluator(trained_digits_cnn(), digits()))
        warn_of_chance(Evaluator(trained_digits_cnn(), digits().head(15)))
        regression = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
        inputs = digits().inputs
        assert isinstance(inputs, Tensor)
        warn_of_chance(Evaluator(regression, (inputs, inputs.flatten(1)[:, :1]), "mse"))
