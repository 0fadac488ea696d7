"""Options that commands share are written once, and mean the same in every command."""

from __future__ import annotations

from typing import Any

import pytest
from typer.main import get_command

from driftproof import defaults
from driftproof.cli.app import app

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
# on purpose: a training's batch is an update, and its seed is that of everything random
OWN = {("train", "batch_size"), ("train", "seed")}


def options(command: str) -> dict[str, Any]:
    return {parameter.name: parameter for parameter in COMMANDS[command].params}


@pytest.mark.parametrize("one", ["convert", "evaluate", "sensitivity", "train"])
@pytest.mark.parametrize("other", ["convert", "evaluate", "sensitivity", "train"])
def test_an_option_of_two_commands_has_one_default(one: str, other: str) -> None:
    first, second = options(one), options(other)
    shared = first.keys() & second.keys() - {"help", "chips", "data", "preset", "out", "overwrite", "time"}
    assert {"model", "weights", "where", "tile", "scale", "clip", "all_analog", "within_validity", "strict"} <= shared
    for name in shared:
        if not {(one, name), (other, name)} & OWN:
            assert first[name].default == second[name].default, name
            if name not in ("limit", "compensation"):
                assert first[name].help == second[name].help, name


def test_defaults_are_those_of_the_package() -> None:
    found = {name: parameter.default for name, parameter in options("evaluate").items()}
    assert found["chips"] == defaults.CHIPS
    assert found["batch_size"] == defaults.BATCH_SIZE
    assert found["times"] == ",".join(defaults.TIMES)
    assert (found["compensation"], found["periphery"]) == (defaults.COMPENSATION, defaults.PERIPHERY)
    assert found["tile"] == "512x512"
    assert options("train")["batch_size"].default == defaults.TRAINING_BATCH_SIZE


@pytest.mark.parametrize("command", ["convert", "evaluate", "sensitivity", "train"])
def test_strict_is_both_switches(command: str) -> None:
    from driftproof.cli.groups import TileOptions

    assert options(command)["strict"].help == "The same as --all-analog and --within-validity."
    both = TileOptions(strict=True)
    assert (both.all_analog, both.within_validity) == (True, True)
    only = TileOptions(all_analog=True)
    assert (only.options().all_analog, only.within_validity) == (True, False)
