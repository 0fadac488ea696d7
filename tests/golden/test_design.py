"""The design covers what it says, and the comparison notices what it should."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from golden import store
from golden.comparison import Tolerance, differences
from golden.compute import Cell, cell, compute_row
from golden.covering import all_pairs, covering, pairs_of
from golden.design import DEVICES, FACTORS, IMPOSSIBLE, rows
from golden.tolerances import tolerance_of

TOLERANCE = Tolerance(logits=1e-5, weights=1e-6, value=2.5, numbers=1e-5)


def example() -> Cell:
    logits = torch.linspace(-3, 5, 400).view(40, 10)
    return cell(logits, 50.0) | {"weights_sha256": "0" * 16, "weight_norms": [4.0, 1.0], "weights": [0.5, -0.001]}


# --- the design ---


def test_the_design_covers_every_pair_that_is_possible() -> None:
    covered = {pair for row in rows() for pair in pairs_of(row.levels())}
    assert IMPOSSIBLE.keys() < set(all_pairs(FACTORS))
    assert covered == set(all_pairs(FACTORS)) - IMPOSSIBLE.keys()
    assert len({row.id for row in rows()}) == len(rows())


def test_a_covering_design_is_small_and_repeatable() -> None:
    factors = dict.fromkeys("abcd", ("0", "1", "2"))
    forbidden = {(("a", "0"), ("b", "1"))}
    design = covering(factors, forbidden, seed=3)
    assert {pair for row in design for pair in pairs_of(row)} == set(all_pairs(factors)) - forbidden
    assert len(design) <= 15  # of 81 combinations; 9 are the fewest
    assert design == covering(factors, forbidden, seed=3)


# --- strict ---


def test_strict_mode_notices_one_flipped_bit() -> None:
    logits = torch.linspace(-3, 5, 400).view(40, 10)
    flipped = logits.clone()
    flipped[5, 5] = torch.nextafter(flipped[5, 5], torch.tensor(math.inf))  # not among the samples that are shown
    assert differences(cell(logits, 50.0), cell(logits.clone(), 50.0), None) == []
    (text,) = differences(cell(logits, 50.0), cell(flipped, 50.0), None)
    assert "logits_sha256" in text
    assert differences(cell(logits, 50.0), cell(flipped, 50.0), TOLERANCE) == []


@pytest.mark.parametrize("change", [{"value": 50.1}, {"weights_sha256": "1" + "0" * 15}, {"weights": [0.5, -0.002]}])
def test_strict_mode_names_the_entry_and_both_values(change: Cell) -> None:
    ((key, new),) = change.items()
    (text,) = differences(example(), example() | change, None)
    shown = new[1] if isinstance(new, list) else new
    assert text.startswith(f"{key}: ")
    assert f"new {shown}" in text


# --- tolerant ---


@pytest.mark.parametrize(
    ("key", "small", "large"),
    [
        ("value", 52.5, 55.0),
        ("weight_norms", [4.000002, 1.0], [4.00001, 1.0]),
        ("weights", [0.5, -0.001000001], [0.5, -0.00100001]),
    ],
)
def test_tolerant_mode_lets_small_gaps_pass_and_no_large_ones(key: str, small: object, large: object) -> None:
    assert differences(example(), example() | {key: small, "logits_sha256": "another"}, TOLERANCE) == []
    assert len(differences(example(), example() | {key: large}, TOLERANCE)) == 1


def test_a_gap_of_logits_is_relative_to_the_largest_of_them() -> None:
    old = example()
    for factor, faults in ((0.9, 0), (1.1, 1)):
        moved = list(old["logits"])
        moved[0] += factor * TOLERANCE.logits * max(map(abs, moved))
        assert len(differences(old, old | {"logits": moved}, TOLERANCE)) == faults


@pytest.mark.parametrize("new", [[math.nan, 1.0], [4.0], [4.0, 1.0, 1.0], None])
def test_what_is_no_number_or_too_few_is_a_difference(new: object) -> None:
    assert len(differences(example(), example() | {"weight_norms": new}, TOLERANCE)) == 1


def test_entries_that_come_or_go_and_other_names_are_differences() -> None:
    assert len(differences(example(), {"value": 50.0}, TOLERANCE)) == 1
    plan: Cell = {"numbers": [1.0], "names": ["conv1"]}
    assert differences(plan, plan | {"numbers": [1.000001]}, TOLERANCE) == []
    assert len(differences(plan, plan | {"names": ["conv2"]}, TOLERANCE)) == 1


# --- both ---


def test_noise_that_is_larger_by_a_ten_thousandth_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in rows() if (row.device, row.periphery, row.digital) == ("gaussian:0.1", "ideal", "0"))
    stored = store.read("cells")
    monkeypatch.setitem(DEVICES, row.device, "gaussian:0.10001")
    with store.one_thread():
        cells = compute_row(row, tmp_path)
    for time in row.read_times:
        name = row.cell_id(time)
        assert differences(stored[name], cells[name], None)
        texts = differences(stored[name], cells[name], tolerance_of(name))
        assert [text.partition(":")[0] for text in texts] == ["logits", "weights"]
