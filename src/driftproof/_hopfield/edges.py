"""The edges of a Hopfield network: what one layer contributes to the next, and what that one gives back.

An edge has the energy −⟨s, P(W ⋆ r + b)⟩ between a layer r and the layer s behind it, where P is a pooling or nothing.
Its share in the drive of s is the *forward product* P(W ⋆ r + b), and its share in the drive of r is the *feedback*
Wᵀ ⋆ U(s), where U is the transpose of the pooling.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from driftproof._errors import DriftproofError, check_choice

Pooling = Literal["max", "average"]
POOLING: Pooling = "max"
Feedback = Literal["same", "second", "digital"]
Precision = Literal["float32", "bfloat16", "float16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BIAS_GAIN = 0.5
"""Biases are drawn from ± this over the square root of a unit's number of inputs."""


@dataclass(frozen=True)
class ForwardProduct:
    """An edge's share in the drive of the layer behind it.

    Attributes:
        up: The share with bias, pooled, in the shape of the layer behind the edge.
        where: Index of the largest entry of each pooled patch, as torch's pooling returns it; None without max pooling.
    """

    up: Tensor
    where: Tensor | None = None

    def repeated(self, times: int) -> ForwardProduct:
        """Return the product of a batch that is there several times, one after the other."""
        return self if times == 1 else self._with(lambda part: torch.cat([part] * times))

    def part(self, samples: slice) -> ForwardProduct:
        """Return the product of some samples."""
        return self._with(lambda part: part[samples])

    def _with(self, change: Callable[[Tensor], Tensor]) -> ForwardProduct:
        return ForwardProduct(change(self.up), None if self.where is None else change(self.where))


