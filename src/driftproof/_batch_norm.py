"""Re-estimate the running statistics of BatchNorm layers. Evaluation and training share this algorithm."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from driftproof._errors import DriftproofError, foreign_code, warn
from driftproof._inputs import Inputs, count, describe


def norms_with_statistics(network: nn.Module) -> list[nn.modules.batchnorm._NormBase]:
    """Return all norms of a network that keep running statistics, InstanceNorm included."""
    kind = nn.modules.batchnorm._NormBase
    return [module for module in network.modules() if isinstance(module, kind) and module.running_mean is not None]


def batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the BatchNorms of a network that keep running statistics. :func:`recalibrate` re-estimates these.

    An InstanceNorm is not among them. It does not count the batches that it has seen, so that :func:`recalibrate` could
    not tell whether the network calls it.
    """
    kind = nn.modules.batchnorm._BatchNorm
    return [norm for norm in norms_with_statistics(network) if isinstance(norm, kind)]


@torch.no_grad()
def recalibrate(network: nn.Module, run: Callable[[Inputs, int], Any], inputs: Iterable[Inputs]) -> None:
    """Replace the running statistics of every BatchNorm by those of the given inputs.

    There is one pass over the inputs. Every norm works with the statistics of the batch at hand and keeps their mean
    over the batches, weighted by the batch sizes (the variance is the mean of the batches' unbiased variances). A norm
    that the pass does not update keeps the statistics that it had, and a warning names it. Afterwards every norm is in
    the mode that it was in before.

    Args:
        network: The network in eval mode, so that dropout is off. Its BatchNorms are changed.
        run: A forward pass through these norms. It takes a batch [N, …] and the number of the batch's first sample.
            These numbers count from −1 downwards, so that the MVM read noise of these samples differs from that of the
            data.
        inputs: The batches.

    Raises:
        DriftproofError: There is no BatchNorm that keeps statistics or none that the pass updates; there are no inputs,
            or the network does not take them (the statistics are then unchanged); a statistic is not finite.

    >>> norm = nn.BatchNorm1d(1).eval()
    >>> recalibrate(norm, lambda batch, first: norm(batch), [torch.tensor([[1.0], [3.0]])])
    >>> norm.running_mean, norm.running_var
    (tensor([2.]), tensor([2.]))
    """
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
            with foreign_code(
                f"recalibration: the network fails on inputs {describe(batch)}:",
                ". Give inputs like those that the network is evaluated on, and more than one",
            ):
                run(batch, -seen)
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
        unused = [name for name, module in network.named_modules() if module in kept]
        text = f"recalibration does not reach {', '.join(unused)}: the network does not call them"
        if len(kept) == len(norms):
            raise DriftproofError(f"{text}, but uses their statistics in another way, or not at all; leave it out")
        warn(f"{text}; they keep their statistics")
    if not all(torch.isfinite(buffer).all() for norm in norms for buffer in norm.buffers()):
        raise DriftproofError("recalibration: statistics of a BatchNorm are NaN or infinite; look at the inputs")
