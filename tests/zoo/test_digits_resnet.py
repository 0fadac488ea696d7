from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import nn
from torch.fx import symbolic_trace

from driftproof.data import digits
from driftproof.zoo import digits_resnet, load_model
from driftproof.zoo._digits_resnet import trained_digits_resnet

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "demo" / "run.py"


def correct(model: nn.Module) -> int:
    data = digits("test")
    with torch.no_grad():
        return int((model(data.inputs).argmax(1) == data.targets).sum())


def test_layers() -> None:
    model = digits_resnet()
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == 10
    assert sum(p.numel() for p in model.parameters()) == 10_818
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(symbolic_trace(model.eval())(x), model(x))


def test_shipped_weights_have_the_stated_accuracy() -> None:
    loaded = load_model("digits-resnet")
    assert (loaded.trained, loaded.model.training) == (True, False)
    # 98.7 % of 597; a processor that rounds otherwise may decide one image otherwise
    assert abs(correct(loaded.model) - 589) <= 1


def test_shipped_weights_are_what_the_script_comes_to() -> None:
    spec = importlib.util.spec_from_file_location("demo_experiment", EXPERIMENT)
    assert spec is not None
    assert spec.loader is not None
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained = experiment.plain(seed=0)
    finally:
        torch.set_num_threads(threads)
    images = digits("test").inputs
    with torch.no_grad():
        # another processor rounds otherwise at every step: the function that was learnt is the same, the bits are not
        agreement = (load_model("digits-resnet").model(images).argmax(1) == trained(images).argmax(1)).double().mean()
    assert agreement >= 0.97


def test_copies_are_fresh() -> None:
    spoiled = trained_digits_resnet()
    spoiled.linear.weight.data.zero_()
    assert trained_digits_resnet().linear.weight.abs().sum() > 0
