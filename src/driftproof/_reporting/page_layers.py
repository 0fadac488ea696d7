"""The layers of a report: how weights are placed on tiles, with digital layers of one kind in one row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from driftproof._record import LAYER_COUNTS, Conversion, Layer, count_of, total_of
from driftproof._reporting.gather import Evidence
from driftproof._shares import share_text


def conversions(evidence: Evidence) -> list[dict[str, Any]]:
    """Return the content of each table of layers; configurations with the same layers share one."""
    names: dict[str, list[str]] = {}
    found: dict[str, Conversion] = {}
    for account in evidence.accounts:
        same = account.conversion.model_dump_json()
        found[same] = account.conversion
        shown = [evidence.names[key] for key in account.configurations if key in evidence.names]
        names.setdefault(same, []).extend(name for name in shown if name not in names.get(same, []))
    return [_content(conversion, names[same]) for same, conversion in found.items()]


def _content(conversion: Conversion, names: list[str]) -> dict[str, Any]:
    layers = conversion.layers
    analog = [layer for layer in layers if layer.analog]
    weights = total_of(layers, "weights")
    return {
        "names": names,
        "conversion": conversion,
        "headings": list(LAYER_COUNTS),
        "analog": [_row([layer]) for layer in analog],
        "digital": [_row(group) for group in _alike(layer for layer in layers if not layer.analog)],
        "rows": len(layers),
        "weights": weights,
        "tiles": total_of(layers, "tiles"),
        "counts": [total_of(layers, name) for name in LAYER_COUNTS.values()],
        "analog_macs": share_text(layers),
        "weight_layers": sum(bool(layer.shape) for layer in layers),
        "clipped": total_of(layers, "clipped"),
        "analog_share": f"{100 * total_of(analog, 'weights') / weights:.1f}" if weights else "0",
        "analog_layers": len(analog),
    }


def _alike(layers: Iterable[Layer]) -> list[list[Layer]]:
    """Return digital layers as groups of the same kind and reason. A layer with counts of its own stays alone."""
    groups: dict[tuple[object, ...], list[Layer]] = {}
    for layer in layers:
        counted = any(count_of(layer, name) for name in LAYER_COUNTS.values()) or layer.unasked
        groups.setdefault((layer.kind, layer.reason, layer.name if counted else ""), []).append(layer)
    return list(groups.values())


def _row(layers: list[Layer]) -> dict[str, Any]:
    """Return a row of the table for one layer, or for several digital layers of one kind."""
    first = layers[0]
    return {
        "names": [layer.name for layer in layers],
        "kind": first.kind,
        "reason": first.reason,
        "size": _size(first) if len(layers) == 1 else "",
        "weights": total_of(layers, "weights"),
        "tiles": first.tiles or "",
        "used": "" if first.utilisation is None else f"{100 * first.utilisation:.1f}",
        "counts": [_count(layers, name) for name in LAYER_COUNTS.values()],
    }


def _count(layers: list[Layer], name: str) -> str:
    known = [count for layer in layers if (count := count_of(layer, name)) is not None]
    return f"{sum(known):,}" if known else ""


def _size(layer: Layer) -> str:
    if not layer.rows:
        return " × ".join(str(size) for size in layer.shape)
    return f"{layer.rows} × {layer.columns}" + (f" in {layer.groups} groups" if layer.groups > 1 else "")
