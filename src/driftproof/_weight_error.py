"""The error of a device in one number: the error of a weight at half the range, at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from driftproof._chip import Chip
from driftproof._compensation import Compensation
from driftproof._defaults import COMPENSATION
from driftproof._mapping import Mapping, TileSize, map_weight
from driftproof._presets import DevicePreset

ROWS = 512
"""Weights of a column."""

WEIGHT, COLUMNS = 0.5, 256
"""The weight whose error is shown, relative to its column's maximum, and the number of columns of the tile."""


def tile_chip(
    preset: DevicePreset, *, w: float = WEIGHT, compensation: str | Compensation = COMPENSATION, columns: int = COLUMNS
) -> tuple[Chip, Tensor]:
    """Return a chip with one tile, whose layer is called ``tile``, and the weights on it, [columns, 512].

    The maximum of each column is 1. Even columns hold ``w`` in every place but the first. Odd columns hold normally
    distributed weights, with ±3 standard deviations at the ends of the range.

    >>> from driftproof._presets import load_preset
    >>> chip, weight = tile_chip(load_preset("ideal"), columns=4)
    >>> torch.equal(chip.weight("tile", t_s=1.0), weight)
    True
    """
    share = (torch.arange(ROWS) + 0.5) / ROWS
    weight = (torch.special.ndtri(share).clamp_(-3, 3) / 3).repeat(columns, 1)  # the quantiles of normal weights
    weight[::2] = w
    weight[:, 0] = 1.0  # every column's maximum
    tile = TileSize(ROWS, columns)
    mapping = Mapping(tile, (), {"tile": map_weight("tile", weight, tile)})
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
        preset: The device.
        t_s: Time in seconds after the first read.
        w: The weight, relative to its column's maximum (default: 0.5).
        compensation: Drift compensation of the tile, of which half the columns hold normally distributed weights
            (default: ``tile``).
        columns: Number of columns of 512 weights; half of them hold ``w`` in every place but one (default: 256).

    >>> from driftproof._presets import load_preset
    >>> round(weight_error(load_preset("gaussian:0.05"), 1.0), 3)
    0.05
    """
    chip, _ = tile_chip(preset, w=w, compensation=compensation, columns=columns)
    error = chip.weight("tile", t_s)[::2, 1:] - w
    return float(error.square().mean().sqrt())
