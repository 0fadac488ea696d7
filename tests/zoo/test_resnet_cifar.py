from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace

from driftproof.data import cifar10
from driftproof.zoo import load_model, resnet20
from driftproof.zoo._resnet_cifar import resnet32, resnet44, resnet56

CHECKPOINT = os.environ.get("DRIFTPROOF_CHECKPOINT", "")
ROOT = os.environ.get("DRIFTPROOF_DATA", "")


@pytest.mark.parametrize(
    ("make", "layers", "parameters"),
    [(resnet20, 20, 269_722), (resnet32, 32, 464_154), (resnet44, 44, 658_586), (resnet56, 56, 853_018)],
)
def test_sizes(make: Callable[[], nn.Module], layers: int, parameters: int) -> None:
    model = make()
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == layers


def test_names() -> None:
    batch_norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    wanted = {"conv1.weight", "linear.weight", "linear.bias", *(f"bn1.{part}" for part in batch_norm)}
    for block in (f"layer{stage}.{i}" for stage in (1, 2, 3) for i in range(3)):
        wanted |= {f"{block}.conv1.weight", f"{block}.conv2.weight"}
        wanted |= {f"{block}.{bn}.{part}" for bn in ("bn1", "bn2") for part in batch_norm}
    assert set(resnet20().state_dict()) == wanted


def test_shortcut_subsamples_and_pads_with_zero_channels() -> None:
    x = torch.randn(2, 16, 5, 6)
    y = resnet20().get_submodule("layer2.0.shortcut")(x)
    assert y.shape == (2, 32, 3, 3)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


def test_traceable_and_as_many_classes_as_wanted() -> None:
    model = resnet20(classes=7).eval()
    traced = symbolic_trace(model)
    x = torch.randn(2, 3, 32, 32)
    assert model(x).shape == (2, 7)
    assert torch.equal(traced(x), model(x))
    assert {node.op for node in traced.graph.nodes} >= {"call_module", "call_function"}


@pytest.mark.skipif(not CHECKPOINT, reason="set DRIFTPROOF_CHECKPOINT to resnet20-12fca82f.th")
@pytest.mark.skipif(not ROOT, reason="set DRIFTPROOF_DATA to the folder that unpack.py has filled")
def test_known_checkpoint_has_its_known_accuracy() -> None:
    loaded = load_model("resnet20", CHECKPOINT)
    assert loaded.trained
    right = 0
    with torch.no_grad():
        for images, labels in cifar10(ROOT).batches(500):
            right += int((loaded.model(images).argmax(1) == labels).sum())
    assert abs(right - 9173) <= 1  # one image may turn on the last bit of a sum
