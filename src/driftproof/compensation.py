"""Drift compensation: one digital factor α per tile or per column, measured by reading the array.

α = mean |G⁺ − G⁻| at the reference divided by the same at the time t, over a tile or over one of its columns, as a
read of the array with one-hot inputs gives it. The reference is read at t = 0 without read noise, the later read with
the read noise of its time. α multiplies the tile's output, after the ADC.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from driftproof.errors import DriftproofError, did_you_mean
from driftproof.mapping import MappedWeight

Compensation = Literal["none", "tile", "column"]


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


def factor(reference: Tensor, now: Tensor) -> Tensor:
    """α = reference / now; 1 where nothing is left to compensate (the tile or column reads zero).

    >>> factor(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])).tolist()
    [2.0, 1.0]
    """
    return torch.where(now > 0, reference / now, 1.0)
