"""The README's code runs, and its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from driftproof._cli.app import app
from driftproof._presets import preset_names

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [shlex.split(line, comments=True)[1:] for line in text.splitlines() if line.startswith("driftproof ")]


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[-1][:30])
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    # as in a file of its own: not with the future of this one
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    if "dp.report" in code:
        assert (tmp_path / "report" / "index.html").exists()
        assert names["logits"].shape == (4, 10)  # type: ignore[attr-defined]
    if "write_periphery" in code:
        assert (tmp_path / "periphery.toml").exists()
    if "Metric.of" in code:
        assert names["error"].quantity.higher_is_better is False  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_parse(words: list[str]) -> None:
    command, context = get_command(app), None
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands
        command = command.commands[name]
        context = command.make_context(name, list(words)) if not hasattr(command, "commands") else None
    assert context is not None


def test_every_command_stands_in_the_readme() -> None:
    named = {words[0] for words in commands()} | {"demo"}
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert named == set(group.commands)


def test_every_preset_stands_in_the_readme() -> None:
    for name in preset_names():
        assert f"`{name}" in README
