"""The strength that is chosen: the best on the validation, found by going up while it gets better, else down."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from driftproof._errors import DriftproofError
from driftproof.data import TensorData
from driftproof.training import RWP
from driftproof.training._auto_strength import choose_strength
from driftproof.training._settings import Settings

DATA = TensorData("zeros", torch.zeros(8, 3), torch.zeros(8, dtype=torch.long))


@pytest.mark.parametrize(
    ("best_at", "tried"),
    [(3.0, [1.0, 1.5, 2.0, 3.0, 4.0]), (1.0, [1.0, 1.5, 0.5]), (0.5, [1.0, 1.5, 0.5])],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_best_is_found_and_no_more_is_tried(best_at: float, tried: list[float], sign: int) -> None:
    made: list[float] = []

    def make(strength: float) -> RWP:
        made.append(strength)
        return RWP(noise="gaussian:0.1", strength=strength)

    choice = choose_strength(
        nn.Linear(3, 2),
        DATA,
        make,
        lambda _: -sign * abs(made[-1] - best_at),
        settings=Settings(epochs=1, batch_size=4),
        higher_is_better=sign > 0,
    )
    assert choice.strength == best_at
    assert made == tried
    assert [trial.strength for trial in choice.tried] == tried
    assert f"strength {best_at:g} (validation at" in str(choice)


def test_a_strength_that_fails_is_told_and_not_chosen() -> None:
    def make(strength: float) -> RWP:
        return RWP(noise="gaussian:0.1", strength=strength)

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs.sum() * float("nan")

    with pytest.raises(DriftproofError, match=r"no strength worked.*is nan"):
        choose_strength(
            nn.Linear(3, 2), DATA, make, lambda _: 1.0, settings=Settings(epochs=1, batch_size=4, loss=loss)
        )


def test_of_equal_strengths_the_smallest_that_was_tried_is_taken() -> None:
    def make(strength: float) -> RWP:
        return RWP(noise="gaussian:0.1", strength=strength)

    choice = choose_strength(nn.Linear(3, 2), DATA, make, lambda _: 1.0, settings=Settings(epochs=1, batch_size=4))
    assert [trial.strength for trial in choice.tried] == [1.0, 1.5, 0.5]
    assert choice.strength == 0.5


def test_what_stays_digital_is_said_once_for_all_strengths() -> None:
    class Odd(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, None] * self.weight).sum(-1)

    def make(strength: float) -> RWP:
        return RWP(noise="gaussian:0.1", strength=strength)

    network = nn.Sequential(nn.Linear(3, 3), Odd(3, 2, bias=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        choose_strength(network, DATA, make, lambda _: 1.0, settings=Settings(epochs=2, batch_size=4))
    (warning,) = caught
    assert "stays digital" in str(warning.message)
