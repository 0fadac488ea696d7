"""Samples to choose on and others to report on: cut apart, and whether they really are others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Subset

from driftproof.data.adapters import as_data
from driftproof.data.batched import Data, DatasetData, TensorData, hold
from driftproof.defaults import SEED
from driftproof.errors import DriftproofError
from driftproof.inputs import count, on_tensors, select, tensors


def halves(data: Data | object) -> tuple[Data, Data]:
    """Return the first and the second half of some data; the first is the larger one if the number is odd.

    Raises:
        DriftproofError: a single sample.

    >>> import torch
    >>> first, second = halves((torch.arange(5.0)[:, None], torch.arange(5)))
    >>> first.targets.tolist(), second.targets.tolist()
    ([0, 1, 2], [3, 4])
    """
    whole = hold(as_data(data))
    if len(whole) < 2:
        raise DriftproofError(f"data {whole.name}: {len(whole)} sample cannot be halved; give more, or a second set")
    middle = -(-len(whole) // 2)
    return part(whole, slice(0, middle)), part(whole, slice(middle, len(whole)))


def part(data: Data, samples: slice) -> Data:
    """Return some neighbouring samples, under a name that says which.

    >>> import torch
    >>> part(TensorData("all", torch.zeros(9, 2), torch.zeros(9)), slice(6, 9)).name
    'all, samples 6 to 8'
    """
    start, stop, _ = samples.indices(len(data))
    name = f"{data.name}, samples {start} to {stop - 1}"
    if isinstance(data, TensorData):
        return TensorData(name, select(data.inputs, samples), data.targets[samples])
    assert isinstance(data, DatasetData)
    return DatasetData(name, Subset(data.dataset, range(start, stop)), data.reading)


def held_out(data: Data, share: float, seed: int = SEED) -> tuple[Data, Data]:
    """Return a random share of some data, and what is left; each in its old order. Nothing is read.

    >>> import torch
    >>> held, left = held_out(TensorData("all", torch.arange(10.0)[:, None], torch.arange(10)), 0.2)
    >>> len(held), len(left), held.name
    (2, 8, 'all, a random share (seed 0)')
    """
    count_held = max(1, round(share * len(data)))
    if count_held >= len(data):
        raise DriftproofError(f"data {data.name}: {len(data)} samples are too few to hold a share of {share:g} out")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    parts = [(order[:count_held], "a random share"), (order[count_held:], "the others")]
    found = [_chosen(data, places.sort().values, f"{data.name}, {name} (seed {seed})") for places, name in parts]
    return found[0], found[1]


def _chosen(data: Data, places: Tensor, name: str) -> Data:
    if isinstance(data, TensorData):
        return TensorData(name, on_tensors(data.inputs, lambda values: values[places]), data.targets[places])
    assert isinstance(data, DatasetData)
    return DatasetData(name, Subset(data.dataset, places.tolist()), data.reading)


def shared_samples(first: Data, second: Data) -> int:
    """Return how many samples of the second data have the very inputs of some sample of the first.

    >>> import torch
    >>> a, b = (TensorData("x", torch.arange(n)[:, None], torch.zeros(n)) for n in (3, 5))
    >>> shared_samples(a, b)
    3
    """
    known = set(_digests(first))
    return sum(digest in known for digest in _digests(second))


def _digests(data: Data) -> Iterator[bytes]:
    for inputs, _ in data.batches(64):
        for place in range(count(inputs)):
            yield _digest(tensors(select(inputs, slice(place, place + 1))))


def _digest(parts: list[Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in parts:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        # as bytes, because NumPy has no bfloat16
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()
