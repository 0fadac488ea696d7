"""m-RWP: the perturbed gradient of one batch mixed with the clean gradient of another."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.training._methods.perturbation import diagnose
from driftproof.training._methods.rwp import RWP
from driftproof.training._noise import NoiseLike
from driftproof.training._norms import DEFAULT_POLICY, NormPolicy
from driftproof.training._passes import Closures, Passes


class MixedRWP(RWP):
    """λ ∇L(w + s ε; batch 1) + (1 − λ) ∇L(w; batch 2) (Li et al. 2024, "Revisiting random weight perturbation").

    An update takes two batches: give :meth:`step` a list of two closures, or of a multiple of two. With one closure
    both gradients are of the same batch.

    Args:
        noise: Noise to draw ε from, as in :class:`RWP`.
        mix: Share λ of the perturbed gradient, in (0, 1] (default: 0.5).
        norms: Which pass updates the running statistics of norms (default: ``"clean"``, because the method makes a
            clean pass anyway).
        options: Further options of :class:`RWP`.
    """

    name = "m-rwp"
    closures_per_update = 2
    described: ClassVar[tuple[str, ...]] = ("mix",)

    def __init__(
        self, *, noise: NoiseLike, mix: float = 0.5, norms: NormPolicy = DEFAULT_POLICY, **options: Any
    ) -> None:
        super().__init__(noise=noise, norms=norms, **options)
        if not 0 < mix <= 1:
            raise DriftproofError(f"m-RWP: mix {mix!r} is the perturbed gradient's share; wanted one in (0, 1]")
        self.mix = mix

    def accumulate(self, passes: Passes, closures: Closures) -> Tensor:
        """Make one pass at perturbed weights and one at clean weights."""
        first, second = closures[0], closures[-1]
        if not passes.strength and first is second:
            return passes.plain(first)
        if not passes.strength:
            loss = passes.backward(first, perturbed=False, share=self.mix, last=False, moves_norms=True)
            clean = passes.backward(second, perturbed=False, share=1 - self.mix, moves_norms=True)
            return self.mix * loss + (1 - self.mix) * clean
        drawn = self.drawn(passes)
        diagnose(passes, first, drawn)
        with passes.holding(drawn):
            loss = passes.backward(first, perturbed=True, share=self.mix, last=False)
        clean = passes.measured["clean_loss"] = passes.backward(second, perturbed=False, share=1 - self.mix)
        return self.mix * loss + (1 - self.mix) * clean
