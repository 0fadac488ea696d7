"""Two-point random-weight perturbation: the mean of the gradients at w + ε and w − ε."""

from __future__ import annotations

from torch import Tensor

from driftproof.training._methods.rwp import RWP
from driftproof.training._passes import Closure, Passes


class TwoPointRWP(RWP):
    """½ ∇L(w + s ε) + ½ ∇L(w − s ε): odd orders of ε cancel, at the price of a second pass.

    The errors of a device may have a mean, as those of a compensated drift have. The mirrored point mirrors it, too.
    """

    name = "two-point-rwp"

    def gradient_at(self, passes: Passes, closure: Closure, drawn: dict[str, Tensor]) -> Tensor:
        """Make two passes, at mirrored weights."""
        now = passes.weights.parameters
        mirrored = {name: 2 * now[name].detach() - value for name, value in drawn.items()}
        with passes.holding(drawn):
            loss = passes.backward(closure, perturbed=True, share=0.5, last=False)
        moves = False if passes.policy == "perturbed" else None  # the first of the two has moved the statistics
        with passes.holding(mirrored):
            return (loss + passes.backward(closure, perturbed=True, share=0.5, moves_norms=moves)) / 2
