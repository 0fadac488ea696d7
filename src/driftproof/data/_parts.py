"""Splitting data into parts, such as samples to choose on and samples to report on, and checking their overlap."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch

from driftproof._defaults import SEED
from driftproof._errors import DriftproofError
from driftproof._inputs import split, tensors
from driftproof.data._adapters import as_data
from driftproof.data._batched import Data, feed, hold


def halves(data: Data | object) -> tuple[Data, Data]:
    """Return the first and the second half of data; the first half is the larger one if the number is odd.

    Raises:
        DriftproofError: there is one sample only.

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
    """Return a slice of the samples, with its first and last sample in the name.

    >>> from driftproof.data import TensorData
    >>> part(TensorData("all", torch.zeros(9, 2), torch.zeros(9)), slice(6, 9)).name
    'all, samples 6 to 8'
    """
    start, stop, _ = samples.indices(len(data))
    return data.take(range(start, stop)).renamed(f"{data.name}, samples {start} to {stop - 1}")


def held_out(data: Data, share: float, seed: int = SEED) -> tuple[Data, Data]:
    """Return a random share of data, and the other samples; both keep their order. A dataset is not read yet.

    >>> from driftproof.data import TensorData
    >>> held, left = held_out(TensorData("all", torch.arange(10.0)[:, None], torch.arange(10)), 0.2)
    >>> len(held), len(left), held.name
    (2, 8, 'all, a random share (seed 0)')
    """
    count_held = max(1, round(share * len(data)))
    if count_held >= len(data):
        raise DriftproofError(f"data {data.name}: {len(data)} samples are too few to hold a share of {share:g} out")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    held, left = (data.take(places.sort().values.tolist()) for places in (order[:count_held], order[count_held:]))
    return (
        held.renamed(f"{data.name}, a random share (seed {seed})"),
        left.renamed(f"{data.name}, the others (seed {seed})"),
    )


def shared_samples(first: Data, second: Data) -> int:
    """Return how many samples of the second data have the same inputs as a sample of the first.

    >>> from driftproof.data import TensorData
    >>> a, b = (TensorData("x", torch.arange(n)[:, None], torch.zeros(n)) for n in (3, 5))
    >>> shared_samples(a, b)
    3
    """
    known = set(_digests(first))
    return sum(digest in known for digest in _digests(second))


def _digests(data: Data) -> Iterator[bytes]:
    for inputs, _ in data.batches(64):
        for sample in split(inputs, 1):
            digest = hashlib.blake2b(digest_size=16)
            for tensor in tensors(sample):
                feed(digest, tensor, data.name)
            yield digest.digest()
