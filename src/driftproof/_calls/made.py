"""Tensors that a network's code computes from its parameters: other weights, constants, and hidden forms of weights."""

from __future__ import annotations

from torch import Tensor, nn

from driftproof._calls.parameters import Located, Parameters

_PICKING = {"__getitem__", "index_select", "gather", "take_along_dim", "index"}
_NOTHING: frozenset[str] = frozenset()


class Made:
    """Follow what is computed from parameters alone: a weight that a forward standardises, quantises, or merges.

    Two more forms of weights are followed so that products with them are not missed, though no array holds them: the
    product of two weights (a low-rank term that is added to a weight), and matrices that the inputs choose from a stack
    (experts).

    Args:
        weights: Parameters that could be a matrix.
        fixed: All parameters and buffers: what is computed from them is the same in every call.
        hidden: Whether the two further forms are followed, for :meth:`hidden` (default: False).
    """

    def __init__(self, weights: Parameters, fixed: Parameters, *, hidden: bool = False) -> None:
        self._weights, self._fixed, self._hidden = weights, fixed, hidden
        # The names of the weights in each tensor. Tensors are hashed by identity; as keys they stay alive, so that no
        # later tensor gets the same identity.
        self._made: dict[Tensor, frozenset[str]] = {}
        self._picked: dict[Tensor, frozenset[str]] = {}
        # Products of weights, and what was computed from one: the names, and whether the tensor may be the weight of a
        # product. It may not if a layer made it of a parameter (a learned query, which is an activation), or if it was
        # a batch of matrices.
        self._combined: dict[Tensor, tuple[frozenset[str], bool]] = {}

    def forget(self) -> None:
        """Release all tensors at the end of a pass."""
        self._made.clear()
        self._picked.clear()
        self._combined.clear()

    def sources(self, tensor: Tensor) -> frozenset[str]:
        """Return the names of the weights that a tensor is, or was made from."""
        owner = self._weights.owner(tensor)
        return self._made.get(tensor, _NOTHING) if owner is None else frozenset((owner[0],))

    def locate(self, tensor: Tensor) -> Located | None:
        """Return the parameter that a weight was made from: the only one of the same size; None if there is none."""
        names = [name for name in self._made.get(tensor, _NOTHING) if self._weights.size(name) == tensor.numel()]
        return Located(names[0], made=True) if len(names) == 1 else None

    def follow(
        self, function: str, parts: list[Tensor], results: list[Tensor], *, layer: bool = False
    ) -> frozenset[str]:
        """Record a call; return the weights whose numbers were mixed with something else.

        The result then changes from call to call, unless the parts are :meth:`alone`.

        Args:
            function: Name of the function.
            parts: Tensors among the arguments.
            results: Tensors among the results.
            layer: As for :meth:`combine`.
        """
        sources = _NOTHING.union(*(self.sources(part) for part in parts))
        fixed = all(self._is_fixed(part) for part in parts)
        new = [part for part in results if self._weights.owner(part) is None]
        if self._hidden:
            if any(part in self._combined for part in parts):
                self.combine(parts, new, layer=layer)
            self._pick(function, parts, new)
        if not parts and any(word in function for word in ("rand", "normal", "bernou", "empty")):
            return _NOTHING
        if fixed and (sources or not parts or all(part in self._made for part in parts)):
            self._made |= dict.fromkeys(new, sources)
            return _NOTHING
        return sources if new else _NOTHING

    def combine(self, parts: list[Tensor], results: list[Tensor], *, layer: bool = False) -> None:
        """Record a product of one weight with another, or with a product of weights: a low-rank term, for example.

        Args:
            parts: Tensors that were multiplied.
            results: Tensors that came out.
            layer: Whether a layer computed it (``F.linear``, …), so that it is an activation of a constant.
        """
        if not self._hidden or self._changes(parts):
            return
        known = [self._combined[part][1] for part in parts if part in self._combined]
        for result in results:
            # a tensor made of a known product may be a batch: it may have been expanded
            matrix = not layer and all(known) and (bool(known) or result.dim() <= 2)
            self._combined[result] = (self._all_sources(parts), matrix)

    def is_product(self, tensor: Tensor) -> bool:
        """Return whether a tensor is a product of weights, as one matrix."""
        return self._combined.get(tensor, (_NOTHING, False))[1]

    def mixes(self, parts: list[Tensor]) -> bool:
        """Return whether some tensors contain weights, in whatever form, and also something that changes."""
        return bool(self._all_sources(parts)) and self._changes(parts)

    def alone(self, parts: list[Tensor]) -> bool:
        """Return whether some tensors are products of weights and constants, and nothing else."""
        return any(part in self._combined for part in parts) and not self._changes(parts)

    def constant(self, inputs: Tensor) -> bool:
        """Return whether a product's inputs are parameters, or made of them, so that they are not a network's inputs.

        A tensor that a layer made of a parameter does not count, nor does a batch, which may be a learned query.
        Buffers do not count either: a network may keep its state there.
        """
        if inputs in self._combined:
            return self._combined[inputs][1]
        if inputs.dim() > 2:
            return False
        if inputs in self._made:
            return bool(self.sources(inputs))
        owner = self._fixed.owner(inputs)
        return owner is not None and isinstance(owner[1], nn.Parameter)

    def hidden(self, parts: list[Tensor], factors: list[Tensor], weight: Tensor | None) -> frozenset[str]:
        """Return the weights that a product multiplies by in a form that :meth:`sources` does not know.

        Args:
            parts: Tensors among the arguments of the product.
            factors: Those that are multiplied. One that is a product of weights counts as a weight if it is one matrix;
                a batch may be what attention makes of a learned query.
            weight: The one that is the weight, or None if the function does not tell. Any product of weights counts
                there.
        """
        names = [self._picked.get(part, _NOTHING) for part in parts]
        if self._changes(factors):
            for part in factors:
                sources, matrix = self._combined.get(part, (_NOTHING, False))
                if part is weight or (matrix and _is_one_matrix(part)):
                    names.append(sources)
        return _NOTHING.union(*names)

    def _pick(self, function: str, parts: list[Tensor], results: list[Tensor]) -> None:
        """Record matrices that the inputs choose from a stack of several (experts), or what is made of those."""
        of_stack = function in _PICKING and any(part.dim() >= 3 and self.sources(part) for part in parts)
        numbers = [part for part in parts if part.is_floating_point()]
        known = all(self._is_fixed(part) or part in self._picked for part in numbers)
        if known and (any(part in self._picked for part in numbers) or (of_stack and len(numbers) < len(parts))):
            sources = self._all_sources(numbers)
            self._picked |= {part: sources for part in results if part not in self._made}

    def _is_fixed(self, tensor: Tensor) -> bool:
        return tensor in self._made or self._fixed.owner(tensor) is not None

    def _changes(self, parts: list[Tensor]) -> bool:
        return not all(self._is_fixed(part) or part in self._combined for part in parts)

    def _all_sources(self, parts: list[Tensor]) -> frozenset[str]:
        """Return the names of the weights that some tensors were computed from, in whatever form."""
        combined = (self._combined[part][0] for part in parts if part in self._combined)
        picked = (self._picked.get(part, _NOTHING) for part in parts)
        return _NOTHING.union(*(self.sources(part) for part in parts), *combined, *picked)


def _is_one_matrix(tensor: Tensor) -> bool:
    """Return whether a tensor is a matrix or a vector, or a batch of equal ones."""
    if tensor.dim() <= 2:
        return True
    batch = tensor.flatten(0, -3)
    return batch.equal(batch[:1].expand_as(batch))
