"""Ordinary training, with the interface of the other methods."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from driftproof.training._methods.method import Method
from driftproof.training._norms import DEFAULT_POLICY, NormPolicy
from driftproof.training._passes import Closures, Passes


class Plain(Method):
    """The gradient at the weights themselves: the baseline. With ``clip`` it is hardware-aware, but without noise.

    Args:
        norms: Which pass updates the running statistics of norms (default: ``"clean"``).
        options: Further options of :class:`Method`, except ``strength`` and ``diagnose_every``.
    """

    name = "plain"
    noisy = False
    fixed = ("strength", "diagnose_every")

    def __init__(self, *, norms: NormPolicy = DEFAULT_POLICY, **options: Any) -> None:
        super().__init__(strength=0.0, norms=norms, **options)

    def weights_of_one_pass(self, passes: Passes) -> dict[str, Tensor]:
        """Return no weights: none is perturbed."""
        return {}

    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Make one forward and one backward pass."""
        return passes.plain(closures[0])