class Edge(nn.Module):
    """The weights between two layers. Subclasses multiply with them.

    Args:
        shape: Shape of the weight.
        gain: Weights are drawn from ± gain / √fan-in.

    Attributes:
        weight: Weight of the forward product, and of the feedback with ``feedback = "same"``.
        bias: Bias of the layer behind the edge, one for each channel or unit.
        feedback: By which weight the feedback multiplies: ``same`` (the same array, read transposed), ``second`` (an
            array of its own), or ``digital`` (exact weights).
        precision: Type of the products' factors. Sums and states are float32.
    """

    needs_where = False
    """Whether the feedback depends on the forward product (max pooling)."""

    def __init__(self, shape: tuple[int, ...], gain: float) -> None:
        super().__init__()
        fan_in = math.prod(shape[1:])
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-gain, gain) / math.sqrt(fan_in))
        self.bias = nn.Parameter(torch.empty(shape[0]).uniform_(-BIAS_GAIN, BIAS_GAIN) / math.sqrt(fan_in))
        self.feedback: Feedback = "same"
        self.precision: Precision = "float32"

    def set_feedback(self, feedback: Feedback) -> None:
        """Choose the weight of the feedback. A second or digital one starts as a copy of the present weight."""
        check_choice("feedback", feedback, get_args(Feedback))
        for table in (self._parameters, self._buffers):
            table.pop("weight_back", None)
        now = self.weight.detach().clone()
        if feedback == "second":
            self.weight_back = nn.Parameter(now)
        elif feedback == "digital":
            self.register_buffer("weight_back", now)
        self.feedback = feedback

    def sharing(self) -> Self:
        """Return an edge with the same parameters, whose feedback and precision can be others."""
        other = copy.copy(self)
        other._parameters, other._buffers = dict(self._parameters), dict(self._buffers)
        return other

    @property
    def back_name(self) -> str:
        """Name of the weight of the feedback."""
        return "weight" if self.feedback == "same" else "weight_back"

    @property
    def back(self) -> Tensor:
        """The weight of the feedback."""
        return self.weight if self.feedback == "same" else self.weight_back

    @abstractmethod
    def product(self, before: Tensor) -> ForwardProduct:
        """Return the forward product of the layer before the edge, [N, …]."""

    @abstractmethod
    def add_feedback(self, drive: Tensor, behind: Tensor, where: Tensor | None) -> Tensor:
        """Return a drive plus the feedback of the layer behind the edge."""

    @abstractmethod
    def gradient(self, before: Tensor, behind: Tensor, where: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return Σ over samples of the energy's gradient by weight and bias, for states that carry their factors.

        Args:
            before: State of the layer before the edge, [N, …].
            behind: State of the layer behind it, each sample times a factor, [N, …].
            where: Index of the largest entries of the forward product of ``before``.
        """

    def extra_repr(self) -> str:
        """Return the settings, for ``print`` and for a network's hash."""
        return f"{list(self.weight.shape)}, feedback={self.feedback}, precision={self.precision}"

    def _rounded(self, *tensors: Tensor) -> list[Tensor]:
        return [tensor.to(DTYPES[self.precision]) for tensor in tensors]


class DenseEdge(Edge):
    """All units of two layers are connected: W [out, in].

    >>> edge = DenseEdge(3, 2, gain=0.5)
    >>> edge.product(torch.ones(4, 3)).up.shape
    torch.Size([4, 2])
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float) -> None:
        super().__init__((outputs, inputs), gain)

    def product(self, before: Tensor) -> ForwardProduct:
        """Return W r + b, [N, out]."""
        if self.precision == "float32":
            return ForwardProduct(F.linear(before.flatten(1), self.weight, self.bias))
        r, weight = self._rounded(before.flatten(1), self.weight)
        return ForwardProduct(F.linear(r, weight).float() + self.bias)

    def add_feedback(self, drive: Tensor, behind: Tensor, where: Tensor | None) -> Tensor:
        """Return the drive [N, …] plus Wᵀ s."""
        if self.precision != "float32":
            s, weight = self._rounded(behind, self.back)
            return drive + (s @ weight).float().view_as(drive)
        if drive.dim() == 2:
            return torch.addmm(drive, behind, self.back)
        return drive + (behind @ self.back).view_as(drive)

    def gradient(self, before: Tensor, behind: Tensor, where: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return −Σ s ⊗ r, [out, in], and −Σ s."""
        negative = behind.neg()
        return negative.t() @ before.flatten(1), negative.sum(0)


class ConvolutionEdge(Edge):
    """A 3 × 3 convolution that keeps the size of images, and 2 × 2 pooling behind it: W [out, in, 3, 3].

    Args:
        inputs: Channels of the layer before the edge.
        outputs: Channels of the layer behind it.
        gain: Gain of the drawn weights.
        pool: ``max`` or ``average``.

    >>> edge = ConvolutionEdge(1, 4, gain=0.5, pool="max")
    >>> edge.product(torch.ones(2, 1, 8, 8)).up.shape
    torch.Size([2, 4, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float, pool: Pooling = POOLING) -> None:
        check_choice("pool", pool, get_args(Pooling))
        super().__init__((outputs, inputs, 3, 3), gain)
        self.pool = pool
        self.needs_where = pool == "max"

    def product(self, before: Tensor) -> ForwardProduct:
        """Return P(W ⋆ r + b), [N, out, size / 2, size / 2]."""
        # a bias is the same for a whole channel, so it may be added before the pooling
        if self.precision == "float32":
            sums = F.conv2d(before, self.weight, self.bias, padding=1)
        else:
            r, weight, bias = self._rounded(before, self.weight, self.bias)
            sums = F.conv2d(r, weight, bias, padding=1).float()
        sums = sums.contiguous(memory_format=torch.channels_last)
        if self.pool == "average":
            return ForwardProduct(F.avg_pool2d(sums, 2))
        up, where = F.max_pool2d(sums, 2, return_indices=True)
        return ForwardProduct(up, where)

    def add_feedback(self, drive: Tensor, behind: Tensor, where: Tensor | None) -> Tensor:
        """Return the drive [N, in, size, size] plus Wᵀ ⋆ U(s)."""
        spread = self._unpooled(behind, where)
        if self.precision == "float32":
            return drive + F.conv_transpose2d(spread, self.back, padding=1)
        spread, weight = self._rounded(spread, self.back)
        return drive + F.conv_transpose2d(spread, weight, padding=1).float()

    def gradient(self, before: Tensor, behind: Tensor, where: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return −Σ of the correlation of r with U(s), [out, in, 3, 3], and −Σ s of each channel."""
        negative = behind.neg()
        spread = self._unpooled(negative, where)
        weight = conv2d_weight(before, list(self.weight.shape), spread, padding=1)  # type: ignore[no-untyped-call]
        return weight, negative.sum((0, 2, 3))

    def extra_repr(self) -> str:
        """Return the settings, for ``print`` and for a network's hash."""
        return f"{super().extra_repr()}, pool={self.pool}"

    def _unpooled(self, behind: Tensor, where: Tensor | None) -> Tensor:
        """Return the transpose of the pooling: each entry goes to the largest of its patch, or to all four."""
        if self.pool == "average":
            return F.interpolate(behind, scale_factor=2, mode="nearest") / 4
        assert where is not None
        return F.max_unpool2d(behind, where, [2, 2])


def check_image(channels: int, size: int, halvings: int) -> None:
    """Raise DriftproofError if images cannot be halved so often."""
    if channels < 1 or size < 1 or size % 2**halvings:
        raise DriftproofError(
            f"images of {channels} x {size} x {size}: {halvings} poolings of 2 x 2 need a size that is a multiple of "
            f"{2**halvings}, and at least one channel"
        )
