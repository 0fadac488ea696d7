"""The training data, update by update: shuffled by seed and epoch, cut into micro-batches, shared among processes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import batched

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from driftproof._devices import generator
from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs, on_tensors
from driftproof.data import Data, TensorData
from driftproof.data._augmentation import as_augmentation
from driftproof.data._batched import DatasetData
from driftproof.data._pairs import as_pair
from driftproof.training._parallel import processes
from driftproof.training._settings import Settings


class Batches:
    """The updates of every epoch, in an order that depends on the seed and the epoch only.

    A last batch that is not full is left out. It has other samples at every epoch, since the order differs.

    Args:
        data: Data to train on.
        settings: Settings of the training; the batch size counts samples of one update, over all micro-batches and
            processes.
        closures_per_update: Number of batches that the method takes for one micro-batch (default: 1).

    Raises:
        DriftproofError: Batches that cannot be filled, or not be cut into equal micro-batches.
    """

    def __init__(self, data: Data, settings: Settings, closures_per_update: int = 1) -> None:
        self.data, self.batch_size, self.seed = data, settings.batch_size_on(data), settings.seed
        self.micro = settings.micro_batches * closures_per_update
        self.augment = as_augmentation(settings.augment)
        self.rank, self.processes = processes()
        parts = self.micro * self.processes
        if self.batch_size < 1 or self.micro < 1 or self.batch_size % parts:
            raise DriftproofError(
                f"batches of {self.batch_size} samples in {self.micro} micro-batches on {self.processes} processes: "
                f"wanted a multiple of {max(1, parts)}"
            )
        if self.batch_size > len(data):
            raise DriftproofError(
                f"data {data.name} has {len(data)} samples, a batch wants {self.batch_size}; lower the batch size"
            )

    def __len__(self) -> int:
        return len(self.data) // self.batch_size

    def epoch(self, number: int) -> Iterator[list[tuple[Inputs, Tensor]]]:
        """Return one list per update: this process's micro-batches, each (inputs, targets)."""
        order = torch.randperm(len(self.data), generator=self._generator(number, "order"))
        size = self.batch_size // (self.micro * self.processes)
        mine = [
            order[start + (self.rank * self.micro + part) * size :][:size]
            for start in range(0, len(self) * self.batch_size, self.batch_size)
            for part in range(self.micro)
        ]
        read = map(self._tensors, mine) if isinstance(self.data, TensorData) else self._dataset(mine)
        pairs = (self._augmented(number, place, *pair) for place, pair in enumerate(read))
        return map(list, batched(pairs, self.micro))

    def _augmented(self, epoch: int, place: int, inputs: Inputs, targets: Tensor) -> tuple[Inputs, Tensor]:
        if self.augment is None:
            return inputs, targets
        # keyed by the micro-batch's place among those of all processes
        step, part = divmod(place, self.micro)
        key = (step * self.processes + self.rank) * self.micro + part
        return self.augment(inputs, self._generator(epoch, "augmentation", key)), targets

    def _tensors(self, samples: Tensor) -> tuple[Inputs, Tensor]:
        assert isinstance(self.data, TensorData)
        return on_tensors(self.data.inputs, lambda part: part[samples]), self.data.targets[samples]

    def _dataset(self, batches: list[Tensor]) -> Iterator[tuple[Inputs, Tensor]]:
        """Read a dataset as its loader would: its random transforms are drawn at every epoch."""
        assert isinstance(self.data, DatasetData)
        samples = [batch.tolist() for batch in batches]
        for batch in DataLoader(self.data.dataset, batch_sampler=samples, **vars(self.data.reading)):
            inputs, targets = as_pair(batch, f"data {self.data.name}: a batch")
            if not isinstance(targets, Tensor):
                raise DriftproofError(
                    f"data {self.data.name}: targets came as {type(targets).__name__}; training wants a tensor"
                )
            yield inputs, targets

    def _generator(self, epoch: int, purpose: str, part: int | None = None) -> torch.Generator:
        return generator(-1 - self.seed, epoch, "", purpose, torch.device("cpu"), sample=part)
