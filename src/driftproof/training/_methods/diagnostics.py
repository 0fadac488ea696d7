"""What an update of a method was like."""

from __future__ import annotations

from dataclasses import dataclass

from driftproof._old_paths import old_attribute


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """Diagnostics of one update.

    Attributes:
        step: Number of the update, from 0.
        strength: Strength of the perturbation.
        loss: Loss where the gradient was computed.
        update_norm: Euclidean norm of the gradient that the optimizer was given, before clipping.
        skipped: Whether the optimizer's step was skipped because a gradient overflowed in half precision.
        clipped: Number of weights that were clipped afterwards.
        more: Further measurements of the method, each the mean of the micro-batches in which it was made, such as
            ``clean_loss``, ``noise`` (root mean square of the error / column's maximum) and ``gradient_sharpness``.
    """

    step: int
    strength: float
    loss: float
    update_norm: float
    skipped: bool
    clipped: int
    more: dict[str, float]

    level = old_attribute("strength")
