"""Which weights of a network go on tiles: the one answer that conversion, evaluation and training share.

With example inputs the network is run once and every use of a weight is watched (:mod:`driftproof._calls`): a weight
that multiplies goes on tiles, whatever the layer's class. Without example inputs, only layers whose forward is torch's
are known. Biases stay digital.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from driftproof._calls import Layout
from driftproof._calls.network import plain, plain_copy
from driftproof._calls.watch import Uses, Watched, watch
from driftproof._defaults import SCALE
from driftproof._errors import DriftproofError
from driftproof._inputs import Inputs
from driftproof._keywords import checks_keywords
from driftproof._mapping.entry import LayerEntry
from driftproof._mapping.leftover import leftover_entries
from driftproof._mapping.places import TABLES, Place, listed
from driftproof._mapping.rules import array_layout, known_uses, why_digital
from driftproof._mapping.weight import MappedWeight, Scale, TileSize, map_weight
from driftproof._mapping.where import Where, choose
from driftproof._own_measures import digital_weights
from driftproof._random_state import random_state_kept
from driftproof._shares import analog_share

ALSO_MULTIPLIED = (
    "a look-up table that is multiplied by, too; give the product a layer of its own that shares the weight (an "
    "nn.Linear, head.weight = table.weight), then that goes on tiles"
)


@dataclass(frozen=True)
class Mapping:
    """The weights of a network: an entry for each, and a mapped weight for each that is on tiles.

    Attributes:
        tile: Size of the largest crossbar.
        layers: One entry per weight.
        weights: Name → the weight on its tiles.
        scale: Whether weights are relative to their tile's ``column`` or to the whole ``layer``.
        clip: Percentile of |w| that replaces the maximum; None without clipping.
    """

    tile: TileSize
    layers: tuple[LayerEntry, ...]
    weights: dict[str, MappedWeight] = field(repr=False)
    scale: Scale = SCALE
    clip: float | None = None

    @property
    def analog_macs(self) -> float | None:
        """Share of all multiply-accumulates that are computed on tiles.

        None if the network was not watched, or if some multiply-accumulates could not be counted.
        """
        return analog_share(self.layers)

    @property
    def analog_macs_with_weights(self) -> float | None:
        """The same without products of activations with activations, such as attention's, which no array computes."""
        return analog_share(self.layers, with_weights=True)


@dataclass(frozen=True)
class _Candidate:
    """One place of a weight, what is known of its uses, and whether it can go on tiles.

    Attributes:
        place: Where the network has the weight.
        use: Its uses in the network, as watched, or as the layers' classes tell; None if there are none.
        known: What the layers' classes tell.
        reason: Why it stays digital; empty if it can go on tiles.
        multiplies: Whether it is, or may be, used in a matrix multiplication.
    """

    place: Place
    use: Uses | None
    known: Uses | None
    reason: str
    multiplies: bool

    @property
    def stored(self) -> Tensor:
        """The weight as products take it: the parameter, or what the network's code makes of it."""
        return self.place.weight if self.use is None or self.use.made is None else self.use.made


