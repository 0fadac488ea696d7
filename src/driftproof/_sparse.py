"""The numbers of a tensor in memory, whatever its layout: those of a sparse one are indices and values."""

from __future__ import annotations

import torch
from torch import Tensor

_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices"),
    torch.sparse_bsr: ("crow_indices", "col_indices"),
    torch.sparse_csc: ("ccol_indices", "row_indices"),
    torch.sparse_bsc: ("ccol_indices", "row_indices"),
}


def dense_parts(tensor: Tensor) -> dict[str, Tensor]:
    """Return the dense tensors that hold a tensor's numbers, by name; a dense one has an empty name.

    The parts share memory with the tensor.

    >>> list(dense_parts(torch.eye(2))), list(dense_parts(torch.eye(2).to_sparse()))
    ([''], ['indices', 'values'])
    """
    tensor = tensor.detach()
    if tensor.layout == torch.sparse_coo:
        return {"indices": tensor._indices(), "values": tensor._values()}
    if tensor.layout in _COMPRESSED:
        parts = {name: getattr(tensor, name)() for name in _COMPRESSED[tensor.layout]}
        return parts | {"values": tensor.values()}
    return {"": tensor if tensor.layout == torch.strided else tensor.to_dense()}


def as_dense(tensor: Tensor) -> Tensor:
    """Return a tensor with zeros in memory, for files that hold dense tensors only."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def in_layout_of(value: Tensor, like: Tensor) -> Tensor:
    """Return a dense tensor in the layout of another one, which has a number wherever the value is not zero."""
    return value if like.layout == torch.strided else value.to_dense().to_sparse(layout=like.layout)
