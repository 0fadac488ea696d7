"""Hand products over to tiles where the network's own code computes them: attention, recurrent layers, subclasses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._calls import Geometry, Interception, Located, Parameters, Product
from driftproof._conversion.grid import TileGrid
from driftproof._conversion.tiles import TiledLayer
from driftproof.arrays._passes import first_tensor
from driftproof.arrays._read_noise import ArrayReadNoise


class HandOver:
    """Compute products of weights on tiles while one of a network's modules runs.

    The parameters of these weights hold NaN, so that code that reads one without a product does not go unnoticed.

    Args:
        fixed: All parameters and buffers of the network, if its code makes weights of them (default: none).
    """

    def __init__(self, fixed: Sequence[tuple[str, Tensor]] = ()) -> None:
        self._held = fixed
        self._layers: dict[str, tuple[nn.Parameter, TileGrid, TiledLayer]] = {}
        self._interception = Interception(self._parameters, self._multiply, fixed=self._fixed if fixed else None)
        self._begun: list[bool] = []

    @torch.no_grad()
    def take(self, weight: nn.Parameter, grid: TileGrid, layer: TiledLayer) -> None:
        """Compute the products of a weight on tiles from now on."""
        weight.requires_grad_(False)
        if not layer.mapped.made:  # the code that makes another weight of it still runs; only the result is not used
            weight.fill_(float("nan"))
        self._layers[layer.mapped.name] = (weight, grid, layer)

    def watch(self, module: nn.Module) -> None:
        """Hand products over whenever a module runs."""
        module.register_forward_pre_hook(self._enter)
        module.register_forward_hook(self._leave, always_call=True)

    @property
    def needed(self) -> bool:
        """Whether any weight was taken."""
        return bool(self._layers)

    def _enter(self, *_: object) -> None:
        self._begun.append(not self._interception.active)
        if self._begun[-1]:
            self._interception.__enter__()

    def _leave(self, *_: object) -> None:
        if self._begun.pop():
            self._interception.__exit__(None, None, None)

    def _fixed(self) -> Parameters:
        return Parameters(self._held)

    def _parameters(self) -> Parameters:
        return Parameters((name, weight) for name, (weight, _, _) in self._layers.items())

    def _multiply(self, where: Located, product: Product, _: Callable[[], Tensor]) -> Tensor:
        """Cut the inputs into vectors, multiply them on the tiles, and arrange the results as outputs."""
        grid, layer = self._layers[where.name][1:]
        geometry, array = product.geometry, layer.array
        if layer.mapped.is_transpose(where.layout(geometry)):
            return layer.multiply_back(product)
        vectors = geometry.vectors(geometry.prepare(product.inputs))
        results = grid(vectors, where.columns, array.between(product, vectors, where.columns))
        outputs = geometry.finish(geometry.collect(results).contiguous(), product.inputs)
        return product.add_bias(array.noise.add(outputs, product, where.columns))


def add_read_noise(
    noise: ArrayReadNoise, geometry: Geometry, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any], out: Tensor
) -> Tensor:
    """Return the outputs of aihwkit's layer with the read noise of each MVM: a forward hook ``with_kwargs``."""
    inputs = first_tensor(args, named)
    assert inputs is not None
    return noise.add(out, Product(inputs, inputs, None, geometry))
