"""A periphery from an aihwkit configuration. Settings that cannot be taken over are reported by name."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

from driftproof._errors import DriftproofError, did_you_mean
from driftproof.periphery._aihwkit_fields import NEUTRAL_FORWARD, WEIGHT_NOISE_TYPES
from driftproof.periphery._beyond import beyond_periphery, listed, shown
from driftproof.periphery._settings import DynamicRange, IRDrop, Periphery, PeripherySource, StaticRange

# fields of IOParameters that a periphery does not have, with the value that means "no effect" or is aihwkit's default
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
    "learn_input_range": False,  # aihwkit's default is True, but a periphery has no learned ranges
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
# aihwkit's method of calibration → ours; _calibration.py tells how the quantiles differ
_METHODS = {"Max": "maximum", "CacheQuantile": "quantile", "MovingQuantile": "moving", "MovingStd": "moving"}
# further fields of IOParametersIRDropT: a time-dependent wire model, which has no counterpart here
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

# fields of IOParameters that have one value here, and why
_FIXED = {
    "mv_type": "an MVM is one pass here",
    "bound_management": "an ADC that saturates, saturates here",
    "inp_bound": "the DAC reaches from -1 to 1 times the input range",
}


def periphery_from_rpu_config(config: Any) -> tuple[Periphery, list[str]]:
    """Return the periphery of an aihwkit configuration, and the settings that it cannot have.

    The periphery comes from ``forward`` and ``pre_post``. Noise model, drift compensation, tile size, scales, weight
    modifier and devices for training do not belong to a periphery: they are named, with what to use here instead.

    - ``inp_res`` and ``out_res`` become bits = log2(steps + 2), which must be whole.
    - ``noise_management`` ``AbsMax`` becomes a dynamic range. An enabled ``pre_post.input_range`` becomes a static
      range; its values are in the tiles and not in the configuration, so the range has to be calibrated again, or
      given (:meth:`Periphery.with_ranges`).
    - ``w_noise`` and ``ir_drop`` are taken over where they are switched on.

    Args:
        config: An ``InferenceRPUConfig``, a ``TorchInferenceRPUConfig``, or one of aihwkit's presets.

    Returns:
        The periphery, and a list with one text ``NAME = VALUE: reason, or what to use`` for each setting that has an
        effect (or is not aihwkit's default) and that the periphery does not have.

    Raises:
        DriftproofError: If ``config`` has no ``forward`` settings.

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
            f"{type(config).__name__} is not an aihwkit configuration with forward settings; wanted an "
            "InferenceRPUConfig, a TorchInferenceRPUConfig or one of aihwkit's presets"
        )
    io, pre_post = _settings(forward), getattr(config, "pre_post", None)
    ranges = _settings(getattr(pre_post, "input_range", None))
    values: dict[str, Any] = {}
    left: list[str] = []
    if not io["is_perfect"] and io.get("mv_type") != "Ideal":
        values = _forward(io, ranges, left)
    elif ranges.get("enable"):  # aihwkit reads nothing else in forward then, but clips at the input range
        values["input_range"] = _static(ranges, left)
    _note_other_parts(config, pre_post, ranges, left)
    left += beyond_periphery(config)
    kind = type(config).__name__
    source = PeripherySource(title=f"aihwkit configuration {kind}", where="its forward and pre_post settings")
    return Periphery(name=f"aihwkit-{kind.lower().lstrip('_')}", source=source, **values), left


def _forward(given: dict[str, Any], ranges: dict[str, Any], left: list[str]) -> dict[str, Any]:
    """Return the values of a periphery for a forward pass that is not perfect."""
    io = NEUTRAL_FORWARD | _OTHER_FORWARD | given
    values: dict[str, Any] = {
        "dac_bits": _bits(io, "inp_res", left),
        "adc_bits": _bits(io, "out_res", left),
        "output_noise": float(max(io["out_noise"], 0.0)),
        "input_range": _input_range(io, ranges, left),
    }
    if 0 < io["out_bound"] < math.inf:
        values["adc_full_scale"] = float(io["out_bound"])
    elif values["adc_bits"] is not None:
        _note(left, "forward.out_res", io["out_res"], "there is no out_bound to which its levels could reach")
        values["adc_bits"] = None
    laws = {theirs: ours for ours, theirs in WEIGHT_NOISE_TYPES.items()}
    if io["w_noise"] > 0 and (law := laws.get(io["w_noise_type"])):
        values["mvm_weight_noise"] = {"law": law, "sigma": float(io["w_noise"])}
    elif io["w_noise"] > 0:
        _note(left, "forward.w_noise", io["w_noise"], f"w_noise_type is {io['w_noise_type']}")
    ratio = io["ir_drop_g_ratio"]
    if io["ir_drop"] > 0 and "ir_drop_rs" in io:
        _note(left, "forward.ir_drop", io["ir_drop"], "the time-dependent wire model is not here")
    elif io["ir_drop"] > 0:
        values["ir_drop"] = IRDrop(scale=float(io["ir_drop"]), conductance_ratio=float(ratio))
    elif ratio != _OTHER_FORWARD["ir_drop_g_ratio"]:
        _note(left, "forward.ir_drop_g_ratio", ratio, "ir_drop is 0")
    for name, reason in _FIXED.items():
        if io[name] != NEUTRAL_FORWARD[name]:
            _note(left, f"forward.{name}", io[name], reason)
    others = _OTHER_FORWARD | _TIME_DEPENDENT_WIRES
    read = {*NEUTRAL_FORWARD, "ir_drop_g_ratio", "nm_thres"}
    for name, value in given.items():
        if name not in read and not (name in others and value == others[name]):
            hint = "" if name in others else did_you_mean(name, {*NEUTRAL_FORWARD, *others})
            _note(left, f"forward.{name}", value, f"there is no such setting here{hint}")
    return values


