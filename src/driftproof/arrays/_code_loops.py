"""The steps of :mod:`driftproof.arrays._code_steps` in compiled loops: one pass over memory for each converter.

All arrays are float32. Comparisons are written so that NaN stays NaN. Places in flat memory are unsigned: numba would
ask of every signed one whether it is negative and counts from the end, and such a loop does not become vector code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from driftproof._loops import compiled

type Numbers = NDArray[np.float32]

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def _coded(scaled: np.float32, step: np.float32, largest: np.float32, rounds: bool) -> np.float32:
    """Return the DAC's code of an input relative to its range."""
    code = np.rint(scaled / step) if rounds else scaled
    code = largest if code > largest else code
    return -largest if code < -largest else code


@compiled
def _drive_row(x: Numbers, reach: np.float32, step: np.float32, largest: np.float32, rounds: bool, out: Numbers) -> int:
    beyond = 0
    for place in range(len(x)):
        beyond += abs(x[place]) > reach
        out[place] = _coded(x[place] / reach, step, largest, rounds)
    return beyond


@compiled
def drive(
    x: Numbers,
    apart: int,
    reach: np.float32,
    step: np.float32,
    largest: np.float32,
    rounds: bool,
    out: Numbers,
) -> int:
    """Write the DAC's codes of inputs with one range; return how many inputs lie beyond it.

    Args:
        x: Inputs [...]; rows begin ``apart`` numbers from each other.
        apart: The distance of rows.
        reach: The input range.
        step: The DAC's step, of inputs relative to their range.
        largest: The largest code.
        rounds: Whether inputs are rounded to codes.
        out: Codes, [rows, width].
    """
    rows, width = out.shape
    beyond = 0
    if width == apart:
        return _drive_row(x, reach, step, largest, rounds, out.reshape(-1))
    for row in range(rows):
        line = x[row * apart : row * apart + width]
        beyond += _drive_row(line, reach, step, largest, rounds, out[row])
    return beyond


@compiled
def largest_of_rows(x: Numbers, out: Numbers) -> None:
    """Write the largest |x| of each row [rows, width] to ``out`` [rows]."""
    for row in range(x.shape[0]):
        largest = _ZERO
        for place in range(x.shape[1]):
            value = abs(x[row, place])
            largest = largest if value <= largest else value
        out[row] = largest


@compiled
def drive_rows(x: Numbers, inverse: Numbers, step: np.float32, rounds: bool, out: Numbers) -> None:
    """Write the DAC's codes of vectors [rows, width] with a range each, whose inverse is given, [rows]."""
    for row in range(x.shape[0]):
        for place in range(x.shape[1]):
            scaled = x[row, place] * inverse[row]
            out[row, place] = np.rint(scaled / step) if rounds else scaled


@compiled
def drive_patches(
    x: Numbers,
    inverse: Numbers,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    first: int,
    step: np.float32,
    rounds: bool,
    out: Numbers,
) -> None:
    """Write the DAC's codes of patches with a range each.

    Args:
        x: Padded inputs, [N, height, width, channels].
        inverse: Inverse of each patch's range, [N, *positions].
        kernel: Height and width of a patch.
        stride: Steps from patch to patch.
        dilation: Steps within a patch.
        first: Row of patches that ``inverse`` begins with.
        step: The DAC's step, of inputs relative to their range.
        rounds: Whether inputs are rounded to codes.
        out: Codes, [N · positions · height · width of a patch · channels].
    """
    _, height, width, channels = x.shape
    flat = x.reshape(-1)
    # neighbours in a line of the kernel are one run of memory, unless it is dilated
    runs, length = (1, kernel[1] * channels) if dilation[1] == 1 else (kernel[1], channels)
    at = np.uint64(0)
    for sample in range(inverse.shape[0]):
        for row in range(inverse.shape[1]):
            for column in range(inverse.shape[2]):
                factor = inverse[sample, row, column]
                for down in range(kernel[0]):
                    line = (sample * height + (first + row) * stride[0] + down * dilation[0]) * width
                    for run in range(runs):
                        start = np.uint64((line + column * stride[1] + run * dilation[1]) * channels)
                        for place in range(np.uint64(length)):
                            scaled = flat[start + place] * factor
                            out[at + place] = np.rint(scaled / step) if rounds else scaled
                        at += np.uint64(length)


@compiled
def convert(
    sums: Numbers,
    normals: Numbers | None,
    variances: Numbers | None,
    sigma: np.float32,
    largest: np.float32,
    rounds: bool,
    reach: Numbers | None,
    factor: Numbers,
    bias: Numbers,
    total: Numbers | None,
    other: Numbers | None,
    least: np.float32,
) -> int:
    """Compute max(code · reach · factor + bias + total + other, least); return how many sums lie beyond the ADC.

    The outputs are written to ``total``, or without it to ``sums``. (A further argument for them would overlap with one
    of these, and such a loop does not become vector code.)

    Args:
        sums: Sums in steps of the ADC, [rows, out].
        normals: Standard normal numbers [rows, out] of their noise, or None.
        variances: Sums of variances times squared inputs, [rows, out], which come to the noise's variance, or None.
        sigma: Standard deviation of the noise, without them.
        largest: The ADC's largest code, or its full scale if it does not round.
        rounds: Whether the ADC rounds.
        reach: Range of each row's inputs, [rows], or None.
        factor: Factor of each output, [out].
        bias: Shift of each output, [out].
        total: Outputs so far, [rows, out], or None.
        other: Another summand, [rows, out], or None.
        least: Least output: 0 behind a ReLU, −∞ without.
    """
    beyond = 0
    for row in range(sums.shape[0]):
        for place in range(sums.shape[1]):
            value = sums[row, place]
            if normals is not None:
                if variances is None:
                    value = value + normals[row, place] * sigma
                else:
                    variance = variances[row, place]
                    variance = _ZERO if variance < _ZERO else variance
                    value = value + np.sqrt(variance + sigma * sigma) * normals[row, place]
            beyond += abs(value) > largest
            code = np.rint(value) if rounds else value
            code = largest if code > largest else code
            code = -largest if code < -largest else code
            if reach is not None:
                code = code * reach[row]
            value = code * factor[place] + bias[place]
            if total is not None:
                value = total[row, place] + value
            if other is not None:
                value = value + other[row, place]
            value = least if value < least else value
            if total is None:
                sums[row, place] = value
            else:
                total[row, place] = value
    return beyond
