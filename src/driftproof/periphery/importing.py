"""A periphery from an aihwkit configuration; what cannot be taken over is named, never dropped."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.periphery.aihwkit_fields import NEUTRAL_FORWARD, WEIGHT_NOISE_TYPES
from driftproof.periphery.settings import DynamicRange, Periphery, PeripherySource, StaticRange, WeightNoise, WireDrop

# fields of IOParameters that a periphery does not have, with the value that means "none of it" or is aihwkit's default
_OTHER_FORWARD: dict[str, Any] = {
    "inp_noise": 0.0,
    "inp_sto_round": False,
    "inp_asymmetry": 0.0,
    "out_noise_std": 0.0,
    "out_sto_round": False,
    "out_scale": 1.0,
    "out_asymmetry": 0.0,
    "out_nonlinearity": 0.0,
    "out_nonlinearity_std": 0.0,
    "slope_calibration": 0.0,
    "v_offset_std": 0.0,
    "v_offset_w_min": -1.0,
    "r_series": 0.0,
    "w_read_asymmetry_dtod": 0.0,
    "max_bm_factor": 1000,
    "max_bm_res": 0.25,
    "bm_test_negative_bound": True,
    "nm_thres": 0.0,
    "ir_drop_g_ratio": 1.0 / 0.35 / 5e-6,
}
_INPUT_RANGE: dict[str, Any] = {
    "enable": False,
    "calibration_info": None,
    "learn_input_range": False,  # aihwkit's default is True, but learned ranges are not taken over
    "init_value": 3.0,
    "init_from_data": 100,
    "init_std_alpha": 3.0,
    "decay": 0.001,
    "input_min_percentage": 0.95,
    "manage_output_clipping": False,
    "output_min_percentage": 0.95,
    "gradient_scale": 1.0,
    "gradient_relative": True,
}
# aihwkit's way of calibration → ours; its moving quantile and its cached one are ours but for what calibration.py says
_METHODS = {"Max": "maximum", "CacheQuantile": "quantile", "MovingQuantile": "moving", "MovingStd": "moving"}
# what IOParametersIRDropT has besides: a time-dependent wire model, which has no counterpart here
_TIME_DEPENDENT_WIRES: dict[str, Any] = {
    "ir_drop_rs": 0.15,
    "ir_drop_segments": 8,
    "ir_drop_time_step_resolution_scale": 1.0,
    "ir_drop_v_read": 0.4005,
    "split_mode_bit_shift": 3,
    "apply_xdep_pcm_read_noise": False,
    "xdep_pcm_read_noise_scale": 1.0,
    "adc_quantization": True,
    "adc_frequency": 6.24,
    "ir_drop_integration_sum": False,
}


def periphery_from_rpu_config(config: Any) -> tuple[Periphery, list[str]]:
    """Return the periphery of an aihwkit configuration, and what of it could not be taken over.

    Taken from ``forward`` and ``pre_post``; tile size, scales, noise model, drift compensation and training settings
    are not a periphery and not looked at.

    - ``inp_res``, ``out_res``: bits = log2(steps + 2), which must be whole.
    - ``noise_management``: ``AbsMax`` → dynamic range. Static range: ``pre_post.input_range`` enabled; its values
      are in the tiles and not in the configuration, so the range is calibrated anew.
    - ``w_noise``, ``ir_drop``: taken over where they are switched on.

    Args:
        config: an ``InferenceRPUConfig``, a ``TorchInferenceRPUConfig`` or one of aihwkit's presets.

    Returns:
        The periphery and one text for each setting, by name, that has an effect (or is not aihwkit's default) and is
        not in it; empty if all is.

    Raises:
        DriftproofError: something that has no ``forward`` settings.

    >>> class Forward:
    ...     is_perfect = True
    >>> class Config:
    ...     forward = Forward()
    >>> periphery, left = periphery_from_rpu_config(Config())
    >>> periphery.is_ideal, left
    (True, [])
    """
    forward = getattr(config, "forward", None)
    if forward is None or not hasattr(forward, "is_perfect"):
        raise DriftproofError(
            f"{type(config).__name__} is no aihwkit configuration with forward settings; wanted an InferenceRPUConfig, "
            "a TorchInferenceRPUConfig or one of aihwkit's presets"
        )
    io = {name: _plain(value) for name, value in _settings(forward).items()}
    pre_post = getattr(config, "pre_post", None)
    ranges = {name: _plain(v) for name, v in _settings(getattr(pre_post, "input_range", None)).items()}
    values: dict[str, Any] = {}
    left: list[str] = []
    if io["is_perfect"] or io.get("mv_type") == "Ideal":
        # aihwkit looks at nothing else in forward then, but clips at the input range
        if ranges.get("enable"):
            values["input_range"] = _static(ranges, left)
    else:
        _take_forward(io, ranges, values, left)
    left += _other_parts(config, pre_post, ranges)
    kind = type(config).__name__
    source = PeripherySource(title=f"aihwkit configuration {kind}", where="its forward and pre_post settings")
    return Periphery(name=f"aihwkit-{kind.lower().lstrip('_')}", source=source, **values), left


def _take_forward(io: dict[str, Any], ranges: dict[str, Any], values: dict[str, Any], left: list[str]) -> None:
    """Fill in what a forward pass that is not perfect has."""
    values["dac_bits"] = _bits(io, "inp_res", left)
    values["adc_bits"] = _bits(io, "out_res", left)
    bound = io.get("out_bound", 0.0)
    if 0 < bound < math.inf:
        values["adc_full_scale"] = float(bound)
    elif values["adc_bits"] is not None:
        left.append(_said("forward.out_res", io["out_res"], "there is no out_bound that its levels reach to"))
        values["adc_bits"] = None
    values["output_noise"] = float(max(io.get("out_noise", 0.0), 0.0))
    values["input_range"] = _input_range(io, ranges, left)
    laws = {theirs: ours for ours, theirs in WEIGHT_NOISE_TYPES.items()}
    law = laws.get(io.get("w_noise_type", "None"))
    if law and io.get("w_noise", 0.0) > 0:
        values["mvm_weight_noise"] = WeightNoise.model_validate({"law": law, "sigma": float(io["w_noise"])})
    elif io.get("w_noise", 0.0) > 0:
        left.append(_said("forward.w_noise", io["w_noise"], f"w_noise_type is {io.get('w_noise_type')}"))
    if io.get("ir_drop", 0.0) > 0:
        if "ir_drop_rs" in io:
            left.append(_said("forward.ir_drop", io["ir_drop"], "the time-dependent wire model is not here"))
        else:
            ratio = float(io.get("ir_drop_g_ratio", _OTHER_FORWARD["ir_drop_g_ratio"]))
            values["wire_drop"] = WireDrop(scale=float(io["ir_drop"]), conductance_ratio=ratio)
    elif io.get("ir_drop_g_ratio", _OTHER_FORWARD["ir_drop_g_ratio"]) != _OTHER_FORWARD["ir_drop_g_ratio"]:
        left.append(_said("forward.ir_drop_g_ratio", io["ir_drop_g_ratio"], "ir_drop is 0"))
    if io.get("mv_type", "OnePass") != "OnePass":
        left.append(_said("forward.mv_type", io["mv_type"], "an MVM is one pass here"))
    if io.get("bound_management", "None") != "None":
        left.append(_said("forward.bound_management", io["bound_management"], "an ADC that saturates, saturates here"))
    if io.get("inp_bound", 1.0) != 1.0:
        left.append(_said("forward.inp_bound", io["inp_bound"], "the DAC reaches from -1 to 1 times the input range"))
    separately = ("ir_drop_g_ratio", "nm_thres")
    others = _OTHER_FORWARD | _TIME_DEPENDENT_WIRES
    for name, value in io.items():
        if name in NEUTRAL_FORWARD or name in separately or (name in others and value == others[name]):
            continue
        hint = "" if name in others else did_you_mean(name, {*NEUTRAL_FORWARD, *others})
        left.append(_said(f"forward.{name}", value, f"there is no such setting here{hint}"))


def _input_range(io: dict[str, Any], ranges: dict[str, Any], left: list[str]) -> StaticRange | DynamicRange:
    """Return how the range is found: aihwkit's own, if it is on, else its noise management."""
    management, threshold = io.get("noise_management", "None"), io.get("nm_thres", 0.0)
    constant = management == "None" or (management == "Constant" and (threshold <= 0 or threshold == 1))
    if ranges.get("enable"):
        if not constant:
            reason = "it acts on top of pre_post.input_range, which is the range here"
            left.append(_said("forward.noise_management", management, reason))
        return _static(ranges, left)
    if management in ("None", "Constant"):
        reach = threshold if management == "Constant" and threshold > 0 else 1.0
        reason = f"with no pre_post.input_range, inputs are clipped at {reach:g} in every layer; calibrated here"
        left.append(_said("forward.noise_management", management, reason))
        return _static(ranges, left)
    if management != "AbsMax":
        left.append(_said("forward.noise_management", management, "the largest |x| of each vector is taken here"))
    if threshold > 0:
        left.append(_said("forward.nm_thres", threshold, "a dynamic range has no upper limit here"))
    return DynamicRange()


def _static(ranges: dict[str, Any], left: list[str]) -> StaticRange:
    info = ranges.get("calibration_info")
    if info is not None and (info not in _METHODS or info == "MovingStd"):
        left.append(_said("pre_post.input_range.calibration_info", info, "ranges here are of quantiles of |x|"))
    return StaticRange.model_validate({"method": _METHODS.get(info or "", "quantile")})


def _bits(io: dict[str, Any], name: str, left: list[str]) -> int | None:
    """Return the bits of a resolution: a number of steps above 1, the share of one step below."""
    given = io.get(name, -1.0)
    if given <= 0:
        return None
    steps = given if given > 1 else 1 / given
    exact = math.log2(steps + 2)
    bits = max(2, round(exact))
    if bits > 24:
        left.append(_said(f"forward.{name}", given, f"{exact:.4g} bits are more than float32 has; exact here"))
        return None
    if not math.isclose(steps, 2**bits - 2, rel_tol=1e-6):
        left.append(_said(f"forward.{name}", given, f"{steps:.6g} steps are {exact:.4g} bits; {bits} bits here"))
    return bits


def _other_parts(config: Any, pre_post: Any, ranges: dict[str, Any]) -> list[str]:
    """Return what stands in ``pre_post`` and beside it and is not in a periphery."""
    left = []
    for name, value in ranges.items():
        if name not in _INPUT_RANGE:
            hint = did_you_mean(name, _INPUT_RANGE)
            left.append(_said(f"pre_post.input_range.{name}", value, f"not known here{hint}"))
        elif ranges.get("enable") and name not in ("enable", "calibration_info") and value != _INPUT_RANGE[name]:
            reason = "ranges come from calibration here, not from the tiles; see RangeStatistics"
            left.append(_said(f"pre_post.input_range.{name}", value, reason))
    digital_bits = getattr(getattr(pre_post, "periph_quant", None), "n_bits", 0)
    if digital_bits > 0:
        left.append(_said("pre_post.periph_quant.n_bits", digital_bits, "scales and biases are exact here"))
    activations = getattr(config, "act_quant_config", None)
    if activations is not None and getattr(activations, "n_bits", 1) > 0:
        left.append(_said("act_quant_config", type(activations).__name__, "digital activations are exact here"))
    return left


def _settings(group: Any) -> dict[str, Any]:
    """Return a group's settings by name, those of its class included (aihwkit's groups are dataclasses)."""
    if group is None:
        return {}
    names = [name for name in dir(group) if not name.startswith("_") and not name.startswith("bindings_")]
    return {name: value for name in names if not callable(value := getattr(group, name))}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _said(name: str, value: Any, reason: str) -> str:
    return f"{name} = {value}: {reason}"
