"""How a stored weight is the matrix of a crossbar: [outputs, inputs of one group].

One *column* of the crossbar is one output channel. ``Linear`` and convolutions store outputs first. Transposed
convolutions and Hugging Face's ``Conv1D`` store inputs first. Each group of a grouped layer has its own matrix: the
groups' rows stand below each other, each as long as one group has inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Order of a stored weight.

    Attributes:
        inputs_first: Whether the weight is [in, out / groups, *kernel] instead of [out, in / groups, *kernel].
        groups: Number of groups of the layer.
        stacked: Whether the weight holds several matrices, [experts, out, in]. Their rows stand below each other.
    """

    inputs_first: bool = False
    groups: int = 1
    stacked: bool = False

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the matrix [out, in / groups · kernel] of a stored weight (a view where that is possible).

        A transposed convolution is a plain convolution with the kernel flipped, on inputs with zeros between them.

        >>> import torch
        >>> Layout(inputs_first=True).matrix(torch.ones(3, 5)).shape
        torch.Size([5, 3])
        """
        if self.stacked:
            weight = weight.transpose(-1, -2) if self.inputs_first else weight
            return weight.reshape(-1, weight.shape[-1])
        if not self.inputs_first:
            return weight.reshape(weight.shape[0], -1)
        parts = weight.reshape(self.groups, weight.shape[0] // self.groups, *weight.shape[1:])
        return _flipped(parts).transpose(1, 2).reshape(self.groups * weight.shape[1], -1)

    def weight(self, matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return the stored weight of a matrix: the inverse of :meth:`matrix`."""
        if self.stacked and self.inputs_first:
            return matrix.reshape(shape[0], shape[2], shape[1]).transpose(1, 2).contiguous()
        if self.stacked or not self.inputs_first:
            return matrix.reshape(shape)
        inputs, outputs, *kernel = shape
        parts = matrix.reshape(self.groups, outputs, inputs // self.groups, *kernel).transpose(1, 2)
        return _flipped(parts).reshape(shape)

    @property
    def reverse(self) -> Layout:
        """The layout of the same stored weight as the matrix of the transposed product."""
        return replace(self, inputs_first=not self.inputs_first)

    def size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return (outputs, inputs of one group) of a stored shape."""
        if self.stacked:
            outputs, inputs = shape[-2:] if not self.inputs_first else shape[:-3:-1]
            return math.prod(shape[:-2]) * outputs, inputs
        if not self.inputs_first:
            return shape[0], math.prod(shape[1:])
        return shape[1] * self.groups, shape[0] // self.groups * math.prod(shape[2:])


def _flipped(parts: Tensor) -> Tensor:
    """Return a kernel [groups, channels, channels, *kernel] flipped along its own axes."""
    return parts.flip(tuple(range(3, parts.dim()))) if parts.dim() > 3 else parts
