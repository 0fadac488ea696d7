"""Noise injection as the analog in-memory community does it: Gaussian noise and weight clipping."""

from __future__ import annotations

from typing import Any, Literal

from driftproof.training.clipping import ClipWeights
from driftproof.training.methods.rwp import RWP
from driftproof.training.schedules import Schedule


def NoiseInjection(
    *,
    sigma: float = 0.038,
    relative_to: Literal["layer", "column"] = "layer",
    clip_sigmas: float = 2.0,
    strength: float | Schedule | str = 1.0,
    **options: Any,
) -> RWP:
    """Return Gaussian noise on the weights in forward and backward, and weight clipping after each update.

    The defaults are those of Joshi et al. 2020 (3.8 % of the layer's largest weight, clipped at 2 σ of the layer); the
    analog foundation models of 2025 have 0.03, ``column`` and 2.5.

    >>> NoiseInjection().describe()["noise"], NoiseInjection().describe()["weight clipping"]
    ('gaussian-layer:0.038', '2 sigma of the layer')
    """
    kind = "gaussian-layer" if relative_to == "layer" else "gaussian"
    method = RWP(
        noise=f"{kind}:{sigma:g}",
        strength=strength,
        clip=ClipWeights(sigmas=clip_sigmas, per=relative_to),
        **options,
    )
    method.name = "noise-injection"
    return method
