"""One row of a mapping: a weight on tiles, or digital and the reason."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class LayerEntry:
    """The mapping of one weight: on tiles, or digital and the reason.

    Attributes:
        name: Canonical name of the layer; of the parameter if it is not called ``weight``.
        kind: Class of the layer.
        shape: Shape of the stored weight.
        weights: Number of weights.
        tiles: Number of tiles; 0 if the weight is digital, or on another layer's array.
        analog: Whether its products are computed on tiles.
        reason: Why it is digital, or whose array it uses.
        mvms_per_input: Vectors that the array multiplies per sample; None if the network was not watched.
        rows: Inputs of the array (of one group).
        columns: Outputs of the array.
        groups: Number of groups of a grouped convolution.
        utilisation: Used devices divided by the devices of its tiles.
        macs_per_input: Multiply-accumulates per sample, digital ones included; None if they could not be counted.
        dac_per_input: DAC conversions per sample.
        adc_per_input: ADC conversions per sample.
        clipped: Number of weights that were clipped.
        unasked: Whether it stays digital although it is (or may be) used in a matrix multiplication and ``where`` does
            not exclude it.
        more: Further counts per sample by name, for the columns of :data:`driftproof._record.LAYER_COUNTS`.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    tiles: int
    analog: bool
    reason: str
    mvms_per_input: int | None = None
    rows: int | None = None
    columns: int | None = None
    groups: int = 1
    utilisation: float | None = None
    macs_per_input: int | None = None
    dac_per_input: int | None = None
    adc_per_input: int | None = None
    clipped: int = 0
    unasked: bool = False
    more: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name or '(root)'} ({self.kind}): {self.reason}"
