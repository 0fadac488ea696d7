"""The running statistics of norms while weights are perturbed: which pass updates them is a stated choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Literal

from torch import nn

from driftproof._batch_norm import batch_norms, recalibrate
from driftproof._inputs import Inputs, call, in_eval_mode
from driftproof._random_state import random_state_kept

NormPolicy = Literal["perturbed", "clean", "recalibrate", "frozen"]
"""Which pass updates the running statistics. It is one pass of each micro-batch, whatever the method.

- ``perturbed``: the pass with perturbed weights, so that the statistics are those of the noisy network. If there are
  several, it is the pass whose weights are furthest away (the top of an ascent) or the first (of two mirrored points).
- ``clean``: the pass with clean weights. A method of one pass then makes one more forward pass, without gradient.
- ``recalibrate``: no pass. The statistics of BatchNorms are re-estimated after each epoch, with clean weights and
  without dropout. ``driftproof.train`` does it; in a loop of your own call :func:`recalibrate_norms`. Other norms keep
  their statistics.
- ``frozen``: no pass. Norms use the running statistics in training, too.

An update that perturbs nothing (a ramp at its start, LookSAM between its ascents) updates them at its clean weights.
"""

DEFAULT_POLICY: NormPolicy = "clean"
"""Policy of the methods that make a pass with clean weights anyway."""
BATCHES = 50
"""Number of batches on which statistics are re-estimated after each epoch."""


def recalibrate_norms(network: nn.Module, inputs: Iterable[Inputs], batches: int = BATCHES) -> None:
    """Re-estimate the running statistics of BatchNorms on training inputs (:func:`driftproof._batch_norm.recalibrate`).

    Dropout is off meanwhile. The modules' modes and torch's random state are afterwards as before. A network without
    BatchNorms stays as it is.

    Args:
        network: Network with the weights that the statistics are for.
        inputs: Batches of inputs, without targets.
        batches: Number of batches to use, the first ones (default: 50).
    """
    if not batch_norms(network):
        return
    with random_state_kept(), in_eval_mode(network.modules()):
        recalibrate(network, lambda batch, _: call(network, batch), islice(inputs, batches))


@contextmanager
def statistics_kept(norms: Sequence[nn.Module], *, on_failure_only: bool = False) -> Iterator[None]:
    """Restore the running statistics afterwards, bit for bit.

    Args:
        norms: Norms whose statistics are restored.
        on_failure_only: Whether they are restored only if the code inside fails (default: False).
    """
    with ExitStack() as restore:
        for buffer in [buffer for norm in norms for buffer in norm.buffers(recurse=False)]:
            restore.callback(buffer.copy_, buffer.clone())
        yield
        if on_failure_only:
            restore.pop_all()
