from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from driftproof._errors import DriftproofError
from driftproof.zoo import digits_cnn, load_model, resnet20, save_weights

FILE = """
from torch import nn
from parts import Block

def make(): return nn.Sequential(Block(), nn.Dropout())
def number(): return 3
def kind(): return Block
def fails(): raise RuntimeError("no GPU here")
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "parts.py").write_text("from torch import nn\nclass Block(nn.Linear):\n"
                                       "    def __init__(self): super().__init__(2, 2)\n")  # fmt: skip
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return path


def test_digits_cnn_comes_trained_unless_weights_are_given(tmp_path: Path) -> None:
    loaded = load_model("digits-cnn")
    assert (loaded.name, loaded.trained, loaded.model.training) == ("digits-cnn", True, False)
    other = digits_cnn()
    save_weights(other, tmp_path / "w.safetensors")
    given = load_model("digits-cnn", tmp_path / "w.safetensors")
    assert given.trained
    assert torch.equal(given.model.fc1.weight, other.fc1.weight)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("spec", ["resnet20", "torchvision:squeezenet1_1"])
def test_untrained_without_weights(spec: str, tmp_path: Path) -> None:
    loaded = load_model(spec)
    assert (loaded.name, loaded.trained, loaded.model.training) == (spec, False, False)
    save_weights(loaded.model, tmp_path / "w.safetensors")
    assert load_model(spec, tmp_path / "w.safetensors").trained


def test_weights_of_another_number_of_classes(tmp_path: Path) -> None:
    save_weights(resnet20(classes=100), tmp_path / "w.safetensors")
    with pytest.raises(DriftproofError, match=r"linear.weight \(file \[100, 64\], model \[10, 64\]\)"):
        load_model("resnet20", tmp_path / "w.safetensors")


def test_torchvision_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_download(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_download)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_download)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_download)
    load_model("torchvision:lraspp_mobilenet_v3_large")  # by default it would fetch its backbone's weights


def test_user_file(file: Path, tmp_path: Path) -> None:
    loaded = load_model(f"{file}:make")
    assert (loaded.name, loaded.trained, loaded.model.training) == ("net.py:make", True, False)
    save_weights(loaded.model, tmp_path / "w.safetensors")
    again = load_model(f"{file}:make", weights=str(tmp_path / "w.safetensors")).model
    assert isinstance(again, nn.Module)
    assert torch.equal(again[0].weight, loaded.model[0].weight)  # type: ignore[index]


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("mak", r"no callable 'mak' \(did you mean make\?\); it has make, number, kind, fails"),
        ("number", r"net.py:number returned a int; wanted a torch.nn.Module"),
        ("kind", r"net.py:kind returned the class Block; .*; return an instance, not the class"),
        ("fails", r"net.py:fails raised RuntimeError: no GPU here"),
    ],
)
def test_user_file_errors(file: Path, attribute: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        load_model(f"{file}:{attribute}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet21", r"unknown model 'resnet21' \(did you mean resnet\d\d\?\); wanted one of: digits-cnn, digits-res"),
        ("resnet18", r"did you mean torchvision:resnet18\?"),
        ("digits", r"did you mean digits-cnn\?"),
        ("", r"unknown model ''; wanted one of"),
        ("torchvision:resnet19", r"no model 'resnet19' \(did you mean resnet\d+\?\)"),
        ("torchvision:", r"torchvision has no model ''"),
        ("tim:resnet18", r"wanted one of: .*timm:NAME, hf:DIR"),
        ("absent.py:make", r"no file .*absent.py"),
    ],
)
def test_specs_that_fail(spec: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        load_model(spec)
