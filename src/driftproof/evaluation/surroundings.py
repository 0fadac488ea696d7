"""What is around the arrays in an evaluation: the periphery, and what its static input ranges were measured on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from driftproof.data import Data, as_data, hold
from driftproof.errors import DriftproofError, DriftproofWarning
from driftproof.evaluation.recalibration import inputs_of
from driftproof.mapping import Mapping
from driftproof.periphery import Periphery, StaticRange, load_periphery
from driftproof.products import Ranges, input_ranges
from driftproof.record import MeasuredRanges

RANGE_SAMPLES = 500


@dataclass(frozen=True)
class Surroundings:
    """A periphery, ready for a backend.

    Attributes:
        periphery: the settings.
        ranges: static input ranges; empty if there are none.
        measured: what they were measured on, as a record keeps it.
    """

    periphery: Periphery
    ranges: Ranges = field(default_factory=dict)
    measured: MeasuredRanges | None = None


def surroundings(
    periphery: Periphery | str | Path,
    calibration: Any,
    samples: Data,
    network: nn.Module,
    mapping: Mapping,
    batch_size: int,
    device: torch.device,
) -> Surroundings:
    """Return a periphery with its static input ranges measured.

    Args:
        periphery: the settings, a name or a file.
        calibration: data whose inputs they are measured on; None for the first 500 of ``samples``, with a warning.
        samples: what the evaluation reports on.
        network: the digital network, plain.
        mapping: of this network.
        batch_size: samples per forward pass.
        device: where to compute.

    Raises:
        DriftproofError: calibration data for a periphery that has nothing to calibrate; inputs that do not fit.
    """
    settings = load_periphery(periphery)
    if not isinstance(settings.input_range, StaticRange):
        if calibration is not None:
            raise DriftproofError(
                f"calibration data, but the periphery {settings.name} ({settings}) has no static input ranges: leave "
                "the data out"
            )
        return Surroundings(settings)
    if calibration is None:
        held = samples.head(min(RANGE_SAMPLES, len(samples)))
        warnings.warn(
            f"static input ranges are measured on the first {len(held)} of the inputs that are reported on (their "
            "targets are not looked at); give others, such as training images, with calibration=DATA or "
            "--calibration-data",
            DriftproofWarning,
            stacklevel=3,
        )
    else:
        held = hold(as_data(calibration))
    batches = inputs_of(held, min(batch_size, len(held)), device)
    measured = MeasuredRanges(data=held.name, data_hash=held.fingerprint(), samples=len(held))
    return Surroundings(settings, input_ranges(network, mapping, settings, batches), measured)
