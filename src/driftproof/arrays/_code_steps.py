"""The elementwise steps of reads in converter codes: DAC, and ADC with all that is digital behind it.

On a CPU each is one compiled loop (:mod:`driftproof.arrays._code_loops`), and otherwise a chain of operators with the
same steps. The loops take what lies in memory line by line, with an output's (or an input channel's) numbers side by
side; anything else goes through the operators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from driftproof._calls import Convolution
from driftproof._loops import loops
from driftproof.periphery import Periphery
from driftproof.periphery._converters import converter_step
from driftproof.periphery._counts import Counts


@dataclass(frozen=True)
class Dac:
    """DAC of inputs relative to their range.

    Attributes:
        step: Its step.
        largest: Its largest code, or 1 without steps.
        rounds: Whether it has steps.
    """

    step: float
    largest: float
    rounds: bool

    @classmethod
    def of(cls, periphery: Periphery) -> Dac:
        """Return the DAC of a periphery."""
        if periphery.dac_bits is None:
            return cls(step=1.0, largest=1.0, rounds=False)
        step = converter_step(periphery.dac_bits, 1.0)
        return cls(step=step, largest=round(1 / step), rounds=True)

    def rounded(self, scaled: Tensor) -> Tensor:
        """Return the codes of inputs relative to their range, which are overwritten.

        The steps are those of :func:`driftproof.periphery._converters.dac`: inputs that are few different numbers, such
        as grey levels, may lie exactly between two codes, and go to the same one.
        """
        return scaled.div_(self.step).round_() if self.rounds else scaled


@dataclass(frozen=True)
class Adc:
    """ADC of sums, with the noise before it.

    Attributes:
        step: Its step in units of the sums; 1 without steps.
        largest: Its largest code; without steps its full scale, which may be infinite.
        rounds: Whether it has steps.
        sigma: Standard deviation of output noise in steps.
    """

    step: float
    largest: float
    rounds: bool
    sigma: float

    @classmethod
    def of(cls, periphery: Periphery) -> Adc:
        """Return the ADC of a periphery."""
        full_scale = math.inf if periphery.adc_full_scale is None else periphery.adc_full_scale
        rounds = periphery.adc_bits is not None and full_scale != math.inf
        step = converter_step(periphery.adc_bits or 0, full_scale) if rounds else 1.0
        largest = round(full_scale / step) if rounds else full_scale
        return cls(step=step, largest=largest, rounds=rounds, sigma=periphery.output_noise / step)


@dataclass(frozen=True)
class After:
    """What follows the ADC of a row split: max(code · reach · factor + bias + total + other, 0 or −∞).

    Attributes:
        factor: Factor of each output, [out].
        bias: Shift of each output, [out], or None.
        reach: Ranges of dynamic inputs, which broadcast with the sums, or None.
        total: Outputs of the row splits before, which are overwritten, or None.
        other: Another summand in the shape of the sums, or None.
        relu: Whether ReLU is last.
    """

    factor: Tensor
    bias: Tensor | None = None
    reach: Tensor | None = None
    total: Tensor | None = None
    other: Tensor | None = None
    relu: bool = False


def drive(x: Tensor, reach: float, dac: Dac, counts: Counts, signed: bool = True) -> Tensor:
    """Return the DAC's codes of inputs with one range, in new memory.

    Args:
        x: Inputs with an input channel's numbers last, [..., channels]. They are not changed.
        reach: The input range, a float32.
        dac: The DAC.
        counts: Counter of inputs beyond the range.
        signed: Whether an input may be negative (default: True).
    """
    module, rows = _loops(x), _as_rows(x)
    if module is None or rows is None:
        beyond = counts.beyond("saturated_inputs", x, reach, signed=signed)
        # a GPU divides by a number in another way than by a tensor
        codes = dac.rounded(x / x.new_full((), reach))
        return codes.clamp_(-dac.largest, dac.largest) if beyond else codes
    flat, apart = rows
    out = torch.empty(x.shape, dtype=x.dtype)
    line = out.view(-1, x.shape[-1]).numpy()
    hits = module.drive(
        flat.numpy(), apart, np.float32(reach), np.float32(dac.step), np.float32(dac.largest), dac.rounds, line
    )
    counts.add("saturated_inputs", hits, x.numel())
    return out


def convert(
    sums: Tensor, normals: Tensor | None, variances: Tensor | None, adc: Adc, after: After, counts: Counts
) -> Tensor:
    """Return outputs of a layer, [..., out]; they may take the memory of any argument but ``after.other``.

    Args:
        sums: Sums in steps of the ADC, [..., out].
        normals: Standard normal numbers of their noise, or None for no noise.
        variances: Variances that come to that of the noise, in steps squared, or None.
        adc: The ADC.
        after: What follows it.
        counts: Counter of sums beyond the ADC.
    """
    tensors = (sums, normals, variances, after.total, after.other)
    module = _loops(sums)
    one_range = after.reach is None or after.reach.shape == (*sums.shape[:-1], 1)
    if module is None or not one_range or not sums.numel() or not all(_is_plain(tensor) for tensor in tensors):
        return _convert_by_operators(sums, normals, variances, adc, after, counts)
    width = sums.shape[-1]

    def lines(tensor: Tensor | None) -> np.ndarray | None:
        return None if tensor is None else tensor.view(-1, width).numpy()

    hits = module.convert(
        lines(sums),
        lines(normals),
        lines(variances),
        np.float32(adc.sigma),
        np.float32(adc.largest),
        adc.rounds,
        None if after.reach is None else after.reach.reshape(-1).numpy(),
        after.factor.contiguous().numpy(),
        np.zeros(width, np.float32) if after.bias is None else after.bias.detach().numpy(),
        lines(after.total),
        lines(after.other),
        np.float32(0 if after.relu else -math.inf),
    )
    if adc.largest != math.inf:
        counts.add("saturated_outputs", hits, sums.numel())
    return sums if after.total is None else after.total


def _convert_by_operators(
    sums: Tensor, normals: Tensor | None, variances: Tensor | None, adc: Adc, after: After, counts: Counts
) -> Tensor:
    """Do the same steps one after another, without the contractions of ``addcmul`` and ``add(alpha=…)``."""
    if normals is not None:
        if variances is not None:
            # torch's square root of float32 may be off by the last bit; that of float64, rounded, is not
            spread = variances.clamp_(min=0).add_(float(np.float32(adc.sigma) ** 2)).double().sqrt_().float()
            sums.add_(normals.mul_(spread))
        else:
            sums.add_(normals.mul_(adc.sigma))
    if adc.largest != math.inf:
        beyond = counts.beyond("saturated_outputs", sums, adc.largest)
        if adc.rounds:
            sums.round_()
        if beyond:
            sums.clamp_(-adc.largest, adc.largest)
    if after.reach is not None:
        sums.mul_(after.reach)
    sums.mul_(after.factor)
    if after.bias is not None:
        sums.add_(after.bias)
    if after.total is not None:
        sums = after.total.add_(sums)
    if after.other is not None:
        sums.add_(after.other)
    return sums.relu_() if after.relu else sums


def largest(x: Tensor) -> Tensor:
    """Return the largest |x| along the last axis."""
    module = _loops(x)
    if module is not None and x.is_contiguous() and x.numel():
        out = torch.empty(x.shape[:-1], dtype=x.dtype)
        module.largest_of_rows(x.view(-1, x.shape[-1]).numpy(), out.view(-1).numpy())
        return out
    found = x.amax(dim=-1)
    # behind a ReLU nothing is negative, which one number of all shows much faster than those of every vector
    return found if float(x.amin()) >= 0 else torch.maximum(found, x.amin(dim=-1).neg_())


def drive_vectors(x: Tensor, inverse: Tensor, dac: Dac) -> Tensor:
    """Return the DAC's codes of vectors with a range each, in new memory.

    Args:
        x: Vectors, [..., in].
        inverse: Inverse of their ranges, [..., 1].
        dac: The DAC.
    """
    module = _loops(x)
    if module is None or not x.is_contiguous():
        return dac.rounded(x * inverse)
    out = torch.empty_like(x)
    rows, lines = x.view(-1, x.shape[-1]).numpy(), out.view(-1, x.shape[-1]).numpy()
    module.drive_rows(rows, inverse.reshape(-1).numpy(), np.float32(dac.step), dac.rounds, lines)
    return out


def drive_patches(
    x: Tensor, inverse: Tensor, geometry: Convolution, piece: tuple[slice, ...], dac: Dac, memory: Tensor
) -> Tensor:
    """Return the DAC's codes of patches with a range each, [groups, N, *positions, *kernel, channels] of a piece.

    Args:
        x: Padded inputs, [N, height, width, groups, channels].
        inverse: Inverse of the ranges, [N, *positions, groups].
        geometry: Geometry of the convolution.
        piece: Slices of N, and of the rows of positions or not.
        dac: The DAC.
        memory: Where the codes go if its shape fits.
    """
    some = inverse[piece]
    shape = (x.shape[3], *some.shape[:3], *geometry.kernel, x.shape[4])
    out = memory if memory.shape == shape else x.new_empty(shape)
    module = _loops(x)
    if module is None or x.shape[3] != 1:
        patches = _patches(x, geometry, inverse.shape[1:3])[piece]
        torch.mul(patches.movedim(3, 0), some.movedim(3, 0)[..., None, None, None], out=out)
        return dac.rounded(out)
    module.drive_patches(
        x[piece[0]].squeeze(3).numpy(),
        some.squeeze(3).contiguous().numpy(),
        geometry.kernel,
        geometry.stride,
        geometry.dilation,
        piece[1].start if len(piece) > 1 else 0,
        np.float32(dac.step),
        dac.rounds,
        out.view(-1).numpy(),
    )
    return out


def _patches(x: Tensor, geometry: Convolution, positions: torch.Size) -> Tensor:
    """Return a view of padded inputs as patches, [N, *positions, groups, *kernel, channels]."""
    sample, row, column, group, channel = x.stride()
    (down, right), (tall, wide) = geometry.stride, geometry.dilation
    return x.as_strided(
        (len(x), *positions, x.shape[3], *geometry.kernel, x.shape[4]),
        (sample, down * row, right * column, group, tall * row, wide * column, channel),
    )


def _loops(x: Tensor) -> ModuleType | None:
    """Return the compiled loops, or None if they cannot take tensors such as this one."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or x.requires_grad:
        return None
    return loops("driftproof.arrays._code_loops")


def _is_plain(tensor: Tensor | None) -> bool:
    return tensor is None or (tensor.is_contiguous() and tensor.dtype == torch.float32 and not tensor.requires_grad)


def _as_rows(x: Tensor) -> tuple[Tensor, int] | None:
    """Return the memory of [..., width] from its first to its last number, and how far apart its rows begin.

    The result is None if the rows do not lie so.
    """
    width = x.shape[-1]
    if not x.numel() or (width > 1 and x.stride(-1) != 1):
        return None
    lead = [(size, stride) for size, stride in zip(x.shape[:-1], x.stride()[:-1], strict=True) if size > 1]
    apart = lead[-1][1] if lead else width
    distance = apart
    for size, stride in reversed(lead):
        if stride != distance:
            return None
        distance *= size
    return None if apart < width else (x.as_strided((distance - apart + width,), (1,)), apart)
