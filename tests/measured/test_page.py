"""The page on measured arrays says what is so: its files load, its numbers come out, its code runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.core import TyperGroup
from typer.main import get_command

from driftproof._cli.app import app
from driftproof._errors import DriftproofWarning
from driftproof.measured import load_measured

PAGE = (Path(__file__).parents[2] / "docs" / "measured_arrays.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_example_comes_to_the_numbers_beside_it(tmp_path: Path) -> None:
    # its files have times of their own
    (tmp_path / "device.toml").write_text(re.sub(r"t_s = .*", "", blocks("toml")[0]), encoding="utf-8")
    (tmp_path / "fc.csv").write_text(blocks("csv")[0], encoding="utf-8")
    device = load_measured(tmp_path)
    array = device.array("fc", 0, torch.tensor([[1.0, -0.5]]))
    assert device.name == "measured:wafer-7"
    for t_s, wanted in ((3600.0, [0.948, -0.48]), (86400.0, [0.808, -0.408])):
        assert array.net(t_s)[0].tolist() == pytest.approx(wanted)
        for number in wanted:
            assert f"{number:g}".replace("-", "−") in PAGE
    assert device.definition()["source"]["fitted_by"] == "A. Physicist"


@pytest.mark.parametrize("block", blocks("sh"), ids=lambda block: block.split()[1])
def test_the_commands_parse(block: str) -> None:
    command, words = get_command(app), shlex.split(block.replace("\\\n", " "))[1:]
    while isinstance(command, TyperGroup):
        command, words = command.commands[words[0]], words[1:]
    assert command.make_context("driftproof", words) is not None


def test_the_form_of_csv_files_is_read(tmp_path: Path) -> None:
    head, form = blocks("toml")
    (tmp_path / "device.toml").write_text(re.sub(r"t_s = .*", "", head) + form, encoding="utf-8")
    text = "Row No.;Column No.;G+;G-;t (h)\n0;0;23,9e-6;-1e-9;1\n0;1;0,1e-6;12,1e-6;1\n"
    (tmp_path / "fc.csv").write_text(text, encoding="utf-8")
    with pytest.warns(DriftproofWarning, match=r"g_plus_us is 'G\+' × 1e\+06"):
        device = load_measured(tmp_path)
    assert device.validity.t_s == (3600.0, 3600.0)
    net = device.array("fc", 0, torch.tensor([[1.0, -0.5]])).net(3600.0)
    assert net[0].tolist() == pytest.approx([23.9 / 25, -12 / 25])


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {"model": nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 3))}
    for code in blocks("python"):
        exec(compile(code.replace("my_chips", "template"), "measured_arrays.md", "exec"), names)
    assert [path.name for path in sorted(Path("template").iterdir())] == ["0.npz", "2.npz", "device.toml"]
