"""The page on lab data says what is so: its example is fitted as it says, its commands parse, its code runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from driftproof._cli.app import app
from driftproof._lab_tables.columns import key
from driftproof._presets import load_preset
from driftproof.fitting import read_measurements
from driftproof.fitting._reading import COLUMNS
from fitting.made import made

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "lab_data.md").read_text(encoding="utf-8")
EXAMPLE = DOCS / "lab_data_example.txt"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_example_is_what_it_says_it_is() -> None:
    """48 devices of the package's own sampler, rounded to six digits."""
    rows = made(levels=(2.5, 7.5, 15.0, 25.0), times=(1.0, 100.0, 3600.0, 86400.0), devices=48, seed=7)
    found = read_measurements(EXAMPLE, voltage_v=0.2)
    assert found.g_us == pytest.approx(rows.g_us, rel=1e-5)
    assert found.target_us.tolist() == rows.target_us.tolist()
    assert "Synthetic" in EXAMPLE.read_text(encoding="utf-8").splitlines()[0]
    assert blocks("text")[0] in EXAMPLE.read_text(encoding="utf-8")


def test_the_example_comes_to_the_numbers_on_the_page(tmp_path: Path) -> None:
    words = shlex.split(blocks("sh")[0])[1:]
    words[words.index("docs/lab_data_example.txt")] = str(EXAMPLE)
    words[words.index("my-pcm.toml")] = str(tmp_path / "my-pcm.toml")
    result = CliRunner().invoke(app, words, env={"COLUMNS": "120"})
    assert result.exception is None
    said, shown = result.output.splitlines(), blocks("text")[1].splitlines()
    assert said[:3] == shown[:3]
    fit = load_preset(tmp_path / "my-pcm.toml").fit
    assert fit is not None
    printed = {line[:19].strip(): line[19:].split() for line in shown[5:-1]}
    assert list(printed) == [one.name for one in fit.parameters]
    for one in fit.parameters:  # of another machine, the last digits may differ
        assert float(printed[one.name][0]) == pytest.approx(one.value, rel=0.02, abs=2e-3), one.name
    assert shown[-1] in said
    assert (tmp_path / "my-pcm.png").stat().st_size > 10_000


@pytest.mark.parametrize("line", [block.replace("\\\n", " ") for block in blocks("sh")])
def test_commands_parse(line: str) -> None:
    command, words = get_command(app), shlex.split(line)[1:]
    while isinstance(command, TyperGroup):
        command, words = command.commands[words[0]], words[1:]
    assert command.make_context(line, words) is not None


def test_the_code_runs() -> None:
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, "lab_data.md", "exec"), names)
    assert "encoding" in str(names["text"])


def test_headers_on_the_page_are_recognised() -> None:
    table = PAGE[PAGE.index("| column | other headers |") :]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) ?\|$", table, flags=re.MULTILINE))
    assert list(rows) == [column.name for column in COLUMNS]

    for column in COLUMNS:
        for header in re.split("[,;] ", rows[column.name]) if rows[column.name] else []:
            assert key(header) in column.aliases, header
