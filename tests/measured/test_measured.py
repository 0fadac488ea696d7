"""Measured arrays: files by hand, a simulated chip there and back, and every fault said with its place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import driftproof as dp
from driftproof._chip import Chip
from driftproof._compensation import as_compensation, late_reference_text
from driftproof._errors import DriftproofError, DriftproofWarning
from driftproof._mapping import TileSize, map_model
from driftproof.data import digits
from driftproof.measured import load_measured, save_conductances
from driftproof.measured._device import MeasuredArray, MeasuredDevice
from driftproof.zoo import trained_digits_cnn

PAIR = 'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 1.0\ng_max_us = 21.0\n'
OFFSET = 'name = "mine"\n[conductance]\nencoding = "offset"\nreference = "{}"\ng_min_us = 10.0\ng_max_us = 90.0\n'
TARGET = torch.tensor([[1.0, -0.5], [0.25, 0.0]])
CSV = "out,in,g_plus_us,g_minus_us\n0,0,20.0,1.0\n0,1,2.0,11.0\n1,0,7.0,1.5\n1,1,1.0,1.0\n"


def folder(tmp_path: Path, settings: str = PAIR, **files: str) -> Path:
    (tmp_path / "device.toml").write_text(settings)
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def array(place: Path, target: torch.Tensor = TARGET) -> MeasuredArray:
    return load_measured(place).array("fc", 0, target)


def test_a_pair_by_hand(tmp_path: Path) -> None:
    net = array(folder(tmp_path, fc=CSV)).net(5.0)
    torch.testing.assert_close(net, torch.tensor([[19 / 20, -9 / 20], [5.5 / 20, 0.0]]))


@pytest.mark.parametrize("reference", ["constant", "column"])
def test_an_offset_by_hand(tmp_path: Path, reference: str) -> None:
    folder(tmp_path, OFFSET.format(reference))
    more: dict[str, Any] = {"g_reference_us": np.array([48.0, 52.0])} if reference == "column" else {}
    np.savez(tmp_path / "fc.npz", g_us=np.array([[90.0, 30.0], [60.0, 50.0]]), **more)
    middle = torch.tensor([[48.0, 52.0]]) if more else 50.0
    wanted = (torch.tensor([[90.0, 30.0], [60.0, 50.0]]) - middle) / 40
    torch.testing.assert_close(array(tmp_path).net(0.0), wanted)


def test_between_times_it_is_linear_in_the_logarithm_and_held_outside(tmp_path: Path) -> None:
    rows = ["out,in,t_s,g_plus_us,g_minus_us"]
    rows += [f"{o},{i},{t},{11 + 4 * k},1.0" for k, t in enumerate((10, 1000)) for o in range(2) for i in range(2)]
    device = load_measured(folder(tmp_path, fc="\n".join(rows)))
    assert device.validity.t_s == (10.0, 1000.0)
    assert [device.in_validity(t) for t in (1.0, 10.0, 500.0, 1000.0, 1001.0)] == [False, True, True, True, False]
    ones = device.array("fc", 0, torch.ones(2, 2))
    found = [float(ones.conductances(t)[0][0, 0]) for t in (0.0, 1.0, 10.0, 100.0, 1000.0, 1e9)]
    assert found == pytest.approx([11, 11, 11, 13, 15, 15])
    at = 11 + 4 * math.log(300 / 10) / math.log(100)
    assert float(ones.conductances(300.0)[0][1, 1]) == pytest.approx(at, rel=1e-6)


def test_csv_and_npz_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    folder(tmp_path / "a", fc=CSV)
    folder(tmp_path / "b")
    plus, minus = np.array([[20.0, 2.0], [7.0, 1.0]]), np.array([[1.0, 11.0], [1.5, 1.0]])
    np.savez(tmp_path / "b" / "fc.npz", g_plus_us=plus, g_minus_us=minus)
    one, other = (load_measured(tmp_path / name) for name in "ab")
    assert one.sha256 == other.sha256
    assert torch.equal(one.array("fc", 0, TARGET).net(0.0), other.array("fc", 0, TARGET).net(0.0))
    np.savez(tmp_path / "b" / "fc.npz", g_plus_us=plus, g_minus_us=minus + 0.001)
    assert load_measured(tmp_path / "b").sha256 != one.sha256


@pytest.mark.parametrize("name", ["pcm-nandakumar-2019", "reram-cmo-2pct"])
@pytest.mark.parametrize("compensation", ["none", "tile", "column", "exact"])
def test_a_simulated_chip_there_and_back(tmp_path: Path, name: str, compensation: str) -> None:
    torch.manual_seed(0)
    mapping = map_model(nn.Sequential(nn.Conv2d(2, 5, 3), nn.Flatten(), nn.Linear(45, 4)), TileSize(16, 3))
    # at t = 0 the first reading: the reference of the compensation is the same only without read noise
    preset = dp.load_preset(name).model_copy(update={"read": None})
    chip = Chip(mapping, preset, seed=3, chip=1, compensation=compensation)
    place = save_conductances(chip, tmp_path / "measured", ["0s", "1h", "1d"], name="back")
    device = load_measured(place)
    back = Chip(mapping, device, seed=0, chip=0, compensation=compensation)
    for layer in mapping.weights:
        for t_s in (0.0, 3600.0, 86400.0):
            assert torch.equal(
                torch.stack(back.arrays[layer].conductances(t_s)), torch.stack(chip.arrays[layer].conductances(t_s))
            )
            assert torch.equal(back.arrays[layer].net(t_s), chip.arrays[layer].net(t_s))
            assert torch.equal(back.weight(layer, t_s), chip.weight(layer, t_s))


def test_measured_chips_are_evaluated_beside_presets(tmp_path: Path) -> None:
    model, data = trained_digits_cnn(), digits().head(100)
    mapping = map_model(model)
    pcm = dp.load_preset("pcm-nandakumar-2019")
    for number in (0, 1):
        chip = Chip(mapping, pcm, seed=0, chip=number)
        save_conductances(chip, tmp_path / "made" / f"{number}", ["1s", "1d"], name="two")
    chips = tmp_path / "two"
    chips.mkdir()
    (tmp_path / "made" / "0" / "device.toml").rename(chips / "device.toml")
    (tmp_path / "made" / "1" / "device.toml").unlink()
    for number in (0, 1):
        (tmp_path / "made" / f"{number}").rename(chips / f"chip{9 + number}")  # chip10 comes after chip9
    out = tmp_path / "out"
    with dp.evaluate(
        model, data, presets=[f"measured:{chips}", pcm], times=["1s", "1d"], chips=3, compensation="none", out=out
    ) as record:
        cells = record.cells()
        values = {
            name: cells[(cells["preset"] == name) & (cells["chip"] < 2)].sort_values(["t_s", "chip"])["value"].tolist()
            for name in ("measured:two", pcm.name)
        }
        assert values["measured:two"] == values[pcm.name]
        assert int((cells["preset"] == "measured:two").sum()) == 4  # two chips were measured
        page = dp.report(record, tmp_path / "report").read_text()
    assert "measured:two" in page
    with dp.evaluate(
        model, data, presets=[f"measured:{chips}"], times=["1s"], chips=2, compensation="none", backend="tiles"
    ) as record:
        tiles = record.cells()
    assert tiles[tiles["preset"] == "measured:two"]["value"].tolist() == values["measured:two"][:2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out,in,g_plus_us\n0,0,1\n", "line 1: no column g_minus_us; it has out, in, g_plus_us; wanted out, in, "),
        (CSV.replace("g_plus_us", "g_plus"), "column 'g_plus' .g_plus_us. has no unit: say .csv. unit g_plus_us=UNIT"),
        (CSV.replace("0,1,2.0", "0,1,much"), "line 3: g_plus_us = 'much': wanted a number"),
        (CSV.replace("0,1,2.0", "0,-1,2.0"), r"line 3: in = -1: wanted 0, 1, 2"),
        (CSV.replace("0,1,2.0", "0,0,2.0"), "every out and in once; out 0, in 0 .*lines 2 and 3"),
        (CSV.replace("1,1,1.0,1.0\n", ""), "out 1, in 1 is missing"),
        ("out,in,g_plus_us,g_minus_us\n", "no rows under the header"),
        ("", "not a CSV file"),
        (CSV.replace("7.0", "-7.0"), "line 4: g_plus_us = -7 is negative"),
        (CSV.replace("7.0", "inf"), "line 4: g_plus_us = inf: wanted a finite number"),
        (CSV.replace("20.0", "20000.0"), r"line 2: g_plus_us = 20000 is far above g_max_us = 21 .* are these µS"),
        (CSV.replace("20.0", "0.02").replace("2.0", "0.002").replace("7.0", "0.007").replace("1,1,1.0", "1,1,0.001"),
         "g_plus_us: at most 0.02 µS, below a tenth of g_min_us = 1 of .* are these µS"),
    ],
)  # fmt: skip
def test_faults_of_a_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DriftproofError, match=message):
        load_measured(folder(tmp_path, fc=text))


def test_faults_of_an_npz(tmp_path: Path) -> None:
    folder(tmp_path)
    good = {"g_plus_us": np.full((2, 2), 5.0), "g_minus_us": np.full((2, 2), 1.0)}
    for arrays, message in (
        (good | {"t_s": np.array([2.0, 1.0])}, "times in s that increase"),
        (good | {"t_s": np.array([1.0, 2.0])}, r"g_plus_us has the shape \[2, 2\]; wanted \[out, in\], or 2 of them"),
        (good | {"g_minus_us": np.ones((2, 3))}, "shapes do not fit together"),
        (good | {"g_reference_us": np.ones(2) * 5}, "says no reference column"),
        (good | {"g_minus_us": np.array([["a", "b"], ["c", "d"]])}, "g_minus_us holds <U1, wanted numbers"),
        (good | {"g_minus_us": np.array([[object()]])}, "not an .npz file of plain numbers"),
    ):
        np.savez(tmp_path / "fc.npz", **arrays)
        with pytest.raises(DriftproofError, match=message):
            load_measured(tmp_path)
    (tmp_path / "fc.npz").write_bytes(b"PK no")
    with pytest.raises(DriftproofError, match=r"not an \.npz file"):
        load_measured(tmp_path)


def test_faults_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=r"no .*device.toml; wanted a folder"):
        load_measured(tmp_path)
    with pytest.raises(DriftproofError, match=r"device.toml: conductance"):
        load_measured(folder(tmp_path, PAIR.replace("pair", "pairs"), fc=CSV))
    with pytest.raises(DriftproofError, match="several pairs a weight"):
        load_measured(folder(tmp_path, PAIR + "significance = [1.0, 2.0]\n"))
    np.savez(tmp_path / "fc.npz", g_plus_us=np.ones((2, 2)), g_minus_us=np.ones((2, 2)))
    folder(tmp_path)
    with pytest.raises(DriftproofError, match=r"fc.npz: there is fc.csv for the same layer"):
        load_measured(tmp_path)
    (tmp_path / "fc.npz").unlink()
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DriftproofError, match=r"notes.txt: wanted .npz or .csv"):
        load_measured(tmp_path)
    (tmp_path / "notes.txt").unlink()
    device = load_measured(tmp_path)
    with pytest.raises(DriftproofError, match="no file for head; there are fc"):
        device.check_layers(["fc", "head"])
    with pytest.raises(DriftproofError, match=r"fc.csv belongs to no layer on tiles; those are head"):
        _only_unknown(load_measured(tmp_path))
    with pytest.raises(DriftproofError, match=r"holds 2 x 2 weights, layer fc has 2 x 3"):
        device.array("fc", 0, torch.ones(2, 3))
    with pytest.raises(DriftproofError, match="1 measured chips, no chip 1"):
        device.array("fc", 1, TARGET)
    with pytest.warns(DriftproofWarning, match="rows and columns swapped, or the devices of a pair"):
        device.array("fc", 0, -TARGET)


def _only_unknown(device: MeasuredDevice) -> None:
    device.layers[0]["head"] = device.layers[0]["fc"]
    device.check_layers(["head"])


def test_what_cannot_be_written(tmp_path: Path) -> None:
    mapping = map_model(nn.Linear(3, 2))
    with pytest.raises(DriftproofError, match="preset gaussian: only conductances"):
        save_conductances(Chip(mapping, dp.load_preset("gaussian"), seed=0, chip=0), tmp_path / "a", "1s", name="a")
    chip = Chip(mapping, dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    save_conductances(chip, tmp_path / "b", "1s", name="b", summary='with "quotes"')
    assert load_measured(tmp_path / "b").definition()["summary"] == 'with "quotes"'
    with pytest.raises(DriftproofError, match="is not empty"):
        save_conductances(chip, tmp_path / "b", "1s", name="b")


# --- a reference that is read late ---

HOUR, DAY = 3600.0, 86_400.0


def read_late(tmp_path: Path, times: tuple[float, ...]) -> MeasuredDevice:
    """A simulated chip of the digits network, as it was read at some times."""
    network = trained_digits_cnn()
    chip = Chip(map_model(network), dp.load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    save_conductances(chip, tmp_path, times, name="chip")
    return load_measured(tmp_path)


def test_a_chip_that_was_first_read_late_is_told(tmp_path: Path) -> None:
    device = read_late(tmp_path, (HOUR, DAY))
    evaluator = dp.Evaluator(trained_digits_cnn(), digits().head(100))
    said = r"was first read 1 h after programming.*reading at 1 h: what .* lost before stays lost.*--compensation exact"
    with pytest.warns(DriftproofWarning, match=said):
        evaluator.check(dp.Deployment(device=device), 1, [HOUR])
    # and it is true: the weights are smaller than the targets by the drift of an hour, in every layer
    mapping = map_model(trained_digits_cnn())
    for compensation, low, high in (("tile", 0.5, 0.85), ("exact", 0.95, 1.0)):
        chip = Chip(mapping, device, seed=0, chip=0, compensation=compensation)
        for name, mapped in mapping.weights.items():
            target = mapped.weight(mapped.target)
            slope = float((chip.weight(name, DAY) * target).sum() / target.square().sum())
            assert low < slope < high + 0.02, (compensation, name)


@pytest.mark.filterwarnings("error")
def test_a_chip_that_was_read_soon_or_is_compared_with_its_targets_is_not_told(tmp_path: Path) -> None:
    evaluator = dp.Evaluator(trained_digits_cnn(), digits().head(20))
    late, soon = read_late(tmp_path / "late", (HOUR, DAY)), read_late(tmp_path / "soon", (1.0, DAY))
    for device, compensation in ((late, "exact"), (late, "none"), (soon, "tile")):
        evaluator.check(dp.Deployment(device=device, compensation=compensation), 1, [DAY])


@pytest.mark.parametrize(
    ("compensation", "times_s", "said"),
    [
        ("tile:reference_s=1h", [DAY], "is read 1 h after programming: what a chip loses before stays lost. Use refer"),
        ("column:reference_s=20", [1.0, DAY], "and chips at 1 s are not compensated at all"),
        ("tile:reference_s=20", [DAY], ""),
        ("tile", [1.0], ""),
        ("exact", [1.0], ""),
    ],
)
def test_a_reference_that_is_asked_for_late_is_told(compensation: str, times_s: list[float], said: str) -> None:
    text = late_reference_text(dp.load_preset("pcm-nandakumar-2019"), as_compensation(compensation), times_s)
    assert said in text
    assert bool(said) == bool(text)
    assert not late_reference_text(dp.load_preset("gaussian"), as_compensation(compensation), times_s)
