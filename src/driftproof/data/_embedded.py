"""Data that come with the installation: scikit-learn's handwritten digits."""

from __future__ import annotations

import numpy as np
import torch

from driftproof._defaults import SPLIT
from driftproof._errors import DriftproofError, did_you_mean
from driftproof.data._batched import TensorData

SPLITS = ("train", "test")
TRAIN_SAMPLES = 1200


def digits(split: str = SPLIT) -> TensorData:
    """Return the 8 × 8 digits of the UCI set: always the same stratified 1200 for training and 597 for testing.

    Inputs are [N, 1, 8, 8] float32 from 0 to 1 (the grey levels 0 to 16, divided by 16), targets [N] int64.

    Raises:
        DriftproofError: ``split`` is neither ``train`` nor ``test``.

    >>> digits()
    TensorData(digits: 597 samples of shape [1, 8, 8])
    """
    check_split(split)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    train, test = train_test_split(
        np.arange(len(bunch.target)), train_size=TRAIN_SAMPLES, stratify=bunch.target, random_state=0
    )
    chosen = np.sort(train if split == "train" else test)
    inputs = torch.from_numpy(bunch.images[chosen]).to(torch.float32).div_(16.0).unsqueeze(1)
    return TensorData(named("digits", split), inputs, torch.from_numpy(bunch.target[chosen]).to(torch.int64))


def named(name: str, split: str) -> str:
    """Return the name of a split in records: the name of the set, followed by ``-train`` for the training split."""
    return name if split == "test" else f"{name}-{split}"


def check_split(split: str) -> None:
    """Raise DriftproofError unless ``split`` is ``train`` or ``test``."""
    if split not in SPLITS:
        raise DriftproofError(f"split {split!r}: wanted train or test{did_you_mean(str(split), SPLITS)}")
