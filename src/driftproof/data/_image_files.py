"""Image data from the files that torchvision writes; each split is one normalised tensor."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from driftproof._defaults import SPLIT
from driftproof._errors import DriftproofError
from driftproof.data._batched import TensorData
from driftproof.data._embedded import check_split, named


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """A data set as torchvision stores it.

    Attributes:
        kind: Class of torchvision.
        folder: Folder of the files inside ROOT; "" for ROOT itself.
        files: Split → names of its files, for messages.
        samples: Split → number of samples.
        mean: Mean of each channel that images are normalised with, of pixels from 0 to 1.
        std: Standard deviation of each channel.
        channels_last: Whether torchvision has images as [N, H, W, C].
        by_split: Whether torchvision's class takes the split by name, and calls targets labels.
    """

    kind: str
    folder: str
    files: Mapping[str, str]
    samples: Mapping[str, int]
    mean: Sequence[float]
    std: Sequence[float]
    channels_last: bool = False
    by_split: bool = False


_IDX = {
    "train": "train-images-idx3-ubyte and train-labels-idx1-ubyte",
    "test": "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte",
}
SETS = {
    "cifar10": ImageSet(
        kind="CIFAR10",
        folder="cifar-10-batches-py",
        files={"train": "data_batch_1 to data_batch_5 and batches.meta", "test": "test_batch and batches.meta"},
        samples={"train": 50_000, "test": 10_000},
        # the ImageNet statistics, with which the widely used CIFAR ResNet checkpoints were trained
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        channels_last=True,
    ),
    "cifar100": ImageSet(
        kind="CIFAR100",
        folder="cifar-100-python",
        files={"train": "train and meta", "test": "test and meta"},
        samples={"train": 50_000, "test": 10_000},
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        channels_last=True,
    ),
    "mnist": ImageSet(
        kind="MNIST",
        folder="MNIST/raw",
        files=_IDX,
        samples={"train": 60_000, "test": 10_000},
        mean=(0.1307,),
        std=(0.3081,),
    ),
    "fashion-mnist": ImageSet(
        kind="FashionMNIST",
        folder="FashionMNIST/raw",
        files=_IDX,
        samples={"train": 60_000, "test": 10_000},
        mean=(0.2860,),
        std=(0.3530,),
    ),
    "svhn": ImageSet(
        kind="SVHN",
        folder="",
        files={"train": "train_32x32.mat", "test": "test_32x32.mat"},
        samples={"train": 73_257, "test": 26_032},
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        by_split=True,
    ),
}
"""Name on the command line → data set."""
PIXELS = "-pixels"
"""What stands behind the name of a data set whose pixels are wanted as they are, from 0 to 1."""

# The exceptions that torchvision, pickle and torch raise on damaged files.
_DAMAGE = (RuntimeError, AssertionError, ValueError, LookupError, TypeError, OSError, EOFError, pickle.UnpicklingError)


def cifar10(root: str | Path, split: str = SPLIT) -> TensorData:
    """Return CIFAR-10 from ``root/cifar-10-batches-py``: inputs [N, 3, 32, 32] float32, targets [N] int64.

    Pixels are divided by 255, then normalised with mean (.485, .456, .406) and std (.229, .224, .225).

    Raises:
        DriftproofError: the split is unknown; files are missing or damaged.
    """
    return images("cifar10", root, split)


def mnist(root: str | Path, split: str = SPLIT) -> TensorData:
    """Return MNIST from ``root/MNIST/raw``: inputs [N, 1, 28, 28] float32, targets [N] int64.

    Pixels are divided by 255, then normalised with mean .1307 and std .3081.

    Raises:
        DriftproofError: the split is unknown; files are missing or damaged.
    """
    return images("mnist", root, split)


def images(name: str, root: str | Path, split: str) -> TensorData:
    """Return a split of a set: inputs [N, C, H, W] float32, normalised as torchvision does, and targets [N] int64.

    Args:
        name: Key of :data:`SETS`; with ``-pixels`` behind it, pixels from 0 to 1 that are not normalised.
        root: Folder that torchvision downloaded to.
        split: ``train`` or ``test``.

    Raises:
        DriftproofError: The split is unknown; files are missing or damaged.
    """
    from torchvision.transforms.functional import normalize

    about = SETS[name.removesuffix(PIXELS)]
    pixels, targets = _read(name, about, Path(root), split)
    if about.channels_last:
        pixels = pixels.permute(0, 3, 1, 2)
    elif pixels.dim() == 3:
        pixels = pixels.unsqueeze(1)
    scaled = pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)
    if not name.endswith(PIXELS):
        normalize(scaled, list(about.mean), list(about.std), inplace=True)
    return TensorData(named(name, split), scaled, targets)


def _read(name: str, about: ImageSet, root: Path, split: str) -> tuple[Tensor, Tensor]:
    """Return all images and targets of a split as torchvision's class reads them."""
    check_split(split)
    from torchvision import datasets

    asked = f"split={split!r}, " if about.by_split else ""
    how = f"torchvision.datasets.{about.kind}({str(root)!r}, {asked}download=True)"
    place, files = root.expanduser() / about.folder, about.files[split]
    if not place.is_dir():
        raise DriftproofError(f"data {name}: no folder {place}; unpack {files} there, or run {how}")
    options = {"split": split} if about.by_split else {"train": split == "train"}
    try:
        dataset = getattr(datasets, about.kind)(root.expanduser(), **options, download=False)
    except _DAMAGE as error:
        raise DriftproofError(
            f"data {name}: a file in {place} is missing or damaged ({type(error).__name__}: {error}); wanted {files}: "
            f"remove what is there of them and unpack them again, or run {how}"
        ) from error
    labels = dataset.labels if about.by_split else dataset.targets
    pixels, targets = torch.as_tensor(dataset.data), torch.as_tensor(labels, dtype=torch.int64)
    wanted = about.samples[split]
    if len(pixels) != wanted or len(targets) != wanted:
        raise DriftproofError(
            f"data {name}: {len(pixels)} images and {len(targets)} targets in the {split} files of {place}; "
            f"wanted {wanted:,} of each: remove {files} and run {how}"
        )
    return pixels, targets
