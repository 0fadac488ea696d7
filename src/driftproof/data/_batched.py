"""Samples in a fixed order and in batches, held as tensors or read from a dataset, and their fingerprint."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, Dataset, Subset

from driftproof._errors import DriftproofError, whole_number
from driftproof._inputs import Inputs, as_inputs, count, describe, on_tensors, select, split, tensors
from driftproof._random_state import random_state_kept
from driftproof.data._pairs import as_pair

HELD_BYTES = 2 * 1024**3
"""Size in bytes up to which a dataset is read once and held in memory."""

type Batch = tuple[Inputs, Any]
"""(inputs, targets) of the same samples; targets are a tensor unless a loader's collate function decides otherwise."""

ENDS = 64
"""Number of samples at each end whose inputs are part of a dataset's fingerprint."""


class Data(ABC):
    """Samples with targets, always in the same order, that an evaluation reads.

    >>> data = TensorData("three", torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    >>> [len(targets) for _, targets in data.batches(2)], len(data.head(1))
    ([2, 1], 1)
    """

    name: str
    loader_batch: int | None = None
    """Batch size of the DataLoader that the samples came in, which a training takes; None without one."""
    _fingerprint: str | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Return (inputs, targets) in fixed order, ``batch_size`` samples at a time; the last batch may be smaller."""

    @abstractmethod
    def take(self, samples: Sequence[int]) -> Self:
        """Return some of the samples, in the given order. A dataset is not read yet."""

    @abstractmethod
    def _digest(self) -> hashlib._Hash: ...

    @random_state_kept()
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits that change when the samples do; they do not depend on name and batch size."""
        if self._fingerprint is None:
            self._fingerprint = self._digest().hexdigest()[:16]
        return self._fingerprint

    def head(self, limit: int) -> Self:
        """Return the first ``limit`` samples. Raise DriftproofError if there are fewer, or ``limit`` is below 1."""
        limit = whole_number("limit", limit)
        if not 1 <= limit <= len(self):
            raise DriftproofError(f"limit {limit}: data {self.name} has {len(self)} samples; wanted 1 to {len(self)}")
        return self.take(range(limit))

    def renamed(self, name: str) -> Self:
        """Return the same samples under another name."""
        renamed = copy.copy(self)
        renamed.name = name
        return renamed


@final
class TensorData(Data):
    """Samples held in tensors whose axis 0 counts samples. Their dtypes and torch devices do not change.

    Args:
        name: Name of the data in records.
        inputs: One tensor [N, …], several (a tuple), or several by name (a dict).
        targets: Tensor [N, …].

    Raises:
        DriftproofError: there are no samples, not as many targets as inputs, or inputs of different length.

    >>> TensorData("text", {"input_ids": torch.ones(4, 6), "mask": torch.ones(4, 6)}, torch.zeros(4))
    TensorData(text: 4 samples, {input_ids: float32 [4, 6], mask: float32 [4, 6]})
    """

    def __init__(self, name: str, inputs: Inputs, targets: Tensor) -> None:
        self.name, self.inputs, self.targets = name, as_inputs(inputs, f"data {name}: inputs"), targets
        for kind, parts in (("inputs", tensors(self.inputs)), ("targets", [targets])):
            if any(part.ndim == 0 for part in parts):
                raise DriftproofError(f"data {name}: {kind} have no axis; wanted one entry per sample along axis 0")
        self._length = count(self.inputs)
        if self._length != len(targets):
            raise DriftproofError(
                f"data {name}: {self._length} inputs but {len(targets)} targets; wanted one target per input"
            )
        if self._length == 0:
            raise DriftproofError(f"data {name}: no samples; wanted at least one")

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        if isinstance(self.inputs, Tensor):
            return f"TensorData({self.name}: {len(self)} samples of shape {list(self.inputs.shape[1:])})"
        return f"TensorData({self.name}: {len(self)} samples, {describe(self.inputs)})"

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Return slices (no copies) of inputs [B, …] and targets [B, …]."""
        size = _checked_batch_size(batch_size)
        return zip(split(self.inputs, size), split(self.targets, size), strict=True)

    def take(self, samples: Sequence[int]) -> Self:
        """Return some of the samples, in the given order: views for a range, else copies."""
        if isinstance(samples, range) and samples.step == 1:
            part = slice(samples.start, samples.stop)
            taken = type(self)(self.name, select(self.inputs, part), self.targets[part])
        else:
            index = torch.as_tensor(samples)
            inputs = on_tensors(self.inputs, lambda part: part[index.to(part.device)])
            taken = type(self)(self.name, inputs, self.targets[index.to(self.targets.device)])
        taken.loader_batch = self.loader_batch
        return taken

    def _digest(self) -> hashlib._Hash:
        """Return the SHA-256 over every input and target."""
        digest = hashlib.sha256()
        feed(digest, self.inputs, self.name)
        feed(digest, self.targets, self.name)
        return digest


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a DataLoader turns samples into batches: its options except for order and batch size."""

    collate_fn: Callable[[list[Any]], Any] | None = None
    num_workers: int = 0
    timeout: float = 0
    worker_init_fn: Callable[[int], None] | None = None
    multiprocessing_context: Any = None


