"""What training does with the running statistics of norms while weights are perturbed: a stated choice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from driftproof.errors import DriftproofError, did_you_mean

NormPolicy = Literal["perturbed", "clean", "recalibrate", "frozen"]
"""Which pass moves the running statistics: one per micro-batch, whatever the method.

- ``perturbed``: the one with perturbed weights, so that the statistics are those of the noisy network; of several the
  one whose weights are furthest (the top of an ascent) or the first (of two mirrored points).
- ``clean``: the one without. A method of one pass then runs one more forward pass, without gradient.
- ``recalibrate``: none; they are measured anew after each epoch, with clean weights (``driftproof.train`` does it, in a
  loop of your own ``torch.optim.swa_utils.update_bn``).
- ``frozen``: none, and norms work with the running statistics in training, too.

An update that perturbs nothing (a ramp at its start, LookSAM between its ascents) moves them at the weights it has.
"""


def check_policy(policy: str) -> None:
    """Raise DriftproofError for a policy that there is none of."""
    known = get_args(NormPolicy)
    if policy not in known:
        raise DriftproofError(f"norms={policy!r}{did_you_mean(policy, known)}: there are {', '.join(known)}")


def norms_of(network: nn.Module) -> list[nn.Module]:
    """Return the norms that keep running statistics."""
    kinds = nn.modules.batchnorm._NormBase
    return [module for module in network.modules() if isinstance(module, kinds) and module.running_mean is not None]


@contextmanager
def statistics_kept(norms: list[nn.Module]) -> Iterator[None]:
    """Put the running statistics back afterwards, bit for bit."""
    kept = _copies(norms)
    try:
        yield
    finally:
        _put_back(kept)


@contextmanager
def statistics_kept_on_failure(norms: list[nn.Module]) -> Iterator[None]:
    """Put the running statistics back, bit for bit, if what happens inside fails."""
    kept = _copies(norms)
    try:
        yield
    except BaseException:
        _put_back(kept)
        raise


@contextmanager
def in_eval_mode(norms: list[nn.Module]) -> Iterator[None]:
    """Let norms work with their running statistics, and be in the mode that they were in afterwards."""
    modes = [norm.training for norm in norms]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm, mode in zip(norms, modes, strict=True):
            norm.training = mode


def _copies(norms: list[nn.Module]) -> list[tuple[Tensor, Tensor]]:
    return [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers(recurse=False)]


@torch.no_grad()
def _put_back(kept: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, before in kept:
        buffer.copy_(before)
