"""Which tensors of a forward pass come from the network's inputs, and which are the same in every call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from driftproof._calls.parameters import Parameters

_RANDOM = ("rand", "normal", "bernou", "empty")
_NOTHING: frozenset[str] = frozenset()
_functorch = torch._C._functorch


class Origins:
    """Follow results: what comes neither from the inputs nor from a computation on them is the same in every call.

    Args:
        inputs: The network's inputs.
        fixed: Tensors that the network has: parameters, buffers, attributes of modules.
    """

    def __init__(self, inputs: Iterable[Tensor], fixed: Parameters) -> None:
        self._fixed = fixed
        self._changing = WeakIdKeyDictionary()  # by identity; nothing is kept alive
        self._same = WeakIdKeyDictionary()
        self._written: set[str] = set()  # fixed tensors that the code writes into are the network's state
        self.add_changing(inputs)

    def add_changing(self, tensors: Iterable[Tensor]) -> None:
        """Record tensors that may be others in the next call."""
        for tensor in tensors:
            self._changing[tensor] = True

    def add_same(self, tensors: Iterable[Tensor], names: frozenset[str] = _NOTHING) -> None:
        """Record tensors that are the same in every call, and the names of the fixed tensors they were made from."""
        for tensor in tensors:
            self._same[tensor] = names

    def of(self, tensor: Tensor) -> frozenset[str]:
        """Return the names of the fixed tensors that a tensor is, or was made from."""
        owner = self._fixed.owner(tensor)
        names: frozenset[str] = cast(Any, self._same).get(tensor, _NOTHING)
        return names if owner is None else frozenset((owner[0],))

    def known(self, tensor: Tensor) -> bool:
        """Return whether it was seen where a tensor comes from."""
        return tensor in self._changing or tensor in self._same or self._fixed.owner(tensor) is not None

    def written(self, name: str) -> bool:
        """Return whether the network's code writes into one of its own tensors."""
        return name in self._written

    def of_matrix(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a matrix, or a part of one: more than one of its axes has several places."""
        owner = self._fixed.owner(tensor)
        whole = [tensor] if owner is None else [tensor, owner[1]]
        whole += [self._fixed.get(name) for name in self.of(tensor) if owner is None]
        return any(sum(size > 1 for size in part.shape) > 1 for part in whole)

    def change(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether any of some tensors may be another in the next call."""
        return any(self._changes(tensor) for tensor in tensors)

    def follow(self, function: str, parts: Sequence[Tensor], results: Iterable[Tensor]) -> None:
        """Record the results of a call.

        Args:
            function: Name of the function.
            parts: Tensors among the arguments.
            results: Tensors among the results.
        """
        if self.change(parts) or (not parts and any(word in function for word in _RANDOM)):
            if parts and (function == "__setitem__" or (function.endswith("_") and not function.endswith("__"))):
                self._written |= self.of(parts[0])
            self.add_changing(results)
            return
        names = _NOTHING.union(*(self.of(part) for part in parts))
        self.add_same(results, names)

    def _changes(self, tensor: Tensor) -> bool:
        owner = self._fixed.owner(tensor)
        if owner is not None:
            return owner[0] in self._written
        if _functorch.is_batchedtensor(tensor) and tensor not in self._changing and tensor not in self._same:
            return self._changes(_functorch.get_unwrapped(tensor))  # torch.vmap wraps what it is given
        return tensor in self._changing
