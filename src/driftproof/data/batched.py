"""Samples in a fixed order and in batches, held as tensors or read from a dataset; and their fingerprint."""

from __future__ import annotations

import hashlib
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from driftproof.data.pairs import as_pair
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs, as_inputs, count, describe, on_tensors, select, split, tensors

HELD_BYTES = 2 * 1024**3
"""A dataset of up to so many bytes is read once and held in memory."""

type Batch = tuple[Inputs, Any]
"""(inputs, targets) of the same samples; targets are a tensor unless a loader's collate function decides otherwise."""

ENDS = 64
"""How many samples at each end a dataset's fingerprint reads in full."""


class Data(ABC):
    """Samples with targets, always in the same order: what an evaluation reads.

    >>> data = TensorData("three", torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    >>> [len(targets) for _, targets in data.batches(2)], len(data.head(1))
    ([2, 1], 1)
    """

    name: str

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Return (inputs, targets) in fixed order, ``batch_size`` samples at a time; the last batch may be smaller."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change when the samples do; neither name nor batch size enters."""

    @abstractmethod
    def head(self, limit: int) -> Data:
        """Return the first ``limit`` samples; raises DriftproofError if there are fewer, or ``limit`` is below 1."""

    @abstractmethod
    def take(self, samples: Sequence[int]) -> Data:
        """Return some of the samples, in the order given; nothing is read yet."""

    @abstractmethod
    def renamed(self, name: str) -> Data:
        """Return the same samples under another name."""


@final
class TensorData(Data):
    """Samples held in tensors whose axis 0 counts samples; dtypes and devices stay as they came.

    Args:
        name: what a record calls it.
        inputs: one tensor [N, …], several (a tuple), or several by name (a dict).
        targets: [N, …].

    Raises:
        DriftproofError: no samples, not as many targets as inputs, or inputs that disagree.

    >>> TensorData("text", {"input_ids": torch.ones(4, 6), "mask": torch.ones(4, 6)}, torch.zeros(4))
    TensorData(text: 4 samples, {input_ids: float32 [4, 6], mask: float32 [4, 6]})
    """

    def __init__(self, name: str, inputs: Inputs, targets: Tensor) -> None:
        inputs = as_inputs(inputs, f"data {name}: inputs")
        for what, tensor in [*(("inputs", part) for part in tensors(inputs)), ("targets", targets)]:
            if tensor.ndim == 0:
                raise DriftproofError(f"data {name}: {what} have no axis; wanted one entry a sample along axis 0")
        self._length = count(inputs)
        if self._length != len(targets):
            raise DriftproofError(
                f"data {name}: {self._length} inputs but {len(targets)} targets; wanted one target an input"
            )
        if self._length == 0:
            raise DriftproofError(f"data {name}: no samples; wanted at least one")
        self.name = name
        self.inputs = inputs
        self.targets = targets
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        if isinstance(self.inputs, Tensor):
            return f"TensorData({self.name}: {len(self)} samples of shape {list(self.inputs.shape[1:])})"
        return f"TensorData({self.name}: {len(self)} samples, {describe(self.inputs)})"

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Return slices (no copies) of inputs [B, ...] and targets [B, ...]."""
        size = _checked_batch_size(batch_size)
        return zip(split(self.inputs, size), split(self.targets, size), strict=True)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the SHA-256 over every input and target."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            _feed(digest, self.inputs, self.name)
            _feed(digest, self.targets, self.name)
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def head(self, limit: int) -> TensorData:
        """Return the first ``limit`` samples."""
        limit = _checked_limit(limit, self)
        return TensorData(self.name, select(self.inputs, slice(limit)), self.targets[:limit])

    def take(self, samples: Sequence[int]) -> TensorData:
        """Return some of the samples, in the order given."""
        index = torch.as_tensor(samples)
        inputs = on_tensors(self.inputs, lambda part: part[index.to(part.device)])
        return TensorData(self.name, inputs, self.targets[index.to(self.targets.device)])

    def renamed(self, name: str) -> TensorData:
        """Return the same tensors under another name."""
        return TensorData(name, self.inputs, self.targets)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a DataLoader turns samples into batches; all but the order and the batch size, which are ours."""

    collate_fn: Callable[[list[Any]], Any] | None = None
    num_workers: int = 0
    timeout: float = 0
    worker_init_fn: Callable[[int], None] | None = None
    multiprocessing_context: Any = None


