"""What training does with the running statistics of norms while weights are perturbed: a stated choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from driftproof.batch_norm import batch_norms, recalibrate
from driftproof.errors import DriftproofError, did_you_mean
from driftproof.inputs import Inputs, call
from driftproof.training.random_state import random_state_kept

NormPolicy = Literal["perturbed", "clean", "recalibrate", "frozen"]
"""Which pass moves the running statistics: one per micro-batch, whatever the method.

- ``perturbed``: the one with perturbed weights, so that the statistics are those of the noisy network; of several the
  one whose weights are furthest (the top of an ascent) or the first (of two mirrored points).
- ``clean``: the one without. A method of one pass then runs one more forward pass, without gradient.
- ``recalibrate``: none; those of BatchNorms are re-estimated after each epoch, with clean weights and without dropout
  (``driftproof.train`` does it; in a loop of your own call :func:`recalibrate_norms`). Other norms keep theirs.
- ``frozen``: none, and norms work with the running statistics in training, too.

An update that perturbs nothing (a ramp at its start, LookSAM between its ascents) moves them at the weights it has.
"""

DEFAULT_POLICY: NormPolicy = "clean"
"""Of every method that makes a pass with clean weights anyway."""
BATCHES = 50
"""How many batches statistics are re-estimated on after each epoch."""


def check_policy(policy: str) -> None:
    """Raise DriftproofError for a policy that there is none of."""
    known = get_args(NormPolicy)
    if policy not in known:
        raise DriftproofError(f"norms={policy!r}{did_you_mean(policy, known)}: there are {', '.join(known)}")


def recalibrate_norms(network: nn.Module, inputs: Iterable[Inputs], batches: int = BATCHES) -> None:
    """Re-estimate the running statistics of BatchNorms on training inputs (:func:`driftproof.batch_norm.recalibrate`).

    Dropout is off meanwhile; the modules' modes and torch's random state are as before afterwards. A network without
    BatchNorms stays as it is.

    Args:
        network: with the weights that the statistics are for.
        inputs: batches of inputs, without targets.
        batches: how many of them are used, the first ones.
    """
    if not batch_norms(network):
        return
    with random_state_kept(), in_eval_mode(list(network.modules())):
        recalibrate(network, lambda batch, _: call(network, batch), islice(inputs, batches))


@contextmanager
def statistics_kept(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Put the running statistics back afterwards, bit for bit."""
    kept = _copies(norms)
    try:
        yield
    finally:
        _put_back(kept)


@contextmanager
def statistics_kept_on_failure(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Put the running statistics back, bit for bit, if what happens inside fails."""
    kept = _copies(norms)
    try:
        yield
    except BaseException:
        _put_back(kept)
        raise


@contextmanager
def in_eval_mode(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Let norms work with their running statistics, and be in the mode that they were in afterwards."""
    modes = [norm.training for norm in norms]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm, mode in zip(norms, modes, strict=True):
            norm.training = mode


def _copies(norms: Sequence[nn.Module]) -> list[tuple[Tensor, Tensor]]:
    return [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers(recurse=False)]


@torch.no_grad()
def _put_back(kept: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, before in kept:
        buffer.copy_(before)
