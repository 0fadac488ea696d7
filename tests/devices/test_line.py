"""Layers that lie in one line have the same bits as alone, and draw the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from driftproof._chip import Chip, Programmer
from driftproof._devices import line as lines
from driftproof._devices import normals, program
from driftproof._mapping import Mapping, TileSize, map_model
from driftproof._presets import load_preset, preset_names
from driftproof._presets.mix import load_mix
from driftproof.laws._drift.power import PowerDrift

TIMES_S = (0.0, 86400.0, 3e7)
LARGE, SMALL = "4", ["0", "1", "2", "3", "5"]
"""One layer that is longer than a block, and others whose sizes are no multiples of any vector's."""


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Linear(33, 17),
        nn.Linear(17, 3),
        nn.Linear(301, 200),
        nn.Linear(3, 3),
    )


def mapping(tile: TileSize | None = None) -> Mapping:
    return map_model(network()) if tile is None else map_model(network(), tile)


def differing(preset: str, tile: TileSize | None = None, **chip: str) -> list[tuple[str, float]]:
    """Return the layers and times at which a reading of all layers differs from that of one."""
    device, mapped = load_preset(preset), mapping(tile)
    together, apart = (Chip(mapped, device, seed=1, chip=2, **chip) for _ in range(2))  # type: ignore[arg-type]
    found = []
    for t_s in TIMES_S:
        for name, reading in together.readings(mapped.weights, t_s).items():
            weight, own = apart.weights[name], apart.read(name, t_s)
            layout = weight.layout
            alone = program(
                device, weight.target, seed=1, chip=2, layer=name, groups=layout.groups, rows=tuple(weight.rows)
            )
            nets = [own.net, alone.net(t_s, read_out=apart.read_outs.use)]
            if not all(torch.equal(reading.net, net) for net in nets) or not torch.equal(reading.alpha, own.alpha):
                found.append((name, t_s))
    return found


@pytest.mark.parametrize("preset", preset_names())
def test_layers_in_a_line_have_the_bits_of_layers_alone(preset: str) -> None:
    assert differing(preset) == []


@pytest.mark.parametrize(
    "options", [{"read_outs": "fast=mvm"}, {"compensation": "exact:per=column,every_s=1d"}], ids=str
)
def test_they_have_on_small_tiles_and_with_other_reads(options: dict[str, str]) -> None:
    assert differing("pcm-hermes-2", TileSize(64, 64), **options) == []


def test_small_layers_lie_in_one_line_and_a_long_one_in_its_own() -> None:
    chip = Chip(mapping(), load_preset("pcm-nandakumar-2019"), seed=1, chip=2)
    assert sorted(line.layers for line in chip.programmed.lines) == [["0", "1", "2", "3"], [LARGE], ["5"]]
    column = Chip(mapping(), load_preset("reram-cmo-2pct"), seed=1, chip=2)  # each layer has its own reference column
    assert all(len(line.layers) == 1 for line in column.programmed.lines)


@pytest.mark.parametrize("padding", [64, 1])
def test_padding_is_what_gives_the_last_devices_of_a_layer_their_bits(
    padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # torch computes the last powers of a tensor one by one, with another last bit
    monkeypatch.setattr(PowerDrift, "after", lambda law, g, life, t_s: g * (0.5 + t_s / 1e8 + life).pow(0.37))
    monkeypatch.setattr(normals, "PADDING", padding)
    assert bool(differing("pcm-nandakumar-2019")) == (padding == 1)


def test_memory_is_reused_and_holds_nothing_of_the_chip_before() -> None:
    mapped, device, programmer = mapping(), load_preset("pcm-hermes-2"), Programmer()
    before = programmer.program(mapped, device, seed=1, chip=0)
    first = before.programmed.lines[0].memory.first
    assert first is not None
    again = programmer.program(mapped, device, seed=1, chip=1)
    assert again.programmed.lines[0].memory.first is first
    fresh = Chip(mapped, device, seed=1, chip=1)
    for name, reading in fresh.readings(mapped.weights, 3600.0).items():
        assert torch.equal(again.read(name, 3600.0).net, reading.net)


def test_a_mix_has_a_line_for_each_device() -> None:
    mix = load_mix("pcm-hermes-2,2=pcm-nandakumar-2019,3=gaussian:0.05")
    chip = Chip(mapping(), mix, seed=1, chip=0)
    assert sorted(line.layers for line in chip.programmed.lines) == [["0", "1"], ["2"], [LARGE], ["5"]]
    assert list(chip.arrays) == list(chip.weights)


def test_a_layer_that_is_read_twice_is_read_anew() -> None:
    chip = Chip(mapping(), load_preset("pcm-hermes-2"), seed=1, chip=0)
    one = chip.readings(SMALL, 60.0)["2"].net
    kept = one.clone()
    chip.readings(SMALL, 60.0)["2"].net.zero_()
    assert torch.equal(one, kept)
    assert torch.equal(chip.read("2", 60.0).net, kept)


def test_on_a_gpu_a_line_is_longer() -> None:
    assert lines.longest(torch.device("cpu")) == normals.BLOCK < lines.longest(torch.device("cuda"))
