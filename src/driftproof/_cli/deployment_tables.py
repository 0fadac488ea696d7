"""Tables of a sensitivity, its causes and a mixed deployment for a terminal of 80 columns."""

from __future__ import annotations

import math

from rich.console import Group

from driftproof._cli.tables import plain_table, titled
from driftproof._record import Quantity
from driftproof._reporting.statistics import PRELIMINARY_BELOW
from driftproof.plans._causes import Causes
from driftproof.plans._measure import Setting
from driftproof.plans._mixed_deployment import MixedDeployment
from driftproof.plans._per_chip import PerChip
from driftproof.plans._sensitivity import Sensitivity
from driftproof.times import format_time

INTERVAL = "95 % interval"


def layers_table(measured: Sensitivity) -> Group:
    """Return the drop with only one layer analog and the gain with only one layer digital, for every layer."""
    quantity = measured.quantity
    rows = [
        (
            layer.name or "(root)",
            f"{layer.macs_per_input:,}",
            *(cell for change in (layer.drop, layer.gain) for cell in _change(change, quantity)),
        )
        for layer in measured.layers
    ]
    return titled(
        f"Layer by layer: {_where(measured.setting, len(measured.analog), measured.n_samples)}",
        plain_table(("layer", "MACs", "drop", INTERVAL, "gain", INTERVAL), rows),
        f"drop: only this layer is analog, compared with all digital ({quantity.said(measured.digital)})",
        f"gain: only this layer is digital, compared with all analog ({quantity.said(measured.analog.mean)})",
        _preliminary(measured.analog),
        _outside(measured.setting),
    )


def causes_table(measured: Causes) -> Group:
    """Return the drop that every cause adds, and the drop of all causes together."""
    quantity = measured.quantity
    rows = [
        (cause.name, quantity.number(cause.values.mean), *_change(cause.drop, quantity)) for cause in measured.causes
    ]
    digital = ("digital", quantity.number(measured.digital), "", "")
    drop = "drop" if quantity.higher_is_better else "rise"
    return titled(
        f"The {drop} by cause: {_where(measured.setting, len(measured.total), measured.n_samples)}",
        plain_table(
            ("cause, added to those above", quantity.label, drop, INTERVAL),
            [digital, *rows, None, ("all", "", *_change(measured.total, quantity))],
        ),
        f"{drop}: paired differences on the same chips",
        _preliminary(measured.total),
        _outside(measured.setting),
    )


def curve_table(deployment: MixedDeployment) -> Group:
    """Return the curve from all analog to all digital, a row per set of digital layers; the chosen set is marked."""
    quantity, chosen, rows = deployment.quantity, deployment.chosen, []
    for point in deployment.points:
        name = point.layer or "(root)"
        step = {"start": "(all analog)", "back": f"back on the chip: {name}"}.get(point.kind, name)
        numbers = (quantity.number(point.selection.mean), quantity.number(point.report.mean))
        shares = (f"{point.analog_macs:.1f}", f"{point.analog_weights:.1f}")
        interval = _interval(point.report, quantity, quantity.ends)
        rows.append((step + (" *" if point is chosen else ""), *shares, *numbers, interval))
    return titled(
        f"From analog to digital: {_where(deployment.setting, len(chosen.report), deployment.report_samples)}",
        plain_table(
            ("one more digital", "analog\nMACs %", "analog\nweights %", "chosen\non", quantity.label, INTERVAL), rows
        ),
        f"* chosen to keep {quantity.said(deployment.target)}",
        f"chosen on: {len(chosen.selection)} other chips and {deployment.choose_samples:,} other samples",
        _preliminary(chosen.report),
        _outside(deployment.setting),
        f"\n{deployment.verdict()}",
    )


def _where(setting: Setting, chips: int, samples: int) -> str:
    plural = "s" if chips != 1 else ""
    return f"{setting.device} at {format_time(setting.t_s)}, {chips} chip{plural}, {samples:,} samples"


def _outside(setting: Setting) -> str:
    return "" if setting.in_validity else "The time is outside the device's range of validity."


def _preliminary(values: PerChip) -> str:
    return f"preliminary: fewer than {PRELIMINARY_BELOW} chips" if len(values) < PRELIMINARY_BELOW else ""


def _change(values: PerChip, quantity: Quantity) -> tuple[str, str]:
    return quantity.number(values.mean), _interval(values, quantity, (-math.inf, math.inf))


def _interval(values: PerChip, quantity: Quantity, ends: tuple[float, float]) -> str:
    low, high = values.within(ends)
    return "" if math.isnan(low) else f"{quantity.number(low)} to {quantity.number(high)}"
