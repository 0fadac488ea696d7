"""Measured arrays: what files and folders may be, and what is said when they are not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from driftproof._errors import DriftproofError, DriftproofWarning, ReadAs
from driftproof._mapping import map_model
from driftproof.measured import load_measured
from driftproof.measured._device import LayerError

PAIR = 'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 20.0\n'
TWO = np.array([[20.0, 5.0], [10.0, 0.0]])
NONE = np.zeros((2, 2))
TARGET = torch.tensor([[1.0, 0.25], [0.5, 0.0]])
HEADER = "out,in,g_plus_us,g_minus_us\n"


def place(folder: Path, settings: str = PAIR) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "device.toml").write_text(settings, encoding="utf-8")
    return folder


def write(folder: Path, name: str = "fc", **arrays: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    given: dict[str, Any] = {"g_plus_us": TWO, "g_minus_us": NONE} | arrays
    np.savez(folder / f"{name}.npz", **given)


def said(folder: Path) -> str:
    with pytest.raises(DriftproofError) as caught:
        load_measured(folder)
    return str(caught.value)


def said_of_csv(tmp_path: Path, text: str) -> str:
    (place(tmp_path) / "fc.csv").write_text(text, encoding="utf-8")
    message = said(tmp_path)
    assert "fc.csv" in message
    return message


# --- values ---


def test_a_layer_without_negative_weights_is_no_wrong_unit(tmp_path: Path) -> None:
    write(place(tmp_path))  # its G- are all 0, and might as well be a small leak
    assert torch.equal(load_measured(tmp_path).array("fc", 0, TARGET).net(0.0), TARGET)
    write(tmp_path, g_minus_us=NONE + 0.05)
    assert load_measured(tmp_path).chips == 1
    write(tmp_path, g_plus_us=TWO / 1000)  # mS
    assert "at most 0.02 µS, below a hundredth of g_max_us = 20 of device.toml: are these µS?" in said(tmp_path)


def test_the_place_of_a_value_in_an_npz(tmp_path: Path) -> None:
    bad = np.stack([TWO, TWO])
    bad[1, 0, 1] = np.nan
    write(place(tmp_path), t_s=np.array([1.0, 2.0]), g_plus_us=bad, g_minus_us=bad)
    assert "fc.npz: g_plus_us[1, 0, 1] = nan is not finite: every device needs a number (1 of 8" in said(tmp_path)


def test_what_is_returned_may_be_written_to(tmp_path: Path) -> None:
    write(place(tmp_path))
    array = load_measured(tmp_path).array("fc", 0, TARGET)
    array.conductances(0.0)[0].zero_()
    array.net(0.0).zero_()
    assert torch.equal(array.net(0.0), TARGET)


# --- time ---


@pytest.mark.parametrize(
    ("times", "t_s", "share"),
    [
        ((1e-6, 1e-4), 1e-5, 0.5),
        ((1e-6, 1.0), 1e-3, 0.5),
        ((0.0, 1.0), 1e-3, 0.0),  # a first time of 0 stands at 1 ms ...
        ((0.0, 1.0), 10**-1.5, 0.5),
        ((0.0, 1e-3), 1e-6, 0.0),  # ... or at a thousandth of the next
        ((0.0, 1e-3), 10**-4.5, 0.5),
        ((0.0, 1e-3), 1e-9, 0.0),
    ],
)
def test_short_times(tmp_path: Path, times: tuple[float, float], t_s: float, share: float) -> None:
    write(place(tmp_path), t_s=np.array(times), g_plus_us=np.stack([TWO, TWO / 2]), g_minus_us=np.stack([NONE, NONE]))
    found = load_measured(tmp_path).array("fc", 0, TARGET).conductances(t_s)[0]
    assert float(found[0, 0]) == pytest.approx(20 - 10 * share, rel=1e-6)


def test_the_time_of_files_that_have_none(tmp_path: Path) -> None:
    write(place(tmp_path, "t_s = 3600.0\n" + PAIR))
    device = load_measured(tmp_path)
    assert device.validity.t_s == (3600.0, 3600.0)
    assert [device.in_validity(t) for t in (0.0, 3600.0, 3601.0)] == [False, True, False]
    write(place(tmp_path))
    assert load_measured(tmp_path).validity.t_s == (0.0, 0.0)
    write(place(tmp_path, "t_s = 3600.0\n" + PAIR), t_s=np.array([5.0]))
    assert re.search(r"device\.toml: t_s .*every file has its times; remove it", said(tmp_path))


def test_layers_at_different_times(tmp_path: Path) -> None:
    place(tmp_path)
    for name, times in (("a", [1.0, 100.0]), ("b", [10.0, 1000.0])):
        write(tmp_path, name, t_s=np.array(times), g_plus_us=np.stack([TWO] * 2), g_minus_us=np.stack([NONE] * 2))
    assert load_measured(tmp_path).validity.t_s == (10.0, 100.0)
    write(tmp_path, "b", t_s=np.array([200.0]))
    message = said(tmp_path)
    assert "a.npz ends at 100 s" in message
    assert "b.npz begins at 200 s" in message


# --- CSV ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "# a chip\n\n" + HEADER + "0,0,1,1\n# now the second\n0,1,x,1\n",
            "line 6: g_plus_us = 'x': wanted a number in µS",
        ),
        (HEADER + "0,0,1,20,1\n0,1,1,3,1\n", "line 2: 5 cells: wanted 4 cells, as in the header (1 more such lines)"),
        (HEADER + "0,0,1\n", "line 2: 3 cells: wanted 4 cells, as in the header"),
        (
            HEADER + '0,0,"1,5",1.5\n',
            "line 2: g_plus_us = '1,5': wanted a number in µS (a decimal comma? wanted a point)",
        ),
        (HEADER + "0,0.5,1,1\n", "line 2: in = 0.5: wanted 0, 1, 2"),
        (HEADER + "0,0,1,1\n4000000000,0,1,1\n", "line 3: out = 4000000000: wanted 0, 1, 2"),
        (HEADER + "0,0,1,1\n2000000000,0,1,1\n", "out 1, in 0 is missing"),
        (HEADER + "1,1,9,1\n1,2,9,1\n2,1,9,1\n2,2,9,1\n", "out 0, in 0 is missing (they count from 0)"),
        (HEADER + "0,0,9,1\n0,1,9,1\n0,3,9,1\n", "out 0, in 2 is missing"),
        ("t_s," + HEADER + "1,0,0,9,1\n1,0,1,9,1\n7,0,0,9,1\n", "once a time; out 0, in 1 at t_s = 7 is missing"),
        ("t_s," + HEADER + "1,0,0,9,1\n7,0,0,9,1\n1,0,0,9,1\n", "in 0 at t_s = 1 is on the lines 2 and 4"),
        ("out;in;g_plus_us;g_minus_us\n0;0;1,2;1.2\n", "line 2: g_plus_us = '1,2': wanted a number"),
        (HEADER.replace("in,", "in,in,") + "0,0,0,1,1\n", "line 1: the header has in more than once"),
        ("t_s," + HEADER + "-1,0,0,9,1\n", "t_s must be times in s that increase, got [-1.0]"),
        (HEADER + '0,0,"1,1\n', "not a CSV file: line 2: unexpected end of data"),
    ],
)
def test_faults_of_a_csv_file_with_their_lines(tmp_path: Path, text: str, words: str) -> None:
    assert words in said_of_csv(tmp_path, text)


def test_a_csv_file_in_any_order_with_a_byte_order_mark(tmp_path: Path) -> None:
    rows = ["t_s, in,g_minus_us,out,g_plus_us", "9,1,0,0,5", "1,0,0,1,10", "1,1,0,1,0", "1,0,0,0,20", "1,1,0,0,5"]
    rows += ["9,0,1,0,19", "9,0,0.5,1,9", "9,1,0,1,0"]
    (place(tmp_path) / "fc.csv").write_text("\ufeff" + "\r\n".join(rows) + "\r\n\r\n", encoding="utf-8", newline="")
    device = load_measured(tmp_path)
    assert device.validity.t_s == (1.0, 9.0)
    array = device.array("fc", 0, TARGET)
    assert torch.equal(array.net(1.0), TARGET)
    torch.testing.assert_close(array.net(9.0), torch.tensor([[0.9, 0.25], [0.425, 0.0]]))


FORM = '[csv]\ncolumns = "out=Row No.,in=Col"\nunit = {g_minus_us = "nS"}\n'
EXPORT = "Prober, die 7\nRow No.;Col;G+ (S);G-;Time (h);remark\n0;0;2e-5;0;0,5;x\n0;1;5e-6;0;0,5;x\n"


def test_rows_and_columns_of_an_array_are_asked_for(tmp_path: Path) -> None:
    """On many chips rows are inputs; in a matrix they are outputs."""
    (place(tmp_path, PAIR) / "fc.csv").write_text("Row No.;Column No.;I1 (A);V1 (V)\n0;0;1e-6;0.2\n", encoding="utf-8")
    with pytest.raises(DriftproofError) as caught:
        load_measured(tmp_path)
    said = str(caught.value)
    assert "[csv] columns out=Row No.,in=Column No. or out=Column No.,in=Row No." in said
    assert "a current with the voltage in a column V (V) or in [csv] voltage_v" in said


def test_what_was_understood_is_no_warning(tmp_path: Path) -> None:
    (place(tmp_path, PAIR + FORM) / "fc.csv").write_text(EXPORT, encoding="utf-8")
    words = [sys.executable, "-m", "driftproof", "presets", "show", f"measured:{tmp_path}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr.startswith(f"read: measured:{tmp_path}: fc.csv: UTF-8, separated by semicolons")
    assert "warning" not in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_csv_file_as_an_instrument_writes_it(tmp_path: Path, encoding: str) -> None:
    text = EXPORT + "1;0;1e-5;0;0,5;µ\n1;1;0;0;0,5;x\n"
    (place(tmp_path, PAIR + FORM) / "fc.csv").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    with pytest.warns(ReadAs, match=r"fc\.csv: .*semicolons.*decimal commas.*g_plus_us is 'G\+ \(S\)' ×"):
        device = load_measured(tmp_path)
    assert device.validity.t_s == (1800.0, 1800.0)
    assert torch.equal(device.array("fc", 0, TARGET).net(1800.0), TARGET)
    (words,) = device.definition()["files"]["read_as"]
    assert "skipped 1 line (1) above the header" in words
    assert "out is 'Row No.'" in words
    assert "g_minus_us is 'G-' × 0.001" in words
    assert "Not used: remark." in words


def test_comments_are_a_part_of_the_plain_form(tmp_path: Path) -> None:
    (place(tmp_path) / "fc.csv").write_text("# chip 1\n" + HEADER + "0,0,20,0\n# half\n0,1,5,0\n1,0,10,0\n1,1,0,0\n")
    assert "files" not in load_measured(tmp_path).definition()


def test_currents_at_a_voltage_and_noise_around_zero(tmp_path: Path) -> None:
    text = "out,in,I+ (uA),I- (uA)\n0,0,4,-0.001\n0,1,1,0\n1,0,2,0\n1,1,0,0\n"
    (place(tmp_path, PAIR) / "fc.csv").write_text(text)
    assert re.search(
        r"I\+ .* is a current: wanted a column with the voltage, named V \(V\), or \[csv\] voltage_v", said(tmp_path)
    )
    place(tmp_path, PAIR + "[csv]\nvoltage_v = 0.2\n")
    assert "line 2: g_minus_us = -0.005 is negative" in said(tmp_path)
    place(tmp_path, PAIR + '[csv]\nvoltage_v = 0.2\nnegative = "zero"\n')
    with pytest.warns(DriftproofWarning, match=r"Taken as 0: negative conductances on 1 line \(2\)"):
        device = load_measured(tmp_path)
    torch.testing.assert_close(device.array("fc", 0, TARGET).net(0.0), TARGET)
    place(tmp_path, PAIR + '[csv]\nseparator = ";"\n')
    assert "unknown key csv.separator" in said(tmp_path)


def test_a_csv_file_holds_no_reference_column(tmp_path: Path) -> None:
    settings = PAIR.replace('"pair"', '"offset"\nreference = "column"')
    (place(tmp_path, settings) / "fc.csv").write_text("out,in,g_us\n0,0,9\n")
    assert "device.toml says a reference column; a .csv file cannot hold one: write .npz" in said(tmp_path)


# --- folders ---


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    place(tmp_path)
    np.save(tmp_path / "fc.npy", TWO)
    (tmp_path / "fc.npy").rename(tmp_path / "fc.npz")
    assert "no archive of named arrays, as np.savez writes it" in said(tmp_path)
    (tmp_path / "fc.npz").write_bytes(b"")
    assert "not an .npz file" in said(tmp_path)
    write(tmp_path)
    whole = (tmp_path / "fc.npz").read_bytes()
    (tmp_path / "fc.npz").write_bytes(whole[:300] + b"\0\1\2" + whole[303:])  # damaged on the way
    assert "not an .npz file" in said(tmp_path)
    np.savez_compressed(tmp_path / "fc.npz", g_plus_us=np.arange(4000.0), g_minus_us=NONE)
    whole = (tmp_path / "fc.npz").read_bytes()
    (tmp_path / "fc.npz").write_bytes(whole[:100] + b"\xff" * 50 + whole[150:])
    assert "not an .npz file" in said(tmp_path)
    write(tmp_path, g_plus_us=np.zeros((0, 3)))
    assert "g_plus_us has the shape [0, 3]: it is empty" in said(tmp_path)


def test_folders_of_chips(tmp_path: Path) -> None:
    place(tmp_path)
    for number in (10, 9, 2):
        write(tmp_path / f"chip{number}", g_minus_us=NONE + number / 10)
    (tmp_path / ".git").mkdir()
    (tmp_path / "chip2" / ".DS_Store").write_text("")
    device = load_measured(tmp_path)
    wanted = (0.2, 0.9, 1.0)  # 2, 9, 10
    assert [float(device.array("fc", chip, TARGET).conductances(0.0)[1][0, 0]) for chip in range(3)] == pytest.approx(
        wanted
    )
    place(tmp_path / "chip9", PAIR.replace("20.0", "25.0"))
    assert "chip9/device.toml: another [conductance]" in said(tmp_path)
    place(tmp_path / "chip9")
    assert load_measured(tmp_path).sha256 == device.sha256
    write(tmp_path)
    assert "has files of layers (fc.npz) and folders (chip2, chip9, chip10): wanted" in said(tmp_path)


@pytest.mark.parametrize(("layer", "chip", "words"), [("fc", -1, "no chip -1"), ("zz", 0, "no file for zz; there are")])
def test_what_is_not_there(tmp_path: Path, layer: str, chip: int, words: str) -> None:
    write(place(tmp_path))
    with pytest.raises(DriftproofError, match=words):
        load_measured(tmp_path).array(layer, chip, TARGET)


def test_a_transposed_array(tmp_path: Path) -> None:
    write(place(tmp_path), g_plus_us=TWO[:, :1], g_minus_us=NONE[:, :1])
    with pytest.raises(DriftproofError, match=r"holds 2 x 1 weights, layer fc has 1 x 2 .*: transpose it"):
        load_measured(tmp_path).array("fc", 0, TARGET[:1])


def test_a_device_says_what_it_is(tmp_path: Path) -> None:
    write(place(tmp_path), "(root)")
    device = load_measured(tmp_path)
    definition = device.definition()
    assert json.loads(json.dumps(definition)) == definition
    assert (definition["name"], definition["family"], definition["layers"]) == (
        "measured:mine",
        "measured",
        {"(root)": [2, 2]},
    )
    assert hash(device) != hash(load_measured(tmp_path))  # two readings are two things; sha256 tells if they are equal
    write(tmp_path, "(root)", t_s=np.array([1.0]))
    assert load_measured(tmp_path).sha256 != device.sha256


# --- likeness ---


def test_errors_of_layers_by_hand(tmp_path: Path) -> None:
    weight = torch.tensor([[2.0, 1.0], [0.5, 1.0]])  # targets [[1, 0.5], [0.5, 1]]
    model = nn.Linear(2, 2, bias=False)
    model.weight = nn.Parameter(weight)
    write(place(tmp_path), "(root)", g_plus_us=np.array([[18.0, 10.0], [10.0, 20.0]]))
    (error,) = load_measured(tmp_path).layer_errors(map_model(model))
    # one of four weights is 0.1 too small: rms 0.1 / 2; 2.4 / sqrt(2.5 * 2.31)
    rms: Any = pytest.approx(0.05, rel=1e-5)
    cosine: Any = pytest.approx(2.4 / (2.5 * 2.31) ** 0.5)
    assert error == LayerError("", 0, 0.0, rms, cosine)


def test_mixed_up_arrays_are_told(tmp_path: Path) -> None:
    weight = torch.randn(20, 20, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(20, 20, bias=False)
    model.weight = nn.Parameter(weight)
    mapping = map_model(model)
    ideal = 20 * mapping.weights[""].target.numpy()
    place(tmp_path)
    for wrong in (ideal.T, -ideal, 0 * ideal):
        write(tmp_path, "(root)", g_plus_us=wrong.clip(0), g_minus_us=(-wrong).clip(0))
        with pytest.warns(DriftproofWarning, match=r"resemble.*weights of layer .root. by only"):
            load_measured(tmp_path).layer_errors(mapping)
    write(tmp_path, "(root)", g_plus_us=ideal.clip(0), g_minus_us=(-ideal).clip(0))
    assert load_measured(tmp_path).layer_errors(mapping)[0].rms < 1e-6
    write(tmp_path, "other")
    with pytest.raises(DriftproofError, match="belongs to no layer on tiles"):
        load_measured(tmp_path).layer_errors(mapping)
