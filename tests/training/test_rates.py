"""Learning rates of layers, optimizers by name, and schedules: as their formulas say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.training._settings import Settings


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2, bias=False))


def stepped(settings: Settings, steps: int = 3) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights before and after some updates with the gradient of a sum of squares."""
    made = network()
    before = [p.detach().clone() for p in made.parameters()]
    optimizer = settings.make_optimizer(made)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(p.square().sum() / 2 for p in made.parameters()).backward()  # type: ignore[union-attr]
        optimizer.step()
    return before, [p.detach() for p in made.parameters()]


@pytest.mark.parametrize(("optimizer", "momentum"), [("momentum", 0.9), ("plain-sgd", 0.0)])
def test_the_optimizers_are_their_formulas_with_a_rate_for_each_layer(optimizer: str, momentum: float) -> None:
    rates, decay = (0.1, 0.02), 0.3
    before, after = stepped(Settings(epochs=1, optimizer=optimizer, lr=rates, weight_decay=decay))  # type: ignore[arg-type]
    for start, end, lr in zip(before, after, (rates[0], rates[0], rates[1]), strict=True):
        w, velocity = start.clone(), torch.zeros_like(start)
        for _ in range(3):
            velocity = momentum * velocity + (1 + decay) * w  # the gradient of the squares is w
            w = w - lr * velocity
        torch.testing.assert_close(end, w)


def test_one_rate_is_one_for_all_layers_as_before() -> None:
    one = Settings(epochs=1, lr=0.1).make_optimizer(network())
    assert len(one.param_groups) == 1
    assert one.param_groups[0]["nesterov"]
    for lr in ((0.1, 0.1), [0.1, 0.1]):
        settings = Settings(epochs=1, lr=lr)
        assert all(map(torch.equal, stepped(settings)[1], stepped(Settings(epochs=1, lr=0.1))[1]))


def test_the_descriptions_of_earlier_settings_stay() -> None:
    described = Settings(epochs=2).describe()
    assert described["learning rate"] == "0.01"
    assert described["learning-rate schedule"] == "cosine, warm-up 0.05"
    assert described["optimizer"] == "sgd"
    several = Settings(epochs=2, lr=(0.0625, 0.0375), lr_schedule="exponential:0.99").describe()
    assert several["learning rate"] == "0.0625, 0.0375"
    assert several["learning-rate schedule"] == "exponential:0.99, warm-up 0.05"


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("cosine", [0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]),
        ("constant", [1.0] * 6),
        ("exponential:0.5", [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]),
    ],
)
def test_schedules_of_three_epochs_of_two_updates(schedule: str, wanted: list[float]) -> None:
    settings = Settings(epochs=3, lr=(0.4, 0.1), lr_schedule=schedule, warm_up=0.0, optimizer="plain-sgd")
    optimizer = settings.make_optimizer(network())
    moving = settings.make_schedule(optimizer, 6)
    seen = []
    for _ in range(6):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        moving.step()
    assert seen == [pytest.approx([0.4 * factor, 0.1 * factor]) for factor in wanted]


def test_a_training_with_rates_of_layers_is_resumed_to_the_last_bit(tmp_path: Path) -> None:
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    data = (x, (x.sum(1) > 0).long())
    settings = Settings(epochs=3, batch_size=8, lr=(0.2, 0.1), optimizer="momentum", lr_schedule="exponential:0.9")

    class Stop(Exception):
        pass

    def stop(row: dict[str, float | None]) -> None:
        if row["epoch"] == 3:
            raise Stop

    whole = dp.train(network(), data, settings=settings, progress=False)
    with pytest.raises(Stop):
        dp.train(network(), data, settings=settings, out=tmp_path, on_row=stop, progress=False)
    resumed = dp.train(network(), data, settings=settings, out=tmp_path, progress=False)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": (0.1, 0.0)}, r"wanted lr > 0"),
        ({"lr": ()}, r"wanted lr > 0"),
        ({"lr": float("nan")}, r"wanted lr > 0"),
        ({"lr_schedule": "exponential"}, r"wanted exponential:FACTOR with the factor per epoch in \(0, 1\]"),
        ({"lr_schedule": "exponential:1.5"}, r"in \(0, 1\]"),
        ({"lr_schedule": "cosin"}, r"lr_schedule 'cosin' \(did you mean cosine\?\)"),
        ({"optimizer": "momentun"}, r"did you mean momentum\?"),
    ],
)
def test_settings_that_fail(options: dict[str, object], message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        Settings(epochs=1, **options)  # type: ignore[arg-type]


def test_another_number_of_rates_than_of_layers() -> None:
    with pytest.raises(DriftproofError, match=r"lr has 3 numbers, and the network has 2 layers .*: 0, 2\. Give one"):
        Settings(epochs=1, lr=(0.1, 0.1, 0.1)).make_optimizer(network())
    own = Settings(epochs=1, lr=(0.1, 0.1), optimizer=torch.optim.Rprop)
    with pytest.raises(DriftproofError, match=r"an optimizer of your own"):
        own.make_optimizer(network())


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "plain-sgd", "adamw"])
def test_a_gradient_in_another_order_of_memory_is_the_same_gradient(optimizer: str) -> None:
    """Convolutions of images in channels-last order give such gradients."""
    ends = []
    for order in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 4, 3)
        made = Settings(epochs=1, optimizer=optimizer, lr=0.1).make_optimizer(layer)  # type: ignore[arg-type]
        for _ in range(3):
            layer.weight.grad = torch.randn(4, 3, 3, 3).contiguous(memory_format=order)
            made.step()
        ends.append(layer.weight.detach())
    torch.testing.assert_close(ends[0], ends[1])
