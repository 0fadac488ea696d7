"""Weight clipping after each update: a column's largest weight sets the noise of all its devices."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

import torch

from driftproof._errors import DriftproofError, aihwkit_hint
from driftproof._keywords import ChecksKeywords
from driftproof.training._weights import AnalogWeights

ROUNDING = 1e-6  # a standard deviation below this share of the largest weight counts as zero


@dataclass(frozen=True, kw_only=True)
class ClipWeights(ChecksKeywords):
    """Clip analog weights to a multiple of the standard deviation of their column, or of their layer.

    Programming noise, read noise and Gaussian noise are relative to a column's largest weight: a column without
    outliers has more signal for the same noise. Joshi et al. 2020 clip at 2 σ of the layer, the analog foundation
    models of 2025 at 2.5 σ of the channel.

    Attributes:
        sigmas: Number of standard deviations, above 0.
        per: Whether the standard deviation is that of the ``column`` (all weights of an output) or of the ``layer``
            (default: ``"column"``).

    Raises:
        DriftproofError: A number that is not above 0, or another ``per``.

    >>> from torch import nn
    >>> net = nn.Linear(100, 1, bias=False)
    >>> weights = AnalogWeights.of(net, torch.ones(1, 100))
    >>> with torch.no_grad():
    ...     net.weight[0, 0] = 50.0
    >>> ClipWeights(sigmas=2.0).apply(weights), bool(net.weight.max() < 11)
    (1, True)
    """

    sigmas: float
    per: Literal["column", "layer"] = "column"

    def __post_init__(self) -> None:
        """Check the settings."""
        if not (math.isfinite(self.sigmas) and self.sigmas > 0) or self.per not in ("column", "layer"):
            raise DriftproofError(
                f"weight clipping at {self.sigmas!r} standard deviations per {self.per!r}: wanted a number above 0, "
                "and column or layer"
            )

    def __str__(self) -> str:
        return f"{self.sigmas:g} sigma of the {self.per}"

    @torch.no_grad()
    def apply(self, weights: AnalogWeights, only: Container[str] | None = None) -> int:
        """Clip the weights in place; return how many were clipped. Frozen weights stay as they are.

        Args:
            weights: Analog weights of the network.
            only: Names of the arrays to clip (default: all that take a gradient).
        """
        clipped = 0
        for name, parameter in weights.parameters.items():
            if not parameter.requires_grad or (only is not None and name not in only):
                continue
            layout = weights.mapping.weights[name].layout
            matrix = layout.matrix(parameter)
            rows = matrix if self.per == "column" else matrix.reshape(1, -1)
            limit = self.sigmas * rows.float().std(dim=1, keepdim=True, correction=0)
            # columns of equal weights differ by rounding only: they are not clipped
            varies = limit > ROUNDING * rows.float().abs().amax(dim=1, keepdim=True)
            limit = torch.where(varies, limit, torch.inf).to(matrix.dtype).expand(-1, rows.shape[1]).view_as(matrix)
            beyond = int((matrix.abs() > limit).sum())
            if beyond:
                parameter.copy_(layout.weight(matrix.clamp(-limit, limit), tuple(parameter.shape)))
                clipped += beyond
        return clipped


def as_clip(choice: object) -> ClipWeights | None:
    """Return the weight clipping of a method, or None.

    Raises:
        DriftproofError: Something else came, such as a number or a setting of aihwkit.

    >>> as_clip(ClipWeights(sigmas=2.0))
    ClipWeights(sigmas=2.0, per='column')
    """
    if choice is None or isinstance(choice, ClipWeights):
        return choice
    raise DriftproofError(
        f"clip: a {type(choice).__name__} came; wanted ClipWeights(sigmas=2.5), or None for no clipping"
        f"{aihwkit_hint(choice, 'clip')}"
    )
