"""Net weights from conductances, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from driftproof.laws import Encoding


def net_weights(
    encoding: Encoding, like: Tensor, banks: Sequence[Iterator[tuple[slice, Tensor]]], reference: Tensor | None
) -> Tensor:
    """Return w = Σ weight · G / (g_max − g_min), minus the value for zero, as a new tensor [out, in].

    Args:
        encoding: Encoding of weights as conductances.
        like: Tensor that has the shape [out, in] of the result.
        banks: Blocks of the conductances of each bank in µS, all in the same order.
        reference: Conductances of a reference column in µS, [groups, in], or None.
    """
    scale, out = encoding.scales(), torch.empty_like(like)
    flat, (first, *others) = out.view(-1), banks
    for part, g in first:
        total = torch.mul(g, scale[0], out=flat[part])
        for index, other in enumerate(others, start=1):
            total.add_(next(other)[1], alpha=scale[index])
    if reference is not None:  # [groups, 1, in] is subtracted from each group's outputs
        groups = len(reference)
        out.view(groups, len(out) // groups, out.shape[1]).sub_((reference * scale[0])[:, None])
    elif encoding.zero:
        out -= encoding.zero * scale[0]
    return out
