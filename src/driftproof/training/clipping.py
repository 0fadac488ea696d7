"""Weights kept small after each update: a column's largest weight sets the noise of all its devices."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

import torch

from driftproof.errors import DriftproofError
from driftproof.keywords import ChecksKeywords
from driftproof.training.weights import AnalogWeights

ROUNDING = 1e-6  # of the largest weight: a spread below it is none


@dataclass(frozen=True, kw_only=True)
class ClipWeights(ChecksKeywords):
    """Clip analog weights to a multiple of the standard deviation of their column, or of their layer.

    Programming noise, read noise and Gaussian noise are relative to a column's largest weight: a column without
    outliers has more signal for the same noise. Joshi et al. 2020 clip at 2 σ of the layer; analog foundation models
    (2025) at 2.5 σ of the channel.

    Attributes:
        sigmas: how many standard deviations.
        per: of the ``column`` (all of an output's weights) or of the ``layer``.

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
        """Refuse what is no multiple."""
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
            weights: of the network.
            only: names of arrays that are trained; all that take a gradient unless given.
        """
        clipped = 0
        for name, parameter in weights.parameters.items():
            if not parameter.requires_grad or (only is not None and name not in only):
                continue
            layout = weights.mapping.weights[name].layout
            matrix = layout.matrix(parameter)
            rows = matrix if self.per == "column" else matrix.reshape(1, -1)
            limit = self.sigmas * rows.float().std(dim=1, keepdim=True, correction=0)
            # columns of equal weights have no spread but rounding: they are not clipped
            spread = limit > ROUNDING * rows.float().abs().amax(dim=1, keepdim=True)
            limit = torch.where(spread, limit, torch.inf).to(matrix.dtype).expand(-1, rows.shape[1]).view_as(matrix)
            beyond = int((matrix.abs() > limit).sum())
            if beyond:
                parameter.copy_(layout.weight(matrix.clamp(-limit, limit), tuple(parameter.shape)))
                clipped += beyond
        return clipped
