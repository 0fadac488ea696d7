"""Write a simulated chip's conductances as if they had been measured."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from driftproof.errors import DriftproofError
from driftproof.laws.encoding import Conductances
from driftproof.measured.files import REFERENCE, ROOT, bank_names
from driftproof.measured.folder import SETTINGS
from driftproof.times import parse_times


class _Chip(Protocol):
    """What is used of a :class:`driftproof.Chip`."""

    number: int
    seed: int
    preset: Any

    @property
    def arrays(self) -> Mapping[str, Any]: ...


def save_conductances(
    chip: _Chip, folder: str | Path, times: str | Sequence[str | float], *, name: str, summary: str = ""
) -> Path:
    """Write the conductances of a :class:`driftproof.Chip` at several times: a template for files of real ones.

    They are what one read-out at each time gives, with the read noise of that time; read noise that is new in every
    product is not in them. Several chips: each into a sub-folder of one folder, and one ``device.toml`` beside those.

    Args:
        chip: of a preset with pairs, or with one device and an offset.
        folder: a new or empty folder; :func:`load_measured` reads it.
        times: seconds after programming, or texts such as ``1d``.
        name: of the device.
        summary: one sentence about it.

    Returns:
        The folder, with ``device.toml`` and, per layer, an ``.npz`` file of [times, out, in] in µS and [times] in s.

    Raises:
        DriftproofError: a folder with something in it; a preset without conductances, or with several pairs a weight.

    >>> from driftproof import Chip, load_preset, map_model
    >>> from torch import nn
    >>> chip = Chip(map_model(nn.Linear(3, 2)), load_preset("pcm-nandakumar-2019"), seed=0, chip=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(path.name for path in save_conductances(chip, folder, "1s,1d", name="template").iterdir())
    ['(root).npz', 'device.toml']
    """
    folder, times_s = Path(folder).expanduser(), parse_times(times if isinstance(times, str) else list(times))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DriftproofError(f"{folder} is not empty; choose a new folder for the conductances")
    conductance = next(iter(chip.arrays.values())).preset.conductance
    for layer, array in chip.arrays.items():
        own = array.preset.conductance
        if not own.file_columns or own != conductance:
            raise DriftproofError(
                f"preset {array.preset.name}: only conductances of one pair or one device a weight can be written, "
                "of the same kind in all layers"
            )
        if Path(layer).name != layer:
            raise DriftproofError(f"layer {layer!r}: its name cannot be a file's; rename the layer")
    folder.mkdir(parents=True, exist_ok=True)
    for layer, array in chip.arrays.items():
        reads = [array.conductances(t_s) for t_s in times_s]
        arrays = {
            bank: np.stack([read[index].cpu().numpy() for read in reads])
            for index, bank in enumerate(bank_names(conductance))
        }
        if array.reference is not None:
            arrays[REFERENCE] = np.stack([array.reference.conductances(t_s)[0][0].cpu().numpy() for t_s in times_s])
        file = io.BytesIO()
        np.savez(file, t_s=np.array(times_s), **arrays)  # type: ignore[arg-type]  # names are arrays, not options
        _write_whole(folder / f"{layer or ROOT}.npz", file.getvalue())
    # last: without it the folder is no device
    _write_whole(folder / SETTINGS, _settings(chip, conductance, name, summary).encode())
    return folder


def _settings(chip: _Chip, conductance: Conductances, name: str, summary: str) -> str:
    """Return ``device.toml``; its source says that nothing was measured."""
    tables: dict[str, dict[str, Any]] = {
        "": {"name": name, "summary": summary or "Simulated, not measured."},
        "source": {
            "title": "Simulated, not measured",
            "where": f"chip {chip.number} of {chip.preset.name}, seed {chip.seed}",
            "fitted_by": "driftproof",
        },
        "conductance": conductance.model_dump(mode="json", exclude_defaults=True),
    }
    lines = []
    for table, values in tables.items():
        lines += [f"\n[{table}]"] * bool(table) + [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _toml(value: str | float) -> str:
    """Return a text or number as TOML: as JSON, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a name that begins with a dot is no layer's."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
