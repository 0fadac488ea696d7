from __future__ import annotations

import subprocess
import sys

import torch
from torch import Tensor, nn
from torch.fx import symbolic_trace

from driftproof._provenance import model_hash
from driftproof.data import digits
from driftproof.zoo import digits_cnn, trained_digits_cnn
from driftproof.zoo._digits_cnn import train_digits_cnn


def accuracy(model: nn.Module) -> float:
    data = digits("test")
    with torch.no_grad():
        return 100 * float((model(data.inputs).argmax(1) == data.targets).double().mean())


def test_layers() -> None:
    model = digits_cnn()
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert [conv.bias is not None for conv in convs] == [True, False]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 2
    assert sum(isinstance(m, nn.Linear) for m in model.modules()) == 2
    assert sum(p.numel() for p in model.parameters()) == 38_346
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(symbolic_trace(model.eval())(x), model(x))


def test_trained_is_good_on_unseen_digits() -> None:
    model = trained_digits_cnn()
    assert not model.training
    assert accuracy(model) >= 97
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_shipped_weights_are_what_training_comes_to() -> None:
    shipped, trained = trained_digits_cnn(), train_digits_cnn(seed=0)
    images = digits("test").inputs
    with torch.no_grad():
        # another processor rounds otherwise at every step: the function that was learnt is the same, the bits are not
        agreement = (shipped(images).argmax(1) == trained(images).argmax(1)).double().mean().item()
    assert agreement >= 0.97
    assert trained.fc1.weight.shape == shipped.fc1.weight.shape


def test_shipped_weights_are_the_same_for_any_number_of_threads() -> None:
    code = "from driftproof._provenance import model_hash; from driftproof.zoo import *; " + (
        "import torch; torch.set_num_threads({}); print(model_hash(trained_digits_cnn()))"
    )
    hashes = {
        subprocess.run([sys.executable, "-c", code.format(n)], capture_output=True, text=True, check=True).stdout
        for n in (1, 2)
    }
    assert hashes == {f"{model_hash(trained_digits_cnn())}\n"}


def test_training_is_repeatable_and_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    first = train_digits_cnn(seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(17)  # whatever the caller has drawn must not matter,
    with torch.no_grad():  # nor what the caller has switched off
        again = train_digits_cnn(seed=3).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = train_digits_cnn(seed=4).state_dict()
    assert not torch.equal(first["fc1.weight"], other["fc1.weight"])


def test_copies_are_fresh() -> None:
    spoiled = trained_digits_cnn()
    weight: Tensor = spoiled.fc2.weight
    weight.data.zero_()
    spoiled.train()
    fresh = trained_digits_cnn()
    assert not fresh.training
    assert fresh.fc2.weight.abs().sum() > 0
