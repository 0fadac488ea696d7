"""Find, read, change and check preset files; every message names the file and the key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.laws import FAMILIES, Levels, Piece, Stuck, Validity
from driftproof.laws.law import WRONG_TAG
from driftproof.presets.preset import DevicePreset


def preset_folder() -> Path:
    """Return the folder of the preset files: inside an installed wheel, or the top of a source checkout."""
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
        name: a shipped name such as ``pcm-nandakumar-2019``; ``gaussian:0.05`` sets the one number which that
            preset declares as its argument; or the path of a ``.toml`` file.
        changes: dotted key → new number, such as ``{"drift.t0_s": 30}``; the preset's name then shows them.

    Raises:
        DriftproofError: unknown name; a file that is not TOML; an unknown, missing or impossible value.

    >>> load_preset("gaussian:0.02").programming.sigma
    0.02
    """
    path, argument = _find(str(name))
    raw = _read(path)
    if argument is not None:
        key = raw.get("argument")
        if not key:
            raise DriftproofError(f"preset {path.stem} takes no argument, got {path.stem}:{argument}")
        value = _number(f"{path.stem}:{argument}", argument)
        _set(raw, str(key), value, path)
        raw["name"] = f"{raw.get('name')}:{argument}"
    for key, value in (changes or {}).items():
        _set(raw, key, _number(f"--set {key}", value), path)
    if changes:
        raw["name"] = f"{raw.get('name')} [{', '.join(f'{k}={v}' for k, v in changes.items())}]"
    try:
        return DevicePreset.model_validate(raw)
    except ValidationError as error:
        raise DriftproofError(_explain(path, error)) from None


def _read(path: Path, children: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a preset file's tables; with ``extends = "NAME"``, those of that preset with the file's keys over them.

    A table that names another ``law`` or ``encoding`` replaces the whole table, an empty one removes it.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DriftproofError(f"{path}: not a TOML file: {error}") from None
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
        elif isinstance(value, dict) and isinstance(old, dict) and not {"law", "encoding"} & set(value):
            merged[key] = old | value
        else:
            merged[key] = value
    return merged


def parse_changes(pairs: Iterator[str] | list[str]) -> dict[str, float]:
    """Return ``{key: number}`` from texts ``key=number``, as ``--set`` takes them.

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
    """Return the file that a name means, and the argument after its colon if there is one."""
    names = preset_names()
    stem, colon, argument = name.partition(":")
    if name in names:
        return preset_folder() / f"{name}.toml", None
    if colon and stem in names:
        return preset_folder() / f"{stem}.toml", argument
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
    *parents, last = key.split(".")
    place: Any = raw
    for part in parents:
        place = _child(place, part)
    old = _child(place, last)
    if isinstance(old, bool) or not isinstance(old, int | float):
        numbers = list(_numbers(raw))
        raise DriftproofError(
            f"{path.name} has no number {key!r}{did_you_mean(key, numbers)}; its numbers are {', '.join(numbers)}"
        )
    place[int(last) if isinstance(place, list) else last] = value


def _child(place: Any, part: str) -> Any:
    if isinstance(place, dict):
        return place.get(part)
    if isinstance(place, list) and part.isdigit() and int(part) < len(place):
        return place[int(part)]
    return None


def _numbers(value: Any, prefix: str = "") -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        if isinstance(child, dict | list):
            yield from _numbers(child, f"{prefix}{key}.")
        elif isinstance(child, int | float) and not isinstance(child, bool):
            yield f"{prefix}{key}"


def _explain(path: Path, error: ValidationError) -> str:
    """Return one line per fault: the file, the dotted key, what was wanted and what came."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown key {key}{did_you_mean(key.split('.')[-1], _known_keys())}")
        elif fault["type"] == "missing":
            lines.append(f"{path}: missing key {key}")
        elif fault["type"] in ("value_error", "assertion_error", WRONG_TAG):
            lines.append(f"{path}: {key}: {fault['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{path}: {key}: {fault['msg']}, got {fault['input']!r}")
    return "\n".join(lines)


def _known_keys() -> set[str]:
    """Return every key that some preset table may have."""
    from driftproof.presets import preset

    laws = [law for family in FAMILIES.values() for law in family.members.values()]
    tables = [*laws, Piece, Stuck, Levels, Validity, *vars(preset).values()]
    return {key for table in tables if hasattr(table, "model_fields") for key in table.model_fields}
