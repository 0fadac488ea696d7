"""Networks as they come: sparse buffers, odd names and texts, parameters without numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof._provenance import model_hash

X = torch.randn(30, 12, generator=torch.Generator().manual_seed(0))
Y = torch.arange(30) % 4
DEVICE = "gaussian:0.3"
BACKENDS: tuple[Any, ...] = ("folded", "tiles")

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": Tensor.clone,
    "coo": Tensor.to_sparse,
    "csr": Tensor.to_sparse_csr,
    "csc": Tensor.to_sparse_csc,
}


class Graph(nn.Module):
    """A convolution on a graph, whose adjacency is a buffer."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        ring = torch.eye(12) + torch.roll(torch.eye(12), 1, 0)
        self.register_buffer("adjacency", LAYOUTS[layout](ring))
        self.layer = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.adjacency @ x.t()  # type: ignore[operator]
        return self.layer(mixed.t())  # type: ignore[no-any-return]


def values(network: nn.Module, backend: Any, out: Path | None = None, chips: int = 2) -> list[float]:
    record = dp.evaluate(
        network, (X, Y), presets=DEVICE, times="1s", chips=chips, backend=backend, out=out, progress=False
    )
    with record:
        return list(record.cells()["value"])


@pytest.mark.filterwarnings("ignore::driftproof.DriftproofWarning")
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "dense"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sparse_buffer_is_right_as_the_dense_one(layout: str, backend: Any, tmp_path: Path) -> None:
    assert values(Graph(layout).eval(), backend) == values(Graph("dense").eval(), backend)
    chip = dp.program(dp.convert(Graph(layout).eval(), DEVICE, example=X)).drift("1s")
    dp.save(chip, tmp_path / "chip")
    again = dp.load(tmp_path / "chip", Graph(layout).eval())
    assert isinstance(again, dp.ProgrammedChip)
    assert torch.equal(chip.model(X), again.drift("1s").model(X))
    method = dp.RWP(noise="gaussian:0.05")
    trained = [
        dp.train(Graph(kind), (X, Y), method=dp.RWP(noise="gaussian:0.05"), epochs=1, batch_size=10).model
        for kind in ("dense", layout)
    ]
    torch.testing.assert_close(
        trained[0].get_parameter("layer.weight"), trained[1].get_parameter("layer.weight"), rtol=1e-5, atol=1e-6
    )
    done = dp.train(
        Graph(layout), (X, Y), method=method, epochs=1, batch_size=10, validate=lambda _: 1.0, out=tmp_path / "run"
    )
    assert done.best == 1.0


def test_the_hash_of_a_sparse_buffer_is_of_its_numbers() -> None:
    one, other = Graph("coo"), Graph("coo")
    assert model_hash(one) == model_hash(other)
    other.register_buffer("adjacency", (torch.eye(12) * 2).to_sparse())
    assert model_hash(one) != model_hash(other)


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.function = nn.Linear(12, 4), function

    def extra_repr(self) -> str:
        return f"function={self.function}, object={object()}"

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.function(x))  # type: ignore[no-any-return]


class Silent(Lambda):
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def scaled(x: Tensor, factor: float) -> Tensor:
    return x * factor


@pytest.mark.parametrize("kind", [Lambda, Silent])
def test_a_record_of_a_network_whose_text_has_addresses_is_continued(kind: type[Lambda], tmp_path: Path) -> None:
    for chips in (1, 2):
        junk = [object() for _ in range(chips * 100)]  # another address
        network = kind(partial(scaled, factor=1.0)).eval()
        assert len(values(network, "folded", tmp_path, chips)) == 2 + chips
        del junk
    other = kind(torch.relu).eval()
    assert (model_hash(network) != model_hash(other)) == (kind is Lambda)


WITHOUT_NUMBERS: dict[str, Callable[[], nn.Module]] = {
    "meta": lambda: nn.Sequential(nn.Linear(12, 8), nn.Linear(8, 4, device="meta")),
    "lazy": lambda: nn.Sequential(nn.Linear(12, 8), nn.LazyLinear(4)),
    "a meta buffer": lambda: nn.Sequential(nn.Linear(12, 4), nn.BatchNorm1d(4, device="meta", affine=False)),
}


@pytest.mark.parametrize("kind", WITHOUT_NUMBERS)
def test_parameters_without_numbers_are_refused_by_name(kind: str) -> None:
    calls: list[Callable[[nn.Module], Any]] = [
        lambda network: values(network, "folded"),
        lambda network: dp.convert(network, "ideal", example=X),
        lambda network: dp.convert(network, "ideal"),
        lambda network: dp.train(network, (X, Y), epochs=1, batch_size=10),
        lambda network: dp.map_model(network),
        lambda network: dp.Evaluator(network, (X, Y)),
    ]
    for call in calls:
        with pytest.raises(DriftproofError, match=r"1\.\w+ has no numbers yet"):
            call(WITHOUT_NUMBERS[kind]())


@pytest.mark.parametrize("name", ["a b\n\t", "import os", "class", "слой", "x" * 300, "0", "'quoted\""])
def test_odd_names_of_modules(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential()
    network.add_module(name, nn.Linear(12, 8))
    network.add_module("relu", nn.ReLU())
    network.add_module("head", nn.Linear(8, 4))
    network.eval()
    ones, others = values(network, "folded"), values(network, "tiles")
    assert ones == others
    chip = dp.program(dp.convert(network, "ideal", example=X)).drift("1s")
    torch.testing.assert_close(chip.model(X), network(X), rtol=1e-5, atol=1e-6)
    dp.save(chip, tmp_path / "chip")
