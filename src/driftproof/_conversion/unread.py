"""A stand-in for the weight and bias of a layer that aihwkit's layer has replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils._pytree import tree_leaves

from driftproof._errors import DriftproofError


class WeightOnTiles:
    """A weight that is on tiles only: code that reads it gets an error message, not an AttributeError of None.

    >>> import torch
    >>> torch.nn.functional.linear(torch.ones(1, 3), WeightOnTiles("fc"))
    Traceback (most recent call last):
    driftproof.DriftproofError: layer fc: the network's code reads its weight or bias, ...
    """

    def __init__(self, layer: str) -> None:
        self._layer = layer

    def _refuse(self) -> None:
        raise DriftproofError(
            f"layer {self._layer or '(root)'}: the network's code reads its weight or bias, but the weight is on "
            "tiles and no longer in the layer. Give convert inputs for which that happens (example=): products of "
            "this weight in the code are then computed on its array, or the weight stays digital"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy and torch look up such names to inspect an object
            raise AttributeError(name)
        self._refuse()

    def __getitem__(self, _: Any) -> Any:
        self._refuse()

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Refuse any function of torch."""
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, cls):
                value._refuse()
        return NotImplemented


def stand_for_weight(layer: nn.Module, name: str) -> None:
    """Put stand-ins into one of aihwkit's layers, which has None as its weight and True as its bias."""
    for attribute in ("weight", "bias"):
        if vars(layer).get(attribute, False) in (None, True):
            vars(layer)[attribute] = WeightOnTiles(name)
