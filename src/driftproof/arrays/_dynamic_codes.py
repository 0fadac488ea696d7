"""Reads in converter codes with a dynamic input range: each vector has a range of its own.

The range of a patch of a convolution is the largest |x| under the kernel, over the channels of a row split: a maximum
over channels and a max-pool, on 1/K of the values that the K places of a patch repeat. Patches are then cut, divided by
their range and rounded piece by piece, so that a piece stays in the cache until it is multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from driftproof._calls import Convolution
from driftproof.arrays._code_reads import CodeReads, Split
from driftproof.arrays._code_steps import drive_patches, drive_vectors, largest

PIECE = 400_000
"""Largest count of numbers in a piece of patches: 1.6 MB, which two cores' caches hold beside the weights."""


class DynamicCodes(CodeReads):
    """Forward reads in which each input vector of a tile has its own largest |x| as its range."""

    def _reach(self, split: int) -> float:
        return 1.0

    def _weight(self, matrix: Tensor, split: int) -> Tensor:
        """Return [rows, out], or [groups, rows, out of a group]; rows of a convolution are [*kernel, channels]."""
        groups = self.mapped.layout.groups
        if isinstance(self.geometry, Convolution):
            kernel = self.geometry.kernel
            apart = matrix.view(len(matrix), -1, *kernel).permute(0, 2, 3, 1)
            matrix = apart.reshape(len(matrix), -1)
        if groups == 1:
            return matrix.t().contiguous()
        return matrix.view(groups, -1, matrix.shape[1]).transpose(1, 2).contiguous()

    def _sums(self, inputs: Tensor, number: int, split: Split) -> tuple[Tensor, Tensor | None, Tensor]:
        rows = self.mapped.rows[number]
        if not isinstance(self.geometry, Convolution):
            x = inputs[..., rows]
            reach = _as_range(largest(x)).unsqueeze(-1)
            codes = drive_vectors(x, 1.0 / reach, self.dac)
            squares = None if split.variance is None else codes.square() @ split.variance
            return codes @ split.weight, squares, reach
        return self._convolved(inputs, rows, split, self.geometry)

    def _convolved(
        self, inputs: Tensor, rows: slice, split: Split, geometry: Convolution
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        groups, places = geometry.layout.groups, math.prod(geometry.kernel)
        width = inputs.shape[1] // groups
        x = inputs.permute(0, 2, 3, 1).unflatten(-1, (groups, width))  # type: ignore[no-untyped-call]
        x = x[..., rows.start // places : rows.stop // places]
        (top, bottom), (left, right) = geometry.padding
        x = F.pad(x, [0, 0, 0, 0, left, right, top, bottom]).contiguous()  # [N, height, width, groups, channels]
        reach = _as_range(_under_kernel(largest(x), geometry))  # [N, *positions, groups]
        inverse = 1.0 / reach
        out = len(split.factor)
        sums = x.new_empty(*reach.shape[:3], out)
        squares = None if split.variance is None else torch.empty_like(sums)
        codes = x.new_empty(0)
        for piece in _pieces(reach.shape, places * x.shape[3] * x.shape[4]):
            codes = drive_patches(x, inverse, geometry, piece, self.dac, codes)
            _multiply(codes, split.weight, sums[piece])
            if squares is not None and split.variance is not None:
                _multiply(codes.square_(), split.variance, squares[piece])
        return sums, squares, _each_output(reach, out)


def _as_range(largest: Tensor) -> Tensor:
    """Return ranges; one of (nearly) zero counts as 1, as in the converters."""
    return torch.where(largest >= torch.finfo(largest.dtype).tiny, largest, 1.0)


def _under_kernel(largest: Tensor, geometry: Convolution) -> Tensor:
    """Return the maximum of [N, height, width, groups] under the kernel at each position, [N, *positions, groups]."""
    for axis, (size, stride, dilation) in enumerate(
        zip(geometry.kernel, geometry.stride, geometry.dilation, strict=True), 1
    ):
        # axis by axis, with shifted views: max_pool2d also finds out where the maxima are, which takes most of its time
        count = (largest.shape[axis] - dilation * (size - 1) - 1) // stride + 1
        views = [_from(largest, axis, place * dilation, stride, count) for place in range(size)]
        largest = views[0]
        for view in views[1:]:
            largest = torch.maximum(largest, view)
    return largest


def _from(x: Tensor, axis: int, start: int, stride: int, count: int) -> Tensor:
    """Return ``count`` places along an axis, ``stride`` apart."""
    return x[(slice(None),) * axis + (slice(start, start + stride * (count - 1) + 1, stride),)]


def _pieces(positions: torch.Size, patch: int) -> Iterator[tuple[slice, ...]]:
    """Yield slices of samples and of rows of positions, each with at most :data:`PIECE` numbers if it can be cut.

    Args:
        positions: Samples, rows and columns of patches: [N, rows, columns, …].
        patch: Numbers in the patches of a position.
    """
    number, rows, columns = positions[:3]
    sample = rows * columns * patch
    if sample <= PIECE:
        step = max(PIECE // max(sample, 1), 1)
        for start in range(0, number, step):
            yield (slice(start, start + step),)
        return
    lines = max(PIECE // (columns * patch), 1)
    for place in range(number):
        for start in range(0, rows, lines):
            yield slice(place, place + 1), slice(start, start + lines)


def _multiply(codes: Tensor, weight: Tensor, into: Tensor) -> None:
    """Write codes times weights [rows, out] or [groups, rows, out of a group] to a contiguous [..., out]."""
    if weight.dim() == 2:
        torch.mm(codes.view(-1, len(weight)), weight, out=into.view(-1, weight.shape[1]))
        return
    apart = torch.bmm(codes.view(len(weight), -1, weight.shape[1]), weight)
    into.copy_(apart.transpose(0, 1).reshape(into.shape))


def _each_output(reach: Tensor, out: int) -> Tensor:
    """Return the range of each output's group, [N, *positions, out], or [N, *positions, 1] of one group."""
    groups = reach.shape[-1]
    return reach if groups == 1 else reach.repeat_interleave(out // groups, dim=-1)
