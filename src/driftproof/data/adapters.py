"""From what people have (tensors, arrays, datasets, loaders) to :class:`Data`."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

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

from driftproof.data.batched import Data, DatasetData, Reading, TensorData
from driftproof.data.pairs import LABELS, as_pair, as_tensors
from driftproof.errors import DriftproofError

WANTED = (
    f"wanted a tuple (inputs, targets) of tensors or arrays, a dict of them with {LABELS!r}, a torch Dataset, or a "
    "DataLoader"
)


def as_data(obj: object, name: str | None = None) -> Data:
    """Return ``obj`` as :class:`Data`; dtypes stay as they are.

    Args:
        obj: Data (returned as it is, but for the name); a tuple (inputs, targets) of tensors or arrays with samples
            along axis 0, where inputs may be a tuple or a dict of several; a dict of them whose ``labels`` are the
            targets; a torch Dataset of such pairs or dicts; or a DataLoader. Of a loader, dataset, collate function
            and workers are used; a shuffling or dropping loader is read in dataset order, every sample.
        name: what a record calls it; default: its own name, ``tensors``, or the dataset's class.

    Raises:
        DriftproofError: anything else; no samples; lengths that differ; an IterableDataset, or a loader that reads
            only some samples, because a fixed order and a known length are needed.

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


def _from_pair(pair: tuple[Any, ...] | Mapping[str, Any], name: str) -> TensorData:
    if isinstance(pair, tuple) and len(pair) != 2:
        raise DriftproofError(f"data {name}: a tuple of {len(pair)} came; {WANTED}")
    if not isinstance(pair, Mapping):
        pair = (as_tensors(pair[0], f"data {name}: inputs"), as_tensors(pair[1], f"data {name}: targets"))
        return TensorData(name, *pair)
    return TensorData(name, *as_pair(as_tensors(pair, f"data {name}:"), f"data {name}"))


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
    reading = Reading(
        collate_fn=None if loader.collate_fn is default_collate else loader.collate_fn,
        num_workers=loader.num_workers,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
    )
    return _from_dataset(dataset, name, reading)


def _check_reads_all(loader: DataLoader[Any], name: str) -> None:
    """Refuse a loader whose sampler selects or batches: reading all of its dataset would be other data."""
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
