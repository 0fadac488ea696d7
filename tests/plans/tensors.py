"""Data as the tensors that they are made of."""

from __future__ import annotations

from torch import Tensor

from driftproof.data import Data


def images(data: Data) -> Tensor:
    ((inputs, _),) = data.batches(len(data))
    assert isinstance(inputs, Tensor)
    return inputs


def labels(data: Data) -> Tensor:
    ((_, targets),) = data.batches(len(data))
    assert isinstance(targets, Tensor)
    return targets
