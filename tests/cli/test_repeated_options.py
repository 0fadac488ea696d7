"""An option that is given twice is an axis of a sweep, or is refused: no value is forgotten in silence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.core import TyperOption
from typer.main import get_command

import driftproof as dp
from driftproof import DriftproofError
from driftproof._cli.app import app

type Cli = Callable[..., tuple[int, str, str]]

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
for several in ("presets", "periphery"):
    COMMANDS |= {f"{several} {name}": command for name, command in COMMANDS.pop(several).commands.items()}
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, TyperOption) and option.name != "help"
]
AXES = {"periphery", "ranges", "compensation", "recalibrate", "read_outs", "where", "tile", "scale", "clip"}
REPEATED = {("evaluate", name) for name in AXES | {"presets", "times", "changes"}}
REPEATED |= {(name, "changes") for name in ("sensitivity", "train", "presets show")}
REPEATED |= {(f"periphery {name}", "changes") for name in ("show", "write")}
REPEATED |= {("presets fit", name) for name in ("columns", "unit")}
QUICK = ("--data", "digits", "--preset", "pcm-nandakumar-2019", "--chips", "1", "--limit", "24")
pytestmark = pytest.mark.usefixtures("no_pages")


def cells(folder: Path) -> pd.DataFrame:
    with dp.Record.open(folder) as record:
        return record.cells()


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda part: getattr(part, "name", part))
def test_an_option_keeps_all_its_values_or_is_refused(name: str, option: TyperOption) -> None:
    flag = max(option.opts, key=len)
    words = [flag, flag] if option.is_flag else [flag, "1", flag, "2"]
    assert option.multiple == ((name, option.name) in REPEATED)
    command = COMMANDS[name]
    if option.multiple or option.is_flag:
        parsed = command.make_parser(command.context_class(command)).parse_args(args=list(words))[0]
        assert parsed[option.name] == (["1", "2"] if option.multiple else True)
        return
    with pytest.raises(DriftproofError, match=rf"{flag} was given 2 times, and .* takes one value"):
        command.make_context(name, list(words))


def test_the_short_flag_is_the_same_option() -> None:
    with pytest.raises(DriftproofError, match="--out was given 2 times"):
        COMMANDS["evaluate"].make_context("evaluate", ["-o", "a", "--out", "b"])


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("--periphery", ("ideal", "standard")),
        ("--compensation", ("none", "tile")),
        ("--read-outs", ("duration_s=1s", "duration_s=1min")),
        ("--where", ("0.0", "1")),
        ("--tile", ("64x64", "16x16")),
        ("--scale", ("column", "layer")),
        ("--clip", ("99", "98")),
        ("--ranges", ("2", "3")),
        ("--recalibrate", ("never", "time")),
    ],
)
def test_an_axis_is_measured_at_each_of_its_values(
    cli: Cli, tmp_path: Path, network: str, axis: str, values: tuple[str, str]
) -> None:
    more = {
        "--periphery": ("--calibration-data", "digits-train"),
        "--ranges": ("--periphery", "standard"),
        "--recalibrate": ("--calibration-data", "digits-train", "--calibration-limit", 32),
    }
    words = [word for value in values for word in (axis, value)]
    code, out, err = cli(
        "evaluate", network, *QUICK, "--times", "1d", *words, *more.get(axis, ()), "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert cells(tmp_path / "out")["config_id"].nunique() == 2
    assert "mean over chips, and its 95 % interval" in out
    assert tomllib.loads((tmp_path / "out" / "run.toml").read_text())[axis.removeprefix("--")] == [
        *map(kind_of(axis), values)
    ]


def kind_of(axis: str) -> type:
    return float if axis == "--clip" else str


def test_axes_are_combined_and_the_rows_of_a_table_can_be_told_apart(
    cli: Cli, tmp_path: Path, network: str, converter: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for bits in (6, 8):
        converter(bits)
    monkeypatch.chdir(tmp_path)
    words = [word for name in ("ideal", "adc6.toml", "adc8.toml") for word in ("--periphery", name)]
    words += ["--compensation", "none", "--compensation", "tile"]
    code, out, err = cli(
        "evaluate", network, *QUICK, "--times", "1s", "--times", "1d,1h", *words, "--out", "out", columns=80
    )
    assert code == 0, err
    found = cells(Path("out"))
    assert found["config_id"].nunique() == 6
    assert sorted(set(found["t_s"])) == [0, 1, 3600, 86400]
    assert max(map(len, out.splitlines())) <= 80
    lines = [" ".join(line.split()) for line in out.splitlines()]
    rows, sweep = lines[: lines.index("accuracy in % at 1 d: mean over chips, and its 95 % interval")], lines
    blocks = re.findall(r"pcm-nandakumar-2019 1 s \S+ \S*.*?\n(\S.*? (?:1 h|1 d))", "\n".join(rows))
    assert len(blocks) == 6
    said = " ".join(sweep)
    for periphery in ("ideal", "adc6", "adc8"):
        for compensation in ("none", "tile"):
            assert f"compensation {compensation}, periphery {periphery}" in " ".join(said.split())


def test_presets_and_configurations_come_in_the_order_in_which_they_were_asked_for(
    cli: Cli, tmp_path: Path, network: str
) -> None:
    words = ("--preset", "ideal", "--compensation", "tile", "--compensation", "none", "--times", "1s")
    code, out, _ = cli("evaluate", network, *QUICK, *words, "--out", tmp_path)
    assert code == 0
    sweep = out[out.index("mean over chips, and its") :]
    assert sweep.index("pcm-nandakumar-2019") < sweep.index("\nideal ")
    assert re.search(r"preset / compensation +tile +none", sweep)


def test_calibration_data_serve_those_that_need_them(cli: Cli, tmp_path: Path, network: str) -> None:
    """A sweep over an ideal periphery and a converter has one --calibration-data; alone, nothing would use it."""
    words = ("--times", "1s", "--periphery", "ideal", "--calibration-data", "digits-train")
    code, _, err = cli("evaluate", network, *QUICK, *words, "--out", tmp_path / "alone")
    assert code == 2
    assert "go together" in err
    code, _, err = cli("evaluate", network, *QUICK, *words, "--periphery", "standard", "--out", tmp_path / "both")
    assert code == 0, err
    code, _, err = cli("evaluate", network, *QUICK, *words[:4], "--ranges", "3", "--out", tmp_path / "ranges")
    assert code == 2
    assert "ideal and has no input range" in err
