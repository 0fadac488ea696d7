"""CIFAR-10 and MNIST from the folders torchvision writes; each split is one normalised tensor."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from driftproof.data.batched import TensorData
from driftproof.data.embedded import check_split, named
from driftproof.defaults import SPLIT
from driftproof.errors import DriftproofError

# The ImageNet statistics: what the widely used CIFAR ResNet checkpoints were trained with.
CIFAR10_MEAN, CIFAR10_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)

SAMPLES = {
    "cifar10": {"train": 50_000, "test": 10_000},
    "mnist": {"train": 60_000, "test": 10_000},
}

# What reading a damaged file raises: torchvision's own complaints, its asserts, and those of pickle and torch.
_DAMAGE = (RuntimeError, AssertionError, ValueError, LookupError, TypeError, OSError, EOFError, pickle.UnpicklingError)


def cifar10(root: str | Path, split: str = SPLIT) -> TensorData:
    """Return CIFAR-10 from ``root/cifar-10-batches-py``: inputs [N, 3, 32, 32] float32, targets [N] int64.

    Pixels are divided by 255, then normalised with mean (.485, .456, .406) and std (.229, .224, .225).

    Raises:
        DriftproofError: unknown split; files missing or damaged.
    """
    check_split(split)
    from torchvision.datasets import CIFAR10

    folder = Path(root).expanduser() / "cifar-10-batches-py"
    how = f"torchvision.datasets.CIFAR10({str(root)!r}, download=True)"
    _check_folder("cifar10", folder, how)
    try:
        dataset = CIFAR10(folder.parent, train=split == "train", download=False)
    except _DAMAGE as error:
        raise _damaged("cifar10", folder, how, error) from error
    images = torch.from_numpy(dataset.data).permute(0, 3, 1, 2)
    targets = torch.tensor(dataset.targets, dtype=torch.int64)
    _check_count("cifar10", split, images, targets, folder, how)
    return TensorData(named("cifar10", split), _normalised(images, CIFAR10_MEAN, CIFAR10_STD), targets)


def mnist(root: str | Path, split: str = SPLIT) -> TensorData:
    """Return MNIST from ``root/MNIST/raw``: inputs [N, 1, 28, 28] float32, targets [N] int64.

    Pixels are divided by 255, then normalised with mean .1307 and std .3081.

    Raises:
        DriftproofError: unknown split; files missing or damaged.
    """
    check_split(split)
    from torchvision.datasets import MNIST

    folder = Path(root).expanduser() / "MNIST" / "raw"
    how = f"torchvision.datasets.MNIST({str(root)!r}, download=True)"
    _check_folder("mnist", folder, how)
    try:
        dataset = MNIST(folder.parents[1], train=split == "train", download=False)
    except _DAMAGE as error:
        raise _damaged("mnist", folder, how, error) from error
    images, targets = dataset.data, dataset.targets.to(torch.int64)
    _check_count("mnist", split, images, targets, folder, how)
    return TensorData(named("mnist", split), _normalised(images.unsqueeze(1), MNIST_MEAN, MNIST_STD), targets)


def _normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return [N, C, H, W] float32: (images / 255 - mean) / std, in the order of torchvision's transforms."""
    scaled = images.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)
    return scaled.sub_(torch.tensor(mean).view(1, -1, 1, 1)).div_(torch.tensor(std).view(1, -1, 1, 1))


def _check_folder(name: str, folder: Path, how: str) -> None:
    if not folder.is_dir():
        raise DriftproofError(f"data {name}: no folder {folder}; unpack the files there, or run {how}")


def _check_count(name: str, split: str, images: Tensor, targets: Tensor, folder: Path, how: str) -> None:
    wanted = SAMPLES[name][split]
    if len(images) != wanted or len(targets) != wanted:
        raise DriftproofError(
            f"data {name}: {len(images)} images and {len(targets)} targets in the {split} files of {folder}; "
            f"wanted {wanted:,} of each: delete the folder and run {how}"
        )


def _damaged(name: str, folder: Path, how: str, error: Exception) -> DriftproofError:
    return DriftproofError(
        f"data {name}: a file in {folder} is missing or damaged ({type(error).__name__}: {error}); "
        f"delete the folder and unpack it again, or run {how}"
    )
