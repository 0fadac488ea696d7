"""Tables of a mixed deployment for a terminal of 80 columns."""

from __future__ import annotations

import math

from rich import box
from rich.markup import escape
from rich.table import Table

from driftproof.plans import Causes, MixedDeployment, PerChip, Sensitivity, Setting
from driftproof.record import Quantity
from driftproof.times import format_time


def layers_table(found: Sensitivity) -> Table:
    """Return every layer: drop when only it is analog, gain when only it is digital, with intervals."""
    table = _table(f"Layer by layer: {_where(found.setting, len(found.analog), found.n_samples)}")
    table.add_column("layer", overflow="fold")
    table.add_column("MACs", justify="right", no_wrap=True)
    for heading in ("drop", "95 % interval", "gain", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in found.layers:
        table.add_row(
            escape(layer.name or "(root)"),
            f"{layer.macs_per_input:,}",
            found.quantity.number(layer.drop.mean),
            _interval(layer.drop, found.quantity),
            found.quantity.number(layer.gain.mean),
            _interval(layer.gain, found.quantity),
        )
    said = found.quantity.said
    table.caption = (
        f"drop: only this layer analog (against all digital, {said(found.digital)}); gain: only this layer digital "
        f"(against all analog, {said(found.analog.mean)}){_outside(found.setting)}"
    )
    return table


def causes_table(found: Causes) -> Table:
    """Return the drop cause by cause, and the whole."""
    table = _table(f"The drop by cause: {_where(found.setting, len(found.total), found.n_samples)}")
    table.add_column("cause, after those above it")
    drop = "drop" if found.quantity.higher_is_better else "rise"
    for heading in (found.quantity.label, drop, "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("digital", found.quantity.number(found.digital), "", "")
    for cause in found.causes:
        table.add_row(
            cause.name,
            found.quantity.number(cause.values.mean),
            found.quantity.number(cause.drop.mean),
            _interval(cause.drop, found.quantity),
        )
    table.add_section()
    table.add_row("all", "", found.quantity.number(found.total.mean), _interval(found.total, found.quantity))
    table.caption = f"paired differences on the same chips{_outside(found.setting)}"
    return table


def curve_table(found: MixedDeployment) -> Table:
    """Return the curve: one row per set of digital layers, the chosen one marked."""
    chips = len(found.chosen.report)
    table = _table(f"From analog to digital: {_where(found.setting, chips, found.report_samples)}")
    table.add_column("one more digital", overflow="fold")
    for heading in ("analog\nMACs %", "analog\nweights %", "chosen\non", f"{found.quantity.label}", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in found.points:
        name = escape(point.layer or "(root)")
        start = {"start": "(all analog)", "back": f"back on the chip: {name}"}.get(point.kind, name)
        table.add_row(
            start + (" *" if point is found.chosen else ""),
            f"{point.analog_macs:.1f}",
            f"{point.analog_weights:.1f}",
            found.quantity.number(point.selection.mean),
            found.quantity.number(point.report.mean),
            _interval(point.report, found.quantity, found.quantity.ends),
        )
    table.caption = (
        f"* chosen for {found.quantity.said(found.target)}; 'chosen on': {len(found.chosen.selection)} other chips and "
        f"{found.choose_samples:,} other samples{_outside(found.setting)}"
    )
    return table


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _where(setting: Setting, chips: int, samples: int) -> str:
    plural = "s" if chips != 1 else ""
    return f"{setting.device} at {format_time(setting.t_s)}, {chips} chip{plural}, {samples:,} samples"


def _outside(setting: Setting) -> str:
    return "" if setting.in_validity else "; outside the device's range of validity"


def _interval(values: PerChip, quantity: Quantity, ends: tuple[float, float] = (-math.inf, math.inf)) -> str:
    low, high = values.within(ends)
    return "" if low != low else f"{quantity.number(low)} to {quantity.number(high)}"
