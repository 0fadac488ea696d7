from __future__ import annotations

import pytest
import torch

from driftproof._errors import DriftproofError
from driftproof.data import digits


def test_digits_splits() -> None:
    train, test = digits("train"), digits()
    assert (len(train), len(test)) == (1200, 597)
    for data in (train, test):
        assert data.name == ("digits" if data is test else "digits-train")
        assert isinstance(data.inputs, torch.Tensor)
        assert data.inputs.dtype == torch.float32
        assert data.targets.dtype == torch.int64
        assert data.inputs.shape[1:] == (1, 8, 8)
        assert (float(data.inputs.min()), float(data.inputs.max())) == (0, 1)
        share = data.targets.bincount(minlength=10) / len(data)
        assert share.min() > 0.09  # stratified: the classes of the whole set lie between 9.7 and 10.2 %
        assert share.max() < 0.11


def test_digits_splits_are_disjoint_and_complete() -> None:
    from sklearn.datasets import load_digits

    splits = [digits(split).inputs for split in ("train", "test")]
    images = [
        image.numpy().tobytes() for inputs in splits if isinstance(inputs, torch.Tensor) for image in inputs[:, 0]
    ]
    whole = (load_digits().images / 16).astype("float32")
    assert sorted(images) == sorted(image.tobytes() for image in whole)


def test_digits_split_is_always_the_same() -> None:
    # Pinned: results are only comparable as long as these stay.
    assert digits("test").fingerprint() == "affd18c3b069776c"
    assert digits("train").fingerprint() == "fc49bb476536ea9e"


def test_unknown_split() -> None:
    with pytest.raises(DriftproofError, match=r"split 'tests'.*did you mean test\?"):
        digits("tests")
