"""The periphery of a crossbar array as frozen settings: DAC, input range, output noise, ADC, wires.

Units: An array's inputs x̂ = x / range are relative to the input range, and its weights ŵ to the largest conductance.
An output Σ ŵ x̂ is therefore in units of *one full-scale input times one full-scale weight*, and so are the full scale
of the ADC and the output noise.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from driftproof._errors import DriftproofError
from driftproof.laws._table import Citation, NotNegative, Positive, Share
from driftproof.periphery._base import Settings
from driftproof.periphery._stage import AnyStage

QUANTILE = 0.99995  # default of aihwkit's calibrate_input_ranges (inference/calibration/calibration.py)
_AIHWKIT_RATIO = 1.0 / 0.35 / 5e-6  # wires of 0.35 Ω from cell to cell, devices of 5 µS
DECAY = 0.01  # aihwkit's input ranges are means over 100 batches (InputRangeParameter.init_from_data)

# codes of more than 24 bits are not exact in float32
Bits = Annotated[int, Field(strict=True, ge=2, le=24)]


class StaticRange(Settings):
    """One input range per tile, measured once on calibration data. Inputs beyond it are clipped.

    Attributes:
        method: How the range is measured. ``maximum`` is the largest |x|. ``quantile`` is the value that the share
            ``quantile`` of all |x| does not exceed. ``moving`` is that value for each batch, averaged over batches.
        quantile: Share of all |x| that the range covers, for the methods ``quantile`` and ``moving`` (default:
            0.99995).
        decay: Least weight of a new batch in the moving average (default: 0.01). Batch n has the weight
            max(``decay``, 1/n): a plain mean of the first 1/``decay`` batches, then an exponential average. Batches
            of zeros do not count.

    >>> StaticRange(method="quantile").quantile
    0.99995
    """

    kind: Literal["static"] = "static"
    method: Literal["maximum", "quantile", "moving"]
    quantile: Annotated[Positive, Field(le=1)] | None = None
    decay: Share | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_method(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        defaults = {"quantile": {"quantile": QUANTILE}, "moving": {"quantile": QUANTILE, "decay": DECAY}}
        given = {key: value for key, value in values.items() if value is not None}
        return defaults.get(str(values.get("method")), {}) | given

    @model_validator(mode="after")
    def _method_has_the_parameters(self) -> StaticRange:
        if self.method == "maximum" and self.quantile is not None:
            raise ValueError('method "maximum" has no quantile: leave it out, or use method "quantile"')
        if self.method != "moving" and self.decay is not None:
            raise ValueError(f'method "{self.method}" has no decay: leave it out, or use method "moving"')
        return self


class DynamicRange(Settings):
    """The input range of each input vector of a tile is its own largest |x|: nothing is clipped."""

    kind: Literal["dynamic"] = "dynamic"


Reach = Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]


class GivenRange(Settings):
    """Input ranges that are given and not measured, such as ranges that were learned. Inputs beyond them are clipped.

    Attributes:
        value: Range of all tiles of all layers that ``layers`` does not have, in the units of the layers' inputs
            (default: None, ``layers`` has every layer on tiles).
        layers: Name of a layer → its range, or a list with the range of each row split. ``(root)`` is a network that is
            one layer itself, and ``NAME (transposed)`` is a layer that is driven from its columns (default: none).

    >>> GivenRange(value=2.0, layers={"fc": 1.5}).layers
    {'fc': 1.5}
    """

    kind: Literal["given"] = "given"
    value: Positive | None = None
    layers: dict[str, Reach] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_range(self) -> GivenRange:
        if self.value is None and not self.layers:
            raise ValueError("wanted value = NUMBER for all layers, or layers = { NAME = NUMBER }")
        return self

    @staticmethod
    def of(ranges: float | str | Mapping[str, Any] | GivenRange) -> GivenRange:
        """Return given ranges from a number, from a mapping layer → range, or from a text.

        A text is a number, or pairs ``LAYER=RANGE`` after an optional number for the other layers, with commas.

        Raises:
            DriftproofError: A range is not a positive number, or a layer comes twice.

        >>> GivenRange.of("3,fc=1.5") == GivenRange(value=3.0, layers={"fc": 1.5})
        True
        """
        if isinstance(ranges, GivenRange):
            return ranges
        if isinstance(ranges, Mapping):
            return GivenRange(layers=dict(ranges))
        if not isinstance(ranges, str):
            return GivenRange(value=ranges)
        values: dict[str, float] = {}
        for part in ranges.split(","):
            name, equals, number = part.strip().rpartition("=")
            try:
                reach = float(number)
            except ValueError:
                reach = math.nan
            if name in values or not (0 < reach < math.inf) or bool(equals) != bool(name):
                raise DriftproofError(
                    f"input ranges {ranges!r}: wanted a number, or LAYER=NUMBER pairs, each layer once, such as "
                    f"3,fc=1.5; got {part!r}"
                )
            values[name] = reach
        return GivenRange(value=values.pop("", None), layers=values)

    def __str__(self) -> str:
        parts = [] if self.value is None else [f"{self.value:g}"]
        return ",".join(parts + [f"{name}={_reach(reach)}" for name, reach in self.layers.items()])


InputRange = Annotated[StaticRange | DynamicRange | GivenRange, Field(discriminator="kind")]


class WeightNoise(Settings):
    """Noise of the weights that is new in every MVM.

    Source: aihwkit's ``WeightNoiseType.ADDITIVE_CONSTANT`` and ``PCM_READ``. Its torch-based tile has neither.

    Attributes:
        law: ``constant`` adds σ ξ to a weight, which gives N(0, σ² Σ x̂²) at an output. With ``pcm-read`` the noise
            grows with the conductance and gives N(0, σ² Σ |ŵ| x̂²).
        sigma: Standard deviation σ, relative to the largest conductance.
    """

    law: Literal["constant", "pcm-read"]
    sigma: Positive


class IRDrop(Settings):
    """Voltage drop along the wires, as aihwkit's C++ tile approximates it.

    Only the ``tiles`` backend computes it, and a seed does not repeat its results.

    Attributes:
        scale: Factor on the drop, aihwkit's ``ir_drop`` (default: 1, the physical drop).
        conductance_ratio: Conductance of the wire from one cell to the next, relative to the largest conductance of a
            device, aihwkit's ``ir_drop_g_ratio``: 1/(R · g_max). The default is for 0.35 Ω and devices of 5 µS, as in
            aihwkit 1.2, whatever the device is. With it, the drop of devices of g_max is g_max / 5 µS times too small
            (5 times at 25 µS, 45 times at 225 µS); give the number of your device.
    """

    scale: Positive = 1.0
    conductance_ratio: Positive = _AIHWKIT_RATIO

    def __str__(self) -> str:
        """Return the drop as a table shows it, with the devices that the default is for."""
        wires = "" if self.conductance_ratio != _AIHWKIT_RATIO else "wires for devices of 5 µS, "
        return f"IR drop {self.scale:g} ({wires}not repeatable)"


class PeripherySource(Citation, Settings):
    """The source of the numbers: the paper or data sheet, and the place in it."""


class Periphery(Settings):
    """The periphery of a crossbar array: converters, noise and wires.

    The input is clipped to its range and quantised by the DAC. The array multiplies it, with weight noise and IR drop.
    Output noise is added, further stages follow, and the ADC quantises and clips each tile's partial sum. The sum over
    tiles, factors per tile, scales, norms and biases are digital and come after the ADC.

    Outputs are in units of one full-scale input times one full-scale weight.

    Attributes:
        name: Name in lower case, with digits, ``.``, ``_`` and ``-``.
        summary: One sentence about the periphery (default: empty).
        dac_bits: Bits of the DAC, which has 2^bits − 1 levels from −range to range, 0 among them (default: None, an
            exact DAC).
        input_range: How the input range is determined. Only the ideal periphery goes without (None).
        adc_bits: Bits of the ADC, which has 2^bits − 1 levels from −full scale to full scale (default: None, an exact
            ADC).
        adc_full_scale: Output at which the ADC clips (default: None, no limit).
        output_noise: Standard deviation σ of the noise added to each output of a tile before the ADC (default: 0).
        mvm_weight_noise: Noise of the weights that is new in every MVM (default: None).
        ir_drop: Voltage drop along the wires (default: None).
        stages: Further effects between the array and its ADC, in their order (default: none). See :class:`Stage`.
        source: Source of the numbers.
        left_out: Key → what the source has there and this periphery leaves out, in words (default: nothing).

    Raises:
        DriftproofError: If a value is misspelt, missing or impossible.

    >>> source = PeripherySource(title="own ADC", where="data sheet, page 3")
    >>> mine = Periphery(name="mine", adc_bits=6, adc_full_scale=8.0, input_range=DynamicRange(), source=source)
    >>> str(mine), mine.is_ideal, mine.repeatable
    ('exact in (dynamic), 6-bit out, full scale 8', False, True)
    >>> Periphery(name="mine", adc_bit=6, source=source)
    Traceback (most recent call last):
    driftproof.DriftproofError: Periphery: unknown key adc_bit (did you mean adc_bits?)
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*( \[.*\])?$")]
    summary: str = ""
    dac_bits: Bits | None = None
    input_range: InputRange | None = None
    adc_bits: Bits | None = None
    adc_full_scale: Positive | None = None
    output_noise: NotNegative = 0.0
    mvm_weight_noise: WeightNoise | None = None
    ir_drop: IRDrop | None = None
    stages: tuple[AnyStage, ...] = ()
    source: PeripherySource
    left_out: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, values: Any) -> Any:
        """Accept ``wire_drop``, the name of ``ir_drop`` up to version 0.1."""
        return {"ir_drop" if key == "wire_drop" else key: value for key, value in dict(values).items()}

    @model_validator(mode="after")
    def _is_complete(self) -> Periphery:
        if self.adc_bits is not None and self.adc_full_scale is None:
            raise ValueError(f"adc_full_scale is missing: an ADC of {self.adc_bits} bits has levels up to a full scale")
        if self.ir_drop is not None and self.stages:
            raise ValueError(
                "ir_drop is computed inside aihwkit's compiled tile, which further stages cannot reach: leave one out"
            )
        if self.input_range is None and not self.is_ideal:
            given = [key for key in self.numbers() if key != "input_range"]
            raise ValueError(
                f"input_range is missing, and {', '.join(given)} {'needs' if len(given) == 1 else 'need'} one: "
                'give one of kind "static" or "dynamic"; only the ideal periphery goes without'
            )
        return self

    @property
    def is_ideal(self) -> bool:
        """Whether the periphery changes nothing."""
        return not self.numbers()

    @property
    def repeatable(self) -> bool:
        """Whether a seed repeats the results. IR drop is not repeatable, because aihwkit's C++ tile computes it."""
        return self.ir_drop is None

    @property
    def sha256(self) -> str:
        """Hash of the numbers, which a record keeps. A change of a text does not change it."""
        return hashlib.sha256(json.dumps(self.numbers(), sort_keys=True).encode()).hexdigest()

    def definition(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, without those that are not set; ``Periphery`` accepts them.

        >>> from driftproof.periphery import load_periphery
        >>> standard = load_periphery("standard")
        >>> Periphery(**standard.definition()) == standard
        True
        """
        given = self.model_dump(mode="json", exclude_none=True)
        return {key: value for key, value in given.items() if value not in ([], {})}

    def leaves_out(self) -> tuple[str, ...]:
        """Return what the source has and this periphery leaves out, without what a change has switched on.

        >>> from driftproof.periphery import load_periphery
        >>> load_periphery("standard").leaves_out()
        ('PCM read noise in every MVM (aihwkit: w_noise = 0.0175)', 'IR drop (aihwkit: ir_drop = 1.0)')
        """
        return tuple(text for key, text in self.left_out.items() if getattr(self, key, None) is None)

    def with_changes(self, **changes: Any) -> Periphery:
        """Return the same periphery with other values. They are checked, and the name shows them.

        >>> from driftproof.periphery import load_periphery
        >>> six = load_periphery("standard").with_changes(adc_bits=6)
        >>> six.name, str(six)
        ('standard [adc_bits=6]', '8-bit in (static), 6-bit out, full scale 10, noise 0.04')
        """
        shown = ", ".join(
            f"{key}={' + '.join(map(str, value)) if isinstance(value, tuple) else value}"
            for key, value in changes.items()
        )
        return Periphery(**dict(self) | {"name": f"{self.name} [{shown}]" if shown else self.name} | changes)

    def with_ranges(self, ranges: float | str | Mapping[str, Any] | GivenRange) -> Periphery:
        """Return the same periphery with given input ranges in place of measured or dynamic ones.

        Args:
            ranges: A number for all layers, a mapping layer → range (or a list with one range per row split), or a text
                such as ``3,fc=1.5``.

        Raises:
            DriftproofError: The periphery is ideal and has no input range, or a range is not a positive number.

        >>> from driftproof.periphery import load_periphery
        >>> str(load_periphery("standard").with_ranges(2))
        '8-bit in (given: 2), 8-bit out, full scale 10, noise 0.04'
        """
        if self.is_ideal:
            raise DriftproofError(f"input ranges {ranges!r}: periphery {self.name} is ideal and has no input range")
        given = GivenRange.of(ranges)
        return Periphery(**dict(self) | {"name": f"{self.name} [ranges={given}]", "input_range": given})

    def without_noise(self) -> Periphery:
        """Return the same periphery without output noise and weight noise."""
        return Periphery(**dict(self) | {"output_noise": 0.0, "mvm_weight_noise": None})

    def __str__(self) -> str:
        """Return the settings as a table shows them."""
        if self.is_ideal:
            return "ideal"
        kind: str = self.input_range.kind if self.input_range else "no range"
        if isinstance(self.input_range, GivenRange):
            kind = f"given: {self.input_range}"
        parts = [f"{_bits(self.dac_bits)} in ({kind})", f"{_bits(self.adc_bits)} out"]
        parts += [f"full scale {self.adc_full_scale:g}"] if self.adc_full_scale is not None else []
        parts += [f"noise {self.output_noise:g}"] if self.output_noise else []
        weights = self.mvm_weight_noise
        parts += [f"weight noise {weights.sigma:g} ({weights.law})"] if weights else []
        parts += [str(self.ir_drop)] if self.ir_drop else []
        parts += [str(stage) for stage in self.stages]
        return ", ".join(parts)

    def numbers(self) -> dict[str, Any]:
        """Return the settings that are not ideal as plain JSON values, without the name and the texts."""
        given = self.model_dump(mode="json", exclude_none=True, exclude={"name", "summary", "source", "left_out"})
        return {key: value for key, value in given.items() if value not in (0, [])}


def _reach(reach: Reach) -> str:
    return f"{reach:g}" if isinstance(reach, float) else f"({', '.join(f'{one:g}' for one in reach)})"


def _bits(bits: int | None) -> str:
    return "exact" if bits is None else f"{bits}-bit"
