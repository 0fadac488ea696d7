"""CIFAR-10 and MNIST from the folders that torchvision writes; each split is one normalised tensor."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from driftproof._defaults import SPLIT
from driftproof._errors import DriftproofError
from driftproof.data._batched import TensorData
from driftproof.data._embedded import check_split, named

# The ImageNet statistics, with which the widely used CIFAR ResNet checkpoints were trained.
CIFAR10_MEAN, CIFAR10_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)

SAMPLES = {"cifar10": {"train": 50_000, "test": 10_000}, "mnist": {"train": 60_000, "test": 10_000}}

# The exceptions that torchvision, pickle and torch raise on damaged files.
_DAMAGE = (RuntimeError, AssertionError, ValueError, LookupError, TypeError, OSError, EOFError, pickle.UnpicklingError)


def cifar10(root: str | Path, split: str = SPLIT) -> TensorData:
    """Return CIFAR-10 from ``root/cifar-10-batches-py``: inputs [N, 3, 32, 32] float32, targets [N] int64.

    Pixels are divided by 255, then normalised with mean (.485, .456, .406) and std (.229, .224, .225).

    Raises:
        DriftproofError: the split is unknown; files are missing or damaged.
    """
    images, targets = _read("cifar10", "CIFAR10", Path(root), "cifar-10-batches-py", split)
    return _normalised("cifar10", split, images.permute(0, 3, 1, 2), targets, CIFAR10_MEAN, CIFAR10_STD)


def mnist(root: str | Path, split: str = SPLIT) -> TensorData:
    """Return MNIST from ``root/MNIST/raw``: inputs [N, 1, 28, 28] float32, targets [N] int64.

    Pixels are divided by 255, then normalised with mean .1307 and std .3081.

    Raises:
        DriftproofError: the split is unknown; files are missing or damaged.
    """
    images, targets = _read("mnist", "MNIST", Path(root), "MNIST/raw", split)
    return _normalised("mnist", split, images.unsqueeze(1), targets, MNIST_MEAN, MNIST_STD)


def _read(name: str, kind: str, root: Path, folder: str, split: str) -> tuple[Tensor, Tensor]:
    """Return all images and targets of a split as torchvision's class ``kind`` reads them."""
    check_split(split)
    from torchvision import datasets

    place, how = root.expanduser() / folder, f"torchvision.datasets.{kind}({str(root)!r}, download=True)"
    if not place.is_dir():
        raise DriftproofError(f"data {name}: no folder {place}; unpack the files there, or run {how}")
    try:
        dataset = getattr(datasets, kind)(root.expanduser(), train=split == "train", download=False)
    except _DAMAGE as error:
        raise DriftproofError(
            f"data {name}: a file in {place} is missing or damaged ({type(error).__name__}: {error}); "
            f"delete the folder and unpack it again, or run {how}"
        ) from error
    images, targets = torch.as_tensor(dataset.data), torch.as_tensor(dataset.targets, dtype=torch.int64)
    wanted = SAMPLES[name][split]
    if len(images) != wanted or len(targets) != wanted:
        raise DriftproofError(
            f"data {name}: {len(images)} images and {len(targets)} targets in the {split} files of {place}; "
            f"wanted {wanted:,} of each: delete the folder and run {how}"
        )
    return images, targets


def _normalised(
    name: str, split: str, images: Tensor, targets: Tensor, mean: Sequence[float], std: Sequence[float]
) -> TensorData:
    """Return the data of images [N, C, H, W], normalised as torchvision does: (images / 255 - mean) / std."""
    from torchvision.transforms.functional import normalize

    scaled = images.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)
    return TensorData(named(name, split), normalize(scaled, list(mean), list(std), inplace=True), targets)
