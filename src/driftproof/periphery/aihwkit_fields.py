"""The same periphery in the words of aihwkit, which is not imported here: names of fields, and their values.

Enumerations are given by their value, so one line sets any of them::

    for name, value in aihwkit_forward(periphery).items():
        setattr(config.forward, name, type(getattr(config.forward, name))(value))
"""

from __future__ import annotations

from driftproof.errors import DriftproofError
from driftproof.periphery.settings import DynamicRange, Periphery, StaticRange

type Value = bool | int | float | str

# fields of aihwkit's IOParameters that a periphery has, with the value that means "none of it"
NEUTRAL_FORWARD: dict[str, Value] = {
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


def aihwkit_forward(periphery: Periphery) -> dict[str, Value]:
    """Return the fields of aihwkit's ``rpu_config.forward`` (``IOParameters``) for a periphery.

    ``inp_res`` and ``out_res`` are 1/(2^bits − 2), −1 for exact; ``out_bound`` is the full scale, 0 for none; bound
    management is off: an ADC that saturates, saturates. aihwkit's torch-based tile refuses ``ir_drop`` and ``w_noise``;
    it draws ``out_noise`` from torch's global generator, and none at all for a batch whose vectors are all zero under a
    dynamic range.

    >>> from driftproof.periphery import load_periphery
    >>> fields = aihwkit_forward(load_periphery("standard"))
    >>> round(1 / fields["out_res"]), fields["out_bound"], fields["noise_management"]
    (254, 10.0, 'None')
    """
    if periphery.is_ideal:
        return NEUTRAL_FORWARD | {"is_perfect": True}
    fields = dict(NEUTRAL_FORWARD)
    if periphery.dac_bits is not None:
        fields["inp_res"] = 1 / (2**periphery.dac_bits - 2)
    if isinstance(periphery.input_range, DynamicRange):
        fields["noise_management"] = "AbsMax"
    if periphery.adc_full_scale is not None:
        fields["out_bound"] = periphery.adc_full_scale
    if periphery.adc_bits is not None:
        fields["out_res"] = 1 / (2**periphery.adc_bits - 2)
    fields["out_noise"] = periphery.output_noise
    if (noise := periphery.mvm_weight_noise) is not None:
        fields["w_noise"], fields["w_noise_type"] = noise.sigma, WEIGHT_NOISE_TYPES[noise.law]
    if (wires := periphery.wire_drop) is not None:
        fields["ir_drop"], fields["ir_drop_g_ratio"] = wires.scale, wires.conductance_ratio
    return fields


def aihwkit_input_range(periphery: Periphery, value: float | None = None) -> dict[str, Value]:
    """Return the fields of aihwkit's ``rpu_config.pre_post.input_range`` for a periphery.

    Args:
        periphery: its ``input_range``; with a static one aihwkit neither learns it nor takes it from data.
        value: the calibrated range, if the tile is made with it; else its ``set_input_range`` takes it later.

    Raises:
        DriftproofError: a value for a range that is not static.

    >>> from driftproof.periphery import load_periphery
    >>> aihwkit_input_range(load_periphery("standard"), 2.5)
    {'enable': True, 'learn_input_range': False, 'init_from_data': 0, 'init_value': 2.5}
    """
    static = isinstance(periphery.input_range, StaticRange)
    if value is not None and not static:
        raise DriftproofError(
            f"input range {value} for periphery {periphery.name} ({periphery}): only a static range has a value; leave "
            "it out"
        )
    fields: dict[str, Value] = {"enable": static, "learn_input_range": False, "init_from_data": 0}
    return fields if value is None else fields | {"init_value": value}
