"""Write a simulated chip's conductances as if they had been measured."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from driftproof.errors import DriftproofError
from driftproof.measured.device import SETTINGS
from driftproof.measured.files import REFERENCE, ROOT, bank_names
from driftproof.presets.laws import OffsetEncoding, PairEncoding
from driftproof.times import parse_times


class _Chip(Protocol):
    @property
    def arrays(self) -> Mapping[str, Any]: ...


def save_conductances(
    chip: _Chip, folder: str | Path, times: str | Sequence[str | float], *, name: str, summary: str = ""
) -> Path:
    """Write the conductances of a :class:`driftproof.Chip` at several times: a template for files of real ones.

    Args:
        chip: of a preset with pairs, or with one device and an offset.
        folder: a new or empty folder; :func:`load_measured` reads it.
        times: seconds after programming, or texts such as ``1d``.
        name: of the device.
        summary: one sentence about it.

    Returns:
        The folder.

    Raises:
        DriftproofError: a folder with something in it; a preset without conductances, or with several pairs a weight.
    """
    folder, times_s = Path(folder), parse_times(times if isinstance(times, str) else list(times))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DriftproofError(f"{folder} is not empty; choose a new folder for the conductances")
    conductance = next(iter(chip.arrays.values())).preset.conductance
    for array in chip.arrays.values():
        own = array.preset.conductance
        if not isinstance(own, PairEncoding | OffsetEncoding) or len(array.banks) > 2 or own != conductance:
            raise DriftproofError(
                f"preset {array.preset.name}: only conductances of one pair or one device a weight can be written, "
                "of the same kind in all layers"
            )
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
        (folder / f"{layer or ROOT}.npz").write_bytes(file.getvalue())
    lines = [f"name = {json.dumps(name)}", f"summary = {json.dumps(summary)}", "", "[conductance]"]
    for key, value in conductance.model_dump(mode="json").items():
        if key != "significance":
            lines.append(f"{key} = {json.dumps(value)}")
    (folder / SETTINGS).write_text(
        "\n".join(lines) + "\n", encoding="utf-8"
    )  # last: without it the folder is no device
    return folder
