"""Files of measured conductances: one per layer, ``.npz`` or ``.csv``, read and checked."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.presets.laws import OffsetEncoding, PairEncoding

Numbers = npt.NDArray[np.float32]
ROOT = "(root)"  # the file of a network that is one layer
REFERENCE = "g_reference_us"


@dataclass(frozen=True)
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


def bank_names(conductance: PairEncoding | OffsetEncoding) -> tuple[str, ...]:
    """Return what the conductances are called in files."""
    return ("g_us",) if isinstance(conductance, OffsetEncoding) else ("g_plus_us", "g_minus_us")


def read_layer(path: Path, conductance: PairEncoding | OffsetEncoding) -> LayerFile:
    """Read one layer's file.

    Args:
        path: ``.npz`` with the arrays of :func:`bank_names`, [out, in] or [times, out, in], with ``t_s`` [times] for
            several times, and ``g_reference_us`` [in] or [times, in] for a reference column; or ``.csv`` with the
            columns out, in, those names, and t_s.
        conductance: how weights stand in conductances.

    Raises:
        DriftproofError: a file that cannot be read, a missing or unknown array, shapes that do not fit together, times
            that do not increase, values that are negative, not finite, or far above g_max.
    """
    names = bank_names(conductance)
    found = _read_npz(path, names) if path.suffix == ".npz" else _read_csv(path, names)
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
        _check_values(path, name, arrays[name], conductance.g_max_us)
    shapes = {name: arrays[name].shape for name in names}
    reference = arrays.get(REFERENCE)
    if len(set(shapes.values())) != 1 or (reference is not None and reference.shape[1] != shapes[names[0]][2]):
        raise DriftproofError(
            f"{path}: shapes do not fit together: { ({n: list(a.shape) for n, a in arrays.items()}) }"
        )
    wants = isinstance(conductance, OffsetEncoding) and conductance.reference == "column"
    if wants != (reference is not None):
        raise DriftproofError(
            f"{path}: {'no ' if wants else ''}{REFERENCE}, but device.toml says "
            f"{'a reference column' if wants else 'nothing of a reference column'}"
        )
    return LayerFile(path, t_s, tuple(arrays[name] for name in names), reference)


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.float64]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DriftproofError(f"{path}: not an .npz file of plain numbers: {error}") from None
    _check_names(path, list(found), names, ("t_s", REFERENCE))
    for name, values in found.items():
        if values.dtype.kind not in "fiu":
            raise DriftproofError(f"{path}: {name} holds {values.dtype}, wanted numbers")
    return {name: values.astype(np.float64) for name, values in found.items()}


def _read_csv(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[np.float64]]:
    try:
        table = pd.read_csv(path, comment="#", skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise DriftproofError(f"{path}: not a CSV file: {error}") from None
    _check_names(path, list(table.columns), ("out", "in", *names), ("t_s",))
    for name in table.columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if len(bad := np.flatnonzero(numbers.isna())):
            raise DriftproofError(
                f"{path}: row {bad[0] + 1}: {name} is {table[name].iloc[bad[0]]!r}, wanted a number "
                f"({len(bad)} such rows)"
            )
        table[name] = numbers
    for name in ("out", "in"):
        if len(bad := np.flatnonzero((table[name] < 0) | (table[name] % 1 != 0))):
            raise DriftproofError(f"{path}: row {bad[0] + 1}: {name} is {table[name].iloc[bad[0]]}, wanted 0, 1, 2, …")
    timed = "t_s" in table.columns
    times = sorted(table["t_s"].unique()) if timed else [0.0]
    place = np.searchsorted(times, table["t_s"]) if timed else np.zeros(len(table), dtype=int)
    shape = (len(times), int(table["out"].max()) + 1, int(table["in"].max()) + 1) if len(table) else (0, 0, 0)
    count = np.zeros(shape, dtype=int)
    index = (place, table["out"].to_numpy(dtype=int), table["in"].to_numpy(dtype=int))
    np.add.at(count, index, 1)
    if not len(table) or (count != 1).any():
        where = [int(i) for i in np.argwhere(count != 1)[0]] if len(table) else []
        what = f"out {where[1]}, in {where[2]} stands there {count[tuple(where)]} times" if where else "it has no rows"
        at = f" at t_s = {times[where[0]]:g}" if where and timed else ""
        raise DriftproofError(f"{path}: wanted every out and in once{' a time' if timed else ''}; {what}{at}")
    found: dict[str, npt.NDArray[np.float64]] = {"t_s": np.array(times)} if timed else {}
    for name in names:
        found[name] = np.empty(shape)
        found[name][index] = table[name]
    return found


def _check_names(path: Path, found: list[str], wanted: tuple[str, ...], optional: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in (*wanted, *optional)]
    if missing or unknown:
        hint = did_you_mean(unknown[0], [*wanted, *optional]) if unknown else ""
        parts = [f"no {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}{hint}"] * bool(unknown)
        raise DriftproofError(
            f"{path}: {'; '.join(parts)}; wanted {', '.join(wanted)}, and maybe {', '.join(optional)}"
        )


def _check_values(path: Path, name: str, values: Numbers, g_max_us: float) -> None:
    for bad, what in (
        (~np.isfinite(values), "not finite"),
        (values < 0, "negative"),
        (values > 3 * g_max_us, f"far above g_max_us = {g_max_us:g} of device.toml: are these µS?"),
    ):
        if bad.any():
            where = [int(i) for i in np.argwhere(bad)[0]]
            raise DriftproofError(
                f"{path}: {name}{where} = {values[tuple(where)]:g} is {what} ({int(bad.sum())} of {values.size} values)"
            )
    largest = float(values.max()) if values.size else 0.0
    if largest < 1e-2 * g_max_us:
        raise DriftproofError(
            f"{path}: {name} is at most {largest:g} µS, below a hundredth of g_max_us = {g_max_us:g} of device.toml: "
            "are these µS?"
        )
