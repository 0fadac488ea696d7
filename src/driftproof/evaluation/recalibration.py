"""BatchNorm statistics measured anew on a chip, from unlabelled inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from driftproof.data import Data
from driftproof.errors import DriftproofError, did_you_mean

When = Literal["programming", "time"]


@dataclass(frozen=True)
class Recalibration:
    """When BatchNorm statistics are measured anew on each chip, and on what.

    Attributes:
        data: the inputs; their targets are not looked at. They should not be those that the result is reported on.
        when: ``programming``: once, at the device's earliest valid time; ``time``: at every read-out time.
        samples: how many inputs, the first ones; None for all.
    """

    data: Any
    when: When = "programming"
    samples: int | None = None

    def __post_init__(self) -> None:
        """Refuse another ``when``."""
        if self.when not in get_args(When):
            raise DriftproofError(
                f"recalibrate {self.when!r}{did_you_mean(self.when, get_args(When))}: wanted programming (once a chip) "
                "or time (at every read-out)"
            )


def inputs_of(data: Data, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the inputs of some data, without their targets, as much of a batch at a time as there is."""
    for inputs, _ in data.batches(batch_size):
        yield inputs.to(device)


def norms_of(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the BatchNorms of a network that keep statistics."""
    kind = nn.modules.batchnorm._BatchNorm
    return [module for module in network.modules() if isinstance(module, kind) and module.running_var is not None]


@torch.no_grad()
def measure_norms(network: nn.Module, run: Callable[[Tensor, int], Tensor], inputs: Iterable[Tensor]) -> None:
    """Replace the statistics of every BatchNorm by those of the given inputs.

    One pass: every norm works with the statistics of the batch at hand, and keeps their mean over the batches (the
    variance is the mean of the batches' unbiased variances).

    Args:
        network: in eval mode; its BatchNorms are changed.
        run: a forward pass through these norms; it takes a batch [N, …] and the number of its first sample, which
            counts from −1 downwards: single products of these inputs have noise of their own.
        inputs: the batches.

    Raises:
        DriftproofError: no BatchNorm that keeps statistics, or statistics that are not finite.
    """
    norms = norms_of(network)
    if not norms:
        raise DriftproofError("recalibration wants BatchNorm layers that keep statistics; this network has none")
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    try:
        first = 0
        for batch in inputs:
            first -= len(batch)
            run(batch, first)
    except ValueError as error:  # such as one value per channel
        raise DriftproofError(f"recalibration: {error}; give more inputs or a larger batch size") from error
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
    for norm in norms:
        for statistic in (norm.running_mean, norm.running_var):
            if statistic is None or not bool(torch.isfinite(statistic).all()):
                raise DriftproofError(
                    "recalibration: statistics of a BatchNorm are NaN or infinite; look at the inputs"
                )
