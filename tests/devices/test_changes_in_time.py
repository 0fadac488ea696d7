"""Whether a device changes in time: one answer, which its arrays bear out, and which its definition gives again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from driftproof._device_choice import load_device
from driftproof._devices import Device
from driftproof._presets import DevicePreset, load_preset, preset_names, without
from driftproof._presets.described import changes_in_time
from driftproof.measured import load_measured

PAIR = 'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 20.0\n'
STEADY = {"gaussian", "gaussian-layer", "gaussian-multiplicative", "ideal", "levels", "uniform"} | {
    *("pcm-foundation-2025", "pcm-joshi-2020", "reram-milo-2021", "reram-wan-2022-crosssim"),
}


def changed(name: str, **tables: object) -> DevicePreset:
    return DevicePreset.model_validate(load_preset(name).definition() | {"name": "changed"} | tables)


def only_read_noise(name: str) -> DevicePreset:
    return without(load_preset(name), "programming", "drift", "levels", "stuck")


def measured(folder: Path, *times_s: float, other: tuple[float, ...] = ()) -> Device:
    """Two layers that were measured at some times, or the second one at others."""
    folder.mkdir()
    (folder / "device.toml").write_text(PAIR, encoding="utf-8")
    for layer, times in (("fc", times_s), ("last", other or times_s)):
        g = np.stack([np.array([[20.0, 5.0 - place]]) for place in range(len(times))])
        np.savez(folder / f"{layer}.npz", g_plus_us=g, g_minus_us=np.zeros_like(g), t_s=np.array(times))
    return load_measured(folder)


DEVICES: dict[str, Device] = {
    **{name: load_preset(name) for name in preset_names()},
    "a table's first time": without(load_preset("reram-wan-2022"), "drift"),
    "a table's first time, with reads that do not grow": without(load_preset("sonos-agrawal-2022"), "drift"),
    "1/f noise alone": only_read_noise("pcm-nandakumar-2019"),
    "noise of log G alone": only_read_noise("reram-cmo-2pct"),
    "saturating noise alone": only_read_noise("sonos-agrawal-2022"),
    "another mix": load_device("gaussian:0.1,fc=ideal"),
    "a mix that drifts in one layer": load_device("gaussian:0.1,fc=pcm-nandakumar-2019"),
    "a mix that drifts in most": load_device("pcm-nandakumar-2019,last=gaussian:0.1"),
}


def spread_of_reads(device: Device, layer: str, t_s: float) -> torch.Tensor:
    """Standard deviation of an array's read noise at a time."""
    part = device.for_layer(layer)
    laws = part.laws
    if laws is None or laws.read is None:
        return torch.zeros(2, 3)
    read = laws.read.model_dump() | {"new_every": "mvm"}
    product = DevicePreset.model_validate(part.definition() | {"name": "product", "read": read})
    noise = product.array(layer, 0, TARGET, seed=0).mvm_read_noise(t_s)
    assert noise is not None
    return noise.weights


TARGET = torch.tensor([[1.0, -0.5, 0.25], [0.3, 1.0, -1.0]])


@pytest.mark.parametrize("what", DEVICES)
def test_the_answer_is_what_the_arrays_do(what: str) -> None:
    device = DEVICES[what]
    low, high = device.validity.t_s
    found = False
    for layer in ("fc", "last"):
        array = device.array(layer, 0, TARGET, seed=0)
        found |= not torch.equal(array.net(low, read_noise=False), array.net(high, read_noise=False))
        found |= not torch.equal(spread_of_reads(device, layer, low), spread_of_reads(device, layer, high))
    assert device.changes_in_time is found


def test_which_presets_do_not_change() -> None:
    assert {name for name in preset_names() if not load_preset(name).changes_in_time} == STEADY


def test_measured_chips_change_if_some_layer_was_measured_again(tmp_path: Path) -> None:
    for place, (device, changes) in enumerate(
        (
            (measured(tmp_path / "once", 60.0), False),
            (measured(tmp_path / "twice", 60.0, 3600.0), True),
            (measured(tmp_path / "one layer of two", 60.0, other=(60.0, 3600.0)), True),
        )
    ):
        assert device.changes_in_time is changes, place


@pytest.mark.parametrize("what", DEVICES)
def test_a_definition_gives_the_same_answer(what: str) -> None:
    device = DEVICES[what]
    others = {part.name: json.loads(json.dumps(part.definition())) for part in device.parts}
    assert changes_in_time(json.loads(json.dumps(device.definition())), others) is device.changes_in_time


def test_a_definition_of_measured_chips_gives_the_same_answer(tmp_path: Path) -> None:
    for device in (measured(tmp_path / "once", 60.0), measured(tmp_path / "twice", 60.0, 3600.0)):
        assert changes_in_time(device.definition(), {}) is device.changes_in_time


def test_what_cannot_be_told_is_not_called_steady() -> None:
    later = load_preset("gaussian").definition() | {"programming": {"law": "of a later version"}}
    assert changes_in_time(later, {})
    assert changes_in_time({}, {})
    mix = load_device("gaussian:0.1,fc=ideal").definition()
    assert changes_in_time(mix, {"ideal": load_preset("ideal").definition()})
