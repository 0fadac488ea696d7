"""m-RWP: the perturbed gradient of one batch mixed with the clean gradient of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.training.methods.measured import measure
from driftproof.training.methods.rwp import RWP
from driftproof.training.noise import NoiseLike
from driftproof.training.norms import DEFAULT_POLICY, NormPolicy
from driftproof.training.passes import Closure, Passes


class MixedRWP(RWP):
    """λ ∇L(w + s ε; batch 1) + (1 − λ) ∇L(w; batch 2) (Li et al. 2024, "Revisiting random weight perturbation").

    It wants two batches for an update: give :meth:`step` a list of two closures (or a multiple of two). With one
    closure both gradients are of the same batch.

    Args:
        mix: λ.
        noise: as of :class:`RWP`.
        norms: ``clean`` by default: the clean pass is there anyway.
        options: of :class:`RWP`.
    """

    name = "m-rwp"
    closures_per_update = 2

    def __init__(
        self, *, noise: NoiseLike, mix: float = 0.5, norms: NormPolicy = DEFAULT_POLICY, **options: Any
    ) -> None:
        super().__init__(noise=noise, norms=norms, **options)
        if not 0 < mix <= 1:
            raise DriftproofError(f"m-RWP: mix {mix!r} is the perturbed gradient's share; wanted one in (0, 1]")
        self.mix = mix

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One pass at perturbed weights and one at clean ones."""
        first, second = closures[0], closures[-1]
        if not passes.level:
            if first is second:
                return passes.plain(first)
            loss = passes.backward(first, perturbed=False, share=self.mix, last=False, moves_norms=True)
            other = passes.backward(second, perturbed=False, share=1 - self.mix, moves_norms=True)
            return self.mix * loss + (1 - self.mix) * other
        drawn = self.perturbed(passes)
        if passes.diagnose:
            measure(passes, first, drawn)
        with passes.holding(drawn):
            loss = passes.backward(first, perturbed=True, share=self.mix, last=False)
        clean = passes.backward(second, perturbed=False, share=1 - self.mix)
        passes.found["clean_loss"] = clean
        return self.mix * loss + (1 - self.mix) * clean

    def describe(self) -> dict[str, str]:
        """Return the settings as text."""
        return super().describe() | {"mix": f"{self.mix:g}"}
