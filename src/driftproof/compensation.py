"""Drift compensation: one digital factor α per tile or per column, measured by reading the array.

α = mean |G⁺ − G⁻| at the reference divided by the same at the time t, over a tile or over one of its columns, as a
read of the array with one-hot inputs gives it. The reference is read at t = 0 without read noise, the later read with
the read noise of its time. α multiplies the tile's output, after the ADC.

``exact`` compares with the target weights instead, as a chip that stores them could: the least-squares factor
α = Σ w n / Σ n² of each tile, w the targets and n what is read. (PCM Nandakumar at 1 year, Gaussian weights: 1.94,
where the means give 2.01.)
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.mapping import MappedWeight

Compensation = Literal["none", "tile", "column", "exact"]


def check_compensation(name: str) -> Compensation:
    """Return the name if it is a compensation.

    >>> check_compensation("tile")
    'tile'
    """
    known = get_args(Compensation)
    if name not in known:
        raise DriftproofError(f"unknown compensation {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return name  # type: ignore[return-value]


def mean_magnitude(mapped: MappedWeight, net: Tensor, compensation: Compensation) -> Tensor:
    """Mean |G⁺ − G⁻| of each tile or each tile's column, [row splits, out], relative to g_max − g_min."""
    columns = torch.stack([net[:, rows].abs().mean(dim=1) for rows in mapped.rows])
    if compensation == "tile":
        for part in mapped.columns:
            # every column of a tile has equally many devices: the mean of means is the tile's mean
            columns[:, part] = columns[:, part].mean(dim=1, keepdim=True)
    return columns


def least_squares(mapped: MappedWeight, target: Tensor, net: Tensor) -> Tensor:
    """α of each tile that brings what is read nearest to the targets, [row splits, out]; 1 for a tile of zeros."""
    product = torch.stack([(target[:, rows] * net[:, rows]).sum(dim=1) for rows in mapped.rows])
    square = torch.stack([net[:, rows].square().sum(dim=1) for rows in mapped.rows])
    alpha = torch.empty_like(product)
    for part in mapped.columns:
        over, under = product[:, part].sum(dim=1, keepdim=True), square[:, part].sum(dim=1, keepdim=True)
        alpha[:, part] = torch.where(under > 0, over / under, 1.0)
    return alpha


def factor(reference: Tensor, now: Tensor) -> Tensor:
    """α = reference / now; 1 where nothing is left to compensate (the tile or column reads zero).

    >>> factor(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])).tolist()
    [2.0, 1.0]
    """
    return torch.where(now > 0, reference / now, 1.0)
