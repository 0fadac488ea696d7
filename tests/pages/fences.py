"""The blocks of code of a page: which there are, whether commands parse, and a page carried out from top to end."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from driftproof._cli.app import app, main

TOP = Path(__file__).parents[2]


def fences(text: str) -> list[tuple[str, str]]:
    """Return (language, code) of every block of a page."""
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of one language."""
    return [code for found, code in fences(text) if found == language]


def lines_of(shell: str) -> list[list[str]]:
    """Return the words of every line of a shell block, up to a redirection."""
    lines = [shlex.split(line, comments=True) for line in shell.replace("\\\n", " ").splitlines()]
    return [line[: line.index(">")] if ">" in line else line for line in lines if line]


def commands(text: str) -> list[list[str]]:
    """Return the words after ``driftproof`` of every such line of a page, each part of ``&&`` by itself.

    Blocks of ``bash`` are scripts with variables, which need a test of their own.
    """
    found = []
    for code in blocks(text, "sh"):
        for line in re.split(r"\n|&&", code.replace("\\\n", " ")):
            words = lines_of(line.strip()) if line.strip().startswith("driftproof ") else []
            found += [line[1:] for line in words]
    return found


def parse(words: list[str]) -> None:
    """Parse a command with the parser of the command line."""
    at = words.index("--config") if "--config" in words else 0
    if at and ":" not in words[at + 1]:  # a file that a command above it writes: here the options that every run has
        words = [*words[:at], "digits-cnn", "--data", "digits", "--preset", "ideal", *words[at + 2 :]]
    command, context = get_command(app), None
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, name
        command = command.commands[name]
        context = command.make_context(name, list(words)) if not hasattr(command, "commands") else None
    assert context is not None


def carry_out(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Do in a folder what a reader of a page does, and return the names of its Python.

    A block whose first line is a comment with a file's name is written to this file. Python runs in order, in one
    namespace. Of shell blocks, the lines run that name a file which the page wrote; the others are parsed.
    """
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    names: dict[str, Any] = {"__name__": "__main__"}
    written: set[str] = set()
    before = set(sys.modules)
    try:
        for language, code in fences(page.read_text(encoding="utf-8")):
            if file := re.match(r"# ([\w-]+\.\w+)\n", code):
                Path(file[1]).write_text(code, encoding="utf-8")
                written.add(file[1])
            elif language == "python":
                # as in a file of its own: not with the future of this one
                exec(compile(code, page.name, "exec", dont_inherit=True), names)
            elif language == "sh":
                for line in lines_of(code):
                    if any(word.partition(":")[0] in written for word in line):
                        _run(line, monkeypatch)
    finally:
        for name in set(sys.modules) - before:
            if name in {file.removesuffix(".py") for file in written}:
                del sys.modules[name]
    return names


def _run(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = line
    monkeypatch.setattr(sys, "argv", line)
    if program == "python":
        runpy.run_path(words[0], run_name="__main__")
        return
    assert program == "driftproof", line
    code: object = None
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    assert not code, line
