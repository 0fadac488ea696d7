"""Small networks and all methods, for the laws that every method keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.training import ramp
from driftproof.training._methods import Method, MultiStepSAM
from driftproof.training._methods.by_name import METHODS, make_method
from driftproof.training._schedules import Ramp

# those of this room: others, and other tests, add theirs while they are collected
NAMES = tuple(name for name, named in METHODS.items() if named.make.__module__.startswith("driftproof.training."))
PERTURBING = tuple(name for name in NAMES if name != "plain")
ASCENDING = tuple(name for name in NAMES if METHODS[name].rho)
DRAWING = tuple(name for name in PERTURBING if METHODS[name].strength)

IMAGES = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
CLASSES = IMAGES.flatten(1)[:, :3].argmax(1)
POINTS = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))
VALUES = torch.stack([POINTS[:, 0] * POINTS[:, 1], POINTS[:, 2:].sum(1)], dim=1)

TOKENS = torch.tensor([[0, 3, 1], [4, 2, 2]])


class Small(nn.Module):
    """A convolution, a BatchNorm, dropout and a linear layer."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """An embedding whose weight is the output layer's, and two linear layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embed(tokens)
        return self.head(self.second(torch.tanh(self.first(hidden))))  # type: ignore[no-any-return]


def small(dropout: float = 0.2) -> Small:
    torch.manual_seed(0)
    return Small(dropout)


def smooth(bias: bool = False) -> nn.Sequential:
    """Neither a norm nor dropout, and analog weights alone unless there is a bias."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6, bias=bias), nn.Tanh(), nn.Linear(6, 2, bias=bias))


def images_loss(network: nn.Module) -> Callable[[], Tensor]:
    return lambda: nn.functional.cross_entropy(network(IMAGES), CLASSES)


def points_loss(network: nn.Module, part: slice = slice(None)) -> Callable[[], Tensor]:
    points, values = POINTS[part], VALUES[part]
    if isinstance(network, nn.Module) and next(network.parameters()).dtype == torch.float64:
        points, values = points.double(), values.double()
    return lambda: nn.functional.mse_loss(network(points), values)


def tied() -> Tied:
    torch.manual_seed(0)
    return Tied()


def tied_loss(network: nn.Module) -> Callable[[], Tensor]:
    return lambda: nn.functional.cross_entropy(network(TOKENS).flatten(0, 1), TOKENS.flatten())


class Overflow(torch.autograd.Function):
    """A gradient that overflows, as one that the scaler has made too large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * float("inf")


def sgd(network: nn.Module, lr: float = 0.05) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=lr, momentum=0.9, weight_decay=1e-3)


def method_of(name: str, *, level: float = 1.0, ramped: Ramp | None = None, **options: Any) -> Method:
    """Return a method by its name, its perturbation ``level`` times a usual one, or along a ramp."""
    named = METHODS[name]
    if name == "multi-step-sam":
        return MultiStepSAM(rho=0.1 * level, **options)
    if named.noise:
        options = {"noise": "gaussian:0.1"} | options
    if named.strength:
        options = {"strength": ramped or level} | options
    if named.rho:
        options = {"rho": ramped or 0.1 * level} | options
    return make_method(name, **options)


def rising() -> Ramp:
    """Zero at the first update."""
    return ramp("linear", to=1.0)


def gradients_of(optimizer: torch.optim.Optimizer) -> list[Tensor | None]:
    """Return a list that holds, after each step of the optimizer, copies of the gradients that it stepped along."""
    seen: list[Tensor | None] = []

    def note(*_: Any) -> None:
        seen[:] = [
            None if p.grad is None else p.grad.clone() for group in optimizer.param_groups for p in group["params"]
        ]

    optimizer.register_step_pre_hook(note)
    return seen


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def equal(a: Any, b: Any) -> bool:
    """Whether two nests of tensors and values are the same, bit for bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
