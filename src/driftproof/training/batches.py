"""The training data, update by update: shuffled by seed and epoch, cut into micro-batches, shared among processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from driftproof.data import Data, DatasetData, TensorData
from driftproof.data.augmentation import CropFlip
from driftproof.data.pairs import as_pair
from driftproof.defaults import SEED
from driftproof.devices import generator
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs, on_tensors


@dataclass(frozen=True)
class Batches:
    """The updates of every epoch, in an order that the seed and the epoch fix.

    A last batch that is not full is left out: another one at every epoch, since the order is new.

    Attributes:
        data: what is trained on.
        batch_size: samples of one update, over all micro-batches and processes.
        micro: micro-batches of one update in each process.
        seed: of order and augmentation.
        augment: how images are changed.
        rank: of this process.
        processes: how many there are.
    """

    data: Data
    batch_size: int
    micro: int = 1
    seed: int = SEED
    augment: CropFlip | None = None
    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        """Refuse batches that cannot be filled or cut evenly."""
        parts = self.micro * self.processes
        if self.batch_size < 1 or self.micro < 1 or self.batch_size % parts:
            raise DriftproofError(
                f"batches of {self.batch_size} samples in {self.micro} micro-batches on {self.processes} processes: "
                f"wanted a multiple of {max(1, parts)}"
            )
        if self.batch_size > len(self.data):
            raise DriftproofError(
                f"data {self.data.name} has {len(self.data)} samples, a batch wants {self.batch_size}; lower the batch "
                "size"
            )

    def __len__(self) -> int:
        return len(self.data) // self.batch_size

    def epoch(self, number: int) -> Iterator[list[tuple[Inputs, Tensor]]]:
        """Yield one list per update: this process's micro-batches, each (inputs, targets)."""
        order = torch.randperm(len(self.data), generator=self._generator(number, "order"))
        size = self.batch_size // (self.micro * self.processes)
        mine = [
            order[start + (self.rank * self.micro + part) * size :][:size]
            for start in range(0, len(self) * self.batch_size, self.batch_size)
            for part in range(self.micro)
        ]
        read = self._tensors(mine) if isinstance(self.data, TensorData) else self._dataset(mine)
        update: list[tuple[Inputs, Tensor]] = []
        for place, (inputs, targets) in enumerate(read):
            if self.augment is not None:
                # keyed by the micro-batch's place among those of all processes
                step, part = divmod(place, self.micro)
                key = (step * self.processes + self.rank) * self.micro + part
                inputs = self.augment(inputs, self._generator(number, "augmentation", key))
            update.append((inputs, targets))
            if len(update) == self.micro:
                yield update
                update = []

    def _tensors(self, places: list[Tensor]) -> Iterator[tuple[Inputs, Tensor]]:
        assert isinstance(self.data, TensorData)
        for some in places:
            yield on_tensors(self.data.inputs, lambda part, some=some: part[some]), self.data.targets[some]  # type: ignore[misc]

    def _dataset(self, places: list[Tensor]) -> Iterator[tuple[Inputs, Tensor]]:
        """Read a dataset as its loader would: random transforms inside it are drawn anew at every epoch."""
        assert isinstance(self.data, DatasetData)
        reading = self.data.reading
        loader = DataLoader(
            self.data.dataset,
            batch_sampler=[some.tolist() for some in places],
            collate_fn=reading.collate_fn,
            num_workers=reading.num_workers,
            timeout=reading.timeout,
            worker_init_fn=reading.worker_init_fn,
            multiprocessing_context=reading.multiprocessing_context,
        )
        for batch in loader:
            inputs, targets = as_pair(batch, f"data {self.data.name}: a batch")
            if not isinstance(targets, Tensor):
                raise DriftproofError(
                    f"data {self.data.name}: targets came as {type(targets).__name__}; training wants a tensor"
                )
            yield inputs, targets

    def _generator(self, epoch: int, purpose: str, part: int | None = None) -> torch.Generator:
        return generator(-1 - self.seed, epoch, "", purpose, torch.device("cpu"), sample=part)
