"""Small networks of every kind that users bring, each with inputs [N, …] and targets [N]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

CLASSES = 4
SAMPLES = 24


class Given(NamedTuple):
    """A network of a user and data for it."""

    network: nn.Module
    inputs: Any
    targets: Tensor


class Lora(nn.Linear):
    """A layer that folds B A into its weight in eval mode, as loralib does."""

    def __init__(self, rows: int, columns: int, rank: int = 2) -> None:
        super().__init__(rows, columns)
        self.A, self.B = nn.Parameter(torch.randn(rank, rows) / 3), nn.Parameter(torch.randn(columns, rank) / 3)
        self.merged = False
        self.weight.requires_grad_(False)

    def train(self, mode: bool = True) -> Lora:
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * self.B.data @ self.A.data
            self.merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)
        return y if self.merged else y + F.linear(F.linear(x, self.A), self.B)


class InPlace(nn.Module):
    """Normalises its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        x /= 0.25
        y: Tensor = self.b(torch.relu(self.a(x)))
        return y


class Tied(nn.Module):
    """Reads one matrix in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.randn(16, 6) / 3), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(x @ self.weight.T) @ self.weight)
        return y


class Recurrent(nn.Module):
    """An LSTM over a sequence."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.rnn, self.head = kind(6, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.rnn(x[:, None].expand(-1, 3, -1))[0][:, -1])
        return y


class Attention(nn.Module):
    """A transformer's encoder layer with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(6, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.layer(self.up(x)[:, None].expand(-1, 3, -1)).mean(1))
        return y


class Remembering(nn.Module):
    """Keeps its last activation, a result that hangs on a graph, for whoever looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, CLASSES)
        self.seen: Tensor | None = None
        self.history: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen = torch.relu(self.a(x))
        y: Tensor = self.b(self.seen)
        return y


class Words(nn.Module):
    """Two inputs by name, a look-up table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(20, 8), nn.Linear(8, CLASSES)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        pooled = (self.table(ids) * mask[..., None]).mean(1)
        return {"logits": self.head(pooled)}


class Sparse(nn.Module):
    """Mixes features by a sparse matrix in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, CLASSES)
        self.register_buffer("mix", torch.eye(8).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.mix, Tensor)
        y: Tensor = self.b(torch.sparse.mm(self.mix, torch.relu(self.a(x)).T).T)
        return y


class Gradient(nn.Module):
    """Returns the gradient of an energy."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x, create_graph=self.training)
        return slope[:, :CLASSES]


class Rows(nn.Module):
    """Its samples attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.head = nn.Linear(6, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        y: Tensor = self.head(h - torch.softmax(4 * h @ h.T, 1) @ h)
        return y


class Membrane(nn.Module):
    """A spiking neuron between two layers that keeps its potential until it is reset by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, CLASSES)
        self.potential = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        self.potential = self.potential + self.a(x)
        spikes = (self.potential > 0.5).float()
        self.potential = self.potential - spikes
        y: Tensor = self.b(spikes + torch.tanh(self.potential))
        return y


class Chance(nn.Module):
    """Drops activations in eval mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(F.dropout(torch.relu(self.a(x)), 0.3))
        return y


class Steps(nn.Module):
    """Returns what it computes at every step, [steps, N, classes]."""

    def __init__(self, steps: int = 5) -> None:
        super().__init__()
        self.a, self.steps = nn.Linear(6, CLASSES), steps

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.a(x * step) for step in range(1, 1 + self.steps)])


class Terms(nn.Module):
    """Keeps a term of its loss, which hangs on a graph, in a list in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, CLASSES)
        self.losses: dict[str, list[Tensor]] = {"kl": []}

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        self.losses["kl"] = [h.square().mean()]
        y: Tensor = self.b(h)
        return y


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES))


def _convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 4, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
    )


def _normed(norm: Callable[[nn.Module], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(norm(nn.Linear(6, 16)), nn.ReLU(), nn.Linear(16, CLASSES))


def _hooked() -> nn.Module:
    network = _mlp()
    network[0].register_forward_hook(lambda module, args, output: output * 2)  # type: ignore[index]
    return network


def _frozen() -> nn.Module:
    network = _mlp()
    network[0].requires_grad_(False)  # type: ignore[index]
    return network


def _scaled(layer: nn.Module) -> nn.Module:
    class Scale(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            scaled: Tensor = weight / weight.norm(dim=1, keepdim=True)
            return scaled

    nn.utils.parametrize.register_parametrization(layer, "weight", Scale())
    return layer


KINDS: dict[str, Callable[[], nn.Module]] = {
    "linear layers and dropout": _mlp,
    "convolution and BatchNorm": _convolutional,
    "an LSTM": lambda: Recurrent(nn.LSTM),
    "a GRU": lambda: Recurrent(nn.GRU),
    "an encoder layer": Attention,
    "layers that merge in eval mode": lambda: nn.Sequential(Lora(6, 16), nn.ReLU(), nn.Linear(16, CLASSES)),
    "writes into its input": InPlace,
    "a matrix read both ways": Tied,
    "weight norm": _normed(parametrizations.weight_norm),
    "spectral norm": _normed(parametrizations.spectral_norm),
    "a parametrisation": _normed(_scaled),
    "pruned": _normed(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)),  # type: ignore[no-untyped-call]
    "a hook": _hooked,
    "keeps a result": Remembering,
    "named inputs": Words,
    "a sparse buffer": Sparse,
    "differentiates": Gradient,
    "partly frozen": _frozen,
    "in a wrapper": lambda: nn.DataParallel(_mlp()),
    "keeps a term in a list": Terms,
    "old-style weight norm": _normed(nn.utils.weight_norm),
}
"""Kind → a network, in train mode."""


ODD: dict[str, Callable[[], nn.Module]] = {
    "rows see each other": Rows,
    "keeps its membrane": Membrane,
    "random in eval mode": Chance,
    "counts time first": Steps,
}
"""Networks whose outputs depend on more than a sample, or come in another order."""


def given(kind: str) -> Given:
    """Return a network of a kind in train mode, inputs and targets."""
    torch.manual_seed(0)
    network = (KINDS | ODD)[kind]().train()
    source = torch.Generator().manual_seed(1)
    inputs: Any = torch.rand(SAMPLES, 6, generator=source)
    if kind == "named inputs":
        inputs = {"ids": torch.randint(0, 20, (SAMPLES, 5), generator=source), "mask": torch.ones(SAMPLES, 5)}
    return Given(network, inputs, torch.randint(0, CLASSES, (SAMPLES,), generator=source))
