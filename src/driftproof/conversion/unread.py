"""What stands where a layer's weight and bias were, once aihwkit's own layer has taken its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from driftproof.errors import DriftproofError


class WeightOnTiles:
    """Stands for a weight that is on tiles only: code that reads it gets a message, not an AttributeError of None.

    >>> import torch
    >>> torch.nn.functional.linear(torch.ones(1, 3), WeightOnTiles("fc"))
    Traceback (most recent call last):
    driftproof.errors.DriftproofError: layer fc: the network's code reads its weight or bias, ...
    """

    def __init__(self, layer: str) -> None:
        self._layer = layer

    def _refuse(self) -> None:
        raise DriftproofError(
            f"layer {self._layer or '(root)'}: the network's code reads its weight or bias, and the weight is on "
            "tiles, not in the layer any more. Give convert inputs with which that happens (example=): what the code "
            "multiplies by this weight is then handed over to its array, or the weight stays digital"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # how copy and torch ask what something is
            raise AttributeError(name)
        self._refuse()

    def __getitem__(self, _: Any) -> Any:
        self._refuse()

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Refuse any of torch's functions."""
        for part in (*args, *(kwargs or {}).values()):
            for value in part if isinstance(part, list | tuple) else (part,):
                if isinstance(value, cls):
                    value._refuse()
        return NotImplemented


def stand_for_weight(layer: nn.Module, name: str) -> None:
    """Put it into one of aihwkit's layers, which have None as their weight and True as their bias."""
    for own in ("weight", "bias"):
        if vars(layer).get(own, False) in (None, True):
            vars(layer)[own] = WeightOnTiles(name)
