"""Files of measured conductances: one per layer, ``.npz`` or ``.csv``, read and checked."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from driftproof._errors import DriftproofError
from driftproof._files import check_file
from driftproof._lab_tables import TableOptions
from driftproof.laws._encoding import Conductances
from driftproof.measured._csv_file import Lines, check_names, read_csv

Numbers = npt.NDArray[np.float32]
ROOT = "(root)"  # the file of a network that is one layer
REFERENCE = "g_reference_us"
ABOVE = 3.0  # × g_max: no device is programmed there, a unit is wrong
BELOW = 0.01  # × g_max: if no value in a file reaches it, a unit is wrong


@dataclass(frozen=True, eq=False)
class LayerFile:
    """The measurements of one layer of one chip.

    Attributes:
        path: File that they were read from.
        t_s: Times in s, increasing; empty if the file has none.
        banks: Conductances in µS, each [times, out, in]: G⁺ and G⁻, or the one device of an offset encoding.
        reference: Conductances in µS of a reference column, [times, in]. None without one.
        understood: What was understood of a ``.csv`` file that is not in the plain form.
    """

    path: Path
    t_s: tuple[float, ...]
    banks: tuple[Numbers, ...]
    reference: Numbers | None
    understood: tuple[str, ...] = ()


def read_layer(path: Path, conductance: Conductances, options: TableOptions | None = None) -> LayerFile:
    """Read the file of one layer.

    Args:
        path: ``.npz`` file with the arrays of ``conductance.file_columns``, [out, in] or [times, out, in], with ``t_s``
            [times] for several times, and ``g_reference_us`` [in] or [times, in] for a reference column; or ``.csv``
            file with the columns out, in, those names, and t_s.
        conductance: Encoding of weights in conductances.
        options: What a ``.csv`` file does not say itself.

    Raises:
        DriftproofError: If the file cannot be read, an array is missing or unknown, shapes do not fit together, times
            do not increase, or values are negative, not finite, or far from g_max.
    """
    names, lines, said = conductance.file_columns, None, tuple[str, ...]()
    if path.suffix == ".npz":
        arrays = _read_npz(path, names)
    else:
        arrays, lines, said = read_csv(path, names, options)
    t_s = tuple(arrays.pop("t_s", np.empty(0)).ravel().tolist())
    if list(t_s) != sorted(set(t_s)) or any(not np.isfinite(t) or t < 0 for t in t_s):
        raise DriftproofError(f"{path}: t_s must be times in s that increase, got {list(t_s)}")
    times = max(1, len(t_s))
    values = {name: _with_times(path, name, array, times) for name, array in arrays.items()}
    for name, array in values.items():
        _check_values(path, name, array, conductance.g_max_us, lines)
    _check_unit(path, {name: values[name] for name in names}, conductance)
    reference = values.get(REFERENCE)
    if len({array.shape[-1] for array in values.values()} | {values[name].shape[1:] for name in names}) != 2:
        shapes = {name: list(array.shape) for name, array in values.items()}
        raise DriftproofError(f"{path}: shapes do not fit together: {shapes}")
    wants = conductance.has_reference_column
    if wants != (reference is not None):
        says = "a reference column" if wants else "no reference column"
        mend = "; a .csv file cannot hold one: write .npz" if wants and lines is not None else ""
        raise DriftproofError(f"{path}: {'no ' if wants else ''}{REFERENCE}, but device.toml says {says}{mend}")
    return LayerFile(path, t_s, tuple(values[name] for name in names), reference, said)


def _with_times(path: Path, name: str, array: npt.NDArray[np.float64], times: int) -> Numbers:
    """Return an array with a dimension for the times in front, or raise if its shape is another."""
    shape = "[in]" if name == REFERENCE else "[out, in]"
    dimensions = 1 + shape.count(",")
    whole = array[None] if array.ndim == dimensions and times == 1 else array
    if whole.ndim != dimensions + 1 or len(whole) != times:
        raise DriftproofError(
            f"{path}: {name} has the shape {list(array.shape)}; wanted {shape}, or {times} of them, one for each time "
            "in t_s"
        )
    return np.ascontiguousarray(whole, dtype=np.float32)


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.float64]]:
    try:
        if not zipfile.is_zipfile(check_file(path)):  # np.load would take a single array, too
            raise ValueError("it is no archive of named arrays, as np.savez writes it")
        _check_sizes(path)
        with zipfile.ZipFile(path) as archive:
            check_names(path, [name.removesuffix(".npy") for name in archive.namelist()], names, ("t_s", REFERENCE))
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except DriftproofError:
        raise
    except (MemoryError, OverflowError, SyntaxError, TypeError, KeyError, RecursionError, RuntimeError) as error:
        raise DriftproofError(f"{path}: not an .npz file of plain numbers: {type(error).__name__}: {error}") from None
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise DriftproofError(f"{path}: not an .npz file of plain numbers: {error}") from None
    check_names(path, list(arrays), names, ("t_s", REFERENCE))
    for name, values in arrays.items():
        if values.dtype.kind not in "fiu":
            raise DriftproofError(f"{path}: {name} holds {values.dtype}, wanted numbers")
        if not values.size:
            raise DriftproofError(f"{path}: {name} has the shape {list(values.shape)}: it is empty")
    return {name: values.astype(np.float64) for name, values in arrays.items()}


def _check_sizes(path: Path) -> None:
    """Raise ValueError for an array whose header announces other than the bytes that follow it."""
    with zipfile.ZipFile(path) as archive:
        size, largest = sum(member.file_size for member in archive.infolist()), path.stat().st_size * _PACKED
        if size > max(_SMALL, largest):
            raise ValueError(f"it unpacks to {size:,} bytes, which no conductances do that are packed so small")
        for member in archive.infolist():
            with archive.open(member) as file:
                read = _HEADERS.get(np.lib.format.read_magic(file))
                if read is None:
                    raise ValueError(f"{member.filename} is of another version of .npy")
                shape, _, dtype = read(file)
                announced, there = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
                if announced != there:
                    raise ValueError(f"{member.filename} announces {announced:,} bytes of numbers and has {there:,}")


_PACKED = 100  # measured numbers can be packed by a small factor only
_SMALL = 2**28
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def _check_values(path: Path, name: str, values: Numbers, g_max_us: float, lines: Lines | None) -> None:
    """Raise for impossible conductances; the place is a line of a CSV file, or the array's index."""
    for bad, what in (
        (~np.isfinite(values), "not finite: every device needs a number"),
        (values < 0, "negative: a reading below zero is noise around zero, write 0"),
        (values > ABOVE * g_max_us, f"far above g_max_us = {g_max_us:g} of device.toml: are these µS?"),
    ):
        if bad.any():
            where = tuple(np.argwhere(bad)[0].tolist())
            place = f"{name}{list(where)}" if lines is None else f"line {lines[where]}: {name}"
            raise DriftproofError(
                f"{path}: {place} = {values[where]:g} is {what} ({int(bad.sum())} of {values.size} values)"
            )


def _check_unit(path: Path, banks: dict[str, Numbers], conductance: Conductances) -> None:
    """Raise if no value is near the range of the devices. One of the two of a pair may be all at g_min."""
    tops = {name: float(values.max()) for name, values in banks.items()}
    names, top, high, low = " and ".join(tops), max(tops.values()), conductance.g_max_us, conductance.g_min_us
    parts = [(names, top, BELOW * high, f"a hundredth of g_max_us = {high:g}")]
    parts += [(name, value, low / 10, f"a tenth of g_min_us = {low:g}") for name, value in tops.items()]
    for name, value, least, text in parts:
        if 0 < value < least:
            raise DriftproofError(f"{path}: {name}: at most {value:g} µS, below {text} of device.toml: are these µS?")
