"""When and on what BatchNorm statistics are re-estimated on a chip: :mod:`driftproof.batch_norm` says how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from driftproof.batch_norm import batch_norms
from driftproof.data import Data, as_data, hold
from driftproof.errors import DriftproofError, did_you_mean, warn
from driftproof.inputs import Inputs, call, to_device
from driftproof.keywords import ChecksKeywords

When = Literal["programming", "time"]


@dataclass(frozen=True)
class Recalibration(ChecksKeywords):
    """When BatchNorm statistics are measured anew on each chip, and on what.

    Attributes:
        data: the inputs, of any kind that :func:`driftproof.evaluate` takes; their targets are not looked at. They
            should not be those that the result is reported on.
        when: ``programming``: once, at the device's earliest valid time; ``time``: at every read-out time.
        samples: how many inputs, the first ones; None for all.
    """

    data: Any
    when: When = "programming"
    samples: int | None = None

    def __post_init__(self) -> None:
        """Refuse another ``when``; read the data."""
        if self.when not in get_args(When):
            raise DriftproofError(
                f"recalibrate {self.when!r}{did_you_mean(self.when, get_args(When))}: wanted programming (once a chip) "
                "or time (at every read-out)"
            )
        data = hold(as_data(self.data))
        object.__setattr__(self, "data", data if self.samples is None else data.head(self.samples))

    def definition(self) -> dict[str, Any]:
        """Return all that decides numbers as plain JSON values; the data by its fingerprint."""
        return {"when": self.when, "data": self.data.fingerprint(), "samples": len(self.data)}


def check_recalibration(recalibration: Recalibration, network: nn.Module, reported: Data) -> None:
    """Prove that BatchNorm statistics can be re-estimated; warn if that is on the inputs that are reported on.

    Raises:
        DriftproofError: the network has no such BatchNorm, or does not take the inputs.
    """
    if not batch_norms(network):
        raise DriftproofError("recalibrate: the network has no BatchNorm that keeps statistics; leave it out")
    held = recalibration.data
    shared = min(len(held), len(reported))
    if held.head(shared).fingerprint() == reported.head(shared).fingerprint():
        warn(
            "BatchNorm statistics are measured on the very inputs that are reported on; give others, such as training "
            "images, for a result that holds for inputs which the chip has not seen"
        )
    try:  # before anything is computed or written
        with torch.inference_mode():
            call(network, next(inputs_of(held.head(min(2, len(held))), 2, next(network.parameters()).device)))
    except Exception as error:  # whatever a network's own code raises
        raise DriftproofError(
            f"recalibrate: the network does not take inputs of {held.name}: {type(error).__name__}: {error}. "
            "Give inputs like those that it is evaluated on"
        ) from error


def even_batch(samples: int, batch_size: int) -> int:
    """Return a batch size up to the given one whose last batch is at least half as large as the others.

    >>> even_batch(252, 250), even_batch(1000, 300), even_batch(101, 10), even_batch(64, 250)
    (126, 250, 8, 64)
    """
    largest = -(-samples // -(-samples // batch_size))
    return next(size for size in range(largest, 0, -1) if samples % size == 0 or 2 * (samples % size) >= size)


def inputs_of(data: Data, batch_size: int, device: torch.device) -> Iterator[Inputs]:
    """Yield the inputs of some data in nearly even batches, without their targets."""
    for inputs, _ in data.batches(even_batch(len(data), batch_size)):
        yield to_device(inputs, device)
