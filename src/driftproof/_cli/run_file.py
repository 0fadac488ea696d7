"""The options of a run as a file: ``--config FILE.toml`` reads them, and a run writes its own beside its results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from driftproof._cli.console import print_line
from driftproof._errors import DriftproofError, did_you_mean

NAME = "run.toml"
COMMAND = "command"
"""The key that names the command of a file."""
ABOUT_ONE_RUN = ("config", "quiet", "as_json", "help")
"""Options that say nothing of what is computed."""
IMAGES = ("cifar10", "cifar100", "mnist", "fashion-mnist", "svhn")
PARTS = ("", "-train", "-pixels", "-pixels-train")
FOLDERS = ("hf", "measured", *(f"{name}{part}" for name in IMAGES for part in PARTS))
"""Kinds of values that a folder follows after a colon."""
STUDY = Path(__file__).resolve().parents[1] / "energy" / "configurations"
"""Folder of the configurations that ``--config study:NAME`` takes."""
WITH_PATHS = (
    "model", "weights", "data", "presets", "preset", "periphery", "metric", "out",
    "calibration_data", "report_data", "validation_data",
)  # fmt: skip


def config_file(text: str | Path) -> Path:
    """Return the file of ``--config``: a path, or ``study:NAME`` for a configuration that comes with driftproof.

    Raises:
        DriftproofError: There is no such configuration.

    >>> config_file("study:dense-mnist").name
    'dense-mnist.toml'
    """
    kind, colon, name = str(text).partition(":")
    if kind != "study" or not colon:
        return Path(text)
    known = sorted(path.stem for path in STUDY.glob("*.toml"))
    if name not in known:
        raise DriftproofError(
            f"--config {text}: no such configuration{did_you_mean(name, known)}; there are {', '.join(known)}"
        )
    return STUDY / f"{name}.toml"


def options_in(path: str | Path, command: Any) -> dict[str, Any]:
    """Return the options that a file gives to a command: names of its parameters → values.

    Args:
        path: TOML file, or ``study:NAME``, whose keys are the long flags of the command without their dashes, ``model``
            for the network, and ``command``, the command's name, which may be left out.
        command: The command.

    Raises:
        DriftproofError: The file is of another command, or has an unknown key or a value of another type.
    """
    from driftproof._files import read_toml

    parameters = {_key(one): one for one in command.params if one.name not in ABOUT_ONE_RUN}
    tables = {key.replace("_", "-"): value for key, value in read_toml(config_file(path)).items()}
    about = tables.pop(COMMAND, command.name)
    if about != command.name:
        raise DriftproofError(f"--config {path}: it is of `driftproof {about}`, not of `driftproof {command.name}`")
    for key in tables:
        if key not in parameters:
            raise DriftproofError(
                f"--config {path}: unknown key {key}{did_you_mean(key, parameters)}; the keys are the options of "
                f"`driftproof {command.name}` without their dashes, and model"
            )
    return {str(parameters[key].name): _value(path, key, value, parameters[key]) for key, value in tables.items()}


def _value(path: str | Path, key: str, value: Any, parameter: Any) -> Any:
    """Return a value as the command line would give it: numbers are checked there."""
    if getattr(parameter, "is_flag", False):
        wanted, fits = "true or false", isinstance(value, bool)
    elif getattr(parameter, "multiple", False):
        value = value if isinstance(value, list) else [value]
        wanted, fits = "a text, a number, or a list of them", bool(value) and all(map(_single, value))
        value = [str(one) for one in value]
    else:
        wanted, fits, value = "one text or number", _single(value), value if isinstance(value, list) else str(value)
    if not fits:
        raise DriftproofError(f"--config {path}: {key}: wanted {wanted}, got {value!r}")
    return value


def _single(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def tell_overridden(path: str | Path, ctx: Any) -> None:
    """Say which options of the command line count in place of those in the file."""
    for parameter in ctx.command.params:
        name = str(parameter.name)
        source = ctx.get_parameter_source(name)
        if name in (ctx.default_map or {}) and source is not None and source.name == "COMMANDLINE":
            now, before = _said(ctx.params[name]), _said(ctx.default_map[name])
            if now != before:
                print_line(f"{path}: {_key(parameter)} {now} of the command line in place of {before}", stderr=True)


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _key(parameter: Any) -> str:
    """Return the key of a parameter: its long flag without dashes, or the name of an argument."""
    flags = [flag for flag in parameter.opts if flag.startswith("--")]
    return flags[0].removeprefix("--") if flags else str(parameter.name)


@contextmanager
def kept_beside(ctx: typer.Context, folder: Path, **used: Any) -> Iterator[dict[str, Any]]:
    """Write the options of a command into a folder as ``run.toml`` when the block ends or is stopped, not if it fails.

    A folder that was filled by several commands has ``run.toml`` of the first and ``run-2.toml`` and so on of others.

    Args:
        ctx: The options.
        folder: Folder of the results; nothing is written if it does not exist.
        used: Values that were found out and are written in place of those that were given. The block may add to the
            mapping that it gets.
    """
    try:
        yield used
    except Exception:
        raise
    except BaseException:  # Ctrl-C or SIGTERM: what is finished is there, and the file tells of what
        _write(ctx, folder, used)
        raise
    _write(ctx, folder, used)


def _write(ctx: typer.Context, folder: Path, used: Mapping[str, Any]) -> None:
    import tomlkit

    from driftproof._files import read_toml, write_atomically

    if not folder.is_dir():
        return
    values = {COMMAND: str(ctx.command.name)}
    for parameter in ctx.command.params:
        name = str(parameter.name)
        value = used.get(name, ctx.params.get(name))
        if name not in ABOUT_ONE_RUN and value not in (None, "", (), []) and value is not False:
            values[_key(parameter)] = _portable(name, value)
    document = tomlkit.document()
    document.add(tomlkit.comment(f"`driftproof {ctx.command.name} --config {NAME}` repeats this run; options of the "))
    document.add(tomlkit.comment("command line count in place of those in the file, such as --out for another folder."))
    document.add(tomlkit.comment(f"Written by driftproof {metadata.version('driftproof')}. Paths are absolute."))
    if ctx.params.get("budget") is not None:
        document.add(tomlkit.comment("With a budget, the number of cells depends on the speed of the machine."))
    document.update(values)
    for number in range(1, 10_000):
        path = folder / (NAME if number == 1 else f"{Path(NAME).stem}-{number}.toml")
        if not path.exists():
            write_atomically(path, tomlkit.dumps(document).encode())
            return
        if read_toml(path) == values:
            return


def _portable(name: str, value: Any) -> Any:
    """Return a value for the file: paths are absolute, so that the file repeats the run from any folder."""
    if isinstance(value, list | tuple):
        return [_portable(name, one) for one in value]
    if isinstance(value, Path):
        return str(value.absolute())
    if name not in WITH_PATHS or not isinstance(value, str):
        return value
    parts = re.split(r"([,=])", value) if name in ("preset", "presets") else [value]
    return "".join(map(_absolute, parts))


def _absolute(text: str) -> str:
    """Return a text in which a path is absolute.

    >>> _absolute("digits"), _absolute("cifar10:/data"), _absolute("gaussian:0.1")
    ('digits', 'cifar10:/data', 'gaussian:0.1')
    >>> _absolute("mine.py:net") == f"{Path('mine.py').absolute()}:net"
    True
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in FOLDERS:
        return f"{kind}:{Path(rest).absolute()}"
    if colon and kind.endswith(".py"):
        return f"{Path(kind).absolute()}:{rest}"
    return str(Path(text).absolute()) if text.endswith((".toml", ".py")) else text
