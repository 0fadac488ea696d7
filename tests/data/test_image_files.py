from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from driftproof._errors import DriftproofError
from driftproof.data import Data, cifar10, load_data, mnist

ROOT = os.environ.get("DRIFTPROOF_DATA", "")
needs_data = pytest.mark.skipif(not ROOT, reason="set DRIFTPROOF_DATA to the folder that unpack.py has filled")


def write_idx(path: Path, *sizes: int) -> None:
    """Write zeros in MNIST's file format: unsigned bytes, big-endian sizes."""
    body = bytes(math.prod(sizes))
    path.write_bytes(bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + body)


def fake_mnist(root: Path, images: int) -> Path:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        write_idx(raw / f"{split}-images-idx3-ubyte", images, 28, 28)
        write_idx(raw / f"{split}-labels-idx1-ubyte", images)
    return raw


@pytest.mark.parametrize(
    ("load", "folder", "how"), [(cifar10, "cifar-10-batches-py", "CIFAR10"), (mnist, "raw", "MNIST")]
)
def test_missing_folder(load: Callable[[Path], Data], folder: str, how: str, tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=rf"no folder .*{folder}.*torchvision\.datasets\.{how}\(.*download=True"):
        load(tmp_path)


def test_damaged_cifar10(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "test_batch").write_bytes(b"not a batch")
    with pytest.raises(DriftproofError, match=r"missing or damaged.*CIFAR10\(.*download=True") as caught:
        cifar10(tmp_path)
    assert caught.value.__cause__ is not None


def test_damaged_mnist(tmp_path: Path) -> None:
    raw = fake_mnist(tmp_path, 10_000)
    inputs = mnist(tmp_path).inputs
    assert isinstance(inputs, torch.Tensor)
    assert inputs.shape == (10_000, 1, 28, 28)
    images = raw / "t10k-images-idx3-ubyte"
    for content in (images.read_bytes()[:-100], b"", b"<html>not here</html>"):
        images.write_bytes(content)
        with pytest.raises(DriftproofError, match=r"missing or damaged.*MNIST\(.*download=True"):
            mnist(tmp_path)
    images.unlink()
    with pytest.raises(DriftproofError, match="missing or damaged"):
        mnist(tmp_path)


def test_mnist_of_another_size(tmp_path: Path) -> None:
    fake_mnist(tmp_path, 7)
    with pytest.raises(DriftproofError, match=r"7 images and 7 targets in the test files.*wanted 10,000"):
        mnist(tmp_path)


def test_unknown_split(tmp_path: Path) -> None:
    for load in (cifar10, mnist):
        with pytest.raises(DriftproofError, match="split 'val'"):
            load(tmp_path, "val")


@needs_data
def test_cifar10_is_what_torchvisions_transforms_give() -> None:
    from torchvision import transforms
    from torchvision.datasets import CIFAR10

    data = load_data(f"cifar10:{ROOT}")
    assert (data.name, len(data)) == ("cifar10", 10_000)
    steps = [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    reference = CIFAR10(ROOT, train=False, transform=transforms.Compose(steps))
    inputs, targets = next(data.batches(50))
    assert isinstance(inputs, torch.Tensor)
    assert inputs.is_contiguous()
    assert torch.equal(inputs, torch.stack([reference[i][0] for i in range(50)]))
    assert targets.tolist() == [reference[i][1] for i in range(50)]


@needs_data
def test_mnist_is_what_torchvisions_transforms_give() -> None:
    from torchvision import transforms
    from torchvision.datasets import MNIST

    data = load_data(f"mnist:{ROOT}")
    assert (data.name, len(data)) == ("mnist", 10_000)
    steps = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    reference = MNIST(ROOT, train=False, transform=transforms.Compose(steps))
    inputs, targets = next(data.batches(50))
    assert isinstance(inputs, torch.Tensor)
    assert torch.equal(inputs, torch.stack([reference[i][0] for i in range(50)]))
    assert targets.tolist() == [reference[i][1] for i in range(50)]
    assert len(mnist(ROOT, "train")) == 60_000
