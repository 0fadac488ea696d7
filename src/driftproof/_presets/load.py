"""Finds, reads, changes and checks preset files. Every error message names the file and the key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from driftproof._errors import DriftproofError, aihwkit_hint, did_you_mean, explained
from driftproof._files import read_toml
from driftproof._presets.preset import DevicePreset
from driftproof.laws._curve import Piece
from driftproof.laws._levels import Levels
from driftproof.laws._stuck import Stuck
from driftproof.laws._validity import Validity
from driftproof.laws._variation import Variation, WaferSpread
from driftproof.laws._words import FAMILIES


def preset_folder() -> Path:
    """Return the folder of the preset files, in an installed wheel or at the top of a source checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "device_presets", package.parents[1] / "device_presets"):
        if folder.is_dir():
            return folder
    raise DriftproofError(f"no folder device_presets in {package} or {package.parents[1]}; reinstall driftproof")


def preset_names() -> list[str]:
    """Return the names of the presets that come with driftproof.

    >>> "pcm-nandakumar-2019" in preset_names()
    True
    """
    return sorted(path.stem for path in preset_folder().glob("*.toml"))


def load_preset(name: str | Path, changes: Mapping[str, Any] | None = None) -> DevicePreset:
    """Return a preset by name, ``NAME:ARGUMENT``, or path to a TOML file.

    Args:
        name: Name of a preset such as ``pcm-nandakumar-2019``, or the path of a ``.toml`` file. A name such as
            ``gaussian:0.05`` sets the one number that the preset declares as its argument.
        changes: New numbers by dotted key, such as ``{"drift.t0_s": 30}``. The preset's name then shows them (default:
            none).

    Raises:
        DriftproofError: If the name is unknown, the file is not TOML, or a value is unknown, missing or impossible.

    >>> load_preset("gaussian:0.02").programming.sigma
    0.02
    """
    if not isinstance(name, str | Path):
        raise DriftproofError(
            f"preset: a {type(name).__name__} came; wanted the name of a preset or the path of a .toml file"
            f"{aihwkit_hint(name, 'device')}"
        )
    path, argument = _find(str(name))
    raw = _read(path)
    if argument is not None:
        key = raw.get("argument")
        if not key:
            raise DriftproofError(f"preset {path.stem} takes no argument, got {path.stem}:{argument}")
        _set(raw, str(key), _number(f"{path.stem}:{argument}", argument), path)
        raw["name"] = f"{raw.get('name')}:{argument}"
    for key, value in (changes or {}).items():
        _set(raw, key, _number(f"--set {key}", value), path)
    if changes:
        raw["name"] = f"{raw.get('name')}{shown(changes)}"
    try:
        return DevicePreset.model_validate(raw)
    except ValidationError as error:
        raise DriftproofError(explained(str(path), error, _known_keys())) from None


def shown(changes: Mapping[str, Any] | None) -> str:
    """Return changes of numbers as the end of a device's name, such as `` [drift.t0_s=30]``."""
    return f" [{', '.join(f'{key}={value}' for key, value in changes.items())}]" if changes else ""


def _read(path: Path, children: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a preset file's tables. With ``extends = "NAME"``, its keys replace those of that preset.

    A table that names another ``law`` or ``encoding`` replaces the whole table, and an empty table removes it. So does
    a source with a title: it is another work, which the authors and the DOI of the old one would be wrong for.
    """
    raw = read_toml(path)
    if "extends" not in raw:
        return raw
    base = raw.pop("extends")
    if not isinstance(base, str):
        raise DriftproofError(f"{path}: extends: wanted the name or the file of a preset, got {base!r}")
    near = path.parent / base
    base_path = near if near.suffix == ".toml" and near.is_file() else _find(base)[0]
    if base_path in (path, *children):
        raise DriftproofError(f"{path}: extends {base}, which extends it in turn")
    merged = _read(base_path, (path, *children))
    for key, value in raw.items():
        old = merged.get(key)
        if value == {}:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(old, dict) and not _replaces(key, value):
            merged[key] = old | value
        else:
            merged[key] = value
    return merged


def _replaces(key: str, table: dict[str, Any]) -> bool:
    """Return whether a table takes nothing from the table of the preset that it extends."""
    return bool({"law", "encoding"} & set(table)) or (key == "source" and "title" in table)


def parse_changes(pairs: Iterator[str] | list[str]) -> dict[str, float]:
    """Return ``{key: number}`` for texts ``key=number``, such as those of ``--set``.

    >>> parse_changes(["drift.t0_s=30"])
    {'drift.t0_s': 30.0}
    """
    changes: dict[str, float] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise DriftproofError(f"--set {pair!r}: wanted key=number, such as drift.t0_s=30")
        changes[key.strip()] = _number(f"--set {key.strip()}", value)
    return changes


def _find(name: str) -> tuple[Path, str | None]:
    """Return the file of a name, and the argument after its colon, or None."""
    names = preset_names()
    stem, colon, argument = name.partition(":")
    if stem in names:
        return preset_folder() / f"{stem}.toml", argument if colon else None
    path = Path(name)
    if path.suffix == ".toml":
        if path.is_file():
            return path, None
        raise DriftproofError(f"preset file {name}: there is no such file")
    raise DriftproofError(
        f"unknown preset {name!r}{did_you_mean(stem, names)}; there are {', '.join(names)}, or a path to a .toml file"
    )


def _number(what: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DriftproofError(f"{what}: wanted a number, got {value!r}") from None


def _set(raw: dict[str, Any], key: str, value: float, path: Path) -> None:
    """Replace one number at a dotted key; list elements go by index (``programming.sigma_us.0``)."""
    places = dict(_numbers(raw))
    if key not in places:
        known = ", ".join(places)
        raise DriftproofError(f"{path.name} has no number {key!r}{did_you_mean(key, places)}; its numbers are {known}")
    table, last = places[key]
    table[last] = value


def _numbers(table: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield every number's dotted key, the table or list that holds it, and its key or index there."""
    for key, child in table.items() if isinstance(table, dict) else enumerate(table):
        if isinstance(child, dict | list):
            yield from _numbers(child, f"{prefix}{key}.")
        elif isinstance(child, int | float) and not isinstance(child, bool):
            yield f"{prefix}{key}", (table, key)


def _known_keys() -> set[str]:
    """Return every key that some preset table may have."""
    from driftproof._presets import preset

    laws = [law for family in FAMILIES.values() for law in family.members.values()]
    tables = [*laws, Piece, Stuck, Levels, Validity, Variation, WaferSpread, *vars(preset).values()]
    return {key for table in tables if hasattr(table, "model_fields") for key in table.model_fields}
