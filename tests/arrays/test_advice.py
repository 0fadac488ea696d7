"""What messages about arrays advise can be done, and helps."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

import driftproof as dp
from arrays.layers import TILE, numbers
from driftproof._chip import Chip
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model
from driftproof._presets import DevicePreset
from driftproof.arrays import input_ranges
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.periphery import Periphery, StaticRange, load_periphery

STANDARD = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
IDEAL = load_periphery("ideal")
CMO = dp.load_preset("reram-cmo-2pct")
DAY = 86400.0


def changed(preset: DevicePreset, **tables: Any) -> DevicePreset:
    """Return a preset with some keys of its tables changed, as a file that extends it has them."""
    given = preset.definition()
    for table, keys in tables.items():
        given[table] = given[table] | keys
    return DevicePreset.model_validate(given)


NOISY = changed(CMO, read={"new_every": "mvm"})


def read(device: DevicePreset, around: Periphery, transposed: bool) -> torch.Tensor:
    torch.manual_seed(0)
    layer, x = nn.Linear(23, 11), numbers(5, 23)
    mapping = map_model(layer, TILE, x)
    ranges = input_ranges(layer, mapping, around, [x]) | {" (transposed)": (9.0,) * mapping.weights[""].tiles}
    array = Chip(mapping, device, seed=0, chip=0).array("", DAY, periphery=around, ranges=ranges)
    return array.rmatmul(numbers(5, 11)) if transposed else array.matmul(x)


@pytest.mark.parametrize(("around", "transposed"), [(STANDARD, False), (IDEAL, True)])
def test_a_reference_columns_noise(around: Periphery, transposed: bool) -> None:
    with pytest.raises(DriftproofError) as error:
        read(NOISY, around, transposed)
    (key, value, table) = re.findall(r'use (\w+) = "(\w+)" in the device\'s \[(\w+)\]', str(error.value))[0]
    assert bool(read(changed(NOISY, **{table: {key: value}}), around, transposed).isfinite().all())
    if others := re.findall(r"or --periphery (\w+)", str(error.value)):
        assert bool(read(NOISY, load_periphery(others[0]), transposed).isfinite().all())
    else:
        assert around is IDEAL


def test_what_an_array_does_not_know_is_refused_before_anything_is_computed() -> None:
    mapping = map_model(nn.Linear(23, 11), TILE, numbers(5, 23))
    ranges = {"": (1.0,) * len(mapping.weights[""].rows)}
    with pytest.raises(DriftproofError, match="reference column"):
        Chip(mapping, NOISY, seed=0, chip=0).array("", DAY, periphery=STANDARD, ranges=ranges)


class StepsFirst(nn.Module):
    """Calls its layer with vectors of several samples in one row, so that no axis counts samples."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(x.flatten()[: len(x) * 4 - 4].view(-1, 4)).sum() + x.sum(dim=1)
        return found


def test_noise_of_single_mvms_wants_samples_first() -> None:
    net, x = StepsFirst(), numbers(5, 4)
    mapping = map_model(net, example=x)

    def run(device: DevicePreset, around: Periphery) -> None:
        ranges = input_ranges(net, mapping, around, [x])
        folded = FoldedNetwork(net, mapping, x, periphery=around, ranges=ranges)
        folded.load(Chip(mapping, device, seed=0, chip=0), DAY)
        folded(x)

    with pytest.raises(DriftproofError, match=r"use a device \(read\.new_every\) and a periphery without it"):
        run(NOISY, IDEAL)
    with pytest.raises(DriftproofError, match=r"use a device \(read\.new_every\) and a periphery without it"):
        run(CMO, STANDARD)
    run(CMO, IDEAL)
    run(changed(NOISY, read={"new_every": "read-out"}), STANDARD.without_noise())