@final
@dataclass(eq=False)
class DatasetData(Data):
    """Samples read from a torch dataset batch by batch, so that memory stays bounded.

    Raises:
        DriftproofError: no samples; while reading, if a batch is neither a pair (inputs, targets) nor a dict with
            ``labels``.
    """

    name: str
    dataset: Dataset[Any]
    reading: Reading = field(default_factory=Reading)
    _fingerprint: str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self) == 0:
            raise DriftproofError(f"data {self.name}: the dataset is empty; wanted at least one sample")

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # as_data has checked that it can be counted

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Return what the loader's collate function makes of ``batch_size`` samples in dataset order."""
        return self._read(self.dataset, _checked_batch_size(batch_size))

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of the SHA-256 over the inputs at both ends and all targets.

        The first and last 64 samples' inputs enter. Targets are only to be had by reading the whole dataset once.
        """
        if self._fingerprint is None:
            digest = hashlib.sha256(str(len(self)).encode())
            for index, (inputs, targets) in enumerate(self._read(self.dataset, ENDS)):
                if index == 0:
                    _feed(digest, inputs, self.name)
                _feed(digest, targets, self.name)
            last = Subset(self.dataset, range(max(0, len(self) - ENDS), len(self)))
            for inputs, _ in self._read(last, ENDS):
                _feed(digest, inputs, self.name)
            self._fingerprint = digest.hexdigest()[:16]
        return self._fingerprint

    def head(self, limit: int) -> DatasetData:
        """Return the first ``limit`` samples; nothing is read yet."""
        return DatasetData(self.name, Subset(self.dataset, range(_checked_limit(limit, self))), self.reading)

    def take(self, samples: Sequence[int]) -> DatasetData:
        """Return some of the samples, in the order given; nothing is read yet."""
        return DatasetData(self.name, Subset(self.dataset, [int(sample) for sample in samples]), self.reading)

    def renamed(self, name: str) -> DatasetData:
        """Return the same dataset under another name."""
        return DatasetData(name, self.dataset, self.reading)

    def _read(self, dataset: Dataset[Any], batch_size: int) -> Iterator[Batch]:
        loader = DataLoader(
            dataset,
            batch_size=batch_size,
            shuffle=False,
            # A generator of its own: without one, every pass would draw from the caller's global random state.
            generator=torch.Generator().manual_seed(0),
            collate_fn=self.reading.collate_fn,
            num_workers=self.reading.num_workers,
            timeout=self.reading.timeout,
            worker_init_fn=self.reading.worker_init_fn,
            multiprocessing_context=self.reading.multiprocessing_context,
        )
        for batch in loader:
            yield as_pair(batch, f"data {self.name}: a batch")


def hold(data: Data, most_bytes: int = HELD_BYTES) -> Data:
    """Return the same samples in memory, so that a dataset is read once and not once a cell.

    Data that is in memory already, is larger than ``most_bytes`` with all its parts, or has a part that is no tensor
    comes back as it is.

    >>> dataset = torch.utils.data.TensorDataset(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    >>> hold(DatasetData("three", dataset))
    TensorData(three: 3 samples of shape [2])
    """
    if not isinstance(data, DatasetData):
        return data
    inputs, targets = next(iter(data.batches(1)))
    parts = [*_parts(inputs), targets]
    if not all(isinstance(part, Tensor) and part.ndim >= 1 for part in parts):
        return data
    if sum(part.nbytes for part in parts) * len(data) > most_bytes:
        return data
    batches = list(data.batches(ENDS))
    try:
        return TensorData(data.name, _joined([x for x, _ in batches]), torch.cat([y for _, y in batches]))
    except RuntimeError:  # samples of several shapes: batches of one shape each are still possible
        return data


def _parts(inputs: Inputs) -> list[Any]:
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs.values() if isinstance(inputs, dict) else inputs)


def _joined(batches: list[Any]) -> Inputs:
    """Return batches of one kind as one, along axis 0."""
    first = batches[0]
    if isinstance(first, dict):
        return {name: torch.cat([batch[name] for batch in batches]) for name in first}
    if isinstance(first, tuple):
        return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))
    return torch.cat(batches)


def _checked_batch_size(batch_size: int) -> int:
    size = _whole_number("batch size", batch_size)
    if size < 1:
        raise DriftproofError(f"batch size {size}: wanted 1 or more")
    return size


def _checked_limit(limit: int, data: Data) -> int:
    limit = _whole_number("limit", limit)
    if not 1 <= limit <= len(data):
        raise DriftproofError(f"limit {limit}: data {data.name} has {len(data)} samples; wanted 1 to {len(data)}")
    return limit


def _whole_number(what: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise DriftproofError(f"{what} {value!r}: wanted a whole number, 1 or more") from None


def _feed(digest: hashlib._Hash, value: Any, name: str) -> None:
    """Feed a value with its type and shape to the digest: 2 × 3 zeros must not look like 3 × 2."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        value = torch.from_numpy(np.array(value))
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        # As bytes, because NumPy has no bfloat16.
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"mapping{len(value)}".encode())
        for key in sorted(value, key=str):
            _feed(digest, key, name)
            _feed(digest, value[key], name)
    elif isinstance(value, tuple | list):
        digest.update(f"sequence{len(value)}".encode())
        for item in value:
            _feed(digest, item, name)
    elif value is None or isinstance(value, str | bytes | bool | int | float):
        digest.update(repr(value).encode())
    else:
        raise DriftproofError(
            f"data {name}: no fingerprint of a {type(value).__name__} in a batch; wanted tensors, numbers, text, "
            f"or lists and dicts of them: convert it in the dataset or in the loader's collate_fn"
        )
