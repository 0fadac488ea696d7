"""Samples cut apart, and counted where they are the same."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

from driftproof._errors import DriftproofError
from driftproof.data import TensorData, digits, part
from driftproof.data._batched import DatasetData
from driftproof.data._parts import halves, held_out, shared_samples


def test_halves_are_all_samples_and_share_none() -> None:
    data = digits()
    first, second = halves(data)
    assert (len(first), len(second)) == (299, 298)
    assert isinstance(first, TensorData)
    assert isinstance(second, TensorData)
    assert torch.equal(torch.cat([first.targets, second.targets]), data.targets)
    assert shared_samples(first, second) == 0
    assert shared_samples(first, data) == len(first)
    assert first.fingerprint() != second.fingerprint()


def test_a_dataset_is_cut_without_reading_it() -> None:
    data = DatasetData("set", TensorDataset(torch.arange(10.0)[:, None], torch.arange(10)))
    cut = part(data, slice(7, 10))
    assert [targets.tolist() for _, targets in cut.batches(5)] == [[7, 8, 9]]
    assert cut.name == "set, samples 7 to 9"


def test_shared_samples_are_found_out_of_order_and_in_named_inputs() -> None:
    ids = torch.arange(12).view(6, 2)
    a = TensorData("a", {"ids": ids[:4], "mask": torch.ones(4, 2)}, torch.zeros(4))
    b = TensorData("b", {"ids": ids.flip(0), "mask": torch.ones(6, 2)}, torch.zeros(6))
    assert shared_samples(a, b) == 4
    other = TensorData("b", {"ids": ids.flip(0), "mask": torch.zeros(6, 2)}, torch.zeros(6))
    assert shared_samples(a, other) == 0


def test_one_sample_cannot_be_halved() -> None:
    with pytest.raises(DriftproofError, match="1 sample cannot be halved"):
        halves((torch.zeros(1, 2), torch.zeros(1)))


def test_held_out_samples_are_a_random_share_and_the_others_are_left() -> None:
    """Of 200 samples sorted by class, a tenth of each of 10 classes: 2 of 20 each on average; all 10 classes but one
    are there with probability above 1 - 1e-3 (the seed is fixed).
    """
    targets = torch.arange(10).repeat_interleave(40)
    data = TensorData("sorted", torch.arange(400.0)[:, None], targets)
    held, left = held_out(data, 0.1)
    assert (len(held), len(left)) == (40, 360)
    assert set(held.targets.tolist()) == set(left.targets.tolist()) == set(range(10))  # type: ignore[attr-defined]
    assert sorted([*held.inputs.view(-1).tolist(), *left.inputs.view(-1).tolist()]) == list(range(400))  # type: ignore[attr-defined]
    assert held_out(data, 0.1)[0].fingerprint() == held.fingerprint() != held_out(data, 0.1, seed=1)[0].fingerprint()
    with pytest.raises(DriftproofError, match="1 samples are too few"):
        held_out(data.head(1), 0.1)


def test_a_share_of_a_dataset_is_held_out_without_reading_it() -> None:
    class Unread(torch.utils.data.Dataset[None]):
        def __len__(self) -> int:
            return 50

        def __getitem__(self, place: int) -> None:
            raise AssertionError("read")

    held, left = held_out(DatasetData("set", Unread()), 0.1)
    assert (len(held), len(left)) == (5, 45)
