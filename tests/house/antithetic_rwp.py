"""A training method in one file: random-weight perturbation, antithetic in time, at the price of one pass an update."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from driftproof.training._closures import MOST_SHARDS
from driftproof.training._methods.rwp import RWP
from driftproof.training._passes import Passes


class AntitheticRWP(RWP):
    """∇L(w + s ε) at one update and ∇L(w − s ε) at the next, of the same draw; then a new one."""

    name = "antithetic-rwp"

    def drawn(self, passes: Passes) -> dict[str, Tensor]:
        """Draw perturbed weights; at every second update those that mirror the draw before."""
        if passes.step % 2 == 0:
            return super().drawn(passes)
        before = replace(passes.key, number=passes.key.number - MOST_SHARDS)
        drawn, now = super().drawn(replace(passes, key=before)), passes.weights.parameters
        return {name: 2 * now[name].detach() - value for name, value in drawn.items()}
