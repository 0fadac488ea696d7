from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from driftproof._errors import DriftproofError
from driftproof.data import TensorData
from driftproof.data._adapters import as_data, as_inputs
from driftproof.data._batched import DatasetData

X, Y = torch.arange(10.0).unsqueeze(1), torch.arange(10) % 3


def read(data: Any) -> list[float]:
    return torch.cat([x for x, _ in data.batches(4)]).flatten().tolist()


def test_pairs_of_tensors_and_arrays() -> None:
    data = as_data((X, Y))
    assert isinstance(data, TensorData)
    assert data.name == "tensors"
    arrays = as_data((X.numpy(), Y.numpy()), name="mine")
    assert arrays.name == "mine"
    assert arrays.fingerprint() == data.fingerprint()
    backwards = as_data((X.numpy()[::-1], Y.numpy()))  # negative strides
    assert read(backwards) == list(range(9, -1, -1))
    assert as_data((np.zeros((2, 1), dtype=np.float64), np.zeros(2))).inputs.dtype == torch.float64  # type: ignore[attr-defined]


def test_data_passes_through() -> None:
    data = as_data((X, Y))
    assert as_data(data) is data
    assert as_data(data, name="new").name == "new"


def test_tensor_dataset_becomes_tensors() -> None:
    data = as_data(TensorDataset(X, Y))
    assert isinstance(data, TensorData)
    assert data.name == "TensorDataset"
    assert isinstance(as_data(Subset(TensorDataset(X, Y), range(5))), DatasetData)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 3},
        {"batch_size": 3, "shuffle": True},
        {"batch_size": 3, "drop_last": True},
        {"batch_size": 3, "shuffle": True, "drop_last": True},
        {"batch_size": 3, "num_workers": 1},
    ],
    ids=str,
)
def test_loader_is_read_whole_and_in_dataset_order(options: dict[str, Any]) -> None:
    assert read(as_data(DataLoader(TensorDataset(X, Y), **options))) == list(range(10))


def test_loader_keeps_its_collate_function() -> None:
    def doubled(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return 2 * torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])

    data = as_data(DataLoader(TensorDataset(X, Y), batch_size=3, collate_fn=doubled))
    assert read(data) == [2 * i for i in range(10)]
    assert read(data.head(3)) == [0, 2, 4]


@pytest.mark.parametrize(
    "sampler",
    [
        SubsetRandomSampler([1, 2]),
        WeightedRandomSampler([1.0] * 10, 10),
        RandomSampler(range(10), num_samples=5),
        RandomSampler(range(10), replacement=True),
    ],
    ids=lambda s: type(s).__name__,
)
def test_loader_that_selects_is_refused(sampler: Any) -> None:
    with pytest.raises(DriftproofError, match=rf"{type(sampler).__name__} may read only some.*Subset"):
        as_data(DataLoader(TensorDataset(X, Y), batch_size=2, sampler=sampler))


def test_loader_with_its_own_batches_is_refused() -> None:
    with pytest.raises(DriftproofError, match="may read only some"):
        as_data(DataLoader(TensorDataset(X, Y), batch_sampler=[[0, 1], [2]]))
    with pytest.raises(DriftproofError, match="batch_size=None"):
        as_data(DataLoader(TensorDataset(X, Y), batch_size=None))


def test_iterable_dataset_is_refused_with_a_reason() -> None:
    class Stream(IterableDataset[tuple[Tensor, int]]):
        def __iter__(self) -> Iterator[tuple[Tensor, int]]:
            yield torch.zeros(1), 0

    for stream in (Stream(), DataLoader(Stream(), batch_size=2)):
        with pytest.raises(DriftproofError, match="no fixed order and no length"):
            as_data(stream)


def test_dataset_without_length_is_refused() -> None:
    class Endless(Dataset[int]):
        def __getitem__(self, index: int) -> int:
            return index

    with pytest.raises(DriftproofError, match="Endless has no __len__"):
        as_data(Endless())


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ("digits", r"came as str; wanted a tuple"),
        (None, r"came as NoneType"),
        ([X, Y], r"came as list; wanted a tuple"),
        ((X, Y, X), r"a tuple of 3 came"),
        ((X, [0, 1]), r"targets came as list"),
        ((X, Y[:4]), r"10 inputs but 4 targets"),
        ((X[:0], Y[:0]), r"no samples"),
        ((np.array([object()] * 2), np.zeros(2)), r"inputs of dtype object; wanted numbers"),
        (Subset(TensorDataset(X, Y), []), r"the dataset is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_anything_else_is_refused(obj: object, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        as_data(obj)


@pytest.mark.parametrize("kind", [torch.tensor, np.array])
def test_inputs_alone_where_nobody_reads_targets(kind: Any) -> None:
    values = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    data = as_inputs(kind(values))
    inputs, _ = next(data.batches(3))
    assert isinstance(inputs, Tensor)
    assert inputs.tolist() == values
    pair = as_inputs((torch.tensor(values), torch.arange(3)))
    assert next(pair.batches(3))[1].tolist() == [0, 1, 2]
    with pytest.raises(DriftproofError, match="data came as list"):
        as_inputs(values)
    with pytest.raises(DriftproofError):
        as_inputs(kind(1.0))
