"""The converters around an array, as pure functions of tensors: DAC, output noise, ADC.

One tile's MVM, in its order, x in network units and ŵ = w / scale in [−1, 1]:

    x̂ = dac(x, range)          clip to ±range, divide by it, round to the DAC's levels
    ŷ = Σ ŵ x̂                  the array; not here
    ŷ = ŷ + σ ξ                add_output_noise; ξ comes from the caller
    ŷ = adc(ŷ)                 round to the ADC's levels, then clip to ±full scale
    y = ŷ · output_factor(range) · scale      digital

A converter of b bits has 2^b − 1 levels, k · step with |k| ≤ 2^(b−1) − 1, and step = 2 · bound / (2^b − 2). Ties round
to the even level. Every operation is the one that aihwkit's torch-based tile does (1.2: ``simulator/tiles/utils.py``,
``analog_mvm.py``, ``periphery.py``), in the same order: equal floats give equal floats.

Everything is computed in float32, or in float64 if that comes in: half and bfloat16 are widened first (exactly), since
their own rounding would move values across a converter's thresholds; results are float32 then. Rounding has no
gradient: these functions are for evaluation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.errors import DriftproofError
from driftproof.periphery.counts import Counts
from driftproof.periphery.settings import DynamicRange, Periphery


def dynamic_range(x: Tensor) -> Tensor:
    """Return the range of each input vector, its largest |x|: [..., in] → [..., 1].

    The vector is what one tile multiplies at once: one row split, of a convolution one unfolded patch.

    >>> dynamic_range(torch.tensor([[1.0, -4.0], [0.0, 0.0]])).tolist()
    [[4.0], [0.0]]
    """
    return _float(x, "the inputs").abs().amax(dim=-1, keepdim=True)


def dac(x: Tensor, input_range: float | Tensor, periphery: Periphery, counts: Counts | None = None) -> Tensor:
    """Return the array's inputs, in [−1, 1] and on the DAC's levels.

    Static: x̂ = round(clip(x, ±r) / r / step) · step. Dynamic: x · (1/r) in the place of the quotient, as aihwkit has
    it. A range of 0 gives zeros. With the ideal periphery x comes back as it is.

    Args:
        x: inputs in network units, any shape.
        input_range: r > 0 in network units: one number, or a tensor that broadcasts with x (dynamic: [..., 1], from
            :func:`dynamic_range`).
        periphery: its ``dac_bits`` and ``input_range``.
        counts: where inputs beyond a static range are counted, as ``saturated_inputs``; None: they are not.

    Raises:
        DriftproofError: x is not floating-point; a range that is a number and not positive and finite.

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
        # the step is a Python number on purpose: on CUDA a division by one is another operation than by a tensor
        step = converter_step(periphery.dac_bits, 1.0)
        scaled = scaled.div_(step).round_().mul_(step)
    return scaled  # at most 1 already: aihwkit's clipping behind its rounding changes nothing here


def add_output_noise(y: Tensor, normals: Tensor, periphery: Periphery) -> Tensor:
    """Return y + σ ξ, before the ADC.

    Args:
        y: a tile's outputs, normalised, any shape.
        normals: ξ, standard normal numbers in the shape of y; they are not drawn here.
        periphery: its ``output_noise`` is σ.

    Raises:
        DriftproofError: the numbers have another shape.
    """
    y = _float(y, "the outputs")
    if normals.shape != y.shape:
        raise DriftproofError(
            f"output noise: {list(normals.shape)} numbers for outputs {list(y.shape)}; wanted one for each output"
        )
    return y + periphery.output_noise * normals


def adc(y: Tensor, periphery: Periphery) -> Tensor:
    """Return one tile's outputs on the ADC's levels and clipped to its full scale, still normalised.

    clip(round(y / step) · step, ±full scale). Without ``adc_bits`` it clips only, without ``adc_full_scale`` it does
    nothing. Noise is added before (:func:`add_output_noise`), the sum over tiles comes after.

    >>> from driftproof.periphery import load_periphery
    >>> standard = load_periphery("standard")
    >>> [round(v, 4) for v in adc(torch.tensor([0.05, 0.03, 11.0]), standard).tolist()]
    [0.0787, 0.0, 10.0]
    """
    y = _float(y, "the outputs")
    return y if periphery.adc_full_scale is None else adc_(y.clone(), periphery)


def adc_(y: Tensor, periphery: Periphery) -> Tensor:
    """Return what :func:`adc` does, in the memory of its inputs; float32 or float64."""
    bound = periphery.adc_full_scale
    if bound is None:
        return y
    if periphery.adc_bits is not None:
        step = converter_step(periphery.adc_bits, bound)
        y.div_(step).round_().mul_(step)
    return y.clamp_(-bound, bound)


def adc_codes(y: Tensor, periphery: Periphery) -> Tensor:
    """Return the ADC's codes, int32 from −(2^(b−1) − 1) to 2^(b−1) − 1: what :func:`adc` returns, in steps.

    Raises:
        DriftproofError: there is no ADC, or an output is NaN.

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
    """Return what undoes the input range behind the ADC: r; 1 / (1/r) for a dynamic one, as aihwkit has it.

    aihwkit multiplies the outputs by (r · scale) with a static range, by the factor and then by the scale with a
    dynamic one; the order matters for the last bit only.

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
    """Return v with which the weight noise of an MVM is N(0, Σ_j v_ij x̂_j²) at output i; None if there is none.

    Args:
        net: [out, in], what the array multiplies by, relative to the largest conductance.
        periphery: its ``mvm_weight_noise``: v = σ² for ``constant``, σ² |ŵ| for ``pcm-read``.

    >>> from driftproof.periphery import WeightNoise, load_periphery
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
    """Return the distance of a converter's levels, 2 · bound / (2^bits − 2).

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
    """Return the range, and 1 where there is no signal: zero, or so small that 1/range would overflow."""
    return torch.where(reach >= torch.finfo(reach.dtype).tiny, reach, 1.0)


def _as_tensor(input_range: float | Tensor, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Return a range as a tensor, also one that comes as a number: aihwkit divides by a tensor, too."""
    if isinstance(input_range, Tensor):
        return input_range.to(dtype=dtype, device=device)
    if not 0 < input_range < float("inf"):
        raise DriftproofError(
            f"input range {input_range}: wanted a positive, finite number in the units of the layer's inputs, as "
            "RangeStatistics gives it"
        )
    return torch.tensor(input_range, dtype=dtype, device=device)
