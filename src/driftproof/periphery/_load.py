"""Finds, reads and writes periphery files. Every error message names the file and the key."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from driftproof._errors import DriftproofError, aihwkit_hint, did_you_mean
from driftproof._files import read_toml, write_toml
from driftproof.periphery._settings import Periphery


def periphery_names() -> list[str]:
    """Return the names of the peripheries that come with driftproof.

    >>> periphery_names()
    ['ideal', 'standard']
    """
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_periphery(choice: str | Path | Periphery) -> Periphery:
    """Return a periphery by its name or by the path of a TOML file. A :class:`Periphery` is returned as it is.

    Raises:
        DriftproofError: If the name is unknown, the file is not TOML, or a value is unknown, missing or impossible.

    >>> str(load_periphery("standard"))
    '8-bit in (static), 8-bit out, full scale 10, noise 0.04'
    >>> load_periphery("standrad")
    Traceback (most recent call last):
    driftproof.DriftproofError: unknown periphery 'standrad' (did you mean standard?); there are ideal, \
standard, or a path to a .toml file
    """
    if isinstance(choice, Periphery):
        return choice
    if not isinstance(choice, str | Path):
        raise DriftproofError(
            f"periphery: a {type(choice).__name__} came; wanted a name, the path of a .toml file, or a Periphery"
            f"{aihwkit_hint(choice, 'periphery')}"
        )
    names, path = periphery_names(), Path(choice)
    if str(choice) in names:
        return _read(f"{choice}.toml", _folder() / f"{choice}.toml")
    if path.suffix != ".toml":
        known = f"there are {', '.join(names)}, or a path to a .toml file"
        raise DriftproofError(f"unknown periphery {str(choice)!r}{did_you_mean(str(choice), names)}; {known}")
    return _read(f"periphery file {path}", path)


def write_periphery(periphery: Periphery, path: str | Path) -> Path:
    """Write a periphery as a TOML file, from which :func:`load_periphery` reads the same periphery.

    Raises:
        DriftproofError: If the path does not end in ``.toml`` or cannot be written.

    >>> import tempfile
    >>> standard = load_periphery("standard")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_periphery(write_periphery(standard, Path(folder) / "mine.toml")) == standard
    True
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise DriftproofError(f"periphery file {path}: wanted a name that ends in .toml")
    try:
        return write_toml(path, periphery.definition())
    except OSError as error:
        raise DriftproofError(f"periphery file {path}: cannot be written: {error}") from None


def _folder() -> Traversable:
    return resources.files("driftproof.periphery") / "files"


def _read(name: str, path: Path | Traversable) -> Periphery:
    tables = read_toml(path)
    try:
        return Periphery(**tables)
    except DriftproofError as error:
        raise DriftproofError("\n".join(f"{name}: {line}" for line in str(error).splitlines())) from None
