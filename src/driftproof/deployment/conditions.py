"""What stays the same while layers change sides: compensation, metric, periphery, tiles, seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from driftproof.compensation import Compensation
from driftproof.evaluation import DEFAULT_BATCH_SIZE, DEFAULT_METRIC, Metric
from driftproof.evaluation.metrics import Function
from driftproof.mapping import Scale, TileSize
from driftproof.mapping.where import Where
from driftproof.periphery import Periphery


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Under which conditions chips are measured.

    Attributes:
        compensation: of the drift, as :func:`driftproof.evaluate` takes it.
        metric: what is measured.
        periphery: a name, a file or settings; of analog layers only, digital ones have no converters.
        calibration: what static input ranges are measured on, data of any kind; without it, with a warning, the first
            samples that are measured.
        tile: largest crossbar, 512 × 512 unless said.
        scale: weights relative to their tile's ``column`` or to the whole ``layer``.
        clip: percentile of |w| that takes the largest weight's place.
        where: which layers may be analog; all that can unless said. The others stay digital in every configuration.
        seed: of all device randomness.
        device: ``cpu`` or ``cuda``.
        batch_size: samples per forward pass.
        progress: show a progress bar; by default when the terminal is interactive.

    >>> Conditions(compensation="column").metric
    'accuracy'
    """

    compensation: str | Compensation = "tile"
    metric: str | Metric | Function = DEFAULT_METRIC
    periphery: str | Periphery = "ideal"
    calibration: Any = field(default=None, repr=False)
    tile: TileSize | None = None
    scale: Scale = "column"
    clip: float | None = None
    where: Where | None = None
    seed: int = 0
    device: str = "cpu"
    batch_size: int = DEFAULT_BATCH_SIZE
    progress: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """On what a result was measured.

    Attributes:
        device: name of the preset, mix or measured chips.
        t_s: time after programming in s.
        in_validity: whether the device is valid at that time.
        compensation: of the drift, as text.
        periphery: as text.
        seed: of all device randomness.
    """

    device: str
    t_s: float
    in_validity: bool
    compensation: str
    periphery: str
    seed: int
