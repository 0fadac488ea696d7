"""Two-point random-weight perturbation: the mean of the gradients at w + ε and w − ε."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from driftproof.training.methods.rwp import RWP
from driftproof.training.passes import Closure, Passes


class TwoPointRWP(RWP):
    """½ ∇L(w + s ε) + ½ ∇L(w − s ε): what is odd in ε cancels, at the price of a second pass.

    A device's errors have a mean (a compensated drift does): the mirrored point is mirrored with it.
    """

    name = "two-point-rwp"

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """Two passes at mirrored weights."""
        closure = closures[0]
        if not passes.level:
            return passes.plain(closure)
        drawn = self.perturbed(passes)
        self.look_around(passes, closure, drawn)
        now = passes.weights.parameters
        mirrored = {name: 2 * now[name].detach() - value for name, value in drawn.items()}
        with passes.holding(drawn):
            loss = passes.backward(closure, perturbed=True, share=0.5, last=False)
        keeps = False if passes.policy == "perturbed" else None  # the first of the two has moved the statistics
        with passes.holding(mirrored):
            return (loss + passes.backward(closure, perturbed=True, share=0.5, moves_norms=keeps)) / 2
