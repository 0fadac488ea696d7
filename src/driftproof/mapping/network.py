"""Which weights of a network go on tiles: the one answer that conversion, evaluation and training share.

With example inputs the network is run once and every weight is seen at work (:mod:`driftproof.calls`): a weight that
multiplies goes on tiles, whatever the layer's class. Without, only layers whose forward is torch's own are known.
Biases stay digital.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import nn

from driftproof.calls import Layout
from driftproof.calls.network import plain
from driftproof.calls.watch import Uses, Watched, watch
from driftproof.defaults import SCALE
from driftproof.devices.keys import canonical_name
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs
from driftproof.keywords import checks_keywords
from driftproof.mapping.places import Owner, listed, owners_of
from driftproof.mapping.rules import array_layout, known_uses, why_digital
from driftproof.mapping.weight import MappedWeight, Scale, TileSize, map_weight
from driftproof.mapping.where import Where, choose

ALSO_MULTIPLIED = (
    "a look-up table that is multiplied by, too; give the product a layer of its own that shares the weight (an "
    "nn.Linear, head.weight = table.weight), then that goes on tiles"
)


@dataclass(frozen=True)
class LayerEntry:
    """What happened to one weight: on tiles, or digital and why.

    Attributes:
        name: canonical name of its layer; of the parameter if it is not called ``weight``.
        kind: class of the layer.
        shape: of the stored weight.
        weights: how many.
        tiles: how many; 0 if digital, or on another layer's array.
        analog: whether its products are computed on tiles.
        reason: why it is digital, or whose array it uses.
        mvms_per_input: vectors that the array multiplies per sample; None if the network was not watched.
        rows: inputs of the array (of one group).
        columns: outputs of the array.
        groups: of a grouped convolution.
        utilisation: used devices / devices of its tiles.
        macs_per_input: multiply-accumulates per sample, of digital products too; None if they could not be counted.
        dac_per_input: DAC conversions per sample.
        adc_per_input: ADC conversions per sample.
        unasked: digital, although it multiplies (or may) and nobody asked for it.
        more: further counts per sample by name, for the columns of :data:`driftproof.record.LAYER_COUNTS`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    tiles: int
    analog: bool
    reason: str
    mvms_per_input: int | None = None
    rows: int | None = None
    columns: int | None = None
    groups: int = 1
    utilisation: float | None = None
    macs_per_input: int | None = None
    dac_per_input: int | None = None
    adc_per_input: int | None = None
    clipped: int = 0
    unasked: bool = False
    more: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Mapping:
    """A network's weights: each as an entry, and those on tiles as they are there."""

    tile: TileSize
    layers: tuple[LayerEntry, ...]
    weights: dict[str, MappedWeight] = field(repr=False)
    scale: Scale = SCALE
    clip: float | None = None

    @property
    def analog_macs(self) -> float | None:
        """Share of the multiply-accumulates that are computed on tiles.

        None if the network was not watched, or something multiplies digitally unasked that cannot be counted.
        """
        if any(entry.unasked and entry.macs_per_input is None for entry in self.layers):
            return None
        total = sum(entry.macs_per_input or 0 for entry in self.layers)
        return sum(entry.macs_per_input or 0 for entry in self.layers if entry.analog) / total if total else None


