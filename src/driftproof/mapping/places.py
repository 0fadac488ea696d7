"""Where a network has its weights: the places of every parameter, and which of them a mapping lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


def _own(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return a module's own parameters by name."""
    return list(module.named_parameters(recurse=False, remove_duplicate=False))


@dataclass
class Owner:
    """All places of one parameter: its first name, where it is counted, and whether torch's look-up tables have it."""

    name: str
    home: tuple[str, str]
    places: list[tuple[str, str]]
    table: bool = False


def owners_of(network: nn.Module) -> dict[int, Owner]:
    """Return the places of every parameter; a look-up table is not its home if a layer shares it."""
    found: dict[int, Owner] = {}
    tables = set()
    seen: set[int] = set()
    for path, module in network.named_modules(remove_duplicate=False):
        repeated = id(module) in seen
        seen.add(id(module))
        for parameter, weight in _own(module):
            place = (path, parameter)
            table = isinstance(module, nn.Embedding | nn.EmbeddingBag)
            owner = found.get(id(weight))
            if owner is None:
                found[id(weight)] = Owner(f"{path}.{parameter}" if path else parameter, place, [place])
                if table:
                    tables.add(id(weight))
            elif not repeated:
                owner.places.append(place)
                if id(weight) in tables and not table:
                    owner.home = place
                    tables.discard(id(weight))
            found[id(weight)].table |= table
    return found


def listed(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Parameter]]:
    """Yield what is listed: every matrix, or a module's largest parameter if it has no matrix."""
    for path, module in network.named_modules():
        own = [(name, p) for name, p in _own(module) if p.dim() >= 1]
        found = [(name, p) for name, p in own if p.dim() >= 2]
        if not found and own:
            found = [next(((n, p) for n, p in own if n == "weight"), max(own, key=lambda item: item[1].numel()))]
        for name, parameter in found:
            yield path, module, name, parameter
