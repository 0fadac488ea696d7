"""Noise injection as the analog in-memory community does it: Gaussian noise and weight clipping."""

from __future__ import annotations

from typing import Any, Literal

from driftproof._errors import check_choice
from driftproof.training._clipping import ClipWeights
from driftproof.training._methods.rwp import RWP


class NoiseInjection(RWP):
    """Gaussian noise on the weights in forward and backward, and weight clipping after each update.

    The defaults are those of Joshi et al. 2020: 3.8 % of the layer's largest weight, clipped at 2 σ of the layer. The
    analog foundation models of 2025 have ``sigma=0.03``, ``relative_to="column"`` and ``clip=ClipWeights(sigmas=2.5)``.

    Args:
        sigma: Standard deviation of the noise, relative to the largest weight (default: 0.038).
        relative_to: Whether the largest weight is that of the ``"layer"`` or of each tile's ``"column"`` (default:
            ``"layer"``).
        clip: Weight clipping after each update (default: 2 σ of the layer or column).
        options: Further options of :class:`RWP`, except ``noise``.

    >>> NoiseInjection().describe()["noise"], NoiseInjection().describe()["weight clipping"]
    ('gaussian-layer:0.038', '2 sigma of the layer')
    """

    name = "noise-injection"
    fixed = ("noise",)

    def __init__(
        self,
        *,
        sigma: float = 0.038,
        relative_to: Literal["layer", "column"] = "layer",
        clip: ClipWeights | None = None,
        **options: Any,
    ) -> None:
        check_choice("noise injection relative to", relative_to, ("layer", "column"))
        kind = "gaussian-layer" if relative_to == "layer" else "gaussian"
        super().__init__(noise=f"{kind}:{sigma:g}", clip=clip or ClipWeights(sigmas=2.0, per=relative_to), **options)
