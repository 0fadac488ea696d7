"""Hand products over to tiles where the network's own code computes them: attention, recurrent layers, subclasses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.arrays import NoisyProducts
from driftproof.calls import Interception, Located, Parameters, Product
from driftproof.conversion.grid import TileGrid
from driftproof.conversion.tiles import TiledLayer


class HandOver:
    """While one of a network's modules runs, its weights' products are computed on tiles.

    The weights that it stands for hold NaN: code that reads one past it cannot go unnoticed.
    """

    def __init__(self) -> None:
        self._layers: dict[str, tuple[nn.Parameter, TileGrid, TiledLayer]] = {}
        self._interception = Interception(self._parameters, self._multiply)
        self._begun: list[bool] = []
        self._held: list[tuple[str, Tensor]] = []

    def follow(self, held: list[tuple[str, Tensor]]) -> None:
        """Find weights that the network's code makes of its parameters and buffers, too: of these."""
        self._held = held
        self._interception = Interception(self._parameters, self._multiply, fixed=self._fixed)

    @torch.no_grad()
    def take(self, weight: nn.Parameter, grid: TileGrid, layer: TiledLayer) -> None:
        """Stand for a weight from now on."""
        weight.requires_grad_(False)
        if not layer.mapped.made:  # what makes another weight of it still runs; what it makes is not used
            weight.fill_(float("nan"))
        self._layers[layer.mapped.name] = (weight, grid, layer)

    def watch(self, module: nn.Module) -> None:
        """Be there whenever a module runs."""
        module.register_forward_pre_hook(self._enter)
        module.register_forward_hook(self._leave, always_call=True)

    @property
    def needed(self) -> bool:
        """Whether it stands for any weight."""
        return bool(self._layers)

    def _enter(self, _: nn.Module, __: object) -> None:
        begins = not self._interception.active
        self._begun.append(begins)
        if begins:
            self._interception.__enter__()

    def _leave(self, _: nn.Module, __: object, ___: object) -> None:
        if self._begun.pop():
            self._interception.__exit__(None, None, None)

    def _fixed(self) -> Parameters:
        return Parameters(self._held)

    def _parameters(self) -> Parameters:
        return Parameters((name, weight) for name, (weight, _, _) in self._layers.items())

    def _multiply(self, where: Located, product: Product, _: Callable[[], Tensor]) -> Tensor:
        """Cut the inputs into vectors, multiply them on the tiles, put the results in their place."""
        grid, layer = self._layers[where.name][1:]
        geometry, array = product.geometry, layer.array
        if layer.mapped.is_transpose(where.layout(geometry)):
            return array.multiply(product, transposed=True)
        vectors = geometry.vectors(geometry.prepare(product.inputs))
        found = grid(vectors, where.columns, array.between(product, vectors, where.columns))
        outputs = geometry.finish(geometry.collect(found).contiguous(), product.inputs)
        return product.add_bias(array.noise.add(outputs, product, where.columns))


class NoiseBehind:
    """A forward hook (``with_kwargs``) that adds the read noise of single products behind aihwkit's layer."""

    def __init__(self, products: NoisyProducts, geometry: Any) -> None:
        self.products, self.geometry = products, geometry

    def __call__(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> Tensor:
        """Return the outputs with their noise."""
        (inputs,) = [value for value in (*args, *named.values()) if isinstance(value, Tensor)][:1]
        return self.products.add(output, Product(inputs, inputs, None, self.geometry))
