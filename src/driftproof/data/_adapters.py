"""Conversion of tensors, arrays, datasets and loaders to :class:`Data`."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from driftproof._errors import DriftproofError
from driftproof.data._batched import Data, DatasetData, Reading, TensorData
from driftproof.data._pairs import LABELS, as_pair, as_tensors

WANTED = (
    f"wanted a tuple (inputs, targets) of tensors or arrays, a dict of them with {LABELS!r}, a torch Dataset, or a "
    "DataLoader"
)


def as_data(obj: object, name: str | None = None) -> Data:
    """Return ``obj`` as :class:`Data`; dtypes stay as they are.

    Args:
        obj: One of these: Data; a tuple (inputs, targets) of tensors or arrays with samples along axis 0, where inputs
            may also be a tuple or a dict of tensors; a dict of tensors whose ``labels`` are the targets; a torch
            Dataset of such pairs or dicts; a DataLoader. The dataset, the collate function and the workers of a loader
            are used, but every sample is read, in dataset order, even if the loader shuffles or drops samples. Its
            batch size is that of a training; an evaluation has its own.
        name: Name of the data in records (default: its present name, ``tensors``, or the class of the dataset).

    Raises:
        DriftproofError: the object has another type; it has no samples; lengths differ; it is an IterableDataset or a
            loader that reads part of the samples, which have no fixed order or no known length.

    >>> import numpy as np
    >>> as_data((np.zeros((4, 2)), np.arange(4)), name="tiny")
    TensorData(tiny: 4 samples of shape [2])
    >>> as_data({"input_ids": np.ones((4, 6)), "labels": np.arange(4)}, name="text")
    TensorData(text: 4 samples, {input_ids: float64 [4, 6]})
    """
    if isinstance(obj, Data):
        return obj if name is None else obj.renamed(name)
    if isinstance(obj, tuple | Mapping):
        return _from_pair(obj, name or "tensors")
    if isinstance(obj, DataLoader):
        return _from_loader(obj, name)
    if isinstance(obj, Dataset):
        return _from_dataset(obj, name or type(obj).__name__, Reading())
    raise DriftproofError(f"data came as {type(obj).__name__}; {WANTED}")


def as_inputs(obj: object, name: str | None = None) -> Data:
    """Return ``obj`` as :class:`Data` whose targets nobody reads: a tensor or an array alone will do.

    Args:
        obj: Inputs with samples along axis 0, or what :func:`as_data` takes.
        name: Name of the data in records (default: as :func:`as_data`).

    Raises:
        DriftproofError: As :func:`as_data`.

    >>> as_inputs(torch.zeros(4, 2))
    TensorData(tensors: 4 samples of shape [2])
    """
    if isinstance(obj, torch.Tensor | np.ndarray):
        return as_data((obj, torch.zeros(len(obj) if obj.ndim else 0)), name)
    return as_data(obj, name)


def _from_pair(pair: tuple[Any, ...] | Mapping[str, Any], name: str) -> TensorData:
    if isinstance(pair, Mapping):
        return TensorData(name, *as_pair(as_tensors(pair, f"data {name}:"), f"data {name}"))
    if len(pair) != 2:
        raise DriftproofError(f"data {name}: a tuple of {len(pair)} came; {WANTED}")
    inputs, targets = pair
    return TensorData(name, as_tensors(inputs, f"data {name}: inputs"), as_tensors(targets, f"data {name}: targets"))


def _from_dataset(dataset: Dataset[Any], name: str, reading: Reading) -> Data:
    if isinstance(dataset, IterableDataset):
        raise DriftproofError(
            f"data {name}: an IterableDataset has no fixed order and no length, so chips could not be compared on "
            f"the same samples; read what you need once and pass a tuple (inputs, targets)"
        )
    if type(dataset) is TensorDataset and len(dataset.tensors) == 2 and reading == Reading():
        return TensorData(name, *dataset.tensors)  # the same samples, without collating one by one
    if not isinstance(dataset, Sized):
        raise DriftproofError(f"data {name}: {type(dataset).__name__} has no __len__; wanted a dataset of known length")
    return DatasetData(name, dataset, reading)


def _from_loader(loader: DataLoader[Any], name: str | None) -> Data:
    dataset = loader.dataset
    name = name or type(dataset).__name__
    if not isinstance(dataset, IterableDataset):
        _check_reads_all(loader, name)
    options = {option.name: getattr(loader, option.name) for option in fields(Reading)}
    if loader.collate_fn is default_collate:
        options["collate_fn"] = None
    data = _from_dataset(dataset, name, Reading(**options))
    data.loader_batch = getattr(loader.batch_sampler, "batch_size", None)
    return data


def _check_reads_all(loader: DataLoader[Any], name: str) -> None:
    """Raise DriftproofError if a loader does not read each sample of its dataset once."""
    batch_sampler = loader.batch_sampler
    if batch_sampler is None:
        raise DriftproofError(
            f"data {name}: the loader has batch_size=None, so its dataset batches itself; "
            f"pass a dataset of single samples, or a tuple (inputs, targets)"
        )
    sampler = batch_sampler.sampler if type(batch_sampler) is BatchSampler else batch_sampler
    whole = type(sampler) is SequentialSampler or (
        type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(loader.dataset)  # type: ignore[arg-type]
    )
    if not whole:
        raise DriftproofError(
            f"data {name}: the loader's {type(sampler).__name__} may read only some of the samples, or some twice; "
            f"to evaluate on a part, pass torch.utils.data.Subset(dataset, indices)"
        )
