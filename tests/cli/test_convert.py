"""``driftproof convert``: its table at any width of a terminal, its options, and the folder that it writes."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

import driftproof as dp
from driftproof._cli.app import main
from driftproof._cli.layers import LayerTable, short_number
from driftproof._mapping import LayerEntry, TileSize, map_model
from driftproof.zoo import digits_cnn, resnet20, save_weights

Convert = Callable[..., tuple[int, str]]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_weights(digits_cnn(), tmp_path / "digits.safetensors")
    return tmp_path / "digits.safetensors"


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], weights: Path) -> Convert:
    """Run the command in this process: exit code, and what it printed on both streams."""

    def run(*words: object, width: int = 120) -> tuple[int, str]:
        given = ["driftproof", "convert", "digits-cnn", "--weights", str(weights), "--preset", "ideal"]
        monkeypatch.setattr(sys, "argv", [*given, *map(str, words)])
        monkeypatch.setenv("COLUMNS", str(width))
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def printed(layers: Sequence[LayerEntry], width: int) -> str:
    console = Console(width=width, emoji=False, highlight=False, record=True, file=io.StringIO())
    console.print(LayerTable(layers, "title"))
    return console.export_text()


def row(text: str, name: str) -> list[str]:
    """Return the cells of a layer, from one table or from two."""
    found = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.split()[:1] == [name]]
    return found[0] + [cell for more in found[1:] for cell in more[1:]]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_every_number_is_there_at_any_width(width: int) -> None:
    mapping = map_model(resnet20().eval(), TileSize(256, 256), torch.zeros(1, 3, 32, 32))
    text = printed(mapping.layers, width)
    assert max(map(len, text.splitlines())) <= width
    # 3·3·3 inputs; 27 x 16 of 256 x 256 devices; 32 x 32 positions, each 27 x 16 MACs, 27 in and 16 out
    expected = ["conv1", "Conv2d", "27 x 16", "1", "0.7", "432", "1024", "442k", "27.6k", "16.4k"]
    assert row(text, "conv1") == expected
    # 576 inputs on three tiles: three times 64 partial sums at 8 x 8 positions
    expected = ["layer3.1.conv2", "Conv2d", "576 x 64", "3", "18.8", "36.9k", "64", "2.36M", "36.9k", "12.3k"]
    assert row(text, "layer3.1.conv2") == expected
    assert row(text, "total")[:4] == ["total", "36", "11.4", "268k"]
    entries = {layer.name: layer for layer in mapping.layers if layer.analog}
    assert row(text, "total")[4:] == [
        short_number(sum(getattr(layer, f"{what}_per_input") for layer in entries.values()))
        for what in ("mvms", "macs", "dac", "adc")
    ]
    flat = " ".join(text.split())
    assert "digital: normalisation stays digital: bn1, layer1.0.bn1" in flat
    assert "20 of 39 layers on 36 tiles, 268,336 of 269,024 weights (99.7 %), 40.6M of 40.6M MACs (100.0 %)" in flat


def test_groups_shared_arrays_and_unwatched_networks() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(8, 8), nn.Linear(8, 8))
    model[3].weight = model[2].weight
    text = printed(map_model(model).layers, 120)
    assert row(text, "0")[:3] == ["0", "Conv2d", "18 x 8 /2"]
    assert "the same array as 2: 3 (Linear)" in text
    assert "MACs" not in text.split("analog:")[0]
    assert "--input-shape" in text
    watched = printed(map_model(model, example=torch.zeros(1, 4, 3, 3)).layers, 120)
    assert row(watched, "0")[6:] == ["2", "144", "36", "8"]


def test_options_reach_the_conversion(convert: Convert) -> None:
    code, text = convert("--where", "conv*,!conv1", "--tile", "64x8", "--scale", "layer", "--clip", "90")
    assert code == 0
    assert row(text, "conv2")[:5] == ["conv2", "Conv2d", "144 x 32", "12", "75.0"]
    assert "tiles of 64 x 8" in text
    assert "digital as asked: conv1 (Conv2d); fc1, fc2 (Linear)" in text
    assert "461 weights clipped" in text  # a tenth of 4,608
    code, text = convert("--where", "inner")
    assert "digital as asked: conv1 (Conv2d); fc2 (Linear)" in text


def test_the_folder_is_the_converted_network(convert: Convert, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("--where", "!fc1", "--tile", "64x64", "--compensation", "column", "--to", "safetensors", "--out", out)
    code, text = convert(*given)
    assert (code, f"written: {out}" in text) == (0, True)
    loaded = dp.load(out, digits_cnn())
    assert isinstance(loaded, dp.AnalogModel)
    model = digits_cnn()
    from driftproof.zoo._weights import load_weights

    load_weights(model, weights)
    x = torch.randn(5, 1, 8, 8)
    options: dict[str, Any] = {"where": "!fc1", "tile": TileSize(64, 64), "compensation": "column"}
    wanted = dp.convert(model, "ideal", example=torch.zeros(1, 1, 8, 8), **options)
    with torch.no_grad():
        assert torch.equal(loaded.model(x), wanted.model(x))
    assert (loaded.layers, str(loaded.compensation)) == (wanted.layers, "column")
    code, text = convert(*given)
    assert (code, "--overwrite" in text) == (2, True)
    assert convert(*given, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--to", "aihwkit", "--out", "OUT"], "driftproof.to_aihwkit(model).model"),
        (["--to", "safetensor", "--out", "OUT"], "did you mean safetensors?"),
        (["--to", "safetensors"], "--to safetensors and --out FOLDER"),
        (["--out", "OUT"], "--to safetensors and --out FOLDER"),
        (["--tile", "64"], "wanted ROWSxCOLUMNS"),
        (["--scale", "colum"], "'colum'"),
        (["--clip", "0"], "percentile 0"),
        (["--where", "fx"], "'fx'"),
        (["--input-shape", "a,b"], "--input-shape 'a,b'"),
    ],
)
def test_what_is_refused(convert: Convert, words: list[str], expected: str) -> None:
    code, text = convert(*words)
    assert (code, expected in text) == (2, True), text
    assert "Traceback" not in text


@pytest.mark.filterwarnings("always::driftproof.DriftproofWarning")  # the command line prints them
def test_strict_and_untrained(
    convert: Convert, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert convert("--strict")[0] == 0
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Odd(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc, self.odd = torch.nn.Linear(3, 3), torch.nn.Bilinear(3, 3, 2)\n"
        "    def forward(self, x):\n"
        "        return self.odd(self.fc(x), x)\n"
        "def model():\n"
        "    return Odd()\n"
    )
    for words, code, expected in (
        ([f"{tmp_path}/mine.py:model", "--input-shape", "3"], 0, "bilinear"),
        ([f"{tmp_path}/mine.py:model", "--input-shape", "3"], 0, "stays digital although where="),
        (
            [f"{tmp_path}/mine.py:model", "--input-shape", "3", "--strict"],
            2,
            "would stay digital although where=",
        ),
        ([f"{tmp_path}/mine.py:model", "--strict"], 2, "of one input with --input-shape, such as 3,32,32"),
        ([f"{tmp_path}/mine.py:model", "--all-analog"], 2, "of one input with --input-shape, such as 3,32,32"),
        ([f"{tmp_path}/mine.py:model", "--within-validity"], 0, "--input-shape"),
        (["resnet20", "--to", "safetensors", "--out", str(tmp_path / "x")], 2, "random weights"),
    ):
        monkeypatch.setattr(sys, "argv", ["driftproof", "convert", *words, "--preset", "ideal"])
        with pytest.raises(SystemExit) as stop:
            main()
        both = capsys.readouterr()
        assert (stop.value.code, expected in both.out + both.err) == (code, True)


def test_a_file_that_is_called_as_a_network_has_no_known_shape(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "resnet20_mine.py").write_text("from torch import nn\n\n\ndef model():\n    return nn.Linear(3, 2)\n")
    code, out, _ = cli("convert", f"{tmp_path}/resnet20_mine.py:model", "--preset", "ideal")
    assert code == 0
    assert "--input-shape" in out
    assert "MACs" not in out.split("analog:")[0]
