"""The weights that noise is put on: exactly those that mapping puts on tiles, held perturbed and given back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Dictionary
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from driftproof.calls.network import unwrap
from driftproof.errors import DriftproofError, warn
from driftproof.inputs import Inputs
from driftproof.mapping import MappedWeight, Mapping, MappingOptions, unasked_text
from driftproof.mapping.network import array_name
from driftproof.training.random_state import random_state_kept

OnTiles = MappingOptions
"""Which weights will be on tiles and how: what an evaluation of the trained network will be given."""


@dataclass
class AnalogWeights:
    """The parameters of one network that lie on tiles.

    Made by :meth:`of`. Weights that the network's code makes anew of a parameter at every call (weight norm, spectral
    norm, standardised or quantised weights) are refused by name: a perturbation of the parameter would be another
    noise than that of the array.

    Attributes:
        network: the network, out of its wrappers.
        mapping: its weights as they were mapped first; numbers change, places do not.
        parameters: array name → the parameter that it holds, in the network's order.

    >>> net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    >>> weights = AnalogWeights.of(net, torch.ones(4, 3))
    >>> list(weights.parameters)
    ['0']
    >>> before = net[0].weight.clone()
    >>> with weights.holding({"0": torch.zeros(2, 3)}):
    ...     bool(net[0].weight.any())
    False
    >>> torch.equal(before, net[0].weight)
    True
    """

    network: nn.Module
    mapping: Mapping
    parameters: dict[str, nn.Parameter]
    held: bool = False
    _places: dict[str, list[tuple[nn.Module, str]]] = field(default_factory=dict, repr=False)
    _saved: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(model: nn.Module, example: Inputs, on_tiles: OnTiles | None = None) -> AnalogWeights:
        """Find a network's analog weights by watching it on a few inputs; the network is as before afterwards.

        Raises:
            DriftproofError: a network on tiles already; nothing that can go on tiles; a weight that is made anew at
                every call.
        """
        network, asked = unwrap(model), on_tiles or OnTiles()
        check_digital(network)
        modes = {module: module.training for module in network.modules()}
        network.eval()
        try:
            with random_state_kept():
                mapping = asked.map(network, example)
        finally:
            for module, training in modes.items():
                module.training = training
        if text := unasked_text(mapping):
            warn(text)
        places = {
            array_name(path, name): parameter
            for path, module in network.named_modules()
            for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        }
        made = [name for name, mapped in mapping.weights.items() if mapped.made or name not in places]
        if made:
            raise DriftproofError(
                f"the weights of {', '.join(name or '(root)' for name in made)} are made anew at every call (weight "
                "norm, spectral norm, pruning, quantisation, ...), so noise of their parameters is not noise of their "
                "arrays; make them plain first, such as with torch.nn.utils.parametrize.remove_parametrizations, or "
                "leave them digital with where="
            )
        parameters = {name: places[name] for name in mapping.weights}
        return AnalogWeights(network, mapping, parameters, _places=_places_of(network, parameters))

    def check_current(self) -> None:
        """Raise DriftproofError if the network has other parameters by now: noise on the old ones would be lost."""
        for name, places in self._places.items():
            if any(module._parameters.get(place) is not self.parameters[name] for module, place in places):
                raise DriftproofError(
                    f"layer {name or '(root)'} has another parameter than when the method was prepared (as after "
                    "load_state_dict(assign=True) or pruning): call method.prepare(model, example) again"
                )

    @torch.no_grad()
    def mapped(self) -> Mapping:
        """Return the mapping of the weights as they are now: their tiles' columns have other maxima after a step."""
        old = self.mapping
        return replace(old, weights={name: self._mapped(name, mapped, old) for name, mapped in old.weights.items()})

    def _mapped(self, name: str, before: MappedWeight, mapping: Mapping) -> MappedWeight:
        return before.renewed(self.parameters[name], mapping.scale, mapping.clip)

    @contextmanager
    def holding(self, values: Dictionary[str, Tensor]) -> Iterator[None]:
        """Hold other numbers inside, and the weights as they were afterwards, bit for bit, whatever happens inside.

        Look-up tables that share a weight with an array work with the clean one, as on a chip they have a digital copy.

        Args:
            values: array name → weights in the parameter's shape; the others stay.
        """
        if self.held:
            raise RuntimeError("the weights are perturbed already")
        with torch.no_grad():
            for name in values:
                saved, parameter = self._saved.get(name), self.parameters[name]
                if saved is None or not _alike(saved, parameter):
                    self._saved[name] = parameter.detach().clone()
                else:
                    saved.copy_(parameter)
        self.held = True
        try:
            with torch.no_grad():
                for name, value in values.items():
                    self.parameters[name].copy_(value)
            self._give_tables_clean_weights(values)
            # autocast keeps half-precision copies of weights until its outermost end: they would hide the new numbers
            torch.clear_autocast_cache()
            yield
        finally:
            with torch.no_grad():
                for name in values:
                    self.parameters[name].copy_(self._saved[name])
            for name in values:
                for module, place in self._tables(name):
                    module._parameters[place] = self.parameters[name]
            torch.clear_autocast_cache()
            self.held = False

    def _tables(self, name: str) -> list[tuple[nn.Module, str]]:
        return [place for place in self._places.get(name, []) if isinstance(place[0], nn.Embedding | nn.EmbeddingBag)]

    def _give_tables_clean_weights(self, names: Iterable[str]) -> None:
        for name in names:
            parameter, clean = self.parameters[name], self._saved[name]
            for module, place in self._tables(name):
                with torch.enable_grad():  # the clean numbers, and their gradient to the shared parameter
                    table = clean + (parameter - parameter.detach()) if parameter.requires_grad else clean
                module._parameters[place] = table  # type: ignore[assignment]  # a result, for as long as this holds

    @torch.no_grad()
    def realised(self, values: Dictionary[str, Tensor]) -> dict[str, float]:
        """Return the noise that some values will be: layer → root mean square of error / maximum of its tile's column.

        As the parameter's type holds them: noise that bfloat16 rounds away is none.
        """
        found = {}
        for name, value in values.items():
            before = self.parameters[name]
            mapped = self._mapped(name, self.mapping.weights[name], self.mapping)
            relative = mapped.layout.matrix((value.to(before.dtype) - before).float()).contiguous()
            for split, rows in enumerate(mapped.rows):
                largest = mapped.scale[split, :, None]
                relative[:, rows] = torch.where(largest > 0, relative[:, rows] / largest, 0.0)
            found[name] = float(relative.square().mean().sqrt())
        return found

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients that the analog weights have now; frozen and unused ones have none."""
        return {name: p.grad for name, p in self.parameters.items() if p.grad is not None}


def check_digital(network: nn.Module) -> None:
    """Raise DriftproofError for a network on tiles: noise on its digital weights would be ignored there."""
    for path, module in network.named_modules():
        home = type(module).__module__
        if home.startswith(("aihwkit.", "driftproof.conversion")):
            raise DriftproofError(
                f"{path or 'the network'} is a {type(module).__name__}, on analog tiles: train the digital network "
                "(the noise is drawn from the same device), then convert it"
            )


def norm(tensors: Dictionary[str, Tensor]) -> Tensor:
    """Return the Euclidean norm of several tensors together, a scalar."""
    if not tensors:
        return torch.zeros(())
    sizes = [torch.linalg.vector_norm(wide(tensor)) for tensor in tensors.values()]
    size: Tensor = torch.linalg.vector_norm(torch.stack([part.to(sizes[0].device) for part in sizes]))
    return size


def wide(tensor: Tensor) -> Tensor:
    """Return numbers in at least single precision: sums of squares overflow and vanish in half."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.device == b.device


def _places_of(network: nn.Module, parameters: Dictionary[str, nn.Parameter]) -> dict[str, list[tuple[nn.Module, str]]]:
    """Return every place of some parameters in a network, tied ones have several: name → (module, name in it)."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    found: dict[str, list[tuple[nn.Module, str]]] = {name: [] for name in parameters}
    for module in network.modules():
        for place, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if id(parameter) in names:
                found[names[id(parameter)]].append((module, place))
    return found
