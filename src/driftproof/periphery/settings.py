"""What is around a crossbar array, as frozen settings: DAC, input range, output noise, ADC, wires.

Units: an array's inputs x̂ = x / range are relative to the input range, its weights ŵ to the largest conductance. An
output Σ ŵ x̂ is therefore in units of *one full-scale input times one full-scale weight*, and so are the full scale of
the ADC and the output noise.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from driftproof.periphery.base import Bits, NotNegative, Positive, Settings, Share, Text
from driftproof.periphery.stage import AnyStage

QUANTILE = 0.99995  # default of aihwkit's calibrate_input_ranges (inference/calibration/calibration.py)
DECAY = 0.01  # aihwkit's input ranges are means over 100 batches (InputRangeParameter.init_from_data)


class StaticRange(Settings):
    """One input range per tile, measured once on calibration data; inputs beyond it are clipped.

    - ``maximum``: the largest |x|.
    - ``quantile``: the value that the share ``quantile`` of all |x| does not exceed.
    - ``moving``: the same for each batch, averaged over batches; a new batch counts for max(``decay``, 1/n), n its
      number: the mean of the first 1/``decay`` batches, an exponential average from then on. Batches without any
      signal do not count.

    >>> StaticRange(method="quantile").quantile
    0.99995
    """

    kind: Literal["static"] = "static"
    method: Literal["maximum", "quantile", "moving"]
    quantile: Share | None = None
    decay: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_what_the_method_has(cls, values: Any) -> Any:
        if isinstance(values, dict):
            method = values.get("method")
            defaults = {"quantile": QUANTILE} if method in ("quantile", "moving") else {}
            defaults |= {"decay": DECAY} if method == "moving" else {}
            values = values | {key: default for key, default in defaults.items() if values.get(key) is None}
        return values

    @model_validator(mode="after")
    def _has_no_other_parameters(self) -> StaticRange:
        if self.method == "maximum" and self.quantile is not None:
            raise ValueError('method "maximum" has no quantile: leave it out, or use method "quantile"')
        if self.method != "moving" and self.decay is not None:
            raise ValueError(f'method "{self.method}" has no decay: leave it out, or use method "moving"')
        return self


class DynamicRange(Settings):
    """The input range of each input vector of a tile is its own largest |x|: nothing is clipped."""

    kind: Literal["dynamic"] = "dynamic"


InputRange = Annotated[StaticRange | DynamicRange, Field(discriminator="kind")]


class WeightNoise(Settings):
    """Noise of the weights that is new in every MVM; ``sigma`` is relative to the largest conductance.

    - ``constant``: ŵ + σ ξ; at an output N(0, σ² Σ x̂²).
    - ``pcm-read``: grows with the conductance; at an output N(0, σ² Σ |ŵ| x̂²).

    Source: aihwkit's ``WeightNoiseType.ADDITIVE_CONSTANT`` and ``PCM_READ``. Its torch-based tile has neither.
    """

    law: Literal["constant", "pcm-read"]
    sigma: Positive


class WireDrop(Settings):
    """Voltage drop along the wires, as aihwkit's C++ tile approximates it: the ``tiles`` backend only, not repeatable.

    Attributes:
        scale: 1 for the physical drop (``ir_drop``).
        conductance_ratio: conductance of the wire from one cell to the next, relative to the largest conductance of a
            device (``ir_drop_g_ratio``); the default is 0.35 Ω and 5 µS, the value of aihwkit 1.2.
    """

    scale: Positive = 1.0
    conductance_ratio: Positive = 1.0 / 0.35 / 5e-6


class PeripherySource(Settings):
    """Where the numbers come from."""

    title: Text
    authors: str = ""
    venue: str = ""
    year: int | None = None
    doi: str = ""
    where: Text


class Periphery(Settings):
    """Everything around a crossbar array; None or 0 means that there is no such thing.

    In their order: the input is clipped to its range and quantised by the DAC, multiplied (weight noise, wire drop),
    output noise is added, further stages follow, the ADC quantises and clips each tile's partial sum. The sum over
    tiles, per-tile factors, scales, norms and biases are digital and come after it.

    Attributes:
        name: small letters, digits, ``.``, ``_`` and ``-``.
        dac_bits: the DAC has 2^bits − 1 levels from −range to range, 0 among them; None: exact.
        input_range: how the range is found; None for the ideal periphery only.
        adc_bits: the ADC has 2^bits − 1 levels from −full scale to full scale; None: exact.
        adc_full_scale: outputs beyond it are clipped, in the units above; None: no limit.
        output_noise: σ of the noise that is added to each output of a tile before the ADC, in the units above.
        mvm_weight_noise: noise of the weights that is new in every MVM.
        wire_drop: voltage drop along the wires.
        stages: further effects between the array and its ADC, in their order (:mod:`driftproof.periphery.stage`).

    Raises:
        DriftproofError: a misspelt, missing or impossible value.

    >>> source = PeripherySource(title="own ADC", where="data sheet, page 3")
    >>> mine = Periphery(name="mine", adc_bits=6, adc_full_scale=8.0, input_range=DynamicRange(), source=source)
    >>> str(mine), mine.is_ideal, mine.repeatable
    ('exact in (dynamic), 6-bit out, full scale 8', False, True)
    >>> Periphery(name="mine", adc_bit=6, source=source)
    Traceback (most recent call last):
    driftproof.errors.DriftproofError: Periphery: unknown key adc_bit (did you mean adc_bits?)
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*( \[.*\])?$")]
    summary: str = ""
    dac_bits: Bits | None = None
    input_range: InputRange | None = None
    adc_bits: Bits | None = None
    adc_full_scale: Positive | None = None
    output_noise: NotNegative = 0.0
    mvm_weight_noise: WeightNoise | None = None
    wire_drop: WireDrop | None = None
    stages: tuple[AnyStage, ...] = ()
    source: PeripherySource

    @model_validator(mode="after")
    def _is_complete(self) -> Periphery:
        if self.adc_bits is not None and self.adc_full_scale is None:
            raise ValueError(f"adc_full_scale is missing: an ADC of {self.adc_bits} bits has levels up to a full scale")
        if self.wire_drop is not None and self.stages:
            raise ValueError(
                "wire_drop is computed inside aihwkit's compiled tile, which further stages cannot reach: leave one out"
            )
        if self.input_range is None and not self.is_ideal:
            given = [key for key in self.numbers() if key != "input_range"]
            raise ValueError(
                f"input_range is missing, which {', '.join(given)} {'wants' if len(given) == 1 else 'want'}: "
                'give one of kind "static" or "dynamic"; only the ideal periphery does without'
            )
        return self

    @property
    def is_ideal(self) -> bool:
        """Whether it changes nothing at all."""
        return not self.numbers()

    @property
    def repeatable(self) -> bool:
        """Whether a seed repeats its results: not with a wire drop, which only aihwkit's C++ tile can do."""
        return self.wire_drop is None

    @property
    def sha256(self) -> str:
        """Hash of the settings, so that a record knows what made it; mending a text leaves it."""
        return hashlib.sha256(json.dumps(self.numbers(), sort_keys=True).encode()).hexdigest()

    def definition(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, without those that are not there; ``Periphery`` takes them back.

        >>> from driftproof.periphery import load_periphery
        >>> standard = load_periphery("standard")
        >>> Periphery(**standard.definition()) == standard
        True
        """
        given = self.model_dump(mode="json", exclude_none=True)
        return {key: value for key, value in given.items() if value != []}

    def with_changes(self, **changes: Any) -> Periphery:
        """Return the same periphery with other values, checked again; its name shows them.

        >>> from driftproof.periphery import load_periphery
        >>> six = load_periphery("standard").with_changes(adc_bits=6)
        >>> six.name, str(six)
        ('standard [adc_bits=6]', '8-bit in (static), 6-bit out, full scale 10, noise 0.04')
        """
        shown = ", ".join(
            f"{key}={' + '.join(map(str, value)) if isinstance(value, tuple) else value}"
            for key, value in changes.items()
        )
        kept = {key: getattr(self, key) for key in type(self).model_fields}
        return Periphery(**kept | {"name": f"{self.name} [{shown}]" if shown else self.name} | changes)

    def without_noise(self) -> Periphery:
        """Return the same periphery without output noise and weight noise: what is left gives the same every time."""
        return Periphery(**{key: getattr(self, key) for key in type(self).model_fields} | _QUIET)

    def __str__(self) -> str:
        """Return the settings as a table shows them."""
        if self.is_ideal:
            return "ideal"
        kind = self.input_range.kind if self.input_range else "no range"
        parts = [f"{_bits(self.dac_bits)} in ({kind})", f"{_bits(self.adc_bits)} out"]
        parts += [f"full scale {self.adc_full_scale:g}"] if self.adc_full_scale is not None else []
        parts += [f"noise {self.output_noise:g}"] if self.output_noise else []
        weights = self.mvm_weight_noise
        parts += [f"weight noise {weights.sigma:g} ({weights.law})"] if weights else []
        parts += [f"wire drop {self.wire_drop.scale:g} (not repeatable)"] if self.wire_drop else []
        parts += [str(stage) for stage in self.stages]
        return ", ".join(parts)

    def numbers(self) -> dict[str, Any]:
        """Return what is not ideal about it as plain JSON values, without its name and texts."""
        given = self.model_dump(mode="json", exclude_none=True, exclude={"name", "summary", "source"})
        return {key: value for key, value in given.items() if value not in (0, [])}


_QUIET: dict[str, Any] = {"output_noise": 0.0, "mvm_weight_noise": None}


def _bits(bits: int | None) -> str:
    return "exact" if bits is None else f"{bits}-bit"