@final
@dataclass(eq=False)
class DatasetData(Data):
    """Samples that are read from a torch dataset batch by batch, so that memory stays bounded.

    Raises:
        DriftproofError: there are no samples; while reading, if a batch is neither a pair (inputs, targets) nor a dict
            with ``labels``.
    """

    name: str
    dataset: Dataset[Any]
    reading: Reading = field(default_factory=Reading)
    loader_batch: int | None = None

    def __post_init__(self) -> None:
        if len(self) == 0:
            raise DriftproofError(f"data {self.name}: the dataset is empty; wanted at least one sample")

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # as_data has checked that it can be counted

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Return the batches that the loader's collate function makes of the samples in dataset order."""
        return self._read(self.dataset, _checked_batch_size(batch_size))

    def take(self, samples: Sequence[int]) -> Self:
        """Return some of the samples, in the given order; nothing is read yet."""
        return replace(self, dataset=Subset(self.dataset, [int(sample) for sample in samples]))

    def _digest(self) -> hashlib._Hash:
        """Return the SHA-256 over the inputs of the first and the last 64 samples and over all targets.

        This reads the whole dataset once, as there is no other way to the targets.
        """
        digest = hashlib.sha256(str(len(self)).encode())
        for index, (inputs, targets) in enumerate(self._read(self.dataset, ENDS)):
            if index == 0:
                feed(digest, inputs, self.name)
            feed(digest, targets, self.name)
        last = Subset(self.dataset, range(max(0, len(self) - ENDS), len(self)))
        for inputs, _ in self._read(last, ENDS):
            feed(digest, inputs, self.name)
        return digest

    def _read(self, dataset: Dataset[Any], batch_size: int) -> Iterator[Batch]:
        # Without its own generator, every pass would draw from the caller's global random state.
        generator = torch.Generator().manual_seed(0)
        for batch in DataLoader(dataset, batch_size, shuffle=False, generator=generator, **vars(self.reading)):
            yield as_pair(batch, f"data {self.name}: a batch")


@random_state_kept()
def hold(data: Data, most_bytes: int = HELD_BYTES) -> Data:
    """Return the same samples in memory, so that a dataset is read once and not once per cell.

    Data that is in memory already, is larger than ``most_bytes``, or has parts that are not tensors is returned as it
    is.

    >>> dataset = torch.utils.data.TensorDataset(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    >>> hold(DatasetData("three", dataset))
    TensorData(three: 3 samples of shape [2])
    """
    if not isinstance(data, DatasetData):
        return data
    inputs, targets = next(iter(data.batches(1)))
    parts = [*tree_leaves(inputs), targets]
    if not all(isinstance(part, Tensor) and part.ndim >= 1 for part in parts):
        return data
    if sum(part.nbytes for part in parts) * len(data) > most_bytes:
        return data
    batches = list(data.batches(ENDS))
    try:
        return TensorData(data.name, *tree_map(lambda *parts: torch.cat(parts), *batches))
    except RuntimeError:  # samples of several shapes: batches of one shape each are still possible
        return data


def _checked_batch_size(batch_size: int) -> int:
    size = whole_number("batch size", batch_size)
    if size < 1:
        raise DriftproofError(f"batch size {size}: wanted 1 or more")
    return size


def feed(digest: hashlib._Hash | hashlib.blake2b, value: Any, name: str) -> None:
    """Feed a value with its type and shape to the digest, so that 2 × 3 zeros differ from 3 × 2 zeros."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        value = torch.from_numpy(np.array(value))
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        # As bytes, because NumPy has no bfloat16.
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        digest.update(f"mapping{len(value)}".encode())
        for key in sorted(value, key=str):
            feed(digest, key, name)
            feed(digest, value[key], name)
    elif isinstance(value, tuple | list):
        digest.update(f"sequence{len(value)}".encode())
        for item in value:
            feed(digest, item, name)
    elif value is None or isinstance(value, str | bytes | bool | int | float):
        digest.update(repr(value).encode())
    else:
        raise DriftproofError(
            f"data {name}: no fingerprint of a {type(value).__name__} in a batch; wanted tensors, numbers, text, "
            f"or lists and dicts of them: convert it in the dataset or in the loader's collate_fn"
        )
