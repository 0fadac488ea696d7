"""A folder of measured conductances → its chips."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from driftproof._errors import DriftproofError, ReadAs, explained, warn
from driftproof._files import read_toml
from driftproof.laws._encoding import Encoding
from driftproof.measured._device import MeasuredDevice, Settings, TimeRange
from driftproof.measured._files import ROOT, LayerFile, read_layer

SETTINGS = "device.toml"
_ENDINGS = (".npz", ".csv")


def load_measured(folder: str | Path) -> MeasuredDevice:
    r"""Return the measured chips of a folder; docs/measured_arrays.md shows the layout.

    Args:
        folder: Folder with ``device.toml`` and one file per layer, or with one sub-folder of such files per chip.

    Raises:
        DriftproofError: If a file is missing or wrong. The message names the file and the place.

    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "device.toml").write_text(
    ...         'name = "mine"\n[conductance]\nencoding = "pair"\ng_min_us = 0.0\ng_max_us = 20.0\n'
    ...     )
    ...     _ = Path(folder, "fc.csv").write_text("out,in,g_plus_us,g_minus_us\n0,0,19.5,0.1\n0,1,0.2,9.8\n")
    ...     device = load_measured(folder)
    >>> device.name, device.chips
    ('measured:mine', 1)
    >>> [round(w, 3) for w in device.array("fc", 0, torch.tensor([[1.0, -0.5]])).net(0.0)[0].tolist()]
    [0.97, -0.48]
    """
    folder = Path(folder).expanduser()
    path = folder / SETTINGS
    if not path.is_file():
        raise DriftproofError(f"measured:{folder}: no {path}; wanted a folder with {SETTINGS} and a file per layer")
    settings = _read_settings(path)
    inside = sorted((place for place in folder.iterdir() if not place.name.startswith(".")), key=_natural)
    folders = [place for place in inside if place.is_dir()]
    loose = [place.name for place in inside if place.is_file() and place.suffix in _ENDINGS]
    if folders and loose:
        raise DriftproofError(
            f"{folder} has files of layers ({', '.join(loose)}) and folders ({', '.join(f.name for f in folders)}): "
            "wanted the files of one chip, or one folder per chip"
        )
    chips = tuple(_read_chip(place, settings) for place in (folders or [folder]))
    if settings.t_s is not None and all(file.t_s for chip in chips for file in chip.values()):
        raise DriftproofError(
            f"{path}: t_s is the time of files without times, but every file has its times; remove it"
        )
    t_s = (settings.t_s or 0.0,)
    chips = tuple({name: replace(file, t_s=file.t_s or t_s) for name, file in chip.items()} for chip in chips)
    files = [file for chip in chips for file in chip.values()]
    _say(folder, files)
    first, last = max(files, key=lambda file: file.t_s[0]), min(files, key=lambda file: file.t_s[-1])
    low, high = first.t_s[0], last.t_s[-1]
    if low > high:
        raise DriftproofError(
            f"measured:{folder}: no time at which every layer was measured: {last.path} ends at {high:g} s, "
            f"{first.path} begins at {low:g} s"
        )
    return MeasuredDevice(f"measured:{settings.name}", settings, chips, TimeRange((low, high)), _hash(settings, chips))


def _say(folder: Path, files: list[LayerFile]) -> None:
    """Say what was understood of files that are not in the plain form, each way once."""
    ways: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        if file.understood:
            ways.setdefault(file.understood, []).append(str(file.path.relative_to(folder)))
    for sentences, names in ways.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        warn(f"measured:{folder}: {', '.join(names[:3])}{more}: {' '.join(sentences)}", ReadAs)


def _read_settings(path: Path) -> Settings:
    try:
        settings = Settings.model_validate(read_toml(path))
    except ValidationError as error:
        known = {*Settings.model_fields, *(key for law in Encoding.members.values() for key in law.model_fields)}
        raise DriftproofError(explained(str(path), error, known)) from None
    if not settings.conductance.file_columns:
        raise DriftproofError(f"{path}: several pairs a weight are not read from files: give the net pair")
    return settings


def _read_chip(folder: Path, settings: Settings) -> dict[str, LayerFile]:
    files: dict[str, LayerFile] = {}
    options = settings.table_options()
    for path in sorted(folder.iterdir(), key=_natural):
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.name == SETTINGS:  # of a chip that was written alone
            if _read_settings(path).conductance != settings.conductance:
                raise DriftproofError(f"{path}: another [conductance] than that of {SETTINGS} of all chips")
            continue
        if path.suffix not in _ENDINGS:
            raise DriftproofError(f"{path}: wanted .npz or .csv files, one per layer, and {SETTINGS}")
        name = "" if path.stem == ROOT else path.stem
        if name in files:
            raise DriftproofError(f"{path}: there is {files[name].path.name} for the same layer; remove one of them")
        files[name] = read_layer(path, settings.conductance, options)
    if not files:
        raise DriftproofError(f"{folder}: no layer's .npz or .csv file")
    return files


def _natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Order ``chip10`` after ``chip9``."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts], path.name


def _hash(settings: Settings, chips: tuple[dict[str, LayerFile], ...]) -> str:
    digest = hashlib.sha256(json.dumps(settings.conductance.model_dump(mode="json"), sort_keys=True).encode())
    for number, files in enumerate(chips):
        for name in sorted(files):
            file = files[name]
            digest.update(f"{number}|{name}|{file.t_s}|{[bank.shape for bank in file.banks]}".encode())
            for values in (*file.banks, *(() if file.reference is None else (file.reference,))):
                digest.update(values.tobytes())
    return digest.hexdigest()
