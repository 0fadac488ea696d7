"""Saturated conversions are counted: what the outcome says is what a slow count finds, on both backends."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import driftproof as dp
from arrays.layers import TILE, numbers
from driftproof._chip import Chip
from driftproof._mapping import TileSize, map_model
from driftproof.arrays import input_ranges
from driftproof.evaluation._backends import TilesNetwork
from driftproof.evaluation._folded import FoldedNetwork
from driftproof.periphery import DynamicRange, StaticRange, load_periphery
from driftproof.periphery._converters import dac
from driftproof.periphery._counts import Counts

AROUND = load_periphery("standard").with_changes(adc_full_scale=0.8, input_range=StaticRange(method="maximum"))


@pytest.mark.parametrize("dynamic", [False, True])
def test_shares_are_those_of_a_slow_count(dynamic: bool) -> None:
    around = AROUND.without_noise()
    around = around.with_changes(input_range=DynamicRange()) if dynamic else around
    torch.manual_seed(0)
    layer, x = nn.Linear(23, 11), numbers(40, 23)
    mapping = map_model(layer, TILE, x)
    mapped, chip = mapping.weights[""], Chip(mapping, dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    ranges = input_ranges(layer, mapping, around, [x[:5] / 2])  # the others go beyond
    net, inputs, outputs, beyond, clipped = chip.read("", 60.0).net, 0, 0, 0, 0
    for vector in x:
        for split, rows in enumerate(mapped.rows):
            piece = vector[rows]
            reach = float(piece.abs().max()) if dynamic else ranges[""][split]
            inputs += len(piece)
            beyond += sum(abs(float(value)) > reach for value in piece)
            sums = net[:, rows] @ dac(piece, torch.tensor(reach), around)
            outputs += len(sums)
            clipped += sum(abs(float(value)) > 0.8 for value in sums)
    assert clipped > 20
    assert dynamic or beyond > 20
    for backend in (
        FoldedNetwork(layer, mapping, x, periphery=around, ranges=ranges),
        TilesNetwork(layer, mapping, around, ranges),
    ):
        backend.load(chip, 60.0)
        backend(3 * x)
        backend.load(chip, 60.0)  # counting begins again
        for part in torch.split(x, 7):
            backend(part)
        shares = backend.diagnostics()[""]
        # a sum that lies at the full scale to the last bit may fall on either side
        assert abs(shares["saturated_outputs"] - clipped / outputs) <= 2 / outputs
        assert shares.get("saturated_inputs") == (None if dynamic else beyond / inputs)


def test_counting_looks_at_both_ends_and_at_no_more_than_it_is_given() -> None:
    counts, values = Counts(), numbers(1000)
    for part in (values, values.clamp(max=1.0), values.clamp(min=-1.0), values.view(10, 100).t(), values[:0]):
        before = part.clone()
        counts.beyond("x", part, 1.0)
        assert torch.equal(part, before)
    low, high = int((values < -1).sum()), int((values > 1).sum())
    assert counts.shares() == {"x": (3 * low + 3 * high) / 4000}
    counts.clear()
    assert counts.shares() == {}


def test_an_empty_batch_has_empty_outputs() -> None:
    layer = nn.Linear(9, 4)
    chip = Chip(map_model(layer), dp.load_preset("sonos-agrawal-2022"), seed=0, chip=0)
    for periphery in (None, AROUND):
        array = chip.array("", 1.0, periphery=periphery, ranges={"": (1.0,), " (transposed)": (1.0,)})
        assert array.matmul(torch.zeros(0, 9)).shape == (0, 4)
        assert array.rmatmul(torch.zeros(0, 4)).shape == (0, 9)


def test_groups_that_share_a_tile_convert_their_own_columns_only() -> None:
    around = AROUND.without_noise().with_changes(adc_full_scale=0.5)
    torch.manual_seed(0)
    layer, x = nn.Conv2d(6, 8, 2, groups=2).eval(), numbers(9, 6, 4, 4)
    mapping = map_model(layer, TileSize(40, 8), x)
    assert [len(mapping.weights[""].groups_of(part)) for part in mapping.weights[""].columns] == [2]
    ranges, chip = (
        input_ranges(layer, mapping, around, [x]),
        Chip(mapping, dp.load_preset("ideal"), seed=0, chip=0),
    )
    shares = []
    for backend in (
        FoldedNetwork(layer, mapping, x, periphery=around, ranges=ranges),
        TilesNetwork(layer, mapping, around, ranges),
    ):
        backend.load(chip, 60.0)
        backend(x)
        shares.append(backend.diagnostics()[""]["saturated_outputs"])
    assert shares[0] > 0.02
    assert abs(shares[0] - shares[1]) <= 2 / (9 * 8 * 9)
