from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from driftproof._errors import DriftproofError
from driftproof.data import Data, TensorData
from driftproof.data._batched import DatasetData, hold


class Squares(Dataset[tuple[Tensor, int]]):
    """Sample i is (i², i % 3); counts how often it is read."""

    def __init__(self, n: int, changed: int | None = None) -> None:
        self.n, self.changed, self.reads = n, changed, 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not 0 <= index < self.n:
            raise IndexError(index)
        self.reads += 1
        return torch.tensor([float(index * index) + (0.5 if index == self.changed else 0.0)]), index % 3


def both(n: int) -> list[Data]:
    dataset = Squares(n)
    inputs = torch.stack([dataset[i][0] for i in range(n)])
    return [TensorData("squares", inputs, torch.arange(n) % 3), DatasetData("squares", dataset)]


@pytest.mark.parametrize("data", both(10), ids=lambda d: type(d).__name__)
@pytest.mark.parametrize("batch_size", [1, 4, 5, 100])
def test_batches_cover_everything_once_in_order(data: Data, batch_size: int) -> None:
    batches = list(data.batches(batch_size))
    assert [len(x) for x, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert torch.equal(
        torch.cat([x for x, _ in batches if isinstance(x, torch.Tensor)]).flatten(), torch.arange(10.0) ** 2
    )
    assert torch.equal(torch.cat([y for _, y in batches]), torch.arange(10) % 3)


@pytest.mark.parametrize("data", both(10), ids=lambda d: type(d).__name__)
def test_head_is_the_first_samples(data: Data) -> None:
    head = data.head(3)
    assert len(head) == 3
    assert head.name == data.name
    (inputs, _), *rest = head.batches(8)
    assert isinstance(inputs, torch.Tensor)
    assert inputs.flatten().tolist() == [0, 1, 4]
    assert not rest
    assert len(data.head(10)) == 10
    assert head.fingerprint() != data.fingerprint()


@pytest.mark.parametrize("data", both(10), ids=lambda d: type(d).__name__)
@pytest.mark.parametrize("limit", [0, -1, 11, 2.5])
def test_head_refuses(data: Data, limit: int) -> None:
    with pytest.raises(DriftproofError, match=rf"limit (= )?{limit}.*wanted"):
        data.head(limit)


@pytest.mark.parametrize("data", both(10), ids=lambda d: type(d).__name__)
@pytest.mark.parametrize("batch_size", [0, -4, "8"])
def test_batch_size_is_checked_at_once(data: Data, batch_size: int) -> None:
    with pytest.raises(DriftproofError, match="batch size"):
        data.batches(batch_size)  # not only when the first batch is asked for


@pytest.mark.parametrize("data", both(10), ids=lambda d: type(d).__name__)
def test_reading_leaves_the_global_random_state(data: Data) -> None:
    before = torch.get_rng_state()
    list(data.batches(3))
    data.fingerprint()
    assert torch.equal(torch.get_rng_state(), before)


def test_tensor_fingerprint_sees_every_value() -> None:
    inputs, targets = torch.zeros(300, 2), torch.zeros(300, dtype=torch.int64)
    first = TensorData("a", inputs, targets).fingerprint()
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert TensorData("b", inputs.clone(), targets.clone()).fingerprint() == first
    changed = inputs.clone()
    changed[150, 1] = 1e-30
    other_target = targets.clone()
    other_target[150] = 1
    others = [
        TensorData("a", changed, targets),
        TensorData("a", inputs, other_target),
        TensorData("a", inputs.double(), targets),
        TensorData("a", inputs.reshape(300, 1, 2), targets),
        TensorData("a", inputs.bfloat16(), targets),
    ]
    assert len({first, *(data.fingerprint() for data in others)}) == 6


@pytest.mark.parametrize(("changed", "seen"), [(0, True), (63, True), (100, False), (136, True), (199, True)])
def test_dataset_fingerprint_reads_inputs_at_both_ends(changed: int, seen: bool) -> None:
    plain = DatasetData("d", Squares(200)).fingerprint()
    assert DatasetData("e", Squares(200)).fingerprint() == plain
    assert (DatasetData("d", Squares(200, changed)).fingerprint() != plain) == seen


def test_dataset_fingerprint_sees_all_targets_and_reads_once() -> None:
    class Other(Squares):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            value, target = super().__getitem__(index)
            return value, 2 if index == 100 else target

    other, plain = DatasetData("d", Other(200)), Squares(200)
    data = DatasetData("d", plain)
    assert data.fingerprint() != other.fingerprint()
    reads = plain.reads
    assert data.fingerprint() == data.fingerprint()
    assert plain.reads == reads


def test_nothing_is_read_before_it_is_needed() -> None:
    dataset = Squares(1000)
    batches = DatasetData("d", dataset).head(500).batches(10)
    assert dataset.reads == 0
    next(batches)
    assert dataset.reads == 10


def test_a_batch_that_is_no_pair_is_refused() -> None:
    class Alone(Squares):
        def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
            return torch.zeros(3)

    with pytest.raises(DriftproofError, match=r"batch came as Tensor.*pair \(inputs, targets\)"):
        next(DatasetData("d", Alone(10)).batches(5))


def test_renamed_keeps_the_samples() -> None:
    for data in both(4):
        assert data.renamed("other").name == "other"
        assert data.renamed("other").fingerprint() == data.fingerprint()
        assert data.name == "squares"


def test_tensor_data_refuses() -> None:
    with pytest.raises(DriftproofError, match="3 inputs but 2 targets"):
        TensorData("d", torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(DriftproofError, match="no samples"):
        TensorData("d", torch.zeros(0, 2), torch.zeros(0))
    with pytest.raises(DriftproofError, match="targets have no axis"):
        TensorData("d", torch.zeros(3, 2), torch.tensor(1))


def test_a_dataset_that_fits_is_read_once_and_a_larger_one_batch_by_batch() -> None:
    class Counting(Dataset[tuple[torch.Tensor, int]]):
        reads = 0

        def __len__(self) -> int:
            return 100

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            Counting.reads += 1
            return torch.full((3,), float(index)), index % 2

    data = DatasetData("counted", Counting())
    held = hold(data)
    Counting.reads = 0
    assert isinstance(held, TensorData)
    batches = list(held.batches(7)), list(data.batches(7))
    assert Counting.reads == 100
    for (a, b), (c, d) in zip(*batches, strict=True):
        assert isinstance(a, torch.Tensor)
        assert isinstance(c, torch.Tensor)
        assert torch.equal(a, c)
        assert torch.equal(b, d)
    assert hold(data, most_bytes=100) is data
    assert hold(held) is held