@checks_keywords
def map_model(
    model: nn.Module,
    tile: TileSize | None = None,
    example: Inputs | None = None,
    *,
    where: Where | None = None,
    scale: Scale = SCALE,
    clip: float | None = None,
    all_analog: bool = False,
    strict: bool = False,
) -> Mapping:
    """Decide for every weight of a network whether it goes on tiles, and map those that do.

    Args:
        model: any network; it is not changed.
        tile: largest crossbar.
        example: inputs to watch the network with: what its own code multiplies by which weight, and how often. Without
            them only layers whose forward is torch's own are known, and nothing is counted.
        where: which layers (:data:`driftproof.mapping.Where`); all unless said.
        scale: each tile's ``column`` relative to its own maximum, or the whole ``layer`` to its largest weight.
        clip: percentile of |w| that takes the maximum's place.
        all_analog: fail if a weight that multiplies stays digital unasked.
        strict: the old name of ``all_analog``.

    Raises:
        DriftproofError: no layer can go on tiles (the message lists what was seen), or is chosen; or ``all_analog``.

    >>> import torch
    >>> [(e.name, e.tiles, e.mvms_per_input) for e in map_model(nn.Linear(3, 2), example=torch.ones(1, 3)).layers]
    [('', 1, 1)]
    """
    network = plain(model)
    tile = tile or TileSize()
    watched = watch(network, example) if example is not None else None
    known = known_uses(network)
    uses = known if watched is None else watched.uses
    owners = owners_of(network)
    wished, seen = _wished(network, uses, owners, where, watched is not None)
    entries: list[LayerEntry] = []
    weights: dict[str, MappedWeight] = {}
    taken: dict[str, str] = {}  # parameter → name of its array
    for path, module, parameter, weight in listed(network):
        primary, first = owners[id(weight)], (path, parameter) == owners[id(weight)].home
        use = uses.get(primary.name)
        reason, multiplies = why_digital(module, weight, use, watched is not None, primary.table)
        table = isinstance(module, nn.Embedding | nn.EmbeddingBag)
        if not reason and table:
            reason, multiplies = "a look-up table, not a product (it keeps a digital copy of the tied weight)", False
            if first:
                reason, multiplies = ALSO_MULTIPLIED, True
        name = array_name(path, parameter)
        unasked = bool(reason) and multiplies and name in wished
        if not reason and seen[primary.name] not in wished:
            reason, unasked = "digital as asked", False
        entry = LayerEntry(
            name=name,
            kind=type(module).__name__,
            shape=tuple(weight.shape),
            weights=weight.numel(),
            tiles=0,
            analog=not reason,
            reason=reason,
            unasked=unasked,
        )
        if not first and not reason and primary.name in taken:
            entries.append(replace(entry, weights=0, reason=f"the same array as {taken[primary.name] or '(root)'}"))
            continue
        if use is not None and (use.layouts or use.other_macs) and (first or not table):
            entry = _counted(entry, weight, use, known.get(primary.name), watched)
        if not reason:
            if name in weights:
                raise DriftproofError(f"two layers are called {name!r} once wrappers are taken off; rename one of them")
            assert use is not None
            layout = array_layout(use, known.get(primary.name))
            stored = weight if use.made is None else use.made
            weights[name] = mapped = replace(
                map_weight(name, stored, tile, path, layout=layout, scale=scale, clip=clip),
                made=use.made is not None,
                parameter=parameter,
                aliases=tuple(place for place in primary.places if place != (path, parameter)),
                modules=tuple(sorted(use.modules)),
                readers=tuple(sorted(use.readers)),
                uses=use.calls,
                both_ways=len(use.layouts) > 1,
            )
            taken[primary.name] = name
            entry = _on_tiles(entry, mapped, tile, use, watched)
        entries.append(entry)
    _check(entries, weights, all_analog or strict)
    return Mapping(tile, tuple(entries), weights, scale, clip)


def array_name(path: str, parameter: str) -> str:
    """Return the canonical name of a weight: its layer's if it is called ``weight``.

    >>> array_name("module.fc", "weight"), array_name("rnn", "weight_hh_l0")
    ('fc', 'rnn.weight_hh_l0')
    """
    name = canonical_name(path)
    if parameter == "weight":
        return name
    return f"{name}.{parameter}" if name else parameter


def _wished(
    network: nn.Module, uses: dict[str, Uses], owners: dict[int, Owner], where: Where | None, watched: bool
) -> tuple[set[str], dict[str, str]]:
    """Return the names of the layers that are to be on tiles, and parameter → such a name, in order of use."""
    possible: dict[str, tuple[str, nn.Module]] = {}
    others: list[tuple[str, nn.Module]] = []
    for path, module, parameter, weight in listed(network):
        owner = owners[id(weight)]
        name = array_name(path, parameter)
        reason, multiplies = why_digital(module, weight, uses.get(owner.name), watched, owner.table)
        if reason and multiplies:
            others.append((name, module))
        elif not reason and (path, parameter) == owner.home:
            possible[owner.name] = (name, module)
    order = [name for name in uses if name in possible]
    return (
        choose(where, [possible[name] for name in order], others),
        {name: possible.get(name, (name, network))[0] for name in [*possible, *(o.name for o in owners.values())]},
    )


