"""The table of a network's layers: those on tiles with what they need, those that are digital with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from driftproof._cli.tables import plain_table, titled
from driftproof._mapping import LayerEntry
from driftproof._record import LAYER_COUNTS, total_of
from driftproof._shares import analog_share, share_text

LONGEST_KIND, UNLIMITED = 12, 10_000  # characters
SIZES = ("kind", "rows x cols", "tiles", "used %", "weights")


@dataclass
class LayerTable:
    """Every layer that has weights: one table where the terminal is wide enough, else two.

    Args:
        layers: The layers.
        title: Title of the table.
    """

    layers: Sequence[LayerEntry]
    title: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        counted = any(layer.mvms_per_input is not None for layer in self.layers)
        counts = tuple(LAYER_COUNTS) if counted else ()
        whole = self._table((*SIZES, *counts))
        width = Measurement.get(console, options.update(max_width=UNLIMITED), whole).maximum
        if width <= options.max_width or not counted:
            yield titled(self.title, whole)
        else:
            yield titled(self.title, self._table(SIZES))
            yield titled(f"{self.title}, per input", self._table(counts))
        yield from (Text(line) for line in self._reasons())
        counts_are = "are per input." if counted else "of one input are counted if --input-shape SHAPE gives its shape."
        yield Text(f"\n{self._shares()}\nMVMs, MACs, DAC and ADC conversions {counts_are}")

    def _table(self, headings: Sequence[str]) -> Table:
        """Return the table of all layers that have tiles, with some of the columns."""
        on_tiles = [layer for layer in self.layers if layer.tiles]
        lines = [_cells([layer]) | {"on tiles": layer.name or "(root)"} for layer in on_tiles]
        total = _cells(on_tiles) | {"on tiles": "total", "kind": "", "rows x cols": ""}
        columns = ("on tiles", *headings)
        rows = [[line[heading] for heading in columns] for line in (*lines, total)]
        return plain_table(columns, [*rows[:-1], None, rows[-1]], words=2 if "kind" in headings else 1)

    def _reasons(self) -> Iterable[str]:
        """Yield a line for each reason why layers have no tiles, with the names of these layers."""
        reasons: dict[tuple[bool, str], dict[str, list[str]]] = {}
        for layer in self.layers:
            if not layer.tiles:
                kinds = reasons.setdefault((layer.analog, layer.reason), {})
                kinds.setdefault(layer.kind, []).append(layer.name or "(root)")
        for (analog, reason), kinds in reasons.items():
            named = "; ".join(f"{', '.join(names)} ({kind})" for kind, names in kinds.items())
            yield f"{'' if analog or reason.startswith('digital') else 'digital: '}{reason}: {named}"

    def _shares(self) -> str:
        """Return how much of the network is analog."""
        analog = [layer for layer in self.layers if layer.analog]
        weights, total = (sum(layer.weights for layer in part) for part in (analog, self.layers))
        clipped = sum(layer.clipped for layer in analog)
        layers = sum(bool(layer.shape) for layer in self.layers)
        shares = [
            f"{len(analog)} of {layers} layers on {sum(layer.tiles for layer in analog):,} tiles",
            f"{weights:,} of {total:,} weights ({100 * weights / total:.1f} %)",
        ]
        macs, all_macs = (sum(layer.macs_per_input or 0 for layer in part) for part in (analog, self.layers))
        share, weighted = analog_share(self.layers), analog_share(self.layers, with_weights=True)
        if share is not None:
            shares.append(f"{short_number(macs)} of {short_number(all_macs)} MACs ({100 * share:.1f} %)")
            if weighted != share and weighted is not None:
                shares.append(f"{100 * weighted:.1f} % of the MACs with weights")
        elif text := share_text(self.layers):
            shares.append(text)
        if clipped:
            shares.append(f"{clipped:,} weights clipped")
        return f"analog: {', '.join(shares)}; biases are digital."


def short_number(number: int) -> str:
    """Return a number in at most five characters.

    >>> [short_number(n) for n in (0, 999, 9999, 12_345, 999_999, 40_812_544)]
    ['0', '999', '9999', '12.3k', '1.00M', '40.8M']
    """
    if number < 10_000:
        return str(number)
    scaled, units, unit = float(number), iter("kMGTPE"), ""
    while scaled >= 999.5:
        scaled, unit = scaled / 1000, next(units)
    return f"{scaled:.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f}{unit}"


def _cells(layers: Sequence[LayerEntry]) -> dict[str, str]:
    """Return the cells of one layer, or the sums over several, by the headings of their columns."""
    tiles = sum(layer.tiles for layer in layers)
    used = 100 * sum((layer.utilisation or 0.0) * layer.tiles for layer in layers) / max(tiles, 1)
    cells = {
        "tiles": f"{tiles:,}",
        "used %": "<0.1" if 0 < used < 0.05 else f"{used:.1f}",
        "weights": short_number(sum(layer.weights for layer in layers)),
    }
    for layer in layers:
        kind, groups = layer.kind, f" /{layer.groups}" if layer.groups > 1 else ""
        cells["kind"] = kind if len(kind) <= LONGEST_KIND else f"{kind[: LONGEST_KIND - 1]}…"
        cells["rows x cols"] = f"{layer.rows} x {layer.columns}{groups}"
    return cells | {heading: short_number(total_of(layers, name)) for heading, name in LAYER_COUNTS.items()}
