"""The running statistics of norms, and how they are re-estimated: one algorithm, for chips and for training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from driftproof.errors import DriftproofError, warn
from driftproof.inputs import Inputs, count, describe


def norms_with_statistics(network: nn.Module) -> list[nn.modules.batchnorm._NormBase]:
    """Return all norms of a network that keep running statistics, InstanceNorm included: forward passes move them."""
    kind = nn.modules.batchnorm._NormBase
    return [module for module in network.modules() if isinstance(module, kind) and module.running_mean is not None]


def batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the BatchNorms of a network that keep running statistics: those that :func:`recalibrate` re-estimates.

    An InstanceNorm is not among them: it does not count the batches that it has seen, so nothing tells whether the
    network calls it.
    """
    kind = nn.modules.batchnorm._BatchNorm
    return [norm for norm in norms_with_statistics(network) if isinstance(norm, kind)]


@torch.no_grad()
def recalibrate(network: nn.Module, run: Callable[[Inputs, int], Any], inputs: Iterable[Inputs]) -> None:
    """Replace the running statistics of every BatchNorm by those of the given inputs.

    One pass: every norm works with the statistics of the batch at hand, and keeps their mean over the batches, weighted
    by their sizes (the variance is the mean of the batches' unbiased variances). A norm that the pass does not update
    keeps what it had, and a warning names it. Norms are in the mode that they were in afterwards.

    Args:
        network: in eval mode, so that dropout is off as it is in use; its BatchNorms are changed.
        run: a forward pass through these norms; it takes a batch [N, …] and the number of its first sample, which
            counts from −1 downwards: single MVMs of these inputs have noise of their own.
        inputs: the batches.

    Raises:
        DriftproofError: no BatchNorm that keeps statistics or is updated; no inputs, or a network that does not take
            them (all statistics are then as before); statistics that are not finite.

    >>> norm = nn.BatchNorm1d(1).eval()
    >>> recalibrate(norm, lambda batch, first: norm(batch), [torch.tensor([[1.0], [3.0]])])
    >>> norm.running_mean, norm.running_var
    (tensor([2.]), tensor([2.]))
    """
    names = {module: name for name, module in network.named_modules()}
    norms = batch_norms(network)
    if not norms:
        raise DriftproofError("recalibration wants BatchNorm layers that keep statistics; this network has none")
    before = {norm: (norm.training, norm.momentum, copy.deepcopy(list(norm.buffers()))) for norm in norms}
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    seen, done = 0, False
    try:
        for batch in inputs:
            seen += count(batch)
            for norm in norms:
                norm.momentum = count(batch) / seen
            _run(run, batch, -seen)
        done = True
    finally:
        for norm in norms:
            training, norm.momentum, _ = before[norm]
            norm.train(training)
        kept = [norm for norm in norms if not (done and norm.num_batches_tracked)]
        for norm in kept:
            for buffer, old in zip(norm.buffers(), before[norm][2], strict=True):
                buffer.copy_(old)
    if not seen:
        raise DriftproofError("recalibration: no inputs came; give at least one batch of more than one sample")
    if kept:
        text = f"recalibration does not reach {', '.join(names[norm] for norm in kept)}: the network does not call them"
        if len(kept) == len(norms):
            raise DriftproofError(f"{text}, but uses their statistics in another way, or not at all; leave it out")
        warn(f"{text}; they keep their statistics")
    for norm in norms:
        for statistic in (norm.running_mean, norm.running_var):
            if statistic is None or not bool(torch.isfinite(statistic).all()):
                raise DriftproofError(
                    "recalibration: statistics of a BatchNorm are NaN or infinite; look at the inputs"
                )


def _run(run: Callable[[Inputs, int], Any], batch: Inputs, first: int) -> None:
    try:
        run(batch, first)
    except DriftproofError:
        raise
    except Exception as error:  # whatever a network's own code raises
        raise DriftproofError(
            f"recalibration: the network fails on inputs {describe(batch)}: {type(error).__name__}: {error}. Give "
            "inputs like those that it is evaluated on, more than one"
        ) from error
