"""Write a simulated chip's conductances as if they had been measured."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof._devices import ReadOuts
from driftproof._errors import DriftproofError, check_choice
from driftproof._files import make_folder, write_atomically, write_toml
from driftproof.measured._device import targets_hash
from driftproof.measured._files import REFERENCE, ROOT
from driftproof.measured._folder import SETTINGS
from driftproof.times import parse_times

Floats = npt.NDArray[np.float64]
NPZ: Final = "npz"
CSV: Final = "csv"


class _Chip(Protocol):
    """The part of :class:`driftproof.Chip` that is used here."""

    number: int
    seed: int
    preset: Any
    read_outs: ReadOuts

    @property
    def arrays(self) -> Mapping[str, Any]: ...


def save_conductances(
    chip: _Chip,
    folder: str | Path,
    times: str | Sequence[str | float],
    *,
    name: str,
    summary: str = "",
    file_format: Literal["npz", "csv"] = NPZ,
) -> Path:
    """Write the conductances of a :class:`driftproof.Chip` at several times: a template for files of real ones.

    The file holds one read-out at each time, the one in which the chip is used, with its read noise. It does not hold
    MVM read noise, which every MVM draws again. To write several chips, give each a sub-folder of one folder, and move
    one ``device.toml`` into that folder.

    Args:
        chip: Chip of a preset with pairs, or with one device per weight and an offset.
        folder: New or empty folder, which :func:`load_measured` can read afterwards.
        times: Times in seconds after the first read, or texts such as ``1d``.
        name: Name of the device.
        summary: One sentence about the device.
        file_format: ``npz`` (the default), or ``csv``, which cannot hold a reference column.

    Returns:
        The folder, with ``device.toml`` and a file per layer: ``.npz`` with [times, out, in] in µS and [times] in s, or
        ``.csv`` with one row per weight and time. ``device.toml`` holds a hash of the targets of each layer, so that
        the files are not taken for those of another network.

    Raises:
        DriftproofError: If the folder is not empty, or the preset has no conductances or several pairs per weight.

    >>> import tempfile
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
        if not conductance.file_columns or array.preset.conductance != conductance:
            raise DriftproofError(
                f"preset {array.preset.name}: only conductances of one pair or one device a weight can be written, "
                "of the same kind in all layers"
            )
        if Path(layer).name != layer:
            raise DriftproofError(f"layer {layer!r}: its name cannot be a file's; rename the layer")
    check_choice("file_format", file_format, _FORMATS)
    if file_format == CSV and conductance.has_reference_column:
        raise DriftproofError("a .csv file cannot hold a reference column: write .npz")
    make_folder(folder)
    for layer, array in chip.arrays.items():
        reads = [array.conductances(t_s, read_out=chip.read_outs.use) for t_s in times_s]
        arrays = {
            bank: np.stack([read[index].cpu().numpy() for read in reads])
            for index, bank in enumerate(conductance.file_columns)
        }
        if array.reference is not None:
            reads = [array.reference.conductances(t_s, read_out=chip.read_outs.use) for t_s in times_s]
            arrays[REFERENCE] = np.stack([read[0][0].cpu().numpy() for read in reads])
        write_atomically(folder / f"{layer or ROOT}.{file_format}", _FORMATS[file_format](np.array(times_s), arrays))
    settings = {
        "name": name,
        "summary": summary or "Simulated, not measured.",
        "source": {
            "title": "Simulated, not measured",
            "where": f"chip {chip.number} of {chip.preset.name}, seed {chip.seed}",
            "fitted_by": "driftproof",
        },
        "conductance": conductance.model_dump(mode="json", exclude_defaults=True),
        "targets_sha256": {layer or ROOT: targets_hash(array.target) for layer, array in chip.arrays.items()},
    }
    # last: without it the folder is no device
    write_toml(folder / SETTINGS, settings)
    return folder


def _npz(t_s: Floats, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the content of an ``.npz`` file."""
    file = io.BytesIO()
    np.savez(file, t_s=t_s, **arrays)  # type: ignore[arg-type]  # names are arrays, not options
    return file.getvalue()


def _csv(t_s: Floats, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return the content of a ``.csv`` file with one row per time and weight; float32 numbers read back equal."""
    time, out, in_ = np.indices(next(iter(arrays.values())).shape).reshape(3, -1)
    table = pd.DataFrame({"out": out, "in": in_, "t_s": t_s[time]} | {name: g.ravel() for name, g in arrays.items()})
    return table.to_csv(index=False, lineterminator="\n").encode()


_FORMATS = {NPZ: _npz, CSV: _csv}
