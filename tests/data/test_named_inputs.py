"""Several inputs, by place and by name: held, sliced, batched, fingerprinted; plain tensors keep their fingerprints."""

from __future__ import annotations

from collections import UserDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from driftproof._errors import DriftproofError
from driftproof.data import TensorData, digits, load_data
from driftproof.data._adapters import as_data
from driftproof.data._batched import DatasetData, hold
from driftproof.data._pairs import as_pair

IDS = torch.arange(30).reshape(10, 3)
MASK = torch.ones(10, 3, dtype=torch.bool)
LABELS = torch.arange(10) % 2
NAMED = {"input_ids": IDS, "attention_mask": MASK}


class Text(Dataset[dict[str, Tensor]]):
    """Samples as Hugging Face's datasets give them."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": IDS[index], "attention_mask": MASK[index], "labels": LABELS[index]}


class Two(Dataset[Any]):
    """Two inputs by place."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        return (IDS[index], MASK[index]), LABELS[index]


def test_a_fingerprint_of_plain_tensors_is_what_it_always_was() -> None:
    # records on disk hold these: they were computed before there were other inputs
    assert digits().fingerprint() == "affd18c3b069776c"
    x, y = torch.arange(600.0).reshape(200, 3), torch.arange(200) % 3
    assert as_data((x, y)).fingerprint() == "c5f5217218eed82c"
    assert DatasetData("a", TensorDataset(x, y)).fingerprint() == "d0da07eb80d90cbe"


@pytest.mark.parametrize(
    "given",
    [
        (NAMED, LABELS),
        {**NAMED, "labels": LABELS},
        UserDict({**NAMED, "labels": LABELS}),  # as a tokeniser's BatchEncoding
        {"labels": LABELS.numpy(), "input_ids": IDS.numpy(), "attention_mask": MASK.numpy()},
        Text(),
        DataLoader(Text(), batch_size=4, shuffle=True),
    ],
    ids=["pair", "dict", "mapping", "arrays", "dataset", "loader"],
)
def test_named_inputs_from_whatever_people_have(given: object) -> None:
    data = as_data(given)
    held = hold(data)
    assert isinstance(held, TensorData)
    for source in (data, held):
        batches = list(source.batches(4))
        assert [len(targets) for _, targets in batches] == [4, 4, 2]
        for name, whole in NAMED.items():
            assert torch.equal(torch.cat([inputs[name] for inputs, _ in batches if isinstance(inputs, dict)]), whole)
        assert torch.equal(torch.cat([targets for _, targets in batches]), LABELS)
        (inputs, targets), *rest = source.head(3).batches(8)
        assert {name: len(part) for name, part in inputs.items()} == {"input_ids": 3, "attention_mask": 3}  # type: ignore[union-attr]
        assert (len(targets), rest) == (3, [])
    assert held.fingerprint() == as_data((NAMED, LABELS)).fingerprint()
    assert held.renamed("other").fingerprint() == held.fingerprint()


def test_inputs_by_place() -> None:
    data, held = as_data(Two()), hold(as_data(Two()))
    assert isinstance(held, TensorData)
    for source in (data, held, as_data(((IDS, MASK), LABELS))):
        (inputs, _), *_ = source.batches(4)
        assert isinstance(inputs, tuple)
        assert torch.equal(inputs[0], IDS[:4])
        assert torch.equal(inputs[1], MASK[:4])


def test_a_fingerprint_sees_every_part_and_its_name() -> None:
    other = MASK.clone()
    other[7, 1] = False
    variants = [
        TensorData("d", NAMED, LABELS),
        TensorData("d", {**NAMED, "attention_mask": other}, LABELS),
        TensorData("d", {"input_ids": IDS, "a_mask": MASK}, LABELS),
        TensorData("d", {"input_ids": IDS}, LABELS),
        TensorData("d", (IDS, MASK), LABELS),
        TensorData("d", (MASK, IDS), LABELS),
        TensorData("d", IDS, LABELS),
    ]
    assert len({data.fingerprint() for data in variants}) == len(variants)
    swapped = TensorData("d", {"attention_mask": MASK, "input_ids": IDS}, LABELS)  # names have no order
    assert swapped.fingerprint() == variants[0].fingerprint()


def test_the_bound_on_memory_counts_every_part() -> None:
    data = as_data(Text())
    # ten samples: 3 ids of 8 bytes, 3 flags, one label of 8
    assert isinstance(hold(data, most_bytes=10 * (24 + 3 + 8)), TensorData)
    assert hold(data, most_bytes=10 * (24 + 3 + 8) - 1) is data


def test_batches_padded_to_several_lengths_are_read_as_they_are() -> None:
    def padded(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        length = max(int(sample["input_ids"][0]) for sample in samples)
        return {"input_ids": torch.zeros(len(samples), length), "labels": torch.stack([s["labels"] for s in samples])}

    class Long(Text):
        def __len__(self) -> int:
            return 70  # more than what is read at a time

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            return {"input_ids": torch.tensor([1 + index]), "labels": LABELS[0]}

    data = as_data(DataLoader(Long(), collate_fn=padded))
    assert hold(data) is data
    assert [inputs["input_ids"].shape for inputs, _ in data.batches(50)] == [(50, 50), (20, 70)]  # type: ignore[call-overload, index]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (NAMED, r"a dict of input_ids, attention_mask; wanted .*name the targets 'labels'"),
        ({"labels": LABELS}, r"no tensor in this dict"),
        (({"a": IDS, "b": MASK[:4]}, LABELS), r"axis 0 counts the same samples.*\[4, 3\]"),
        (({"a": IDS}, LABELS[:4]), r"10 inputs but 4 targets"),
        (({"a": torch.tensor(1.0)}, LABELS), r"inputs have no axis"),
        (({"a": [[1, 2]] * 10}, LABELS), r"inputs 'a' came as list; .*return_tensors='pt'"),
        (((IDS, "text"), LABELS), r"inputs, part 1, came as str"),
        ((np.array([object()] * 2), np.zeros(2)), r"inputs of dtype object; wanted numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_data_is_refused(given: object, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        as_data(given)


def test_batches_that_are_no_pair_are_refused() -> None:
    class Unlabelled(Text):
        def __getitem__(self, index: int) -> dict[str, Tensor]:
            return {"input_ids": IDS[index]}

    with pytest.raises(DriftproofError, match=r"data d: a batch came as a dict of input_ids; .*'labels'"):
        next(DatasetData("d", Unlabelled()).batches(5))
    with pytest.raises(DriftproofError, match=r"tuple of 3; .*several inputs go together: \(\(a, b\), targets\)"):
        as_pair((IDS, MASK, LABELS), "batch")


def test_a_users_file_may_return_named_inputs(tmp_path: Path) -> None:
    file = tmp_path / "text.py"
    file.write_text("import torch\ndef test_set():\n    return {'ids': torch.ones(4, 2), 'labels': torch.zeros(4)}\n")
    data = load_data(f"{file}:test_set")
    assert repr(data) == "TensorData(text.py:test_set: 4 samples, {ids: float32 [4, 2]})"
