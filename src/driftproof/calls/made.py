"""What a network's code computes from its parameters: another weight, the same at every call, or a hidden form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from driftproof.calls.parameters import Located, Parameters

_PICKING = {"__getitem__", "index_select", "gather", "take_along_dim", "index"}


@dataclass(frozen=True)
class _Combined:
    """A product of weights, or what was computed from one.

    Attributes:
        tensor: itself: an id of one that is gone would come again.
        sources: names of the weights in it.
        matrix: whether it may be the weight of any product: no layer made it of a parameter (a learned query, which is
            an activation), and it was no batch of matrices.
    """

    tensor: Tensor
    sources: frozenset[str]
    matrix: bool


class Made:
    """Follows what is computed from parameters alone: a weight that a forward standardises, quantises, or merges.

    Two more forms of weights are followed so that products with them are not missed, though no array holds them: the
    product of two weights (a low-rank term that is added to a weight), and matrices that the inputs choose from a stack
    of them (experts).

    Args:
        weights: the parameters that could be a matrix.
        fixed: all parameters and buffers: what is computed from them is the same at every call.
        hidden: whether those two forms are followed, for :meth:`hidden`.
    """

    def __init__(self, weights: Parameters, fixed: Parameters, *, hidden: bool = False) -> None:
        self._weights, self._fixed, self._hidden = weights, fixed, hidden
        # the tensors are kept: an id of one that is gone would come again
        self._made: dict[int, tuple[Tensor, frozenset[str]]] = {}
        self._combined: dict[int, _Combined] = {}
        self._picked: dict[int, tuple[Tensor, frozenset[str]]] = {}

    def forget(self) -> None:
        """Let go of all tensors: a pass has ended."""
        for tensors in (self._made, self._combined, self._picked):
            tensors.clear()

    def sources(self, tensor: Tensor) -> frozenset[str]:
        """Return the names of the weights that a tensor is, or was made from."""
        owner = self._weights.owner(tensor)
        if owner is not None:
            return frozenset((owner[0],))
        return self._made[id(tensor)][1] if id(tensor) in self._made else frozenset()

    def locate(self, tensor: Tensor) -> Located | None:
        """Return the parameter that a weight was made from: the only one that is as large; None if there is none."""
        if id(tensor) not in self._made:
            return None
        found = [name for name in self._made[id(tensor)][1] if self._weights.size(name) == tensor.numel()]
        return Located(found[0], made=True) if len(found) == 1 else None

    def follow(
        self, function: str, parts: list[Tensor], results: list[Tensor], *, layer: bool = False
    ) -> frozenset[str]:
        """Take note of a call; return the weights whose numbers went into it together with something else.

        That changes from call to call, unless they are :meth:`alone`. ``layer`` as of :meth:`combine`.
        """
        sources: frozenset[str] = frozenset().union(*(self.sources(part) for part in parts))
        fixed = all(self._is_fixed(part) for part in parts)
        new = [part for part in results if self._weights.owner(part) is None]
        if self._hidden:
            if any(id(part) in self._combined for part in parts):
                self.combine(parts, new, layer=layer)
            self._pick(function, parts, new)
        if not parts and any(word in function for word in ("rand", "normal", "bernou", "empty")):
            return frozenset()
        if fixed and (sources or not parts or all(id(part) in self._made for part in parts)):
            for part in new:
                self._made[id(part)] = (part, sources)
            return frozenset()
        return sources if new else frozenset()

    def combine(self, parts: list[Tensor], results: list[Tensor], *, layer: bool = False) -> None:
        """Take note of a product of one weight with another (or what was computed from one), such as of a low rank.

        Args:
            parts: what went into it.
            results: what came out.
            layer: whether a layer computed it (``F.linear``, …), so that it is an activation of a constant.
        """
        if not self._hidden or self._changes(parts):
            return
        known = [self._combined[id(part)] for part in parts if id(part) in self._combined]
        matrix = not layer and all(part.matrix for part in known)
        for part in results:
            fits = bool(known) or part.dim() <= 2  # what is made of a known one may be expanded
            self._combined[id(part)] = _Combined(part, self._all_sources(parts), matrix and fits)

    def mixes(self, parts: list[Tensor]) -> bool:
        """Return whether weights' numbers, in whatever form, are among some tensors, and something that changes."""
        return bool(self._all_sources(parts)) and self._changes(parts)

    def alone(self, parts: list[Tensor]) -> bool:
        """Return whether some tensors are products of weights and what does not change, so that nothing else is in."""
        return any(id(part) in self._combined for part in parts) and not self._changes(parts)

    def constant(self, inputs: Tensor) -> bool:
        """Return whether a product's inputs are parameters, or made of them: then they are no inputs.

        Not what layers made of a parameter, nor batches, which may be learned queries; nor buffers: a network may keep
        its state there.
        """
        if id(inputs) in self._combined:
            return self._combined[id(inputs)].matrix
        if inputs.dim() > 2:
            return False
        if id(inputs) in self._made:
            return bool(self.sources(inputs))
        owner = self._fixed.owner(inputs)
        return owner is not None and isinstance(owner[1], nn.Parameter)

    def hidden(self, parts: list[Tensor], factors: list[Tensor], weight: Tensor | None) -> frozenset[str]:
        """Return the weights that a product multiplies by in a form that :meth:`sources` does not know.

        Args:
            parts: of the product.
            factors: which of them are multiplied. One that is a product of weights is a weight if it is one matrix; a
                batch of them may be what attention makes of a learned query.
            weight: which of them is the weight, None if the function tells none; any product of weights counts there.
        """
        found = [self._picked[id(part)][1] for part in parts if id(part) in self._picked]
        if self._changes(factors):
            known = [(part, self._combined[id(part)]) for part in factors if id(part) in self._combined]
            found += [of.sources for part, of in known if part is weight or (of.matrix and _one_matrix(part))]
        return frozenset().union(*found)

    def _pick(self, function: str, parts: list[Tensor], results: list[Tensor]) -> None:
        """Take note of matrices that the inputs choose from a stack of several: experts, or what is made of those."""
        of_stack = function in _PICKING and any(part.dim() >= 3 and self.sources(part) for part in parts)
        numbers = [part for part in parts if part.is_floating_point()]
        known = all(self._is_fixed(part) or id(part) in self._picked for part in numbers)
        if known and (any(id(part) in self._picked for part in numbers) or (of_stack and len(numbers) < len(parts))):
            for part in results:
                if id(part) not in self._made:
                    self._picked[id(part)] = (part, self._all_sources(numbers))

    def _is_fixed(self, tensor: Tensor) -> bool:
        return id(tensor) in self._made or self._fixed.owner(tensor) is not None

    def _changes(self, parts: list[Tensor]) -> bool:
        return not all(self._is_fixed(part) or id(part) in self._combined for part in parts)

    def _all_sources(self, parts: list[Tensor]) -> frozenset[str]:
        """Return the names of the weights that some tensors were computed from, in whatever form."""
        found = [self.sources(part) for part in parts]
        found += [self._combined[id(part)].sources for part in parts if id(part) in self._combined]
        found += [self._picked[id(part)][1] for part in parts if id(part) in self._picked]
        return frozenset().union(*found)


def _one_matrix(tensor: Tensor) -> bool:
    """Return whether a tensor is a matrix or a vector, or a batch of the same ones."""
    if tensor.dim() <= 2:
        return True
    batch = tensor.flatten(0, -3)
    return torch.equal(batch, batch[:1].expand_as(batch))
