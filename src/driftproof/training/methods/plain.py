"""Ordinary training, in the same words as the others."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from driftproof.defaults import SEED
from driftproof.training.clipping import ClipWeights
from driftproof.training.methods.method import Method
from driftproof.training.norms import DEFAULT_POLICY, NormPolicy
from driftproof.training.passes import Closure, Passes
from driftproof.training.weights import OnTiles


class Plain(Method):
    """The gradient at the weights themselves: the baseline; with ``clip``, a hardware-aware one without noise."""

    name = "plain"
    noisy = False

    def __init__(
        self,
        *,
        norms: NormPolicy = DEFAULT_POLICY,
        clip: ClipWeights | None = None,
        on_tiles: OnTiles | None = None,
        seed: int = SEED,
    ) -> None:
        super().__init__(strength=0.0, norms=norms, clip=clip, on_tiles=on_tiles, seed=seed)

    def gradient(self, passes: Passes, closures: Sequence[Closure]) -> Tensor:
        """One forward, one backward."""
        return passes.plain(closures[0])
