"""The pages of the reference: one for each public package, with every name that it lists."""

from __future__ import annotations

import inspect
from importlib import import_module
from pkgutil import iter_modules

import driftproof

# A page of the package itself, by subject; a test says which name is missing here.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "Devices": ("load_preset", "load_device", "preset_names", "DevicePreset"),
    "Convert, program, drift": (
        *("convert", "program", "AnalogModel", "ProgrammedChip", "save", "load", "to_aihwkit", "from_aihwkit"),
        *("map_model", "MappingOptions", "OnTiles", "TileSize", "Chip", "Programmer"),
    ),
    "Evaluate and report": (
        *("evaluate", "compare", "summarise", "report", "export", "Record"),
        *("Evaluator", "Deployment", "Trial", "Recalibration"),
    ),
    "Train": (
        *("train", "Training", "ChipValidation", "ramp", "ClipWeights", "Distillation"),
        *("Plain", "RWP", "TwoPointRWP", "MixedRWP", "AdaptiveRWP", "NoiseInjection"),
        *("SAM", "ASAM", "GSAM", "LookSAM", "MultiStepSAM", "SAMRWP"),
    ),
    "Errors": ("DriftproofError", "DriftproofWarning"),
}


def rooms() -> list[str]:
    """Return the names of the public packages of driftproof."""
    return sorted(module.name for module in iter_modules(driftproof.__path__) if not module.name.startswith("_"))


def names_of(room: str) -> list[str]:
    """Return the public names of a package; "" is driftproof itself."""
    listed: list[str] = import_module(f"driftproof.{room}" if room else "driftproof").__all__
    return list(listed)


def pages() -> dict[str, bytes]:
    """Return the pages of the reference: path on the site → content."""
    made = {"reference/driftproof.md": _first_page()}
    first = set(names_of(""))
    for room in rooms():
        made[f"reference/{room}.md"] = _room_page(room, first)
    return {path: text.encode() for path, text in made.items()}


def _first_page() -> str:
    subjects = dict(SUBJECTS)
    if rest := sorted(set(names_of("")) - {name for names in SUBJECTS.values() for name in names}):
        subjects["Others"] = tuple(rest)
    lines = ["# driftproof\n", "`import driftproof as dp` has the names of this page.\n"]
    for subject, names in subjects.items():
        lines.append(f"## {subject}\n")
        lines += [_entry("driftproof", name, level=3) for name in names]
    return "\n".join(lines)


def _room_page(room: str, elsewhere: set[str]) -> str:
    module = import_module(f"driftproof.{room}")
    words = (inspect.getdoc(module) or "").split("\n\n")[0]
    lines = [f"# driftproof.{room}\n", f"{words}\n"]
    names = names_of(room)
    if there := [name for name in names if name in elsewhere]:
        listed = ", ".join(f"[`{name}`](driftproof.md#driftproof.{name})" for name in there)
        lines.append(f"These names are also names of `driftproof`, and are described there: {listed}.\n")
    return "\n".join([*lines, *(_entry(f"driftproof.{room}", name, level=2) for name in names if name not in there)])


def _entry(module: str, name: str, level: int) -> str:
    return f"::: {module}.{name}\n    options:\n      heading_level: {level}\n"
