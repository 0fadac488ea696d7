"""BatchNorm statistics measured anew on a chip, from unlabelled inputs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from driftproof.data import Data
from driftproof.errors import DriftproofError, DriftproofWarning, did_you_mean
from driftproof.inputs import Inputs, count, describe, to_device

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


def norms_of(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the BatchNorms of a network that keep statistics."""
    kind = nn.modules.batchnorm._BatchNorm
    return [module for module in network.modules() if isinstance(module, kind) and module.running_var is not None]


@torch.no_grad()
def measure_norms(network: nn.Module, run: Callable[[Inputs, int], Any], inputs: Iterable[Inputs]) -> None:
    """Replace the statistics of every BatchNorm by those of the given inputs.

    One pass: every norm works with the statistics of the batch at hand, and keeps their mean over the batches, weighted
    by their sizes (the variance is the mean of the batches' unbiased variances). A norm that the pass does not update
    keeps what it had, and a warning names it.

    Args:
        network: in eval mode; its BatchNorms are changed.
        run: a forward pass through these norms; it takes a batch [N, …] and the number of its first sample, which
            counts from −1 downwards: single products of these inputs have noise of their own.
        inputs: the batches.

    Raises:
        DriftproofError: no BatchNorm that keeps statistics or is updated; a network that does not take the inputs;
            statistics that are not finite.
    """
    names = {module: name for name, module in network.named_modules()}
    norms = norms_of(network)
    if not norms:
        raise DriftproofError("recalibration wants BatchNorm layers that keep statistics; this network has none")
    before = {norm: (norm.momentum, copy.deepcopy(list(norm.buffers()))) for norm in norms}
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    seen = 0
    try:
        for batch in inputs:
            seen += count(batch)
            for norm in norms:
                norm.momentum = count(batch) / seen
            run(batch, -seen)
    except DriftproofError:
        raise
    except Exception as error:  # whatever a network's own code raises
        raise DriftproofError(
            f"recalibration: the network fails on inputs {describe(batch)}: "
            f"{type(error).__name__}: {error}. Give inputs like those that it is evaluated on, more than one"
        ) from error
    finally:
        for norm in norms:
            norm.eval()
            norm.momentum = before[norm][0]
        kept = [norm for norm in norms if not norm.num_batches_tracked]
        for norm in kept:
            for buffer, old in zip(norm.buffers(), before[norm][1], strict=True):
                buffer.copy_(old)
    if kept:
        text = f"recalibration does not reach {', '.join(names[norm] for norm in kept)}: the network does not call them"
        if len(kept) == len(norms):
            raise DriftproofError(f"{text}, but uses their statistics in another way, or not at all; leave it out")
        warnings.warn(f"{text}; they keep their statistics", DriftproofWarning, stacklevel=2)
    for norm in norms:
        for statistic in (norm.running_mean, norm.running_var):
            if statistic is None or not bool(torch.isfinite(statistic).all()):
                raise DriftproofError(
                    "recalibration: statistics of a BatchNorm are NaN or infinite; look at the inputs"
                )
