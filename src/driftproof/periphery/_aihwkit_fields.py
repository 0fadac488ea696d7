"""A periphery as fields of aihwkit's configuration: names and values. aihwkit is not imported.

Enumerations are given by their value, so that one line sets any field::

    for name, value in aihwkit_forward(periphery).items():
        setattr(config.forward, name, type(getattr(config.forward, name))(value))
"""

from __future__ import annotations

from typing import Any

from driftproof._errors import DriftproofError
from driftproof.periphery._settings import DynamicRange, GivenRange, Periphery, StaticRange

# fields of aihwkit's IOParameters that a periphery has, with the value that means "no effect"
NEUTRAL_FORWARD: dict[str, Any] = {
    "is_perfect": False,
    "mv_type": "OnePass",
    "inp_bound": 1.0,
    "inp_res": -1.0,
    "out_bound": 0.0,
    "out_res": -1.0,
    "out_noise": 0.0,
    "noise_management": "None",
    "bound_management": "None",
    "w_noise": 0.0,
    "w_noise_type": "None",
    "ir_drop": 0.0,
}
WEIGHT_NOISE_TYPES = {"constant": "AdditiveConstant", "pcm-read": "PCMRead"}


def aihwkit_forward(periphery: Periphery) -> dict[str, Any]:
    """Return the fields of aihwkit's ``rpu_config.forward`` (``IOParameters``) for a periphery.

    ``inp_res`` and ``out_res`` are 1/(2^bits − 2), or −1 for exact converters. ``out_bound`` is the full scale, or 0
    for none. Bound management is off, so an ADC that saturates, saturates. aihwkit's torch-based tile refuses
    ``ir_drop`` and ``w_noise``. It draws ``out_noise`` from torch's global generator, and draws none for a batch whose
    vectors are all zero under a dynamic range.

    >>> from driftproof.periphery import load_periphery
    >>> fields = aihwkit_forward(load_periphery("standard"))
    >>> round(1 / fields["out_res"]), fields["out_bound"], fields["noise_management"]
    (254, 10.0, 'None')
    """
    if periphery.is_ideal:
        return NEUTRAL_FORWARD | {"is_perfect": True}
    fields = NEUTRAL_FORWARD | {"out_noise": periphery.output_noise, "out_bound": periphery.adc_full_scale or 0.0}
    if isinstance(periphery.input_range, DynamicRange):
        fields["noise_management"] = "AbsMax"
    for name, bits in (("inp_res", periphery.dac_bits), ("out_res", periphery.adc_bits)):
        if bits is not None:
            fields[name] = 1 / (2**bits - 2)
    if (noise := periphery.mvm_weight_noise) is not None:
        fields["w_noise"], fields["w_noise_type"] = noise.sigma, WEIGHT_NOISE_TYPES[noise.law]
    if (wires := periphery.ir_drop) is not None:
        fields["ir_drop"], fields["ir_drop_g_ratio"] = wires.scale, wires.conductance_ratio
    return fields


def aihwkit_input_range(periphery: Periphery, value: float | None = None) -> dict[str, Any]:
    """Return the fields of aihwkit's ``rpu_config.pre_post.input_range`` for a periphery.

    Args:
        periphery: Periphery whose ``input_range`` counts. aihwkit neither learns a static one nor takes it from data.
        value: Calibrated range, if the tile is created with it; the tile's ``set_input_range`` can set it later.

    Raises:
        DriftproofError: If there is a value and the range is not static.

    >>> from driftproof.periphery import load_periphery
    >>> aihwkit_input_range(load_periphery("standard"), 2.5)
    {'enable': True, 'learn_input_range': False, 'init_from_data': 0, 'init_value': 2.5}
    """
    static = isinstance(periphery.input_range, StaticRange | GivenRange)
    if value is not None and not static:
        raise DriftproofError(
            f"input range {value} for periphery {periphery.name} ({periphery}): only a static or a given range has "
            "a value; leave it out"
        )
    fields: dict[str, Any] = {"enable": static, "learn_input_range": False, "init_from_data": 0}
    return fields if value is None else fields | {"init_value": value}
