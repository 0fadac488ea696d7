"""How far a device is off, in one number: the error of a weight at half the range, at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof.chip import Chip
from driftproof.compensation import Compensation
from driftproof.defaults import COMPENSATION
from driftproof.mapping import Mapping, TileSize, map_weight
from driftproof.presets import DevicePreset

ROWS = 512

WEIGHT, COLUMNS = 0.5, 256
"""The weight whose error is shown, relative to its column's largest, and how many columns hold it."""


def tile_chip(
    preset: DevicePreset, *, w: float = WEIGHT, compensation: str | Compensation = COMPENSATION, columns: int = COLUMNS
) -> tuple[Chip, Tensor]:
    """Return a chip with one tile, its layer ``tile``, and the weights on it: [columns, 512], the largest of each 1.

    Even columns carry ``w`` in every place but the first, odd ones normally distributed weights, ±3 standard
    deviations at the ends of the range.

    >>> from driftproof.presets import load_preset
    >>> chip, weight = tile_chip(load_preset("ideal"), columns=4)
    >>> torch.equal(chip.weight("tile", t_s=1.0), weight)
    True
    """
    share = (torch.arange(ROWS) + 0.5) / ROWS
    weight = (torch.special.ndtri(share).clamp_(-3, 3) / 3).repeat(columns, 1)  # the quantiles of normal weights
    weight[::2] = w
    weight[:, 0] = 1.0  # every column's maximum
    mapping = Mapping(TileSize(ROWS, columns), (), {"tile": map_weight("tile", weight, TileSize(ROWS, columns))})
    return Chip(mapping, preset, seed=0, chip=0, compensation=compensation), weight


def weight_error(
    preset: DevicePreset,
    t_s: float,
    *,
    w: float = WEIGHT,
    compensation: str | Compensation = COMPENSATION,
    columns: int = COLUMNS,
) -> float:
    """Return the root-mean-square error of a weight, as a share of its column's maximum.

    Args:
        preset: the device.
        t_s: seconds after programming.
        w: the weight, relative to its column's maximum.
        compensation: of the drift, on a tile half of whose weights are normally distributed.
        columns: how many columns of 512 weights to program; half of them carry ``w`` in every place but one.

    >>> from driftproof.presets import load_preset
    >>> round(weight_error(load_preset("gaussian:0.05"), 1.0), 3)
    0.05
    """
    chip, _ = tile_chip(preset, w=w, compensation=compensation, columns=columns)
    error = chip.weight("tile", t_s)[::2, 1:] - w
    return float(error.square().mean().sqrt())
