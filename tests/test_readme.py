"""The README's code runs, and its commands exist."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from driftproof._cli.app import app
from driftproof._presets import preset_names
from driftproof.periphery import load_periphery
from pages.fences import TOP, blocks, commands, parse

README = (TOP / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", blocks(README, "python"), ids=lambda code: code.strip().splitlines()[-1][:30])
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    # as in a file of its own: not with the future of this one
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    assert (tmp_path / "report" / "index.html").exists()
    assert names["logits"].shape == (4, 10)  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", commands(README), ids=" ".join)
def test_commands_parse(words: list[str]) -> None:
    parse(words)


def test_every_command_stands_in_the_readme() -> None:
    named = {words[0] for words in commands(README)} | {"demo"}
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert named == set(group.commands)


def test_every_preset_stands_in_the_readme() -> None:
    for name in preset_names():
        assert f"`{name}" in README


def test_the_standard_periphery_says_everywhere_what_it_leaves_out() -> None:
    evaluate = get_command(app).make_context("driftproof", ["--help"], resilient_parsing=True)
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    command = group.get_command(evaluate, "evaluate")
    assert command is not None
    (option,) = (str(getattr(one, "help", "")) for one in command.params if one.name == "periphery")
    said = " ".join((TOP / "docs" / "periphery.md").read_text(encoding="utf-8").split())
    assert "the PCM read noise in every MVM (`w_noise` 0.0175) and the IR drop (`ir_drop` 1.0)" in said
    assert "without their PCM read noise in every MVM and their IR drop" in " ".join(option.split())
    summary = load_periphery("standard").summary
    assert "without its PCM read noise in every MVM and without its IR drop" in summary


def test_the_readme_gives_no_result_on_cmo_without_its_reference_and_says_what_t_0_is() -> None:
    said = " ".join(README.split())
    assert "ResNet-20 has 13.0 % after a day, and 89.9 % with the column" in said
    assert "**Time** counts from the first read" in said
    for t0 in ("20 s for `pcm-nandakumar-2019`", "200 s for `pcm-hermes-1`", "300 s for `pcm-hermes-2`"):
        assert t0 in said
    assert "worse than that measured on the chip" in said
