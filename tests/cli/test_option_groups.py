"""Options that commands share are written once, and mean the same in every command."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any, get_args

import pytest
from typer.main import get_command

from driftproof import _defaults as defaults
from driftproof._cli.app import app
from driftproof._cli.option_groups import SEVERAL

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
# on purpose: a training's batch is an update, and its seed is that of everything random
OWN = {("train", "batch_size"), ("train", "seed")}
# convert has no time: it keeps the switch within_validity with the network; a training has a device in two places, the
# noise and the validation
OWN_TEXTS = {
    ("convert", "within_validity"),
    *(("train", name) for name in ("changes", "read_outs", "periphery", "calibration_data", "threads")),
}
REPEAT = f" {SEVERAL}"


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
            assert single(first[name].default) == single(second[name].default), name
            if name not in ("limit", "compensation") and not {(one, name), (other, name)} & OWN_TEXTS:
                assert first[name].help.removesuffix(REPEAT) == second[name].help.removesuffix(REPEAT), name


def single(default: object) -> object:
    """Return a default; that of an option that can be repeated is a list with it."""
    return default[0] if isinstance(default, list) else default


def all_options() -> dict[str, Any]:
    presets = COMMANDS["presets"].commands
    commands = {**COMMANDS, **{f"presets {name}": command for name, command in presets.items()}}
    return {f"{name} {option.name}": option for name, command in commands.items() for option in command.params}


def test_every_command_and_option_is_explained() -> None:
    assert len(all_options()) > 100
    assert [name for name, option in all_options().items() if not (option.help or "").endswith(".")] == []
    commands = [*COMMANDS.values(), *COMMANDS["presets"].commands.values()]
    for command in commands:
        assert command.help
        assert "Args:" not in command.help
    examples = [command.epilog for command in commands if command.epilog]
    assert len(examples) >= 9
    for example in examples:
        assert max(map(len, cleandoc(example).splitlines())) <= 78  # as typer shows it


def test_help_names_what_there_is() -> None:
    """Numbers and names that stand in a help text, because the option itself has no default or no choices."""
    import driftproof.energy  # noqa: F401  its methods are known once they are imported
    from driftproof._record import QUANTITIES
    from driftproof._reporting.export_tables import SUFFIXES
    from driftproof.training._methods.by_name import METHODS
    from driftproof.training._norms import NormPolicy
    from driftproof.zoo._load import UNTRAINED

    texts = {name: option.help for name, option in all_options().items()}
    assert f"Default: {defaults.CALIBRATION_SAMPLES}," in texts["evaluate calibration_limit"]
    assert f"Default: {defaults.CHIPS}." in texts["sensitivity report_chips"]
    for name, words in (
        (
            "train method",
            [name for name, method in METHODS.items() if method.make.__module__.startswith("driftproof.")],
        ),
        ("train norms", get_args(NormPolicy)),
        ("evaluate metric", QUANTITIES),
        ("evaluate model", UNTRAINED),
        ("export form", SUFFIXES),
    ):
        for word in words:
            assert re.search(rf"\b{re.escape(word)}\b", texts[name]), word


def test_the_help_of_train_states_the_defaults_of_the_methods() -> None:
    """Most defaults are those of "other methods"; a method with another default is named after it."""
    import driftproof.energy  # noqa: F401
    from driftproof.training import Method
    from driftproof.training._methods.by_name import METHODS, make_method, named_method
    from driftproof.training._schedules import Constant

    def default(option: str) -> dict[str, str]:
        """Return the default of each method that the help names, and that of ``other methods``."""
        text = options("train")[option].help.rpartition("Default: ")[2].partition(" (")[0].rstrip(".")
        clauses = [clause.partition(" for ") for clause in re.split(r", (?=\S+(?: clipping)? for )", text)]
        return {name: value for value, _, names in clauses for name in re.split(", | and ", names)}

    shown = {option: default(option) for option in ("rho", "schedule", "norms", "clip_weights")}
    names = [name for name, method in METHODS.items() if method.make.__module__.startswith("driftproof.")]
    assert {name for defaults_of in shown.values() for name in defaults_of} <= {*names, "other methods"}
    for name in names:
        named = named_method(name)
        method: Method = make_method(name, noise="gaussian:0.1" if named.noise else None)
        told = {option: defaults_of.get(name, defaults_of["other methods"]) for option, defaults_of in shown.items()}
        schedules = method.schedules()
        if named.strength:
            assert str(schedules[-1]) == options("train")["strength"].help.rpartition("Default: ")[2].rstrip("."), name
        if named.rho:
            assert f"{schedules[0].largest:g}" == told["rho"], name
        if named.rho or named.strength:
            ramp = "constant" if isinstance(schedules[-1], Constant) else str(schedules[-1]).partition(":")[0]
            assert ramp == told["schedule"], name
        assert method.norms == told["norms"], name
        clip = method.describe()["weight clipping"].partition(" ")[0]
        assert told["clip_weights"] == {"none": "no clipping"}.get(clip, clip), name


def test_the_help_of_recalibration_and_report_states_their_defaults() -> None:
    from driftproof._reporting.lifetime import WORSE_BY, default_keep

    texts = {name: option.help for name, option in all_options().items()}
    assert f"the first {defaults.RANGE_SAMPLES} inputs of --data" in texts["evaluate calibration_data"]
    assert f"{100 * WORSE_BY:g} % worse" in texts["report keep"]
    assert default_keep(91.7) == 90
    assert re.search("minus one point.*whole percent", texts["report keep"])


def test_defaults_are_those_of_the_package() -> None:
    found = {name: parameter.default for name, parameter in options("evaluate").items()}
    assert found["chips"] == str(defaults.CHIPS)  # it may also be FIRST-LAST
    assert found["batch_size"] == defaults.BATCH_SIZE
    assert found["times"] == [",".join(defaults.TIMES)]
    assert (found["compensation"], found["periphery"]) == ([defaults.COMPENSATION], [defaults.PERIPHERY])
    assert found["tile"] == ["512x512"]
    batch_size = options("train")["batch_size"]
    assert batch_size.default is None  # that of a DataLoader
    assert f"{defaults.TRAINING_BATCH_SIZE}" in all_options()["train batch_size"].help


@pytest.mark.parametrize("command", ["convert", "evaluate", "sensitivity", "train"])
def test_strict_is_both_switches(command: str) -> None:
    from driftproof._cli.network_groups import TileOptions

    assert re.search("all-analog.*within-validity", options(command)["strict"].help)
    both = TileOptions(strict=True)
    assert (both.all_analog, both.within_validity) == (True, True)
    only = TileOptions(all_analog=True)
    assert (only.options().all_analog, only.within_validity) == (True, False)
