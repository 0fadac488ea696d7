"""The weights that noise perturbs: exactly those that mapping puts on tiles."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Dictionary
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from driftproof._calls.analog import check_digital
from driftproof._calls.network import unwrap
from driftproof._errors import DriftproofError, warn
from driftproof._inputs import Inputs
from driftproof._mapping import MappedWeight, Mapping, MappingOptions, unasked_text
from driftproof._mapping.places import array_name

OnTiles = MappingOptions
"""Which weights will be on tiles, and how: give an evaluation of the trained network the same."""


@dataclass
class AnalogWeights:
    """The parameters of one network that lie on tiles.

    It is made by :meth:`of`. Weights that the network's code computes from a parameter at every call (weight norm,
    spectral norm, standardised or quantised weights) are refused by name: noise of the parameter would differ from
    noise of the array.

    Attributes:
        network: Network without its wrappers.
        mapping: Mapping of its weights at the beginning; the weights change in training, their places on tiles do not.
        parameters: Array name → parameter that the array holds, in the network's order.
        held: Whether the weights are perturbed at present.

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
    """Array name → every place of its parameter (several if it is tied): a module, and the name in it."""

    @staticmethod
    def of(model: nn.Module, example: Inputs, on_tiles: OnTiles | None = None) -> AnalogWeights:
        """Return the analog weights of a network. It is watched on a few inputs, and afterwards it is as before.

        Raises:
            DriftproofError: A network that is on tiles; no weight that can go on tiles; a weight that is computed at
                every call.
        """
        network, asked = unwrap(model), on_tiles or OnTiles()
        check_digital(network)
        mapping = asked.map(network, example)  # it watches a copy
        if text := unasked_text(mapping):
            warn(text)
        places = [
            (array_name(path, name), parameter, (module, name))
            for path, module in network.named_modules()
            for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
        ]
        by_name = {name: parameter for name, parameter, _ in places}
        made = [name for name, mapped in mapping.weights.items() if mapped.made or name not in by_name]
        if made:
            raise DriftproofError(
                f"the weights of {', '.join(name or '(root)' for name in made)} are computed at every call (weight "
                "norm, spectral norm, pruning, quantisation, ...), so noise of their parameters is not noise of their "
                "arrays; make them plain first, such as with torch.nn.utils.parametrize.remove_parametrizations, or "
                "leave them digital with where="
            )
        parameters = {name: by_name[name] for name in mapping.weights}
        tied = {name: [place for _, other, place in places if other is mine] for name, mine in parameters.items()}
        return AnalogWeights(network, mapping, parameters, _places=tied)

    def check_current(self) -> None:
        """Raise DriftproofError if the network has other parameters now: noise on the old ones would have no effect."""
        for name, places in self._places.items():
            if any(module._parameters.get(place) is not self.parameters[name] for module, place in places):
                raise DriftproofError(
                    f"layer {name or '(root)'} has another parameter than when the method was prepared (as after "
                    "load_state_dict(assign=True) or pruning): call method.prepare(model, example) again"
                )

    @torch.no_grad()
    def mapped(self) -> Mapping:
        """Return the mapping of the present weights: after a step the columns of their tiles have other maxima."""
        old = self.mapping
        return replace(old, weights={name: self._mapped(name, mapped, old) for name, mapped in old.weights.items()})

    def _mapped(self, name: str, before: MappedWeight, mapping: Mapping) -> MappedWeight:
        return before.renewed(self.parameters[name], mapping.scale, mapping.clip)

    @contextmanager
    def holding(self, values: Dictionary[str, Tensor]) -> Iterator[None]:
        """Give the weights other values inside, and restore them afterwards, bit for bit, even after a failure.

        Look-up tables that share a weight with an array use the clean weight, as they have a digital copy on a chip.

        Args:
            values: Array name → weights in the parameter's shape; the other weights stay.
        """
        if self.held:
            raise RuntimeError("the weights are perturbed already")
        clean = {name: self.parameters[name].detach().clone() for name in values}
        tables = [
            (name, module, place)
            for name in values
            for module, place in self._places.get(name, [])
            if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        ]
        self.held = True
        try:
            self._write(values)
            for name, module, place in tables:
                parameter = self.parameters[name]
                with torch.enable_grad():  # the clean numbers, and their gradient to the shared parameter
                    table = clean[name] + (parameter - parameter.detach()) if parameter.requires_grad else clean[name]
                module._parameters[place] = table  # type: ignore[assignment]  # a result, until the end of the context
            yield
        finally:
            self._write(clean)
            for name, module, place in tables:
                module._parameters[place] = self.parameters[name]
            self.held = False

    @torch.no_grad()
    def _write(self, values: Dictionary[str, Tensor]) -> None:
        for name, value in values.items():
            self.parameters[name].copy_(value)
        # autocast keeps half-precision copies of weights until its outermost end: they would hide the new numbers
        torch.clear_autocast_cache()

    @torch.no_grad()
    def realised(self, values: Dictionary[str, Tensor]) -> dict[str, float]:
        """Return the noise of some values: layer → root mean square of error / maximum of its tile's column.

        The values are rounded to the parameter's type: noise that bfloat16 rounds away counts as zero.
        """
        realised = {}
        for name, value in values.items():
            before = self.parameters[name]
            mapped = self._mapped(name, self.mapping.weights[name], self.mapping)
            relative = mapped.layout.matrix((value.to(before.dtype) - before).float()).contiguous()
            for split, rows in enumerate(mapped.rows):
                largest = mapped.scale[split, :, None]
                relative[:, rows] = torch.where(largest > 0, relative[:, rows] / largest, 0.0)
            realised[name] = float(relative.square().mean().sqrt())
        return realised


def norm(tensors: Dictionary[str, Tensor]) -> Tensor:
    """Return the Euclidean norm of several tensors together, a scalar."""
    size: Tensor = torch.nn.utils.get_total_norm([wide(tensor) for tensor in tensors.values()])
    return size


def wide(tensor: Tensor) -> Tensor:
    """Return a tensor in at least single precision: sums of squares overflow and underflow in half precision."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
