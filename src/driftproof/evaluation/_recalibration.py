"""Recalibration: when and on which inputs BatchNorm statistics are re-estimated on a chip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import nn

from driftproof._batch_norm import batch_norms
from driftproof._errors import DriftproofError, did_you_mean, foreign_code, warn
from driftproof._inputs import Inputs, call_on_copies, to_device
from driftproof._keywords import ChecksKeywords
from driftproof.data import Data
from driftproof.data._adapters import as_inputs
from driftproof.data._batched import hold

if TYPE_CHECKING:
    from driftproof.evaluation._deployment import Deployment

When = Literal["programming", "time"]


@dataclass(frozen=True)
class Recalibration(ChecksKeywords):
    """Re-estimate BatchNorm statistics on each chip.

    Attributes:
        data: Inputs to estimate on: a tensor or an array, or data of any kind that :func:`driftproof.evaluate` takes,
            whose targets are ignored. Use other inputs than those that the result is reported on.
        when: ``programming`` estimates once per chip, at the device's earliest valid time. ``time`` estimates at every
            read-out time. Either is a read-out of its own, before that of the use (``read_outs`` of a deployment).
        samples: Number of inputs, counted from the first (default: all).

    Raises:
        DriftproofError: ``when`` is another word, or the data cannot be read.

    >>> from driftproof.data import digits
    >>> Recalibration(digits(), when="time", samples=100).definition()["samples"]
    100
    """

    data: Any
    when: When = "programming"
    samples: int | None = None

    def __post_init__(self) -> None:
        """Check ``when`` and read the data."""
        if self.when not in get_args(When):
            raise DriftproofError(
                f"recalibrate {self.when!r}{did_you_mean(self.when, get_args(When))}: wanted programming (once a chip) "
                "or time (at every read-out)"
            )
        data = hold(as_inputs(self.data))
        object.__setattr__(self, "data", data if self.samples is None else data.head(self.samples))

    def definition(self) -> dict[str, Any]:
        """Return everything that decides numbers as plain JSON values, with the fingerprint of the data."""
        return {"when": self.when, "data": self.data.fingerprint(), "samples": len(self.data)}


def check_recalibration(recalibration: Recalibration, network: nn.Module, reported: Data) -> None:
    """Check that BatchNorm statistics can be re-estimated. Warn if the inputs are those that are reported on.

    Raises:
        DriftproofError: The network has no BatchNorm that keeps statistics, or does not take the inputs.
    """
    if not batch_norms(network):
        raise DriftproofError("recalibrate: the network has no BatchNorm that keeps statistics; leave it out")
    held = recalibration.data
    shared = min(len(held), len(reported))
    if held.head(shared).fingerprint() == reported.head(shared).fingerprint():
        warn(
            "BatchNorm statistics are estimated on the inputs that are reported on; give others, such as training "
            "images, for a result that holds for inputs which the chip has not seen"
        )
    # before anything is computed or written
    place = f"recalibrate: the network does not take inputs of {held.name}:"
    with foreign_code(place, ". Give inputs like those that it is evaluated on"):
        call_on_copies(network, next(inputs_of(held.head(min(2, len(held))), 2, next(network.parameters()).device)))


def warn_of_measured(deployment: Deployment) -> None:
    """Warn if statistics are re-estimated on measured conductances at the time of their use.

    A file has one read-out for each time. (A drift compensation is a mean over many devices, whose own read noise
    hardly changes it.)
    """
    recalibration, device = deployment.recalibration, deployment.device
    if recalibration is None or recalibration.when != "time" or not deployment.read_outs.period_s:
        return
    if any(part.laws is None for part in device.parts):
        warn(
            f"{device.name}: its files hold one read-out for each time, so that BatchNorm is recalibrated on the very "
            "read noise with which the chip is then used, and the gain is optimistic. For a gain on read noise that is "
            "new, recalibrate a preset that is fitted to the measurements (driftproof presets fit)"
        )


def even_batch(samples: int, batch_size: int) -> int:
    """Return a batch size of at most ``batch_size`` whose last batch is at least half as large as the others.

    >>> even_batch(252, 250), even_batch(1000, 300), even_batch(101, 10), even_batch(64, 250)
    (126, 250, 8, 64)
    """
    largest = -(-samples // -(-samples // batch_size))
    return next(size for size in range(largest, 0, -1) if samples % size == 0 or 2 * (samples % size) >= size)


def inputs_of(data: Data, batch_size: int, torch_device: torch.device) -> Iterator[Inputs]:
    """Yield the inputs of some data in nearly even batches, without their targets."""
    for inputs, _ in data.batches(even_batch(len(data), batch_size)):
        yield to_device(inputs, torch_device)
