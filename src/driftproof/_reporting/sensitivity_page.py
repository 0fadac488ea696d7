"""The page of a sensitivity: layer by layer, the causes of the drop, and the choice of digital layers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftproof._files import write_atomically
from driftproof._record import Quantity
from driftproof._reporting.html import check_written_here, data_uri, fill_template
from driftproof._reporting.page import LONGEST, file_links
from driftproof._reporting.statistics import PRELIMINARY_BELOW
from driftproof.times import format_time

if TYPE_CHECKING:
    from driftproof.plans._causes import Causes
    from driftproof.plans._measure import Setting
    from driftproof.plans._mixed_deployment import MixedDeployment
    from driftproof.plans._per_chip import PerChip
    from driftproof.plans._sensitivity import Sensitivity

PAGE = "sensitivity.html"
_PATTERN = "*?[!,"
"""Characters that a name cannot have in a text for ``--where``."""


def write_sensitivity(
    out: Path,
    model: str,
    layers: Sensitivity,
    causes: Causes | None,
    curve: MixedDeployment | None,
    pictures: Mapping[str, bytes],
) -> Path:
    """Write the page ``sensitivity.html`` into a folder and return its path.

    Args:
        out: The folder, in which the tables and figures are already.
        model: Name of the network.
        layers: The sensitivity of each layer.
        causes: The drop by cause; None if its causes cannot be separated.
        curve: The search for digital layers; None without a search.
        pictures: Figures as SVG by the names ``layers``, ``causes`` and ``curve``.

    Raises:
        DriftproofError: The folder has a file of this name that driftproof did not write.
    """
    check_written_here(out / PAGE)
    quantity, setting = layers.quantity, layers.setting
    where = f"{setting.device} at {format_time(setting.t_s)}"
    html = fill_template(
        "sensitivity.html.j2",
        title=f"{model} on {where}: what each layer costs",
        quantity=quantity,
        longest=LONGEST,
        setting=_setting(setting, layers),
        verdict=_verdict(layers, causes),
        preliminary_below=PRELIMINARY_BELOW if len(layers.analog) < PRELIMINARY_BELOW else None,
        choice=None if curve is None else {"text": curve.verdict(), "where": where_of(curve)},
        layer_tables=[_layers(layers)],
        causes=None if causes is None else _causes(causes),
        curve=None if curve is None else _curve(curve),
        pictures={name: data_uri(svg) for name, svg in pictures.items()},
        files=file_links([f"{name}.{form}" for name in pictures for form in ("csv", "pdf", "svg", "png")]),
    )
    return write_atomically(out / PAGE, html.encode())


def where_text(digital: Collection[str], analog: Collection[str]) -> str:
    """Return the text for ``--where`` that keeps some layers digital; empty if there is none, or nothing to choose.

    >>> where_text(["conv1", "fc"], ["conv2"]), where_text(["block"], ["block.fc"])
    ('!conv1,!fc', '')
    """
    unclear = any(not name or set(name) & set(_PATTERN) for name in digital)
    nested = any(other.startswith(f"{name}.") for name in digital for other in analog)
    return "" if unclear or nested or not analog else ",".join(f"!{name}" for name in digital)


def where_of(curve: MixedDeployment) -> str:
    """Return the text for ``--where`` of the choice of a search; empty if there is none."""
    digital = list(curve.chosen.digital)
    return where_text(digital, [name for name in curve.layers if name not in digital])


def _setting(setting: Setting, layers: Sensitivity) -> dict[str, str]:
    return {
        "device": setting.device,
        "time": format_time(setting.t_s) + ("" if setting.in_validity else " (outside the device's range of validity)"),
        "compensation": setting.compensation,
        "read-outs": setting.read_outs,
        "periphery": setting.periphery,
        "data": f"{layers.data}, {layers.n_samples:,} samples",
        "chips": f"{len(layers.analog)}, seed {setting.seed}",
    }


def _verdict(layers: Sensitivity, causes: Causes | None) -> list[str]:
    """Return what the whole chip loses, and the layer and the cause that matter most, as sentences."""
    quantity, change = layers.quantity, "drop" if layers.quantity.higher_is_better else "rise"
    analog = _mean(layers.analog, quantity, quantity.ends)
    said = [f"All analog, the {quantity.title} is {analog}; digital, it is {quantity.said(layers.digital)}."]
    worst = max(layers.layers, key=lambda layer: layer.drop.mean)
    said.append(
        f"The layer with the largest {change} alone is {worst.name or '(root)'}: {_change(worst.drop, quantity)}."
    )
    if causes is not None:
        cause = max(causes.causes, key=lambda one: one.drop.mean)
        said.append(f"The largest cause is {cause.name}: {_change(cause.drop, quantity)}.")
    return said


def _layers(layers: Sensitivity) -> dict[str, Any]:
    rows = [
        {
            "layer": layer.name or "(root)",
            "macs": f"{layer.macs_per_input:,}",
            "weights": f"{layer.weights:,}",
            "drop": layers.quantity.number(layer.drop.mean),
            "drop_interval": _interval(layer.drop, layers.quantity),
            "gain": layers.quantity.number(layer.gain.mean),
            "gain_interval": _interval(layer.gain, layers.quantity),
        }
        for layer in layers.layers
    ]
    setting = layers.setting
    facts = {"preset": setting.device, "name": "", "time": format_time(setting.t_s), "valid": setting.in_validity}
    return {**facts, "chips": len(layers.analog), "rows": rows}


def _causes(causes: Causes) -> list[tuple[str, str, str, str]]:
    quantity = causes.quantity
    rows = [
        (one.name, quantity.number(one.values.mean), quantity.number(one.drop.mean), _interval(one.drop, quantity))
        for one in causes.causes
    ]
    whole = ("all causes", rows[-1][1], quantity.number(causes.total.mean), _interval(causes.total, quantity))
    return [("digital", quantity.number(causes.digital), "", ""), *rows, whole]


def _curve(curve: MixedDeployment) -> list[tuple[str, ...]]:
    quantity = curve.quantity
    rows: list[tuple[str, ...]] = []
    for point in curve.points:
        name = point.layer or "(root)"
        step = {"start": "(all analog)", "back": f"back on the chip: {name}"}.get(point.kind, name)
        shares = (f"{point.analog_macs:.1f}", f"{point.analog_weights:.1f}")
        numbers = (quantity.number(point.selection.mean), quantity.number(point.report.mean))
        between = _interval(point.report, quantity, quantity.ends)
        rows.append((step, *shares, *numbers, between, "chosen" if point is curve.chosen else ""))
    return rows


def _mean(values: PerChip, quantity: Quantity, ends: tuple[float, float]) -> str:
    between = _interval(values, quantity, ends)
    return quantity.said(values.mean) + (f" (95 % interval {between})" if between else "")


def _change(values: PerChip, quantity: Quantity) -> str:
    between = _interval(values, quantity)
    unit = " points" if quantity.percent else ""
    return f"{quantity.number(values.mean)}{unit}" + (f" (95 % interval {between})" if between else "")


def _interval(values: PerChip, quantity: Quantity, ends: tuple[float, float] = (-math.inf, math.inf)) -> str:
    low, high = values.within(ends)
    return "" if math.isnan(low) else f"{quantity.number(low)} – {quantity.number(high)}"
