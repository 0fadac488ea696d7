"""Net weights from conductances, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from driftproof.laws import Encoding


def bank_sums(
    encoding: Encoding, like: Tensor, banks: Sequence[Iterator[tuple[slice, Sequence[Tensor]]]], read_outs: int
) -> list[Tensor]:
    """Return Σ weight · G / (g_max − g_min) over the devices of a weight, for several read-outs: new tensors [n].

    Args:
        encoding: Encoding of weights as conductances.
        like: Tensor [n] of the results' torch device.
        banks: Blocks of the conductances of each bank in µS, one tensor for each read-out, all in the same order.
        read_outs: Number of read-outs.
    """
    scale, sums = encoding.scales(), [torch.empty_like(like) for _ in range(read_outs)]
    first, *others = banks
    for part, reads in first:
        totals = [torch.mul(g, scale[0], out=flat[part]) for g, flat in zip(reads, sums, strict=True)]
        for index, other in enumerate(others, start=1):
            for total, g in zip(totals, next(other)[1], strict=True):
                total.add_(g, alpha=scale[index])
    return sums


def subtract_zero(encoding: Encoding, net: Tensor, reference: Tensor | None) -> Tensor:
    """Subtract the value for a weight of zero from sums over devices, [out, in], which are overwritten.

    Args:
        encoding: Encoding of weights as conductances.
        net: Result of :func:`bank_sums` in the shape of the layer.
        reference: Conductances of a reference column in µS, [groups, in], or None.
    """
    if reference is not None:  # [groups, 1, in] is subtracted from each group's outputs
        groups, scale = len(reference), encoding.scales()[0]
        net.view(groups, len(net) // groups, net.shape[1]).sub_((reference * scale)[:, None])
    elif encoding.zero:
        net -= encoding.zero * encoding.scales()[0]
    return net
