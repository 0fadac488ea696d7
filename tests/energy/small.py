"""Small Hopfield networks in float64, batches for them, and gradients as a method leaves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from driftproof._hopfield import HopfieldNetwork, States
from driftproof.energy import dchn, hopfield_dense
from driftproof.training import Method

DENSE = ("dense 2", "dense 3", "dense 4")
CONVOLUTIONAL = ("max", "average")
NAMES = (*DENSE, *CONVOLUTIONAL)
SIZES = {"dense 2": [6, 9, 3], "dense 3": [6, 9, 7, 3], "dense 4": [6, 9, 7, 8, 3]}
SIZE = 8


def network_of(name: str, seed: int = 0, *, gain: float = 0.5, dtype: Any = torch.float64, **settings: Any) -> Any:
    """A network by its kind: dense with a number of edges, or convolutional with a pooling."""
    torch.manual_seed(seed)
    if name in SIZES:
        network = hopfield_dense(SIZES[name], gain=gain, **settings)
    else:
        network = dchn([4, 3], image=(2, SIZE), classes=3, pool=name, gain=gain, **settings)  # type: ignore[arg-type]
    with torch.no_grad():
        for number in range(len(network.edges) - 1):  # units at both bounds, and between them
            bias = network.edge(number).bias
            bias.add_(0.2)
            bias[0].add_(1.4)
            bias[1].sub_(0.4)
    return network.to(dtype)


def pool_of(name: str) -> str:
    return name if name in CONVOLUTIONAL else "max"


def batch_of(name: str, samples: int = 5, seed: int = 0, dtype: Any = torch.float64) -> tuple[Tensor, Tensor]:
    """Inputs in [0, 1], and one-hot targets."""
    source = torch.Generator().manual_seed(100 + seed)
    shape = (6,) if name in SIZES else (2, SIZE, SIZE)
    x = torch.rand(samples, *shape, generator=source, dtype=torch.float64)
    return x.to(dtype), torch.eye(3, dtype=dtype)[torch.randint(3, (samples,), generator=source)]


def states_of(network: HopfieldNetwork, samples: int, seed: int = 0) -> list[Tensor]:
    """States behind the edges: hidden units in [0, 1], outputs of both signs."""
    source, dtype = torch.Generator().manual_seed(200 + seed), network.edge(0).weight.dtype
    layers = [torch.rand(samples, *shape, generator=source, dtype=torch.float64) for shape in network.shapes]
    layers[-1] = 2 * layers[-1] - 1
    return [layer.to(dtype) for layer in layers]


def squared_error(network: Any, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    return lambda: (network(x) - y).square().sum() / (2 * len(y))


def gradients(method: Method, network: Any, x: Tensor, y: Tensor) -> list[Tensor]:
    """A method's gradients, all weights and then all biases."""
    network.zero_grad()
    method.gradient(squared_error(network, x, y), network)
    return grads(network)


def grads(network: Any) -> list[Tensor]:
    found = [edge.weight.grad for edge in network.edges] + [edge.bias.grad for edge in network.edges]
    network.zero_grad()
    return found


def started(network: HopfieldNetwork, x: Tensor, layers: list[Tensor] | None = None) -> States:
    return network.start(network.placed(x), layers)


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())
