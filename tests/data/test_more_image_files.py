"""Fashion-MNIST, SVHN and CIFAR-100 as torchvision stores them, from small files in its layout."""

from __future__ import annotations

import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import io

from driftproof._errors import DriftproofError
from driftproof.data import load_data
from driftproof.data._image_files import SETS

COUNTS = {"train": 7, "test": 5}
PIXELS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
LABELS = {"fashion-mnist": [0, 9, 3, 2, 1, 4, 5], "svhn": [1, 9, 10, 2, 3, 4, 5], "cifar100": [0, 99, 3, 2, 1, 4, 5]}
"""Labels in the files; svhn calls the digit 0 a 10."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect few samples, and no checksums of the real files."""
    for name in LABELS:
        monkeypatch.setitem(SETS, name, replace(SETS[name], samples=COUNTS))
    for module in ("cifar", "svhn"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: Path(path).exists()
        )


def write(name: str, root: Path, count: int | None = None) -> None:
    """Write both splits of a set as torchvision stores them."""
    for split, few in COUNTS.items():
        number = few if count is None else count
        pixels, labels = PIXELS[:number], LABELS[name][:number]
        if name == "svhn":
            io.savemat(root / f"{split}_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": np.array(labels)[:, None]})
        elif name == "cifar100":
            folder = root / "cifar-100-python"
            folder.mkdir(exist_ok=True)
            batch = {"data": pixels.transpose(0, 3, 1, 2).reshape(number, -1), "fine_labels": labels}
            (folder / split).write_bytes(pickle.dumps(batch))
            (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"class {n}" for n in range(100)]}))
        else:
            raw = root / "FashionMNIST" / "raw"
            raw.mkdir(parents=True, exist_ok=True)
            stem = "train" if split == "train" else "t10k"
            grey = pixels[:, :28, :28, 0]
            for kind, values in (("images-idx3", grey), ("labels-idx1", np.array(labels, dtype=np.uint8))):
                head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
                (raw / f"{stem}-{kind}-ubyte").write_bytes(head + values.tobytes())


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("split", COUNTS)
def test_images_are_those_of_the_files(name: str, split: str, tmp_path: Path) -> None:
    write(name, tmp_path)
    spec = name if split == "test" else f"{name}-train"
    data = load_data(f"{spec}:{tmp_path}")
    assert (data.name, len(data)) == (spec, COUNTS[split])
    inputs, targets = next(data.batches(10))
    assert isinstance(inputs, torch.Tensor)
    pixels = PIXELS[: COUNTS[split]].transpose(0, 3, 1, 2) / 255
    pixels = pixels[:, :1, :28, :28] if name == "fashion-mnist" else pixels
    mean, std = (np.array(part).reshape(1, -1, 1, 1) for part in (SETS[name].mean, SETS[name].std))
    np.testing.assert_allclose(inputs.numpy(), (pixels - mean) / std, atol=1e-5)
    assert inputs.dtype == torch.float32
    wanted = [label % 10 if name == "svhn" else label for label in LABELS[name]]
    assert targets.tolist() == wanted[: COUNTS[split]]
    spec = f"{name}-pixels" if split == "test" else f"{name}-pixels-train"
    as_they_are = load_data(f"{spec}:{tmp_path}")
    assert as_they_are.name == spec
    inputs, _ = next(as_they_are.batches(10))
    assert isinstance(inputs, torch.Tensor)
    np.testing.assert_allclose(inputs.numpy(), pixels, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("fashion-mnist", r"t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte"),
        ("svhn", r"test_32x32\.mat"),
        ("cifar100", r"test and meta"),
    ],
)
def test_a_wrong_folder_says_which_files_are_wanted(name: str, files: str, tmp_path: Path) -> None:
    how = rf"torchvision\.datasets\.{SETS[name].kind}\(.*download=True\)"
    with pytest.raises(DriftproofError, match=rf"data {name}: (no folder|a file in).*{files}.*{how}"):
        load_data(f"{name}:{tmp_path}")
    with pytest.raises(DriftproofError, match=rf"no folder .*{files}.*{how}"):
        load_data(f"{name}:{tmp_path / 'absent'}")
    write(name, tmp_path, count=3)
    with pytest.raises(DriftproofError, match=r"3 images and 3 targets in the test files .*wanted 5 of each"):
        load_data(f"{name}:{tmp_path}")


def test_names() -> None:
    with pytest.raises(DriftproofError, match=r"did you mean fashion-mnist\?"):
        load_data("fasion-mnist:/data")
    with pytest.raises(DriftproofError, match=r"no folder; wanted svhn-train:ROOT"):
        load_data("svhn-train")
    assert {name: about.samples for name, about in SETS.items()}["mnist"] == {"train": 60_000, "test": 10_000}
