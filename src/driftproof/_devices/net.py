"""Net weights from conductances, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from driftproof.laws import Encoding


def net_weights(
    encoding: Encoding,
    like: Tensor,
    banks: Sequence[Iterator[tuple[slice, Sequence[Tensor]]]],
    references: Sequence[Tensor | None],
) -> list[Tensor]:
    """Return w = Σ weight · G / (g_max − g_min), minus the value for zero, of several read-outs: new tensors [out, in].

    Args:
        encoding: Encoding of weights as conductances.
        like: Tensor that has the shape [out, in] of the results.
        banks: Blocks of the conductances of each bank in µS, one tensor for each read-out, all in the same order.
        references: Conductances of a reference column in µS for each read-out, [groups, in], or None.
    """
    scale, outs = encoding.scales(), [torch.empty_like(like) for _ in references]
    flats, (first, *others) = [out.view(-1) for out in outs], banks
    for part, reads in first:
        totals = [torch.mul(g, scale[0], out=flat[part]) for g, flat in zip(reads, flats, strict=True)]
        for index, other in enumerate(others, start=1):
            for total, g in zip(totals, next(other)[1], strict=True):
                total.add_(g, alpha=scale[index])
    for out, reference in zip(outs, references, strict=True):
        if reference is not None:  # [groups, 1, in] is subtracted from each group's outputs
            groups = len(reference)
            out.view(groups, len(out) // groups, out.shape[1]).sub_((reference * scale[0])[:, None])
        elif encoding.zero:
            out -= encoding.zero * scale[0]
    return outs
