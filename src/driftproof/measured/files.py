"""Files of measured conductances: one per layer, ``.npz`` or ``.csv``, read and checked."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from driftproof.errors import DriftproofError
from driftproof.laws.encoding import Conductances
from driftproof.measured.csv_file import Lines, check_names, read_csv

Numbers = npt.NDArray[np.float32]
ROOT = "(root)"  # the file of a network that is one layer
REFERENCE = "g_reference_us"
ABOVE = 3.0  # × g_max: no device is programmed there, a unit is wrong
BELOW = 0.01  # × g_max: if nothing in a file comes up to it, a unit is wrong


@dataclass(frozen=True, eq=False)
class LayerFile:
    """One layer of one chip as it was measured.

    Attributes:
        path: where it was read from.
        t_s: [times] s, increasing; empty if the file has none.
        banks: [times, out, in] µS each: G⁺ and G⁻, or the one device of an offset encoding.
        reference: [times, in] µS of a reference column, None without one.
    """

    path: Path
    t_s: tuple[float, ...]
    banks: tuple[Numbers, ...]
    reference: Numbers | None


def bank_names(conductance: Conductances) -> tuple[str, ...]:
    """Return what the conductances are called in files."""
    return conductance.file_columns


def read_layer(path: Path, conductance: Conductances) -> LayerFile:
    """Read one layer's file.

    Args:
        path: ``.npz`` with the arrays of :func:`bank_names`, [out, in] or [times, out, in], with ``t_s`` [times] for
            several times, and ``g_reference_us`` [in] or [times, in] for a reference column; or ``.csv`` with the
            columns out, in, those names, and t_s.
        conductance: how weights stand in conductances.

    Raises:
        DriftproofError: a file that cannot be read, a missing or unknown array, shapes that do not fit together, times
            that do not increase, values that are negative, not finite, or far from g_max.
    """
    names, lines = bank_names(conductance), None
    if path.suffix == ".npz":
        found = _read_npz(path, names)
    else:
        found, lines = read_csv(path, names)
    t_s = tuple(float(t) for t in found.pop("t_s", np.empty(0)).reshape(-1))
    if list(t_s) != sorted(set(t_s)) or any(not np.isfinite(t) or t < 0 for t in t_s):
        raise DriftproofError(f"{path}: t_s must be times in s that increase, got {list(t_s)}")
    times = max(1, len(t_s))
    arrays = {}
    for name, values in found.items():
        dims = 1 if name == REFERENCE else 2
        whole = values[None] if values.ndim == dims and times == 1 else values
        if whole.ndim != dims + 1 or len(whole) != times:
            shape = "[in]" if name == REFERENCE else "[out, in]"
            raise DriftproofError(
                f"{path}: {name} has the shape {list(values.shape)}; wanted {shape}, or {times} of them for the "
                f"{len(t_s)} times of t_s"
            )
        arrays[name] = np.ascontiguousarray(whole, dtype=np.float32)
        _check_values(path, name, arrays[name], conductance.g_max_us, lines)
    _check_unit(path, {name: arrays[name] for name in names}, conductance)
    shapes = {name: arrays[name].shape for name in names}
    reference = arrays.get(REFERENCE)
    if len(set(shapes.values())) != 1 or (reference is not None and reference.shape[1] != shapes[names[0]][2]):
        raise DriftproofError(
            f"{path}: shapes do not fit together: { ({n: list(a.shape) for n, a in arrays.items()}) }"
        )
    wants = conductance.has_reference_column
    if wants != (reference is not None):
        raise DriftproofError(
            f"{path}: {'no ' if wants else ''}{REFERENCE}, but device.toml says "
            f"{'a reference column' if wants else 'nothing of a reference column'}"
            f"{'; a .csv file cannot hold one: write .npz' if wants and lines is not None else ''}"
        )
    return LayerFile(path, t_s, tuple(arrays[name] for name in names), reference)


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.float64]]:
    try:
        if not zipfile.is_zipfile(path):  # np.load would take a single array, too
            raise ValueError("it is no archive of named arrays, as np.savez writes it")
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise DriftproofError(f"{path}: not an .npz file of plain numbers: {error}") from None
    check_names(path, list(found), names, ("t_s", REFERENCE))
    for name, values in found.items():
        if values.dtype.kind not in "fiu":
            raise DriftproofError(f"{path}: {name} holds {values.dtype}, wanted numbers")
        if not values.size:
            raise DriftproofError(f"{path}: {name} has the shape {list(values.shape)}: it is empty")
    return {name: values.astype(np.float64) for name, values in found.items()}


def _check_values(path: Path, name: str, values: Numbers, g_max_us: float, lines: Lines | None) -> None:
    """Raise for what no conductance can be; the place is a line of a CSV file, or the array's index."""
    for bad, what in (
        (~np.isfinite(values), "not finite: every device needs a number"),
        (values < 0, "negative: a reading below zero is noise around zero, write 0"),
        (values > ABOVE * g_max_us, f"far above g_max_us = {g_max_us:g} of device.toml: are these µS?"),
    ):
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            place = f"{name}{list(where)}" if lines is None else f"line {lines[where]}: {name}"
            raise DriftproofError(
                f"{path}: {place} = {values[where]:g} is {what} ({int(bad.sum())} of {values.size} values)"
            )


def _check_unit(path: Path, banks: dict[str, Numbers], conductance: Conductances) -> None:
    """Raise if nothing comes near the range of the devices; one of the two of a pair may well be all at g_min."""
    tops = {name: float(values.max()) for name, values in banks.items()}
    low, high = conductance.g_min_us / 10, BELOW * conductance.g_max_us
    if 0 < max(tops.values()) < high:
        raise DriftproofError(
            f"{path}: {' and '.join(tops)}: at most {max(tops.values()):g} µS, below a hundredth of "
            f"g_max_us = {conductance.g_max_us:g} of device.toml: are these µS?"
        )
    for name, top in tops.items():
        if 0 < top < low:
            raise DriftproofError(
                f"{path}: {name}: at most {top:g} µS, below a tenth of g_min_us = {conductance.g_min_us:g} of "
                "device.toml: are these µS?"
            )
