"""Find, read and write periphery files; every message names the file and the key."""

from __future__ import annotations

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.periphery.settings import Periphery


def periphery_names() -> list[str]:
    """Return the names of the peripheries that come with driftproof.

    >>> periphery_names()
    ['ideal', 'standard']
    """
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_periphery(choice: str | Path | Periphery) -> Periphery:
    """Return a periphery by its name or by the path of a TOML file; one that is made already is returned as it is.

    Raises:
        DriftproofError: unknown name; a file that is not TOML; an unknown, missing or impossible value.

    >>> str(load_periphery("standard"))
    '8-bit in (static), 8-bit out, full scale 10, noise 0.04'
    >>> load_periphery("standrad")
    Traceback (most recent call last):
    driftproof.errors.DriftproofError: unknown periphery 'standrad' (did you mean standard?); there are ideal, \
standard, or a path to a .toml file
    """
    if isinstance(choice, Periphery):
        return choice
    if not isinstance(choice, str | Path):
        raise DriftproofError(f"periphery {choice!r}: wanted a name, the path of a .toml file, or a Periphery")
    names = periphery_names()
    if str(choice) in names:
        return _made(f"{choice}.toml", (_folder() / f"{choice}.toml").read_text(encoding="utf-8"))
    path = Path(choice)
    if path.suffix != ".toml":
        known = f"there are {', '.join(names)}, or a path to a .toml file"
        raise DriftproofError(f"unknown periphery {str(choice)!r}{did_you_mean(str(choice), names)}; {known}")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DriftproofError(f"periphery file {path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DriftproofError(f"periphery file {path}: cannot be read: {error}") from None
    return _made(str(path), text)


def write_periphery(periphery: Periphery, path: str | Path) -> Path:
    """Write a periphery as a TOML file that :func:`load_periphery` reads back, equal in every bit.

    Raises:
        DriftproofError: if the path does not end in ``.toml`` or cannot be written.

    >>> import tempfile
    >>> standard = load_periphery("standard")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_periphery(write_periphery(standard, Path(folder) / "mine.toml")) == standard
    True
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise DriftproofError(f"periphery file {path}: wanted a name that ends in .toml")
    values = periphery.definition()
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if not isinstance(value, dict | list)]
    for table, content in values.items():
        if isinstance(content, dict):
            lines += ["", f"[{table}]", *_pairs(content)]
        elif isinstance(content, list):
            for part in content:
                lines += ["", f"[[{table}]]", *_pairs(part)]
    text = "\n".join(lines) + "\n"
    assert _made(str(path), text) == periphery, "a periphery does not read back as it was written"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DriftproofError(f"periphery file {path}: cannot be written: {error}") from None
    return path


def _folder() -> Traversable:
    return resources.files("driftproof.periphery") / "files"


def _made(name: str, text: str) -> Periphery:
    try:
        return Periphery(**tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DriftproofError(f"{name}: not a TOML file: {error}") from None
    except DriftproofError as error:
        raise DriftproofError("\n".join(f"{name}: {line}" for line in str(error).splitlines())) from None


def _pairs(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items()]


def _value(value: Any) -> str:
    """Return a number or a text as TOML; the shortest digits of a float read back as the same float."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