def _input_range(io: dict[str, Any], ranges: dict[str, Any], left: list[str]) -> StaticRange | DynamicRange:
    """Return the input range: aihwkit's ``pre_post.input_range`` if it is enabled, else its noise management."""
    management, threshold = io["noise_management"], io["nm_thres"]
    if ranges.get("enable"):
        if management != "None" and not (management == "Constant" and (threshold <= 0 or threshold == 1)):
            reason = "it acts on top of pre_post.input_range, which is the range here"
            _note(left, "forward.noise_management", management, reason)
        return _static(ranges, left)
    if management in ("None", "Constant"):
        reach = threshold if management == "Constant" and threshold > 0 else 1.0
        reason = f"with no pre_post.input_range, inputs are clipped at {reach:g} in every layer; calibrated here"
        _note(left, "forward.noise_management", management, reason)
        return _static(ranges, left)
    if management != "AbsMax":
        _note(left, "forward.noise_management", management, "the largest |x| of each vector is taken here")
    if threshold > 0:
        _note(left, "forward.nm_thres", threshold, "a dynamic range has no upper limit here")
    return DynamicRange()


def _static(ranges: dict[str, Any], left: list[str]) -> StaticRange:
    info = ranges.get("calibration_info")
    if info is not None and (info not in _METHODS or info == "MovingStd"):
        _note(left, "pre_post.input_range.calibration_info", info, "ranges here are of quantiles of |x|")
    return StaticRange.model_validate({"method": _METHODS.get(info or "", "quantile")})


def _bits(io: dict[str, Any], name: str, left: list[str]) -> int | None:
    """Return the bits of a resolution, which is a number of steps if above 1, and the size of one step if below."""
    if io[name] <= 0:
        return None
    steps = io[name] if io[name] > 1 else 1 / io[name]
    exact = math.log2(steps + 2)
    bits = max(2, round(exact))
    if bits > 24:
        _note(left, f"forward.{name}", io[name], f"{exact:.4g} bits are more than float32 has; exact here")
        return None
    if not math.isclose(steps, 2**bits - 2, rel_tol=1e-6):
        _note(left, f"forward.{name}", io[name], f"{steps:.6g} steps are {exact:.4g} bits; {bits} bits here")
    return bits


def _note_other_parts(config: Any, pre_post: Any, ranges: dict[str, Any], left: list[str]) -> None:
    """Note the settings of ``pre_post`` and of activations that a periphery does not have."""
    for name, value in ranges.items():
        if name not in _INPUT_RANGE:
            hint = did_you_mean(name, _INPUT_RANGE)
            _note(left, f"pre_post.input_range.{name}", value, f"not known here{hint}")
        elif ranges.get("enable") and name not in ("enable", "calibration_info") and value != _INPUT_RANGE[name]:
            reason = "ranges come from calibration here, not from the tiles; give learned ones with ranges=…"
            _note(left, f"pre_post.input_range.{name}", value, reason)
    for name, group in _settings(pre_post).items():
        if name == "periph_quant" and group.n_bits > 0:
            left += listed("pre_post.periph_quant", group, "scales and biases are exact here")
        elif name not in ("input_range", "periph_quant"):
            _note(left, f"pre_post.{name}", shown(group), "not known here")
    activations = getattr(config, "act_quant_config", None)
    if activations is not None and getattr(activations, "n_bits", 1) > 0:
        _note(left, "act_quant_config", shown(activations), "digital activations are exact here")


def _settings(group: Any) -> dict[str, Any]:
    """Return a group's settings by name, with those of its class (aihwkit's groups are dataclasses)."""
    names = [name for name in dir(group) if not name.startswith(("_", "bindings_"))] if group is not None else []
    values = {name: value for name in names if not callable(value := getattr(group, name))}
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def _note(left: list[str], name: str, value: Any, reason: str) -> None:
    left.append(f"{name} = {value}: {reason}")
