"""The places of every weight in a network, and which of them a mapping lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from driftproof._devices.keys import canonical_name

TABLES = (nn.Embedding, nn.EmbeddingBag)
"""torch's look-up tables."""


def join(path: str, name: str) -> str:
    """Return the name in the network of a module's parameter or child."""
    return f"{path}.{name}" if path else name


def array_name(path: str, parameter: str) -> str:
    """Return the canonical name of a weight: its layer's name if the parameter is called ``weight``.

    >>> array_name("module.fc", "weight"), array_name("rnn", "weight_hh_l0")
    ('fc', 'rnn.weight_hh_l0')
    """
    name = canonical_name(path)
    return name if parameter == "weight" else join(name, parameter)


@dataclass(frozen=True)
class Owner:
    """One parameter, and all places where the network has it.

    Attributes:
        name: Its first name in the network.
        home: The place where it is counted, (module, parameter): the first one that is not a look-up table.
        places: All places.
        table: Whether one of them is in a look-up table of torch.
    """

    name: str
    home: tuple[str, str]
    places: tuple[tuple[str, str], ...]
    table: bool


@dataclass(frozen=True)
class Place:
    """One place of a parameter that a mapping lists."""

    path: str
    module: nn.Module
    parameter: str
    weight: nn.Parameter
    owner: Owner

    @property
    def name(self) -> str:
        """Canonical name of the weight in this place."""
        return array_name(self.path, self.parameter)

    @property
    def is_home(self) -> bool:
        """Whether the parameter is counted here."""
        return (self.path, self.parameter) == self.owner.home

    @property
    def is_table(self) -> bool:
        """Whether this is a look-up table of torch."""
        return isinstance(self.module, TABLES)


def as_torch_made_it(layer: nn.Module) -> bool:
    """Return whether a call of a layer does what its class does: no hook, and no ``forward`` of this object alone."""
    hooked = layer._forward_hooks or layer._forward_pre_hooks
    return not hooked and "forward" not in vars(layer)


def count_places(module: nn.Module, network: nn.Module) -> int:
    """Return in how many places a network has a module."""
    return sum(child is module for parent in network.modules() for child in parent._modules.values())


def _parameters_of(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(module.named_parameters(recurse=False, remove_duplicate=False))


def _owners(network: nn.Module) -> dict[nn.Parameter, Owner]:
    places: dict[nn.Parameter, list[tuple[tuple[str, str], bool]]] = {}
    for path, module in network.named_modules():
        for parameter, weight in _parameters_of(module):
            places.setdefault(weight, []).append(((path, parameter), isinstance(module, TABLES)))
    return {
        weight: Owner(
            name=join(*used[0][0]),
            home=next((place for place, table in used if not table), used[0][0]),
            places=tuple(place for place, _ in used),
            table=any(table for _, table in used),
        )
        for weight, used in places.items()
    }


def listed(network: nn.Module) -> Iterator[Place]:
    """Yield the places that a mapping lists: every matrix, or a module's largest parameter if it has no matrix."""
    owners = _owners(network)
    for path, module in network.named_modules():
        parameters = [(name, p) for name, p in _parameters_of(module) if p.dim() >= 1]
        matrices = [(name, p) for name, p in parameters if p.dim() >= 2]
        if parameters and not matrices:
            matrices = [max(parameters, key=lambda pair: (pair[0] == "weight", pair[1].numel()))]
        for name, weight in matrices:
            yield Place(path, module, name, weight, owners[weight])
