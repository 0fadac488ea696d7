"""The converters of an array as pure functions of tensors: DAC and ADC.

The steps of one tile's MVM, with x in network units and ŵ = w / scale in [−1, 1]:

    x̂ = dac(x, range)          clip to ±range, divide by it, round to the DAC's levels
    ŷ = Σ ŵ x̂                  the array; not here
    ŷ = ŷ + σ ξ                noise of the MVM (driftproof.periphery._readout); not here
    ŷ = adc(ŷ)                 round to the ADC's levels, then clip to ±full scale
    y = ŷ · output_factor(range) · scale      digital

A converter of b bits has 2^b − 1 levels, k · step with |k| ≤ 2^(b−1) − 1, and step = 2 · bound / (2^b − 2). Ties round
to the even level. The operations and their order are those of aihwkit's torch-based tile (1.2:
``simulator/tiles/utils.py``, ``analog_mvm.py``, ``periphery.py``), so equal floats give equal floats.

float64 inputs are computed in float64, all others in float32. Half precision and bfloat16 are widened first (exactly),
because their own rounding would move values across a converter's thresholds. Rounding has no gradient: these functions
are for evaluation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof._errors import DriftproofError
from driftproof.periphery._counts import Counts
from driftproof.periphery._settings import DynamicRange, Periphery


def dynamic_range(x: Tensor) -> Tensor:
    """Return the range of each input vector, its largest |x|: [..., in] → [..., 1].

    A vector is the input of one tile in one MVM: one row split, and one unfolded patch of a convolution.

    >>> dynamic_range(torch.tensor([[1.0, -4.0], [0.0, 0.0]])).tolist()
    [[4.0], [0.0]]
    """
    return _float(x, "the inputs").abs().amax(dim=-1, keepdim=True)


def dac(x: Tensor, input_range: float | Tensor, periphery: Periphery, counts: Counts | None = None) -> Tensor:
    """Return the array's inputs, in [−1, 1] and on the DAC's levels.

    A static range gives x̂ = round(clip(x, ±r) / r / step) · step. A dynamic range uses x · (1/r) in place of the
    quotient, as aihwkit does. A range of 0 gives zeros. The ideal periphery returns x as it is.

    Args:
        x: Inputs in network units, of any shape.
        input_range: Range r > 0 in network units: one number, or a tensor that broadcasts with x (a dynamic range is
            [..., 1], from :func:`dynamic_range`).
        periphery: Periphery whose ``dac_bits`` and ``input_range`` count.
        counts: Counter of inputs beyond a static range, as ``saturated_inputs`` (default: None, no counting).

    Raises:
        DriftproofError: If x is not floating-point, or if the range is a number that is not positive and finite.

    >>> from driftproof.periphery import load_periphery
    >>> standard = load_periphery("standard")
    >>> (dac(torch.tensor([-9.0, 0.02, 1.0, 2.0]), 2.0, standard) * 127).tolist()
    [-127.0, 1.0, 64.0, 127.0]
    """
    x = _float(x, "the inputs")
    if periphery.input_range is None:
        return x
    reach = _as_tensor(input_range, x.dtype, x.device)
    divisor = _divisor(reach)
    if isinstance(periphery.input_range, DynamicRange):
        scaled = x * (1.0 / divisor)
    else:
        if counts is not None:
            counts.beyond("saturated_inputs", x, input_range)
        scaled = torch.clamp(x, -reach, reach).div_(divisor)
    if periphery.dac_bits is not None:
        # the step is a Python number on purpose: CUDA divides by a number in another way than by a tensor
        step = converter_step(periphery.dac_bits, 1.0)
        scaled = scaled.div_(step).round_().mul_(step)
    return scaled  # at most 1 already: aihwkit's clipping after its rounding changes nothing here


def adc(y: Tensor, periphery: Periphery) -> Tensor:
    """Return one tile's outputs on the ADC's levels and clipped to its full scale, still normalised.

    The result is clip(round(y / step) · step, ±full scale). Without ``adc_bits`` the ADC only clips, and without
    ``adc_full_scale`` it does nothing. Noise comes before it, the sum over tiles after it.

    >>> from driftproof.periphery import load_periphery
    >>> standard = load_periphery("standard")
    >>> [round(v, 4) for v in adc(torch.tensor([0.05, 0.03, 11.0]), standard).tolist()]
    [0.0787, 0.0, 10.0]
    """
    y = _float(y, "the outputs")
    return y if periphery.adc_full_scale is None else adc_(y.clone(), periphery)


def adc_(y: Tensor, periphery: Periphery) -> Tensor:
    """Apply :func:`adc` in place to float32 or float64 outputs, and return them."""
    bound = periphery.adc_full_scale
    if bound is None:
        return y
    if periphery.adc_bits is not None:
        step = converter_step(periphery.adc_bits, bound)
        y.div_(step).round_().mul_(step)
    return y.clamp_(-bound, bound)


def adc_codes(y: Tensor, periphery: Periphery) -> Tensor:
    """Return the ADC's codes, int32 from −(2^(b−1) − 1) to 2^(b−1) − 1: the result of :func:`adc` in steps.

    Raises:
        DriftproofError: If there is no ADC, or an output is NaN.

    >>> from driftproof.periphery import load_periphery
    >>> adc_codes(torch.tensor([0.05, 0.03, -11.0]), load_periphery("standard")).tolist()
    [1, 0, -127]
    """
    if periphery.adc_bits is None or periphery.adc_full_scale is None:
        raise DriftproofError(f"periphery {periphery.name} has no ADC and so no codes; give it adc_bits")
    y = _float(y, "the outputs")
    if bool(y.isnan().any()):
        raise DriftproofError(f"the ADC got {int(y.isnan().sum())} NaN of {y.numel()} outputs; look at the inputs")
    most = 2 ** (periphery.adc_bits - 1) - 1
    steps = y / converter_step(periphery.adc_bits, periphery.adc_full_scale)
    return steps.round_().clamp_(-most, most).to(torch.int32)


def output_factor(input_range: float | Tensor, periphery: Periphery) -> Tensor:
    """Return the factor that undoes the input range after the ADC: r, or 1 / (1/r) for a dynamic range as in aihwkit.

    With a static range aihwkit multiplies the outputs by (r · scale), with a dynamic one by the factor and then by the
    scale. The order matters for the last bit only.

    >>> from driftproof.periphery import load_periphery
    >>> output_factor(2.0, load_periphery("standard"))
    tensor(2.)
    """
    if periphery.input_range is None:
        return torch.ones(())
    wide = isinstance(input_range, Tensor) and input_range.dtype == torch.float64
    reach = _as_tensor(input_range, torch.float64 if wide else torch.float32)
    if isinstance(periphery.input_range, DynamicRange):
        return 1.0 / (1.0 / _divisor(reach))
    return reach


def mvm_noise_variances(net: Tensor, periphery: Periphery) -> Tensor | None:
    """Return v [out, in] such that weight noise at output i of an MVM is N(0, Σ_j v_ij x̂_j²), or None without noise.

    Args:
        net: Matrix of the array, [out, in], relative to the largest conductance.
        periphery: Periphery whose ``mvm_weight_noise`` counts: v = σ² for ``constant``, σ² |ŵ| for ``pcm-read``.

    >>> from driftproof.periphery._settings import WeightNoise
    >>> from driftproof.periphery import load_periphery
    >>> noisy = load_periphery("standard").with_changes(mvm_weight_noise=WeightNoise(law="pcm-read", sigma=0.5))
    >>> mvm_noise_variances(torch.tensor([[1.0, -0.5]]), noisy)
    tensor([[0.2500, 0.1250]])
    """
    noise = periphery.mvm_weight_noise
    if noise is None:
        return None
    variance = noise.sigma**2
    return net.abs() * variance if noise.law == "pcm-read" else torch.full_like(net, variance)


def converter_step(bits: int, bound: float) -> float:
    """Return the distance between a converter's levels, 2 · bound / (2^bits − 2).

    >>> converter_step(8, 1.0) * 127
    1.0
    """
    step: float = 1 / (2**bits - 2)
    step *= 2 * bound  # in aihwkit's order: the last bit depends on it
    return step


def _float(x: Tensor, what: str) -> Tensor:
    if not x.is_floating_point():
        raise DriftproofError(f"{what} of the periphery are {x.dtype}; wanted floating-point numbers: convert them")
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _divisor(reach: Tensor) -> Tensor:
    """Return the range, or 1 where it is zero or so small that 1/range would overflow."""
    return torch.where(reach >= torch.finfo(reach.dtype).tiny, reach, 1.0)


def _as_tensor(input_range: float | Tensor, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Return a range as a tensor. A number becomes a tensor because aihwkit divides by a tensor."""
    if isinstance(input_range, Tensor):
        return input_range.to(dtype=dtype, device=device)
    if not 0 < input_range < float("inf"):
        raise DriftproofError(
            f"input range {input_range}: wanted a positive, finite number in the units of the layer's inputs, as "
            "RangeStatistics gives it"
        )
    return torch.tensor(input_range, dtype=dtype, device=device)
