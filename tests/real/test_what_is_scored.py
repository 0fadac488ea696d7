"""Which of a network's outputs is scored, and which targets a training takes: right, or refused with what there is."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import driftproof as dp
from driftproof._errors import DriftproofError
from driftproof.evaluation import Metric

X = torch.randn(60, 12, generator=torch.Generator().manual_seed(0))
BACKENDS: tuple[Any, ...] = ("folded", "tiles")

Named = namedtuple("Named", "hidden logits")


@dataclass
class Data:
    hidden: Tensor
    logits: Tensor


class Net(nn.Module):
    def __init__(self, form: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.form = nn.Linear(12, 10), nn.Linear(10, 4), form

    def forward(self, x: Tensor) -> Any:
        hidden = torch.relu(self.body(x))
        return self.form(hidden, self.head(hidden))

    def answers(self) -> Tensor:
        return self.head(torch.relu(self.body(X))).argmax(1)  # type: ignore[no-any-return]


RIGHT: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a tensor": lambda h, y: y,
    "a named tuple": Named,
    "a dataclass": Data,
    "a dict": lambda h, y: {"hidden": h, "logits": y},
    "an ordered dict": lambda h, y: OrderedDict(hidden=h, logits=y),
    "an object": lambda h, y: SimpleNamespace(hidden=h, logits=y),
    "torchvision's segmentation": lambda h, y: {"aux": y.flip(1), "out": y},
    "a distribution": lambda h, y: torch.distributions.Categorical(logits=y),
    "alone in a tuple": lambda h, y: (y,),
    "alone in a dict": lambda h, y: {"prediction": y},
    "beside a loss": lambda h, y: (y.sum(), y),
    "beside a recurrent state": lambda h, y: (y, (h, h)),
    "beside another shape": lambda h, y: (h[None], y),
    "beside nothing": lambda h, y: {"loss": None, "y": y},
}
UNCLEAR: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "features first": lambda h, y: (h, y),
    "a list": lambda h, y: [h, y],
    "features and predictions": lambda h, y: {"features": h, "prediction": y},
}


def values(network: nn.Module, targets: Tensor, backend: Any, **more: Any) -> set[float]:
    record = dp.evaluate(
        network, (X, targets), presets="ideal", times="1s", chips=1, backend=backend, progress=False, **more
    )
    return set(record.cells()["value"])


@pytest.mark.parametrize("form", RIGHT)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_logits_are_scored_wherever_they_are(form: str, backend: Any) -> None:
    network = Net(RIGHT[form]).eval()
    assert values(network, network.answers(), backend) == {100.0}


@pytest.mark.parametrize("form", UNCLEAR)
@pytest.mark.parametrize("backend", BACKENDS)
def test_several_outputs_that_could_be_meant_are_refused_with_a_list(form: str, backend: Any) -> None:
    network = Net(UNCLEAR[form]).eval()
    with pytest.raises(DriftproofError, match=r"\[60, 10\].*\[60, 4\].*not clear"):
        values(network, network.answers(), backend)
    with pytest.raises(DriftproofError, match=r"loss cross-entropy.*not clear"):
        dp.train(Net(UNCLEAR[form]), (X, network.answers()), epochs=1, batch_size=20)


@pytest.mark.parametrize("form", UNCLEAR)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_metric_of_ones_own_gets_all_of_them(form: str, backend: Any) -> None:
    seen = []

    def right(outputs: Any, targets: Tensor) -> float:
        seen.append(outputs)
        parts = list(outputs.values()) if isinstance(outputs, dict) else list(outputs)
        assert [tuple(part.shape) for part in parts] == [(60, 10), (60, 4)]
        return 100 * float((parts[1].argmax(1) == targets).float().mean())

    network = Net(UNCLEAR[form]).eval()
    metric = Metric.of(right, name="mine", percent=True)
    assert values(network, network.answers(), backend, metric=metric, batch_size=17) == {100.0}
    assert all(type(outputs) is type(UNCLEAR[form](X, X)) for outputs in seen)


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float32, torch.bool])
def test_one_logit_has_a_binary_accuracy_and_a_loss(column: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1)]
    network = nn.Sequential(*layers, *([] if column else [nn.Flatten(0)])).eval()
    targets = (network(X).flatten() > 0).to(dtype)
    for given in (targets, targets[:, None]):
        for backend in BACKENDS:
            assert values(network, given, backend) == {100.0}
        assert dp.train(network, (X, given), epochs=1, batch_size=20).rows
    with pytest.raises(DriftproofError, match="as probabilities do"):
        values(nn.Sequential(network, nn.Sigmoid()).eval(), targets, "folded")


def test_one_logit_takes_two_classes_only() -> None:
    network = nn.Linear(12, 1)
    for targets in (torch.arange(60) % 3, torch.rand(60) * 5):
        with pytest.raises(DriftproofError, match="targets 0 and 1"):
            values(network, targets, "folded")
        with pytest.raises(DriftproofError, match=r"loss binary: .*0, 1"):
            dp.train(network, (X, targets), epochs=1, batch_size=20)


IMAGES = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 5, (12, 6, 6), generator=torch.Generator().manual_seed(1))
# name: (outputs, targets) that the losses take, and what torch's own loss gives
TAKEN: dict[str, tuple[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]] = {
    "classes": (X[:, :5], CLASSES.flatten()[:60], F.cross_entropy),
    "classes in a byte": (X[:, :5], CLASSES.flatten()[:60].to(torch.uint8), lambda y, t: F.cross_entropy(y, t.long())),
    "classes in 16 bits": (X[:, :5], CLASSES.flatten()[:60].short(), lambda y, t: F.cross_entropy(y, t.long())),
    "probabilities": (X[:, :5], X[:, 5:10].softmax(1), F.cross_entropy),
    "one-hot integers": (X[:, :5], F.one_hot(CLASSES.flatten()[:60], 5), lambda y, t: F.cross_entropy(y, t.float())),
    "segmentation": (IMAGES.repeat(1, 2, 1, 1)[:, :5], CLASSES, F.cross_entropy),
    "ignored pixels": (IMAGES.repeat(1, 2, 1, 1)[:, :5], CLASSES.masked_fill(CLASSES == 3, -100), F.cross_entropy),
    "tokens": (X.view(6, 10, 12), CLASSES.flatten()[:60].view(6, 10), lambda y, t: F.cross_entropy(y.mT, t)),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_targets_are_taken_as_torchs_own_loss_takes_them(kind: str) -> None:
    from driftproof.training._losses import cross_entropy

    outputs, targets, own = TAKEN[kind]
    torch.testing.assert_close(cross_entropy(outputs, targets), own(outputs, targets), rtol=1e-5, atol=1e-6)


REFUSED: dict[str, tuple[Tensor, str]] = {
    "other samples": (torch.zeros(60, 7).long(), r"do not fit"),
    "too many classes": (torch.full((60,), 9), r"from 9 to 9, but the network has 4 classes"),
    "negative classes": (torch.full((60,), -3), r"from -3 to -3"),
    "numbers": (torch.rand(60), r"wanted integers.*loss='mse'"),
    "several classes a sample": (torch.ones(60, 4), r"loss='binary'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_targets_that_do_not_fit_are_refused_by_name(kind: str) -> None:
    targets, said = REFUSED[kind]
    with pytest.raises(DriftproofError, match=said):
        dp.train(nn.Linear(12, 4), (X, targets), epochs=1, batch_size=20)


def test_shapes_that_fit_in_two_ways_are_refused() -> None:
    from driftproof.training._losses import cross_entropy

    with pytest.raises(DriftproofError, match="axis 1 and on the last axis"):
        cross_entropy(torch.zeros(4, 5, 5), torch.zeros(4, 5, dtype=torch.int64))


def test_distillation_follows_the_classes() -> None:
    network = nn.Conv2d(3, 5, 3, padding=1)
    trained = dp.train(network, (IMAGES, CLASSES), distil=dp.Distillation(), epochs=1, batch_size=6)
    assert trained.rows
