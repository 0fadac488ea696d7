"""Layer by layer, from the cells of a record: the drop of each layer alone analog, the gain of each alone digital."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof._record import DIGITAL, Layer, Quantity
from driftproof._record.table import digital_names
from driftproof._reporting.gather import Evidence
from driftproof._reporting.outcomes import Row
from driftproof.statistics._equal_chips import change_interval
from driftproof.times import format_time

_OF_A_CELL = ["config_id", "preset", "t_s"]


def layer_tables(evidence: Evidence) -> list[dict[str, Any]]:
    """Return one table per configuration, preset and time for which cells with single layers were measured."""
    cells = evidence.every_cell
    cells = cells[cells["preset"].isin(evidence.presets) & cells["config_id"].isin(list(evidence.names))]
    tables = []
    for (key, preset, t_s), group in cells.groupby(_OF_A_CELL, sort=False):
        layers = _analog_layers(evidence, str(key))
        rows = _rows(evidence, (str(key), str(preset), float(str(t_s))), group, layers)
        if rows:
            tables.append(
                {
                    "preset": preset,
                    "name": evidence.names[str(key)],
                    "time": format_time(float(str(t_s))),
                    "valid": bool(group["in_validity"].all()),
                    "chips": _chips_in_words([row.pop("chips") for row in rows]),
                    "rows": rows,
                }
            )
    return tables


def _analog_layers(evidence: Evidence, key: str) -> dict[str, Layer]:
    account = next(account for account in evidence.accounts if key in account.configurations)
    return {layer.name or "(root)": layer for layer in account.conversion.layers if layer.analog}


def _rows(evidence: Evidence, row: Row, cells: pd.DataFrame, layers: dict[str, Layer]) -> list[dict[str, Any]]:
    """Return a row per layer; none if no layer was measured alone."""
    measured: dict[frozenset[str], pd.Series] = {
        digital_names(str(text)): group.set_index("chip")["value"] for text, group in cells.groupby("digital")
    }
    sign, quantity, every, rows = evidence.quantity.sign, evidence.quantity, frozenset(layers), []
    digital = float(measured[every].iloc[0]) if every in measured else evidence.digital(row[0])
    all_analog = measured.get(frozenset())
    for name, layer in layers.items():
        only_analog, only_digital = measured.get(every - {name}), measured.get(frozenset({name}))
        drop = None if only_analog is None else sign * (digital - only_analog)
        gain = None if only_digital is None or all_analog is None else (sign * (only_digital - all_analog)).dropna()
        if drop is not None or gain is not None:
            macs = "" if layer.macs_per_input is None else f"{layer.macs_per_input:,}"
            counts = {len(values) for values in (drop, gain) if values is not None}
            texts = {"layer": name, "macs": macs, "weights": f"{layer.weights:,}", "chips": counts}
            ends = _ends(drop, _lost(evidence, row, every - {name}, drop)), _ends(gain, _won(evidence, row, name, gain))
            drop_texts = _change("drop", drop, ends[0], quantity, digital)
            rows.append(texts | drop_texts | _change("gain", gain, ends[1], quantity, digital))
    return rows


def _lost(evidence: Evidence, row: Row, digital: frozenset[str], drop: pd.Series | None) -> npt.NDArray[Any] | None:
    """Return what chips with some digital layers lose against the digital network, [chips, samples], where known."""
    whole = evidence.outcomes.of((row[0], DIGITAL, 0.0))
    mixed = None if drop is None else evidence.outcomes.mixed(row, digital, list(drop.index))
    if mixed is None or whole is None or whole.samples is not None:
        return None
    lost: npt.NDArray[np.int8] = whole.outcomes[0].astype(np.int8) - mixed
    return evidence.quantity.sign * lost


def _won(evidence: Evidence, row: Row, layer: str, gain: pd.Series | None) -> npt.NDArray[Any] | None:
    """Return what chips win if a layer is digital, [chips, samples], where known."""
    if gain is None:
        return None
    chips = list(gain.index)
    one, other = (evidence.outcomes.mixed(row, digital, chips) for digital in (frozenset({layer}), frozenset[str]()))
    return evidence.quantity.sign * (one - other) if one is not None and other is not None else None


def _ends(values: pd.Series | None, outcomes: npt.NDArray[Any] | None) -> tuple[float, ...]:
    return change_interval(tuple(values), outcomes) if values is not None and len(values) > 1 else ()


def _chips_in_words(counts: Iterable[set[int]]) -> str:
    """Return the numbers of chips of differences.

    >>> _chips_in_words([{3}, {2, 3}])
    '2 to 3'
    """
    numbers = set[int]().union(*counts)
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _change(
    name: str, values: pd.Series | None, ends: tuple[float, ...], quantity: Quantity, digital: float
) -> dict[str, str]:
    """Return the mean of a change over the chips and its 95 % interval as texts."""
    if values is None or values.empty:
        return {name: "", f"{name}_interval": ""}
    return {
        name: quantity.difference(float(values.mean()), digital),
        f"{name}_interval": " – ".join(quantity.difference(end, digital) for end in ends),
    }