def _counted(
    entry: LayerEntry, weight: nn.Parameter, use: Uses, known: Uses | None, watched: Watched | None
) -> LayerEntry:
    """Return the entry with the size of its matrix and what a forward pass multiplies, in whatever form."""
    others = use.other_macs / watched.samples if watched else 0.0
    if not use.layouts:
        return replace(entry, macs_per_input=round(others))
    layout = array_layout(use, known)
    columns, rows = layout.size(tuple(weight.shape if use.made is None else use.made.shape))
    entry = replace(entry, rows=rows, columns=columns, groups=layout.groups)
    if watched is None:
        return entry
    vectors = sum(_vectors(use, layout)) / watched.samples
    macs = round(vectors * rows * columns / layout.groups + others)
    return replace(entry, mvms_per_input=round(vectors), macs_per_input=macs)


def _vectors(use: Uses, layout: Layout) -> tuple[float, float]:
    """Return how many vectors drive an array with a layout from its rows and from its columns, over all samples."""
    if len(use.layouts) == 1:  # the one way is its array's, whatever is known of the class
        return sum(use.vectors.values()), 0.0
    return use.vectors.get(layout, 0.0), use.vectors_back.get(layout.reverse, 0.0)


def _on_tiles(
    entry: LayerEntry, mapped: MappedWeight, tile: TileSize, use: Uses, watched: Watched | None
) -> LayerEntry:
    """Return the entry with its tiles and the conversions at their edges."""
    entry = replace(
        entry,
        tiles=mapped.tiles,
        clipped=mapped.clipped,
        utilisation=mapped.target.numel() / (mapped.tiles * tile.rows * tile.columns),
    )
    if watched is None or entry.mvms_per_input is None or not entry.columns:
        return entry
    _, back = (count / watched.samples / entry.groups for count in _vectors(use, mapped.layout))
    forward = entry.mvms_per_input / entry.groups - back
    # each tile converts its own inputs; groups on one tile are multiplied one after the other
    drives = sum(len(mapped.groups_of(part)) for part in mapped.columns)
    rows, columns = drives * mapped.target.shape[1], entry.columns * len(mapped.rows)
    return replace(
        entry,
        dac_per_input=round(forward * rows + back * columns),
        adc_per_input=round(forward * columns + back * rows),
    )


def _check(entries: list[LayerEntry], weights: dict[str, MappedWeight], all_analog: bool) -> None:
    left = [entry for entry in entries if entry.unasked]
    if all_analog and left:
        reasons = "; ".join(f"{entry.name or '(root)'} ({entry.kind}): {entry.reason}" for entry in left)
        what = "1 weight that multiplies" if len(left) == 1 else f"{len(left)} weights that multiply"
        raise DriftproofError(
            f"all_analog: {what} would stay digital: {reasons}. Change the network so that "
            "an array can compute these products, or keep them digital on purpose with where="
        )
    if not weights:
        seen = "; ".join(f"{e.name or '(root)'} {e.kind}: {e.reason}" for e in entries) or "no layer with weights"
        raise DriftproofError(f"nothing can go on tiles. Seen: {seen}")


def untie_tables(network: nn.Module, mapping: Mapping) -> nn.Module:
    """Give look-up tables that share a weight with an array a digital copy of it, and return the network."""
    for mapped in mapping.weights.values():
        kept: nn.Parameter | None = None
        for path, parameter in mapped.aliases:
            module = network.get_submodule(path)
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                weight = module._parameters[parameter]
                if kept is None and weight is not None:
                    kept = nn.Parameter(weight.detach().clone(), requires_grad=False)
                module._parameters[parameter] = kept
    return network