@checks_keywords
@random_state_kept()
def map_model(
    model: nn.Module,
    tile: TileSize | str | int | None = None,
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
        model: Any network; it is not changed.
        tile: Size of the largest crossbar: a :class:`TileSize`, a text such as ``512x256`` (rows x columns), or a
            number for a square (default: 512 × 512).
        example: Inputs to watch the network with: which weights its code multiplies by, and how often. Without them,
            only layers whose forward is torch's are known, and nothing is counted.
        where: Layers that may go on tiles (:data:`driftproof._mapping.Where`; default: all).
        scale: Whether weights are relative to the maximum of their tile's ``column``, or of the whole ``layer``.
        clip: Percentile of |w| that replaces the maximum (default: no clipping).
        all_analog: Whether to raise an error if a weight that is used in a matrix multiplication stays digital although
            ``where`` does not exclude it (default: False).
        strict: The old name of ``all_analog``.

    Raises:
        DriftproofError: If no layer can go on tiles (the message lists the layers and reasons), if ``where`` chooses
            none, or because of ``all_analog``.

    >>> import torch
    >>> [(e.name, e.tiles, e.mvms_per_input) for e in map_model(nn.Linear(3, 2), example=torch.ones(1, 3)).layers]
    [('', 1, 1)]
    """
    network = plain(model) if example is None else plain_copy(model)  # an example runs the user's code
    return map_plain(network, tile, example, where=where, scale=scale, clip=clip, all_analog=all_analog or strict)


def map_plain(
    network: nn.Module,
    tile: TileSize | str | int | None,
    example: Inputs | None,
    *,
    where: Where | None,
    scale: Scale,
    clip: float | None,
    all_analog: bool,
) -> Mapping:
    """Return the mapping of a plain network, which :func:`map_model` explains. With an example the network is run."""
    tile = TileSize.of(tile)
    watched = watch(network, example) if example is not None else None
    known = known_uses(network)
    uses = known if watched is None else watched.uses
    candidates = _candidates(network, uses, known, watched is not None)
    left = list(leftover_entries(watched, dict(network.named_parameters())))
    wished, home_names = _wished(candidates, list(uses), where, [(entry.name, network) for entry in left])
    entries: list[LayerEntry] = []
    weights: dict[str, MappedWeight] = {}
    taken: dict[str, str] = {}  # parameter → name of its array
    for candidate in candidates:
        place, use = candidate.place, candidate.use
        entry = _entry(candidate)
        if entry.analog and home_names.get(place.owner.name, place.owner.name) not in wished:
            entry = replace(entry, analog=False, reason="digital as asked")
        entry = replace(entry, unasked=entry.unasked and entry.name in wished)
        if not place.is_home and entry.analog and place.owner.name in taken:
            array = taken[place.owner.name] or "(root)"
            entries.append(replace(entry, weights=0, reason=f"the same array as {array}"))
            continue
        if use is not None and (use.layouts or use.other_macs) and (place.is_home or not place.is_table):
            entry = _counted(entry, candidate, use, watched)
        elif entry.unasked and watched is not None and watched.left.hidden.macs:
            entry = replace(entry, macs_per_input=0)  # the row of hidden code has them
        if entry.analog:
            if entry.name in weights:
                raise DriftproofError(
                    f"two layers are called {entry.name!r} once wrappers are taken off; rename one of them"
                )
            assert use is not None
            weights[entry.name] = mapped = _mapped(candidate, use, tile, scale, clip)
            taken[place.owner.name] = entry.name
            entry = _on_tiles(entry, mapped, tile, use, watched)
        entries.append(entry)
    on_purpose = digital_weights(network)
    for entry in left:
        entry = replace(entry, unasked=entry.unasked and entry.name in wished)
        if entry.name in on_purpose:
            entry = replace(entry, unasked=False, reason="digital as the network wants it")
        listed_as = next((place for place, other in enumerate(entries) if other.name == entry.name), None)
        if listed_as is None:
            entries.append(entry)
        else:  # a vector, which is listed as it is stored
            entries[listed_as] = replace(
                entries[listed_as], reason=entry.reason, macs_per_input=entry.macs_per_input, unasked=entry.unasked
            )
    _check(entries, weights, all_analog)
    return Mapping(tile, tuple(entries), weights, scale, clip)


def _candidates(network: nn.Module, uses: dict[str, Uses], known: dict[str, Uses], watched: bool) -> list[_Candidate]:
    candidates = []
    for place in listed(network):
        use = uses.get(place.owner.name)
        why = why_digital(place.module, place.weight, use, watched, place.owner.table)
        candidates.append(_Candidate(place, use, known.get(place.owner.name), *why))
    return candidates


def _wished(
    candidates: list[_Candidate], used: list[str], where: Where | None, left: list[tuple[str, nn.Module]]
) -> tuple[set[str], dict[str, str]]:
    """Return the names of the layers that are wanted on tiles, and parameter → name of its layer.

    Args:
        candidates: All weights.
        used: Names of parameters in the order of use.
        where: The layers that the user wants.
        left: (name, module) of products that no weight of a layer is in.
    """
    homes = {c.place.owner.name: c.place for c in candidates if not c.reason and c.place.is_home}
    in_order = [homes[name] for name in used if name in homes]
    others = [c.place for c in candidates if c.reason and c.multiplies]
    chosen = choose(where, [(p.name, p.module) for p in in_order], [*((p.name, p.module) for p in others), *left])
    return chosen, {name: place.name for name, place in homes.items()}


def _entry(candidate: _Candidate) -> LayerEntry:
    """Return the entry of a weight: whether it can go on tiles, and whether it multiplies if it cannot."""
    place, reason, multiplies = candidate.place, candidate.reason, candidate.multiplies
    if not reason and place.is_table:
        reason, multiplies = "a look-up table, not a product (it keeps a digital copy of the tied weight)", False
        if place.is_home:
            reason, multiplies = ALSO_MULTIPLIED, True
    return LayerEntry(
        name=place.name,
        kind=type(place.module).__name__,
        shape=tuple(place.weight.shape),
        weights=place.weight.numel(),
        tiles=0,
        analog=not reason,
        reason=reason,
        unasked=bool(reason) and multiplies,
    )


def _mapped(candidate: _Candidate, use: Uses, tile: TileSize, scale: Scale, clip: float | None) -> MappedWeight:
    """Map a weight onto tiles, with the uses that the network makes of it."""
    place, layout = candidate.place, array_layout(use, candidate.known)
    mapped = map_weight(place.name, candidate.stored, tile, place.path, layout=layout, scale=scale, clip=clip)
    here = (place.path, place.parameter)
    return replace(
        mapped,
        made=use.made is not None,
        parameter=place.parameter,
        aliases=tuple(other for other in place.owner.places if other != here),
        modules=tuple(sorted(use.modules)),
        readers=tuple(sorted(use.readers)),
        uses=use.calls,
        both_ways=len(use.layouts) > 1,
    )


def _counted(entry: LayerEntry, candidate: _Candidate, use: Uses, watched: Watched | None) -> LayerEntry:
    """Return the entry with the size of its matrix, and with the multiply-accumulates of a forward pass."""
    others = use.other_macs / watched.samples if watched else 0.0
    if math.isnan(others):
        return replace(entry, macs_per_input=None)
    if not use.layouts:
        return replace(entry, macs_per_input=round(others))
    layout = array_layout(use, candidate.known)
    columns, rows = layout.size(tuple(candidate.stored.shape))
    entry = replace(entry, rows=rows, columns=columns, groups=layout.groups)
    if watched is None:
        return entry
    vectors = sum(_vectors(use, layout)) / watched.samples
    macs = round(vectors * rows * columns / layout.groups + others)
    return replace(entry, mvms_per_input=round(vectors), macs_per_input=macs)


def _vectors(use: Uses, layout: Layout) -> tuple[float, float]:
    """Return how many vectors drive an array with this layout from its rows and from its columns, over all samples."""
    if len(use.layouts) == 1:  # the array has this layout, whatever is known of the class
        return sum(use.vectors.values()), 0.0
    return use.vectors.get(layout, 0.0), use.vectors_back.get(layout.reverse, 0.0)


def _on_tiles(
    entry: LayerEntry, mapped: MappedWeight, tile: TileSize, use: Uses, watched: Watched | None
) -> LayerEntry:
    """Return the entry with its tiles and their converters' conversions."""
    utilisation = mapped.target.numel() / (mapped.tiles * tile.rows * tile.columns)
    entry = replace(entry, tiles=mapped.tiles, clipped=mapped.clipped, utilisation=utilisation)
    if watched is None or entry.mvms_per_input is None or not entry.columns:
        return entry
    _, back = (count / watched.samples / entry.groups for count in _vectors(use, mapped.layout))
    forward = entry.mvms_per_input / entry.groups - back
    # each tile converts its own inputs; groups on one tile are multiplied one after the other
    drives = sum(len(mapped.groups_of(part)) for part in mapped.columns)
    rows, columns = drives * mapped.target.shape[1], entry.columns * len(mapped.rows)
    dac, adc = forward * rows + back * columns, forward * columns + back * rows
    return replace(entry, dac_per_input=round(dac), adc_per_input=round(adc))


def _check(entries: list[LayerEntry], weights: dict[str, MappedWeight], all_analog: bool) -> None:
    left = [entry for entry in entries if entry.unasked]
    if all_analog and left:
        are_used, them = ("1 weight that is", "it") if len(left) == 1 else (f"{len(left)} weights that are", "them")
        raise DriftproofError(
            f"all_analog: {are_used} used in a matrix multiplication would stay digital although where= does not "
            f"exclude {them}: {'; '.join(map(str, left))}. Change the network so that an array can compute these "
            "products, or keep them digital on purpose with where="
        )
    if not weights:
        layers = "; ".join(map(str, entries)) or "no layer with weights"
        raise DriftproofError(f"nothing can go on tiles. The network has: {layers}")


def untie_tables(network: nn.Module, mapping: Mapping) -> nn.Module:
    """Give each look-up table that shares a weight with an array a digital copy of it; return the network."""
    for mapped in mapping.weights.values():
        kept: nn.Parameter | None = None
        for path, parameter in mapped.aliases:
            module = network.get_submodule(path)
            if isinstance(module, TABLES):
                weight = module._parameters[parameter]
                if kept is None and weight is not None:
                    kept = nn.Parameter(weight.detach().clone(), requires_grad=False)
                module._parameters[parameter] = kept
    return network
