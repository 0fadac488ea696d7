"""A training method is one file and one line that imports it: in loops of all kinds, by name, on the command line.

Files that the method touched: ``antithetic_rwp.py``, and the import below. If it came with driftproof, the file would
stand in ``training/_methods`` and the line in ``training/_methods/__init__.py``, so that every process has it: the
``driftproof`` command knows the methods that its own process has imported, here this one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._cli.app import main
from driftproof._errors import DriftproofError
from driftproof.data import TensorData
from driftproof.training._methods.by_name import METHODS, default_of, make_method
from house.antithetic_rwp import AntitheticRWP
from training import test_methods as laws
from training import test_norms as laws_of_norms
from training import test_wrong_use as laws_of_failures
from training.small import POINTS, VALUES, points_loss, smooth
from training.test_formulas import FIRST, SECOND, Known, Weights, gradient, known, mean, number, plus, size

NAME = "antithetic-rwp"
LR, STEPS, STRENGTH = 0.1, 6, 1.5


def start() -> Weights:
    return [p.detach().clone() for p in smooth().double().parameters()]


def formula(w: Weights, step: int, strength: float = STRENGTH) -> Weights:
    """The gradient at w + s ε at updates 0, 2, …, and at w − s ε at 1, 3, …, ε that of the update before."""
    if step in (0, 2, 4):
        return gradient(plus(w, known(w, number(step)), strength))
    return gradient(plus(w, known(w, number(step - 1)), -strength))


def computed() -> Weights:
    w = start()
    for step in range(STEPS):
        w = plus(w, formula(w, step), -LR)
    return w


def assert_close(network: nn.Module, wanted: Weights) -> None:
    for got, weight in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(got.detach(), weight, rtol=1e-11, atol=1e-12)


def test_a_step_is_the_formula() -> None:
    network, method = smooth().double(), AntitheticRWP(noise=Known(), strength=STRENGTH)
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    for _ in range(STEPS):
        method.step(points_loss(network), network, optimizer)
    assert_close(network, computed())


def test_a_training_is_the_formula() -> None:
    data = TensorData("points", POINTS.double(), VALUES.double())
    trained = dp.train(
        smooth().double(),
        data,
        method=make_method(NAME, noise=Known(), strength=STRENGTH),
        epochs=STEPS,  # of one update each
        batch_size=len(data),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=LR),
        lr_schedule="constant",
        warm_up=0.0,
        loss=nn.functional.mse_loss,
    )
    assert_close(trained.model, computed())


def test_micro_batches_have_a_pair_each() -> None:
    network, method = smooth().double(), AntitheticRWP(noise=Known(), strength=STRENGTH)
    optimizer, w = torch.optim.SGD(network.parameters(), lr=LR), start()
    for step in range(4):
        method.step([points_loss(network, FIRST), points_loss(network, SECOND)], network, optimizer)
        sign, drawn = (STRENGTH, step) if step % 2 == 0 else (-STRENGTH, step - 1)
        e = known(w, number(drawn)), known(w, number(drawn, 1))
        w = plus(w, mean(gradient(plus(w, e[0], sign), FIRST), gradient(plus(w, e[1], sign), SECOND)), -LR)
    assert_close(network, w)


def test_the_formula_is_not_in_the_house_already() -> None:
    for name in ("rwp", "two-point-rwp"):
        network, method = smooth().double(), make_method(name, noise=Known(), strength=STRENGTH)
        optimizer = torch.optim.SGD(network.parameters(), lr=LR)
        for _ in range(STEPS):
            method.step(points_loss(network), network, optimizer)
        assert float(size(plus([p.detach() for p in network.parameters()], computed(), -1.0))) > 1e-3


# of the tests that go through all methods
LAWS: list[tuple[Callable[..., None], tuple[object, ...]]] = [
    *((laws.test_a_step_at_zero_strength_is_plain_training_bit_for_bit, (kind,)) for kind in laws.OPTIMIZERS),
    (laws.test_a_step_that_fails_leaves_everything_as_it_was, (False, "perturbed")),
    (laws.test_a_step_that_fails_leaves_everything_as_it_was, (True, "clean")),
    (laws.test_a_failure_in_the_first_step_leaves_clean_weights, ()),
    (laws.test_a_method_that_goes_on_equals_one_that_never_stopped, ("constant",)),
    (laws.test_a_method_that_goes_on_equals_one_that_never_stopped, ("adaptive",)),
    (laws.test_diagnostics_do_not_touch_the_training, ()),
    (laws.test_diagnostics_are_what_a_slow_computation_says, ()),
    (laws.test_gradients_are_clipped_to_the_largest_norm, ()),
    (laws_of_failures.test_a_loss_that_is_not_finite_updates_nothing, (float("nan"), 1)),
    (laws_of_failures.test_every_method_is_a_class_of_its_name_and_refuses_the_states_of_all_others, ()),
    *(
        (laws_of_norms.test_statistics_move_once_and_at_the_weights_that_the_policy_names, (policy,))
        for policy in laws_of_norms.POLICIES
    ),
]


@pytest.mark.parametrize(("law", "more"), LAWS, ids=[f"{law.__name__[5:]}-{more}" for law, more in LAWS])
def test_it_keeps_the_laws_of_every_method(law: Callable[..., None], more: tuple[object, ...]) -> None:
    law(NAME, *more)


def test_it_is_known_by_its_name() -> None:
    named = METHODS[NAME]
    assert (named.noise, named.strength, named.rho) == (True, True, False)
    assert str(default_of(NAME)) == "1"
    made = make_method(NAME, noise="gaussian:0.1", strength="quadratic:to=2", seed=3)
    assert type(made).__qualname__ == "AntitheticRWP"
    assert made.describe()["strength"] == "quadratic:to=2"
    with pytest.raises(DriftproofError, match=r"did you mean antithetic-rwp\?.*noise-injection, .*antithetic-rwp"):
        make_method("antithetic-rpw")
    with pytest.raises(DriftproofError, match="antithetic-rwp draws a device's noise: say which"):
        make_method(NAME)
    with pytest.raises(DriftproofError, match="antithetic-rwp takes no rho"):
        make_method(NAME, noise="gaussian:0.1", rho=0.1)
    with pytest.raises(DriftproofError, match=r"sam takes no strength; .*antithetic-rwp.* do"):
        make_method("sam", strength=1.0)
    with pytest.raises(DriftproofError, match=r"AntitheticRWP.*keyword 'sede' \(did you mean seed\?\)"):
        make_method(NAME, noise="gaussian:0.1", sede=1)


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["driftproof", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_the_command_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "digits-cnn", "--data", "digits-train", "--limit", 200, "--epochs", 2, "--method", NAME)
    device = ("--preset", "gaussian:0.1", "--strength", 1.5, "--schedule", "linear", "--validation-chips", 1)
    assert command(monkeypatch, *words, *device, "--out", tmp_path / "a") == 0
    assert "best: epoch" in capsys.readouterr().out
    assert f'"method": "{NAME}"' in (tmp_path / "a" / "settings.json").read_text(encoding="utf-8")
    assert command(monkeypatch, *words, "--out", tmp_path / "b") == 2
    assert f"--method {NAME} trains with a device's noise" in " ".join(capsys.readouterr().err.split())
