"""The table of a network's layers: what is on tiles and what that costs, what is digital and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from driftproof.cli.tables import plain_table
from driftproof.mapping import LayerEntry
from driftproof.record import LAYER_COUNTS, total_of

_KIND, _UNLIMITED = 12, 10_000  # characters


def layer_table(layers: Sequence[LayerEntry], title: str) -> LayerTable:
    """Return every weight-bearing layer: on how many tiles and what that costs, or why it is digital."""
    return LayerTable(layers, title)


class LayerTable:
    """Every weight-bearing layer: as one table where the terminal is wide enough for it, else as two."""

    def __init__(self, layers: Sequence[LayerEntry], title: str) -> None:
        self.layers, self.title = layers, title
        self.counted = any(layer.mvms_per_input is not None for layer in layers)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._table(self.title, sizes=True, counts=self.counted)
        natural = Measurement.get(console, options.update(max_width=_UNLIMITED), whole).maximum
        if not self.counted or natural <= options.max_width:
            yield whole
        else:
            yield self._table(self.title, sizes=True)
            yield self._table(f"{self.title}, per input", counts=True)
        yield from (Text(line) for line in self._elsewhere())
        yield Text()
        yield Text(self._shares())

    def _table(self, title: str, *, sizes: bool = False, counts: bool = False) -> Table:
        table = plain_table(title)
        table.padding = (0, 1, 0, 0)
        table.add_column("on tiles", overflow="fold")
        if sizes:
            table.add_column("kind", overflow="ellipsis", no_wrap=True, max_width=_KIND)
        for heading in ((*("rows x cols", "tiles", "used %", "weights"),) if sizes else ()) + (
            tuple(LAYER_COUNTS) if counts else ()
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        own = [layer for layer in self.layers if layer.tiles]
        for layer in own:
            groups = f" /{layer.groups}" if layer.groups > 1 else ""
            name = escape(layer.name or "(root)")
            table.add_row(
                name,
                *((layer.kind, f"{layer.rows} x {layer.columns}{groups}", *_sizes([layer])) if sizes else ()),
                *(_counts([layer]) if counts else ()),
            )
        table.add_section()
        table.add_row("total", *(("", "", *_sizes(own)) if sizes else ()), *(_counts(own) if counts else ()))
        return table

    def _elsewhere(self) -> Iterable[str]:
        """Yield one line for each reason why layers have no tiles of their own, with those layers."""
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
        said = [
            f"{len(analog)} of {len(self.layers)} layers on {sum(layer.tiles for layer in analog):,} tiles",
            f"{weights:,} of {total:,} weights ({100 * weights / total:.1f} %)",
        ]
        macs, whole = (sum(layer.macs_per_input or 0 for layer in part) for part in (analog, self.layers))
        if whole:
            said.append(f"{short_number(macs)} of {short_number(whole)} MACs ({100 * macs / whole:.1f} %)")
        if clipped := sum(layer.clipped for layer in analog):
            said.append(f"{clipped:,} weights clipped")
        if self.counted:
            after = "MVMs, MACs, DAC and ADC conversions are per input"
        else:
            after = "MVMs, MACs and conversions are counted where the shape of an input is known: --input-shape"
        return f"analog: {', '.join(said)}; biases are digital. {after}"


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


def _sizes(layers: Sequence[LayerEntry]) -> tuple[str, str, str]:
    """Return tiles, share of their devices that is used, and weights, over some layers."""
    tiles = sum(layer.tiles for layer in layers)
    used = 100 * sum((layer.utilisation or 0.0) * layer.tiles for layer in layers) / max(tiles, 1)
    share = "<0.1" if 0 < used < 0.05 else f"{used:.1f}"
    return f"{tiles:,}", share, short_number(sum(layer.weights for layer in layers))


def _counts(layers: Sequence[LayerEntry]) -> list[str]:
    """Return what one sample needs, summed over some layers."""
    return [short_number(total_of(layers, name)) for name in LAYER_COUNTS.values()]
